# Licensed under the Apache License, Version 2.0; see LICENSE.
"""``engine: TFT`` of MLTransform: tensorflow-transform learns, and workers apply the TensorFlow graph that it writes.

Beam's own MLTransform builds tensorflow-transform's pipeline where a job is constructed. That imports TensorFlow there,
writes files there before anything runs, and reads artifacts with jsonpickle, which runs what they say. An expansion
service may do none of these. So nothing of it is used: the graph of the job is this package's, and what needs
TensorFlow is done on workers.

- To learn, all rows go to one worker, as Arrow record batches. It runs tensorflow-transform's own analysis of them in a
  process of its own (analysis.py), and writes the result as a part of an artifact. So the engine is for data that one
  worker can go through; the native engine learns on all workers.
- To apply, each worker loads the SavedModel and runs it on columns (transform_fn.py), as it does models of TensorFlow:
  for this, tensorflow-transform need not be there.
- An artifact of Beam's MLTransform is its SavedModel and the schemas beside it (beam_artifact.py); its
  ``attributes.json`` is not read. A graph is a program, so the operator of a service says where artifacts may be read.
"""

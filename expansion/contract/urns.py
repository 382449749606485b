# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Names on the wire: URNs, output tags, annotations, metrics."""

RUN_INFERENCE = "beamml:transform:run_inference:v1"
RUN_INFERENCE_SCHEMA_TRANSFORM = "beamml:schematransform:run_inference:v1"
RUN_INFERENCE_RESULT = "beamml:run_inference_result:v1"

OUTPUT = "output"

# The namespace of our metrics: that of Beam's RunInference where its handler names none.
METRICS_NAMESPACE = "RunInference"

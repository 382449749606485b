# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Beam's RunInference and its handlers, without the PyTorch that Beam imports beside them.

Where PyTorch is installed, ``apache_beam.ml.inference.base`` imports it, and SciPy, for its model manager, which
nothing of ours uses (Beam 2.77: base.py:72, model_manager.py:43). That would cost every worker process, whatever its
model, 2.5 seconds of a core and 550 MiB. A RunInference of somebody else's in the same process that does use the model
manager gets it: Beam imports it once more then (base.py:2032).
"""

from __future__ import annotations

import sys
from contextlib import suppress

_MANAGER = "apache_beam.ml.inference.model_manager"
_hidden = _MANAGER not in sys.modules
if _hidden:
    sys.modules[_MANAGER] = None  # type: ignore[assignment]  # an ImportError, which Beam expects
try:
    from apache_beam.ml.inference import base
    from apache_beam.ml.inference.base import ModelHandler, RunInference
finally:
    if _hidden:
        del sys.modules[_MANAGER]
with suppress(ImportError):  # Windows
    import resource

    base.resource = resource  # which Beam gives up together with the manager, and then measures no model's memory

__all__ = ["ModelHandler", "RunInference"]

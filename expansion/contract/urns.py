# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Names on the wire: URNs, output tags, annotations."""

RUN_INFERENCE = "beamml:transform:run_inference:v1"
RUN_INFERENCE_SCHEMA_TRANSFORM = "beamml:schematransform:run_inference:v1"
RUN_INFERENCE_RESULT = "beamml:run_inference_result:v1"

OUTPUT = "output"

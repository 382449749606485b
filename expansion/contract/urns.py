# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Names on the wire: URNs, output tags, annotations, metrics."""

RUN_INFERENCE = "beamml:transform:run_inference:v1"
RUN_INFERENCE_SCHEMA_TRANSFORM = "beamml:schematransform:run_inference:v1"
RUN_INFERENCE_RESULT = "beamml:run_inference_result:v1"

ML_TRANSFORM = "beamml:transform:ml_transform:v1"
ML_TRANSFORM_SCHEMA_TRANSFORM = "beamml:schematransform:ml_transform:v1"
ML_TRANSFORM_RESULT = "beamml:ml_transform_result:v1"

# Tags of inputs where there are two, and of the output that is always there.
INPUT = "input"
MODEL_URIS = "model_uris"
OUTPUT = "output"

# The namespace of our metrics: that of Beam's RunInference where its handler names none.
METRICS_NAMESPACE = "RunInference"


def preset_identifier(name: str) -> str:
    """Returns the identifier of a preset's schema transform."""
    return f"beamml:schematransform:preset:{name}:v1"

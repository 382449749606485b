# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The columns of output rows, for those who want to know them without a pipeline."""

from __future__ import annotations

from collections.abc import Collection

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.fields import Field, Fields
from expansion.transforms.ends import EndsPlan


def planned_fields(
    config: RunInferenceConfig | MLTransformConfig, inputs: Fields, names: Collection[str]
) -> dict[str, Field]:
    """Returns the columns of output rows, in order, of a configuration that nothing is done with.

    Args:
        config: A checked configuration.
        inputs: The input's columns that can be features.
        names: Names of all of the input's columns.

    Raises:
        ConfigError: The configuration does not suit the input.
    """
    # Imported when they are needed: the latter imports Beam.
    from expansion.transforms import ml_transform_plan, plan

    if isinstance(config, RunInferenceConfig):
        return output_fields(plan.make_plan(config, inputs, names), inputs)
    others = [name for name in names if name not in inputs]
    return output_fields(ml_transform_plan.make_plan(config, inputs, others), inputs)


def output_fields(plan: EndsPlan, inputs: Fields) -> dict[str, Field]:
    """Returns the columns of output rows, in order.

    Args:
        plan: What is done to the input.
        inputs: The input's columns.
    """
    texts = [*([plan.arm] if plan.arm else ()), *plan.constants]
    results = {**plan.predictions, **{name: Field(name, "STRING") for name in texts}}
    kept = {name: results.get(name, field) for name, field in inputs.items() if name not in plan.dropped}
    return {**kept, **results}

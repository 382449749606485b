# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Steps of engine TFT run where TensorFlow's models run, apart from frameworks that TensorFlow does not bear."""

import apache_beam as beam
import pytest

from expansion import MLTransform
from expansion.transforms.placement import StackHint

SCALE = {"scale_to_01": {"columns": ["age"]}}


@pytest.mark.parametrize(("engine", "stack"), [("TFT", b"tensorflow"), ("native", b"")])
def test_all_steps_are_of_tensorflows_stack(engine, stack, tmp_path):
    pipeline = beam.Pipeline()
    rows = pipeline | beam.Create([beam.Row(age=1.0)])
    config = {"engine": engine, "operations": [SCALE], "write_artifact_location": str(tmp_path / "a")}
    _ = rows | "Transform" >> MLTransform(config)
    components = pipeline.to_runner_api().components
    steps = [each for each in components.transforms.values() if each.unique_name.startswith("Transform/")]
    hints = [components.environments[step.environment_id].resource_hints for step in steps if step.environment_id]
    assert hints
    assert {hint.get(StackHint.urn, b"") for hint in hints} == {stack}
    assert not (tmp_path / "a").exists()

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Where steps run: what the operator has decided, what configurations may name, and what is refused."""

import pytest

from expansion import MLTransform, RunInference
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.errors import ConfigError
from expansion.transforms.placement import NOWHERE, Placement

ONNX, TENSORFLOW = {"onnx": {"uri": "a.onnx"}}, {"tensorflow": {"uri": "a"}}
PLACEMENT = Placement({"cpu", "gpu"}, {"tensorflow": "gpu", "pytorch": "docker:torch:1"})


def hints(**config):
    return PLACEMENT.of_step(RunInferenceConfig(**config))


def problems(placement, config):
    return [str(problem) for problem in placement.check(config)]


def test_a_model_runs_where_the_operator_says_for_its_framework_else_nowhere_in_particular():
    assert hints(model=TENSORFLOW) == {"beamml_stack": "tensorflow", "beamml_environment": "gpu"}
    assert hints(model={"pytorch": {}}) == {"beamml_environment": "docker:torch:1"}
    assert hints(model=ONNX) == {}


def test_what_a_configuration_names_goes_before():
    assert hints(model=ONNX, environment="cpu") == {"beamml_environment": "cpu"}


def test_without_a_service_frameworks_are_kept_apart_all_the_same():
    assert NOWHERE.of_step(RunInferenceConfig(model=TENSORFLOW)) == {"beamml_stack": "tensorflow"}


def test_only_names_of_the_operator_are_taken_never_a_spec():
    config = RunInferenceConfig(model=ONNX, environment="gpus", then=[{"model": ONNX, "environment": "docker:torch:1"}])
    assert problems(PLACEMENT, config) == [
        "environment: no such environment here; got 'gpus'; did you mean 'gpu'? The operator of the service has named "
        "'cpu', 'gpu'",
        "then[0].environment: no such environment here; got 'docker:torch:1'; it is a name, and what it stands for is "
        "the operator's to say; expected one of 'cpu', 'gpu'",
    ]
    config = MLTransformConfig(environment="tpu")
    assert problems(PLACEMENT, config) == [
        "environment: no such environment here; got 'tpu'; did you mean 'gpu'? The operator of the service has named "
        "'cpu', 'gpu'"
    ]


@pytest.mark.parametrize(
    "transform",
    [
        lambda: RunInference({"model": ONNX, "environment": "gpu"}),
        lambda: MLTransform({"operations": [{"hash_strings": {"columns": ["a"], "buckets": 3}}], "environment": "gpu"}),
    ],
)
def test_a_pipeline_without_a_service_has_no_environments_to_name(transform):
    with pytest.raises(ConfigError, match="environment: got 'gpu', and environments are named by the operator"):
        transform()


def test_frameworks_of_one_step_need_one_environment():
    ensemble = RunInferenceConfig(ensemble={"models": [ONNX, {"pytorch": {"uri": "a"}}]})
    assert problems(PLACEMENT, ensemble) == [
        "environment: models of onnx and pytorch run in one step, and the service has the default and 'docker:torch:1' "
        "for them; name one that has all of these frameworks"
    ]
    ensemble.environment = "gpu"
    assert problems(PLACEMENT, ensemble) == []

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Environments of expanded graphs: each step is in the one that the operator has for it, and there are no others."""

from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.portability.api import beam_runner_api_pb2

from expansion.contract import urns
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract._gen.server_pb2 import Preset
from expansion.service import environments
from expansion.service.expand import ExpansionServicer, Offer
from expansion.service.presets import Presets
from expansion.transforms.placement import Placement

NAMED = {name: environments.parse(f"docker:{name}:1") for name in ("gpu", "tf", "whole")}
NAMED["pool"] = environments.parse("external:workers:5000")
NAMED["same"] = environments.parse("docker:default:1")
ROW = beam.Row(id="one", a=1.0, b=0.0)


@pytest.fixture
def expand(python_request):
    """Expands a configuration with rows of ``id``, ``a`` and ``b``; returns the response, free of errors."""

    def expand(config, of_frameworks=None, presets=()):
        placement = Placement({"gpu", "pool", "same"}, of_frameworks or {})
        offer = Offer(
            environments.parse("docker:default:1"),
            presets=Presets(presets),
            placement=placement,
            environments=NAMED,
        )
        urn = urns.RUN_INFERENCE if isinstance(config, RunInferenceConfig) else urns.ML_TRANSFORM
        response = ExpansionServicer(offer).Expand(
            python_request(beam.Create([ROW]), config.SerializeToString(), urn=urn)
        )
        assert response.error == ""
        return response

    return expand


def where(response) -> dict[str, str]:
    """Returns what each step that workers run is in, by its name: the image or address."""
    found = {}
    for transform in response.components.transforms.values():
        if transform.spec.urn == "beam:transform:pardo:v1":
            name = transform.unique_name.removeprefix(response.transform.unique_name).lstrip("/")
            found[name] = place(response.components.environments[transform.environment_id])
    return found


def place(environment: beam_runner_api_pb2.Environment) -> str:
    if environment.urn == "beam:env:docker:v1":
        return beam_runner_api_pb2.DockerPayload.FromString(environment.payload).container_image
    return beam_runner_api_pb2.ExternalPayload.FromString(environment.payload).endpoint.url


def place_known(environment) -> bool:
    return environment.urn in ("beam:env:docker:v1", "beam:env:external:v1")


def test_all_steps_run_in_the_services_environment_by_default(expand, row_config):
    assert set(where(expand(row_config)).values()) == {"default:1"}


def test_a_model_runs_in_the_environment_of_its_framework_and_the_steps_around_it_too(expand, row_config):
    response = expand(row_config, {"sklearn": "gpu"})
    assert set(where(response).values()) == {"gpu:1"}


def test_a_configuration_names_another_one(expand, row_config):
    row_config.environment = "pool"
    assert set(where(expand(row_config, {"sklearn": "gpu"})).values()) == {"workers:5000"}


def test_no_hint_is_left_that_a_runner_could_stumble_over(expand, row_config):
    for environment in expand(row_config, {"sklearn": "gpu"}).components.environments.values():
        assert not any(urn.startswith("beamml:") for urn in environment.resource_hints)


def test_an_environment_in_which_nothing_runs_is_not_there(expand, row_config):
    response = expand(row_config, {"sklearn": "gpu"})
    images = [place(each) for each in response.components.environments.values() if place_known(each)]
    assert "default:1" not in images
    known = set(response.components.environments)
    strategies = [each.environment_id for each in response.components.windowing_strategies.values()]
    assert set(strategies) <= known


def test_one_that_is_the_same_as_the_services_is_the_same_to_runners_too(expand, row_config):
    row_config.environment = "same"
    ids = {each.environment_id for each in expand(row_config).components.transforms.values() if each.environment_id}
    assert len(ids) == 1


def test_what_the_operator_said_is_what_runners_get_with_capabilities_and_never_a_choice(expand, row_config):
    row_config.environment = "gpu"
    environment = expand(row_config).components.environments
    [gpu] = [each for each in environment.values() if place_known(each) and place(each) == "gpu:1"]
    assert gpu.urn == "beam:env:docker:v1"
    assert "beam:coder:row:v1" in gpu.capabilities


def test_each_model_of_a_chain_runs_in_its_own(expand, row_config):
    row_config.environment = "pool"
    step = row_config.then.add(environment="gpu")
    step.model.CopyFrom(row_config.model)
    step.model.model_id = "second"
    step.inputs.add(name="X", columns=["a", "b"])
    step.outputs.add(source="predict", name="again")
    places = where(expand(row_config))
    assert places == {
        "Pack": "workers:5000",
        "Rebatch": "workers:5000",
        "Begin": "workers:5000",
        "Begin2": "gpu:1",
        "Inference/BeamML_RunInference": "workers:5000",
        "Step2/Inference/BeamML_RunInference": "gpu:1",
        "Encode/ParDo(UnpackRows)": "gpu:1",
    }


def test_hints_of_the_configuration_stay_beside_the_environment(expand, row_config):
    row_config.environment = "gpu"
    row_config.resource_hints.accelerator = "type:nvidia-l4;count:1;install-nvidia-driver"
    response = expand(row_config)
    [hinted] = [each for each in response.components.environments.values() if each.resource_hints]
    assert place(hinted) == "gpu:1"
    assert dict(hinted.resource_hints) == {
        "beam:resources:accelerator:v1": b"type:nvidia-l4;count:1;install-nvidia-driver"
    }


def test_a_preset_runs_where_the_operator_says_whatever_frameworks_say(expand, row_config):
    preset = Preset(name="whole", run_inference=row_config, environment="whole")
    response = expand(RunInferenceConfig(preset="whole"), {"sklearn": "gpu"}, [preset])
    assert set(where(response).values()) == {"whole:1"}


def test_a_step_of_a_preset_may_name_another(expand, row_config):
    row_config.environment = "gpu"
    preset = Preset(name="whole", run_inference=row_config, environment="whole")
    assert set(where(expand(RunInferenceConfig(preset="whole"), {}, [preset])).values()) == {"gpu:1"}


def test_an_ml_transform_runs_where_it_says(expand):
    config = MLTransformConfig(operations=[{"hash_strings": {"columns": ["id"], "buckets": 3}}], environment="pool")
    assert set(where(expand(config)).values()) == {"workers:5000"}


def test_a_model_that_an_operation_runs_is_in_the_environment_of_its_framework(expand):
    model = {"embedding_service": {"provider": "openai", "uri": "text-embedding-3-small", "size": 8}}
    config = MLTransformConfig(operations=[{"embed": {"columns": ["id"], "model": model}}])
    places = where(expand(config, {"embedding_service": "gpu"}))
    assert {name for name, at in places.items() if at == "gpu:1"} == {"Embed1/Model1/Inference/BeamML_RunInference"}
    assert places["Operations"] == "default:1"
    config.environment = "pool"
    assert set(where(expand(config, {"embedding_service": "gpu"})).values()) == {"workers:5000"}


def test_a_name_that_the_operator_does_not_have_is_refused(python_request, row_config):
    row_config.environment = "gp"
    offer = Offer(environments.parse("docker:default:1"), placement=Placement({"gpu"}), environments=NAMED)
    request = python_request(beam.Create([ROW]), row_config.SerializeToString())
    error = ExpansionServicer(offer).Expand(request).error
    assert error == (
        "environment: no such environment here; got 'gp'; did you mean 'gpu'? The operator of the service has named "
        "'gpu'"
    )

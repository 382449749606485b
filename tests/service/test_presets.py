# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import apache_beam as beam
import pytest
from apache_beam.coders import RowCoder
from apache_beam.portability.api import external_transforms_pb2
from apache_beam.typehints.row_type import RowTypeConstraint
from apache_beam.typehints.schemas import schema_from_element_type

from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract._gen.server_pb2 import Preset
from expansion.contract.urns import preset_identifier
from expansion.service import environments
from expansion.service.expand import ExpansionServicer, Offer
from expansion.service.policy import Policy
from expansion.service.presets import Presets
from expansion.service.requests import SCHEMA_TRANSFORM

ROW = beam.Row(id="one", a=1.0, b=0.0)
DEFAULT, GPU = (environments.parse(f"docker:{name}:1") for name in ("default", "gpu"))


@pytest.fixture
def servicer(row_config):
    """Publishes a classifier and an MLTransform."""
    presets = [
        Preset(name="classifier", run_inference=row_config, environment="docker:gpu:1"),
        Preset(name="scaled", ml_transform={"operations": [{"hash_strings": {"columns": ["id"], "buckets": 10}}]}),
    ]
    return ExpansionServicer(Offer(DEFAULT, Policy(installed=()), Presets(presets), environments={"docker:gpu:1": GPU}))


@pytest.fixture
def ask(python_request):
    """Makes requests for RunInference with rows of ``id``, ``a`` and ``b``."""
    return lambda config: python_request(beam.Create([ROW]), config.SerializeToString())


def test_a_preset_is_called_by_name_and_runs_where_it_says(servicer, ask):
    response = servicer.Expand(ask(RunInferenceConfig(preset="classifier")))
    assert response.error == ""
    assert set(response.transform.outputs) == {"output", "errors"}
    assert any(b"gpu:1" in env.payload for env in response.components.environments.values())
    assert not any(b"default:1" in env.payload for env in response.components.environments.values())


def test_its_graph_is_that_of_its_configuration(servicer, ask, row_config):
    by_name = ask(RunInferenceConfig(preset="classifier"))
    in_full = ask(row_config)
    in_full.namespace = by_name.namespace
    plain = ExpansionServicer(Offer(GPU))
    assert servicer.Expand(by_name).transform == plain.Expand(in_full).transform


def test_clients_may_say_what_becomes_of_bad_rows_and_what_their_batches_hold(servicer, ask, java_request):
    config = RunInferenceConfig(preset="classifier", error_handling={"output": "bad"})
    response = servicer.Expand(ask(config))
    assert set(response.transform.outputs) == {"output", "bad"}
    columns = [{"name": name, "datatype": "FP64"} for name in ("a", "b")]
    config = RunInferenceConfig(preset="classifier", tensor_batch={"columns": columns, "opaque_columns": ["element"]})
    assert servicer.Expand(java_request("bytes", config.SerializeToString())).error == ""


def test_everything_else_is_the_presets(servicer, ask):
    config = RunInferenceConfig(preset="classifier", batching={"max_batch_size": 1}, model={"onnx": {"uri": "x"}})
    error = servicer.Expand(ask(config)).error
    assert error.splitlines() == [
        "model: the preset 'classifier' decides it; leave it out",
        "batching: the preset 'classifier' decides it; leave it out",
    ]


def test_an_unknown_preset_is_an_error_with_the_name_that_may_have_been_meant(servicer, ask):
    error = servicer.Expand(ask(RunInferenceConfig(preset="clasifier"))).error
    assert error == "preset: no such preset here; got 'clasifier'; did you mean 'classifier'?"
    plain = ExpansionServicer(Offer(DEFAULT))
    assert "has no presets" in plain.Expand(ask(RunInferenceConfig(preset="x"))).error


def test_a_preset_of_the_other_transform_says_so(servicer, ask):
    error = servicer.Expand(ask(RunInferenceConfig(preset="scaled"))).error
    assert error == "preset: 'scaled' is of ml_transform; call that transform with it"


def schema_request(python_request, name, **fields: str):
    """Returns a call of a preset's schema transform with a row of texts."""
    kind = RowTypeConstraint.from_fields([(key, str) for key in fields])
    schema = schema_from_element_type(kind)
    payload = external_transforms_pb2.SchemaTransformPayload(
        identifier=preset_identifier(name),
        configuration_schema=schema,
        configuration_row=RowCoder(schema).encode(beam.Row(**fields)),
    )
    return python_request(beam.Create([ROW]), payload.SerializeToString(), urn=SCHEMA_TRANSFORM)


def test_a_preset_is_a_schema_transform_of_its_own(servicer, python_request):
    assert servicer.Expand(schema_request(python_request, "classifier")).error == ""
    assert servicer.Expand(schema_request(python_request, "scaled")).error == ""
    error = servicer.Expand(schema_request(python_request, "other")).error
    assert "'beamml:schematransform:preset:classifier:v1'" in error
    error = servicer.Expand(schema_request(python_request, "classifier", modle="x")).error
    assert error == "modle: unknown field; expected one of 'error_handling'"


def test_the_operators_own_presets_need_no_permission(row_config, ask):
    row_config.model.sklearn.trusted_types.append("mine.Buckets")
    asked = ask(row_config)
    assert "--trust-type" in ExpansionServicer(Offer(DEFAULT)).Expand(asked).error
    published = ExpansionServicer(Offer(DEFAULT, presets=Presets([Preset(name="a", run_inference=row_config)])))
    assert published.Expand(ask(RunInferenceConfig(preset="a"))).error == ""

# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from apache_beam.internal import pickler
from apache_beam.portability.api import beam_expansion_api_pb2, beam_runner_api_pb2

from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract._gen.server_pb2 import Allow, Preset
from expansion.contract.places import Places
from expansion.errors import SystemicError
from expansion.service import environments
from expansion.service.expand import ExpansionServicer, Offer
from expansion.service.policy import Policy, policy_of
from expansion.service.presets import Presets
from expansion.tensors.columns import Columns, Dense
from expansion.transforms.batch import Batch
from expansion.transforms.handler import ColumnarModelHandler


def servicer(*prefixes: str) -> ExpansionServicer:
    return ExpansionServicer(Offer(environments.parse("docker:worker:1"), Policy(places=Places(prefixes))))


def test_a_model_elsewhere_than_the_operator_says_is_refused_unread(monkeypatch, java_request, wire_config, model_uri):
    request = java_request("bytes", wire_config.SerializeToString())
    folder = model_uri.rpartition("/")[0]
    assert servicer(folder).Expand(request).error == ""
    monkeypatch.setattr("expansion.files._open", lambda uri: pytest.fail("it was read"))
    refused = servicer("gs://models", "/srv/models").Expand(request).error
    assert refused.startswith("model.sklearn.uri: got '/")
    assert refused.endswith(
        "which is in no place that this service allows; expected one below gs://models, /srv/models; ask its operator, "
        "who can allow others with --allow-uri-prefix"
    )


def test_the_model_of_the_key_is_looked_at_where_links_lead(java_request, wire_config, model_uri, tmp_path):
    (tmp_path / "de.skops").symlink_to(model_uri)
    wire_config.model.sklearn.uri = f"{tmp_path}/{{key}}.skops"
    wire_config.per_key.column = wire_config.per_key.signature_key = "de"
    wire_config.tensor_batch.columns.add(name="de", datatype="STRING")
    request = java_request("bytes", wire_config.SerializeToString())
    assert servicer("/").Expand(request).error == ""
    assert servicer(str(tmp_path)).Expand(request).error.startswith("model.sklearn.uri: got ")


def test_a_link_in_a_directory_that_is_allowed_leads_nowhere_else(java_request, wire_config, tmp_path):
    models, secret = tmp_path / "models", tmp_path / "secret.pb"
    (models / "saved").mkdir(parents=True)
    secret.write_bytes(b"secret")
    (models / "saved" / "saved_model.pb").symlink_to(secret)
    wire_config.model.tensorflow.uri = f"{models}/saved"
    error = servicer(str(models)).Expand(java_request("bytes", wire_config.SerializeToString())).error
    assert "which is in no place that this service allows" in error
    assert "secret" not in error.replace(str(tmp_path), "")


def test_a_preset_is_the_operators_word(python_request, row_source, row_config):
    presets = Presets([Preset(name="mine", run_inference=row_config)])
    offer = Offer(environments.parse("docker:worker:1"), Policy(places=Places(("gs://models",))), presets)
    request = python_request(row_source, RunInferenceConfig(preset="mine").SerializeToString())
    assert ExpansionServicer(offer).Expand(request).error == ""


# What data names, in steps of the service's graphs --------------------------------------------------------------------


def handlers(response: beam_expansion_api_pb2.ExpansionResponse) -> Iterator[ColumnarModelHandler]:
    """Yields what workers get to run models with."""
    assert response.error == ""
    for step in response.components.transforms.values():
        if step.unique_name.endswith("/BeamML_RunInference") and step.spec.urn == "beam:transform:pardo:v1":
            pickled = beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload).do_fn.payload
            yield pickler.loads(pickled)[0]._model_handler


def batch(**more) -> Batch:
    """A row of a and b."""
    features = Columns({name: Dense(np.zeros(1)) for name in ("a", "b")}, 1)
    return Batch(Columns({}, 1), features, constants={"model_id": ""}, **more)


def result_of(handler: ColumnarModelHandler, **more) -> str:
    """Returns the message of the error row that a batch of one row becomes; empty if it is predicted."""
    [result] = handler.run_inference(batch(**more), handler.load_model())
    return result.failures[0].errors[0].message if result.failures else ""


def keyed(config: RunInferenceConfig, folder: str) -> RunInferenceConfig:
    config.model.sklearn.uri = f"{folder}/{{key}}.skops"
    config.per_key.column, config.per_key.signature_key = "id", "classifier"
    return config


@pytest.mark.parametrize("prefixes", [(), ("gs://models", "/"), ("/srv", "gs://models")])
def test_a_step_whose_uris_come_with_the_data_has_the_operators_places(java_request, uris_config, prefixes, model_uri):
    allow = Allow(uri_prefixes=prefixes and [*prefixes, model_uri])
    offer = Offer(environments.parse("docker:worker:1"), policy_of(allow))
    request = java_request("uris", uris_config.SerializeToString())
    [handler] = handlers(ExpansionServicer(offer).Expand(request))
    assert handler._plan.places == Places(tuple(allow.uri_prefixes))


def test_a_key_leads_a_worker_nowhere_but_where_the_operator_says(
    python_request, row_source, row_config, model_uri, tmp_path
):
    folder = tmp_path / "allowed"
    folder.mkdir()
    (folder / "classifier.skops").write_bytes(Path(model_uri).read_bytes())
    (folder / "link.skops").symlink_to(model_uri)
    request = python_request(row_source, keyed(row_config, folder).SerializeToString())
    [handler] = handlers(servicer(str(folder)).Expand(request))
    assert result_of(handler, route="classifier") == ""
    assert "which is in no place that this service allows" in result_of(handler, route="link")
    [handler] = handlers(servicer("/").Expand(request))
    assert result_of(handler, route="link") == ""


def test_a_presets_template_is_the_operators_word_and_what_data_makes_of_it_stays_beside(
    python_request, row_source, row_config, model_uri, tmp_path
):
    folder = model_uri.rpartition("/")[0]
    presets = Presets([Preset(name="mine", run_inference=keyed(row_config, folder))])
    offer = Offer(environments.parse("docker:worker:1"), Policy(places=Places(("gs://models",))), presets)
    request = python_request(row_source, RunInferenceConfig(preset="mine").SerializeToString())
    [handler] = handlers(ExpansionServicer(offer).Expand(request))
    assert handler._plan.places == Places(("gs://models", f"{folder}/"))
    assert result_of(handler, route="classifier") == ""


def test_uris_of_the_second_input_of_a_preset_are_the_clients(java_request, uris_config, model_uri):
    config = RunInferenceConfig(preset="mine", tensor_batch=uris_config.tensor_batch)
    uris_config.ClearField("tensor_batch")
    presets = Presets([Preset(name="mine", run_inference=uris_config)])
    offer = Offer(environments.parse("docker:worker:1"), Policy(places=Places(("gs://models",))), presets)
    [handler] = handlers(ExpansionServicer(offer).Expand(java_request("uris", config.SerializeToString())))
    with pytest.raises(SystemicError, match="which is in no place that this service allows"):
        handler.run_inference(batch(uris=(model_uri,)), handler.load_model())

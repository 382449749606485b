# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import re
import threading
import time
from importlib import metadata
from pathlib import Path

import grpc
import pytest
from apache_beam.portability.api import (
    beam_artifact_api_pb2,
    beam_artifact_api_pb2_grpc,
    beam_expansion_api_pb2_grpc,
    beam_runner_api_pb2,
)

from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract._gen.server_pb2 import Preset
from expansion.service import artifacts, environments, graph, staged_wheels
from expansion.service.calls import Call
from expansion.service.expand import ExpansionServicer, Offer
from expansion.service.limits import DEFAULT_LIMITS, filled
from expansion.service.metrics import EXPAND, ServiceMetrics, field_of
from expansion.service.presets import Presets
from expansion.service.server import ExpansionServer

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"


class Watched:
    """A server, its metrics, and stubs that call it."""

    def __init__(self, issued=(), presets=(), limits=DEFAULT_LIMITS):
        self.metrics = ServiceMetrics([preset.name for preset in presets])
        offer = Offer(environments.parse("docker:worker:1"), presets=Presets(presets), limits=limits)
        self.server = ExpansionServer("127.0.0.1", 0, offer, issued, metrics=self.metrics)
        self.channel = grpc.insecure_channel(self.server.address)
        self.expand = beam_expansion_api_pb2_grpc.ExpansionServiceStub(self.channel).Expand
        self.artifacts = beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub(self.channel)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0

    def expansions(self, outcome: str, transform: str = "run_inference", preset: str = "") -> float:
        return self.value("beamml_expansions_total", transform=transform, preset=preset, outcome=outcome)

    def labels(self) -> set[str]:
        return {
            value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            for value in sample.labels.values()
        }

    def close(self) -> None:
        """Ends it; what was answered is counted then."""
        self.channel.close()
        self.server.drain(30)


@pytest.fixture
def watched():
    servers = []

    def start(*args, **kwargs):
        servers.append(Watched(*args, **kwargs))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def test_an_expansion_is_counted_by_transform_and_outcome_with_its_time(watched, java_request, wire_config):
    service = watched()
    assert service.expand(java_request("bytes", wire_config.SerializeToString())).error == ""
    assert service.expand(java_request("bytes", b"\xff")).error
    service.close()
    assert service.expansions("expanded") == 1
    assert service.expansions("refused") == 1
    assert service.value("beamml_expansion_seconds_count", transform="run_inference") == 2
    assert service.value("beamml_grpc_calls_total", method=EXPAND, code="OK") == 2


def test_problems_are_counted_by_rule_and_field_and_never_by_what_a_client_wrote(watched, java_request, wire_config):
    service = watched()
    wire_config.model.sklearn.format = "pickle"
    request = java_request("bytes", wire_config.SerializeToString())
    request.components.coders["evil"].spec.urn = "beam:coder:evil"
    request.components.pcollections["evil.pcollection"].coder_id = "evil"
    request.namespace = "evil namespace"
    assert service.expand(request).error
    request = java_request("bytes", b"\xff")
    request.transform.spec.urn = "evil"
    assert service.expand(request).error
    service.close()
    assert service.value("beamml_problems_total", rule="request", field="namespace") == 1
    assert service.value("beamml_problems_total", rule="request", field="components.coders") == 1
    assert service.value("beamml_problems_total", rule="request", field="transform.spec") == 1
    assert service.value("beamml_problems_total", rule="policy", field="model.sklearn") == 1
    assert service.expansions("refused", transform="unknown") == 1
    assert not [label for label in service.labels() if "evil" in label]


def test_what_only_the_model_file_tells_is_a_problem_of_the_model(watched, java_request, wire_config):
    service = watched()
    wire_config.model.sklearn.uri = "/nowhere/model.skops"
    assert service.expand(java_request("bytes", wire_config.SerializeToString())).error
    service.close()
    assert service.value("beamml_problems_total", rule="model", field="model.sklearn") == 1


def test_an_internal_error_is_an_outcome(watched, java_request, wire_config, monkeypatch):
    service = watched()
    monkeypatch.setattr(graph, "expand", lambda *_: 1 / 0)
    assert "internal error" in service.expand(java_request("bytes", wire_config.SerializeToString())).error
    service.close()
    assert service.expansions("internal_error") == 1


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (grpc.StatusCode.RESOURCE_EXHAUSTED, "exhausted"),
        (grpc.StatusCode.DEADLINE_EXCEEDED, "deadline"),
        (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated"),
        (grpc.StatusCode.INTERNAL, "internal_error"),
    ],
)
def test_what_ends_with_another_status_is_an_outcome_too(watched, java_request, monkeypatch, status, outcome):
    monkeypatch.setattr(ExpansionServicer, "Expand", lambda self, request, context: context.abort(status, "no"))
    service = watched()
    with pytest.raises(grpc.RpcError):
        service.expand(java_request("bytes"))
    service.close()
    assert service.expansions(outcome, transform="unknown") == 1
    assert service.value("beamml_grpc_calls_total", method=EXPAND, code=status.name) == 1


def test_calls_beyond_those_that_may_wait_are_exhausted(watched, java_request, wire_config, monkeypatch):
    begun, may_end = threading.Event(), threading.Event()
    expand = graph.expand

    def slow(*arguments):
        begun.set()
        may_end.wait(60)
        return expand(*arguments)

    monkeypatch.setattr(graph, "expand", slow)
    limits = filled(DEFAULT_LIMITS)
    limits.workers, limits.max_waiting_calls = 1, 1
    service = watched(limits=limits)
    request = java_request("bytes", wire_config.SerializeToString())
    first = service.expand.future(request)
    assert begun.wait(60)
    second = service.expand.future(request)
    while not service.server.workers.waiting:
        assert not second.done()
    assert service.value("beamml_expansions_running") == 1
    assert service.value("beamml_expansions_waiting") == 1
    with pytest.raises(grpc.RpcError):
        service.expand(request)
    may_end.set()
    assert first.result().error == second.result().error == ""
    service.close()
    assert service.expansions("exhausted", transform="unknown") == 1
    assert service.expansions("expanded") == 2
    assert service.value("beamml_expansions_running") == service.value("beamml_expansions_waiting") == 0


def test_what_reaches_no_client_any_more_is_cancelled(watched, java_request, wire_config, monkeypatch):
    begun, gone = threading.Event(), threading.Event()
    expand = ExpansionServicer.Expand

    def late(self, request, context):
        context.add_callback(gone.set)
        begun.set()
        assert gone.wait(60)
        return expand(self, request, context)

    monkeypatch.setattr(ExpansionServicer, "Expand", late)
    service = watched()
    call = service.expand.future(java_request("bytes", wire_config.SerializeToString()))
    assert begun.wait(60)
    call.cancel()
    for _ in range(600):  # gRPC waits for no call whose client has gone, so there is nothing to wait for but the count
        if service.expansions("cancelled"):
            break
        time.sleep(0.1)
    assert service.expansions("cancelled") == 1
    assert service.expansions("expanded") == 0


def test_presets_are_named_and_names_that_are_none_are_not(watched, java_request, wire_config):
    published = Preset(name="iris", run_inference=wire_config)
    published.run_inference.ClearField("tensor_batch")
    service = watched(presets=[published])
    call = RunInferenceConfig(preset="iris", tensor_batch=wire_config.tensor_batch)
    assert service.expand(java_request("bytes", call.SerializeToString())).error == ""
    call.preset = "irsi"
    assert "did you mean 'iris'?" in service.expand(java_request("bytes", call.SerializeToString())).error
    service.close()
    assert service.expansions("expanded", preset="iris") == 1
    assert service.expansions("refused") == 1
    assert "irsi" not in service.labels()


def test_artifacts_are_counted_with_their_bytes_and_those_that_are_none(watched, make_wheel):
    issued = artifacts.of_wheels(staged_wheels.read_all([str(make_wheel({"their_models.py": "x = 1\n"}))]))
    service = watched(issued)
    size = 0
    for artifact in issued:
        request = beam_artifact_api_pb2.GetArtifactRequest(artifact=artifact.information)
        size += sum(len(piece.data) for piece in service.artifacts.GetArtifact(request))
    stranger = beam_runner_api_pb2.ArtifactInformation(type_urn=artifacts.FILE, type_payload=b"/etc/passwd")
    with pytest.raises(grpc.RpcError):
        list(service.artifacts.GetArtifact(beam_artifact_api_pb2.GetArtifactRequest(artifact=stranger)))
    service.close()
    assert service.value("beamml_artifact_retrievals_total", code="OK") == len(issued)
    assert service.value("beamml_artifact_retrievals_total", code="NOT_FOUND") == 1
    assert service.value("beamml_artifact_sent_bytes_total") == size == sum(len(artifact.data) for artifact in issued)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("model.onnx.uri", "model.onnx"),
        ("pre_hooks[0].scale.columns[1]", "pre_hooks.scale"),
        ("operations[3].embed.model.onnx", "operations.embed"),
        ("post_hooks", "post_hooks"),
        ("components.coders['a.b]c']", "components.coders"),
        ("transform.spec.urn", "transform.spec"),
        ("transform.inputs['x']", "transform.inputs"),
        ("input.schema.secret", "input.schema"),
        ("input", "input"),
        ("namespace", "namespace"),
        ("model.secret", "model"),
        ("per_key.uris.germany", "per_key.uris"),
        ("secret", "other"),
        ("", "other"),
        ("[[[" * 1000, "other"),
        ("output_coder_requests['secret.namespace']", "output_coder_requests"),
    ],
)
def test_a_label_says_of_a_path_what_the_contract_defines(path, expected):
    assert field_of(path) == expected


def test_process_and_versions_are_there():
    text = ServiceMetrics().render()[0].decode()
    assert re.search(r"^process_resident_memory_bytes \d", text, re.MULTILINE)
    [build] = re.findall(r"^beamml_build_info\{(.*)\} 1.0$", text, re.MULTILINE)
    assert f'apache_beam="{metadata.version("apache-beam")}"' in build


def test_prometheus_may_ask_for_openmetrics():
    body, content_type = ServiceMetrics().render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert body.endswith(b"# EOF\n")


def test_every_metric_is_documented(watched):
    own = {family.name for family in watched().metrics.registry.collect() if family.name.startswith("beamml_")}
    assert "beamml_expansions" in own
    document = DOCUMENT.read_text()
    assert [name for name in sorted(own) if f"`{name}" not in document] == []


def test_methods_that_do_not_exist_share_one_label():
    metrics = ServiceMetrics()
    for number in range(50):
        metrics.answered(Call(f"{EXPAND}{number}", code="UNAUTHENTICATED"))
    calls = [sample for family in metrics.registry.collect() for sample in family.samples if "method" in sample.labels]
    assert {sample.labels["method"] for sample in calls} == {"other"}
    assert (
        metrics.registry.get_sample_value("beamml_grpc_calls_total", {"method": "other", "code": "UNAUTHENTICATED"})
        == 50
    )

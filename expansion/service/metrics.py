# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the service counts, for Prometheus. docs/operations.md lists it; labels never hold what a client has sent."""

from __future__ import annotations

import platform
import re
from collections.abc import Collection
from importlib import metadata
from typing import Any, cast

from apache_beam.portability.api import beam_artifact_api_pb2, beam_expansion_api_pb2
from google.protobuf.descriptor import Descriptor
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    Info,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import choose_encoder

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.service import calls
from expansion.service.calls import Call
from expansion.service.workers import Workers

EXPAND = "/org.apache.beam.model.expansion.v1.ExpansionService/Expand"
GET_ARTIFACT = "/org.apache.beam.model.job_management.v1.ArtifactRetrievalService/GetArtifact"

# The only ones that are shown: calls without a token are refused whatever they name, and may name anything.
_METHODS = frozenset(
    f"/{service.full_name}/{method.name}"
    for service in (
        beam_expansion_api_pb2.DESCRIPTOR.services_by_name["ExpansionService"],
        beam_artifact_api_pb2.DESCRIPTOR.services_by_name["ArtifactRetrievalService"],
    )
    for method in service.methods
)
_UNKNOWN = "unknown"
_OTHER = "other"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
# What paths of problems start with: a configuration, or a request.
_ROOTS = (
    RunInferenceConfig.DESCRIPTOR,
    MLTransformConfig.DESCRIPTOR,
    beam_expansion_api_pb2.ExpansionRequest.DESCRIPTOR,
)
_OF_INPUTS = frozenset({"input", "input.schema", "input.windowing"})
_PACKAGES = ("beam-ml-expansion", "apache-beam", "grpcio", "protobuf")


class ServiceMetrics:
    """The metrics of one service.

    Args:
        presets: Names of published presets: the only ones that are shown.

    Attributes:
        registry: What is exposed.
    """

    def __init__(self, presets: Collection[str] = ()):
        self.registry = CollectorRegistry()
        self._presets = frozenset(presets)
        self._calls = self._counter("beamml_grpc_calls", "Calls answered, by method and gRPC status", "method", "code")
        self._expansions = self._counter(
            "beamml_expansions", "Expansions, by transform, preset and outcome", "transform", "preset", "outcome"
        )
        self._seconds = Histogram(
            "beamml_expansion_seconds",
            "Seconds from the arrival of an expansion to its answer, waiting included",
            ["transform"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._problems = self._counter(
            "beamml_problems", "Problems that expansions were refused for, by rule and field", "rule", "field"
        )
        self._artifacts = self._counter(
            "beamml_artifact_retrievals", "Artifacts that workers and clients asked for, by gRPC status", "code"
        )
        self._artifact_bytes = self._counter("beamml_artifact_sent_bytes", "Bytes of artifacts sent")
        self._ready = Gauge("beamml_ready", "1 while calls are taken, 0 after SIGTERM", registry=self.registry)
        for outcome in (calls.EXPANDED, calls.REFUSED, calls.INTERNAL_ERROR):  # so that a rate is there from the first
            for transform in ("run_inference", "ml_transform"):
                self._expansions.labels(transform, "", outcome)
        self._expansions.labels(_UNKNOWN, "", calls.EXHAUSTED)
        self._describe_process()

    def watch(self, workers: Workers) -> None:
        """Has metrics say how many calls have a worker and how many wait for one."""
        for name, help_text, read in (
            ("beamml_expansions_running", "Expansions that are worked on now", lambda: workers.running),
            ("beamml_expansions_waiting", "Expansions that wait for a worker now", lambda: workers.waiting),
            (
                "beamml_threads_stuck",
                "Threads that nobody waits for any more, and that did not end",
                lambda: workers.stuck,
            ),
        ):
            Gauge(name, help_text, registry=self.registry).set_function(read)

    def set_ready(self, ready: bool) -> None:
        """Notes whether calls are taken."""
        self._ready.set(ready)

    def answered(self, call: Call) -> None:
        """Counts a call that was answered."""
        self._calls.labels(call.method if call.method in _METHODS else _OTHER, call.code).inc()
        if call.method == GET_ARTIFACT:
            self._artifacts.labels(call.code).inc()
            self._artifact_bytes.inc(call.sent_bytes)
        elif call.method == EXPAND:
            transform = call.transform or _UNKNOWN
            preset = call.preset if call.preset in self._presets else ""
            self._expansions.labels(transform, preset, call.outcome or calls.INTERNAL_ERROR).inc()
            self._seconds.labels(transform).observe(call.seconds)
            for rule, problem in call.problems:
                self._problems.labels(rule, field_of(problem.path)).inc()

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """Returns all of it, and its content type.

        Args:
            accept: The HTTP header of who asks: OpenMetrics or Prometheus' text format. Default: the latter.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(name, help_text, labels, registry=self.registry)

    def _describe_process(self) -> None:
        versions: dict[str, str] = {name.replace("-", "_"): metadata.version(name) for name in _PACKAGES}
        Info("beamml_build", "Versions", registry=self.registry).info({**versions, "python": platform.python_version()})
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)


def field_of(path: str) -> str:
    """Returns what of a problem's path the contract defines, two levels at most: never a name that a client chose.

    ``pre_hooks[0].scale.columns[1]`` is ``pre_hooks.scale``; a field that does not exist is ``other``.
    """
    # What is quoted in brackets is a client's, and may hold anything; numbers in brackets are places in lists.
    parts = re.sub(r"\[\d+]", "", re.split(r"\['|\[\"", path[:200])[0]).split(".")
    if ".".join(parts[:2]) in _OF_INPUTS:
        return ".".join(parts[:2])
    if parts[0] in _OF_INPUTS:
        return parts[0]
    for root in _ROOTS:
        known = _known(cast(Descriptor, root), parts[:2])
        if known:
            return ".".join(known)
    return _OTHER


def _known(message: Descriptor, parts: list[str]) -> list[str]:
    """Returns the parts that lead from a message to its fields, up to the first that does not."""
    field: Any = message.fields_by_name.get(parts[0])
    if field is None:
        return []
    below = field.message_type
    is_map = below is not None and below.GetOptions().map_entry
    return [parts[0], *(_known(below, parts[1:]) if below is not None and not is_map and parts[1:] else [])]

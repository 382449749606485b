# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Requests as clients really make them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import pytest
import skops.io
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_expansion_api_pb2
from apache_beam.transforms.external import ExternalTransform
from google.protobuf import text_format
from sklearn.linear_model import LogisticRegression

from expansion.contract import urns
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig

ExpansionRequest = beam_expansion_api_pb2.ExpansionRequest


class _CapturedError(Exception):
    pass


class _Recorder:
    """Stands in for an expansion service: keeps the request."""

    def Expand(self, request):  # noqa: N802
        self.request = request
        raise _CapturedError


def _python_request(
    source: beam.PTransform | dict[str, beam.PTransform],
    payload: object = b"",
    options: list[str] | None = None,
    urn: str = urns.RUN_INFERENCE,
) -> ExpansionRequest:
    """Returns what Python's ExternalTransform sends for a transform applied to ``source``, or to several by tag."""
    recorder = _Recorder()
    pipeline = beam.Pipeline(options=PipelineOptions(options or []))
    if isinstance(source, dict):
        inputs = {tag: pipeline | f"Source of {tag}" >> each for tag, each in source.items()}
    else:
        inputs = pipeline | "Source" >> source
    with pytest.raises(_CapturedError):
        _ = inputs | ExternalTransform(urn, payload, recorder)
    return recorder.request


def _java_request(name: str, payload: bytes = b"") -> ExpansionRequest:
    """Returns what Java's External sends: ``bytes``, ``rows`` in fixed windows, an ``own_coder``, ``uris`` besides."""
    text = (Path(__file__).parent / "requests" / f"java_{name}.textproto").read_text()
    request = text_format.Parse(text, ExpansionRequest())
    request.transform.spec.payload = payload
    return request


@pytest.fixture
def python_request() -> Callable[..., ExpansionRequest]:
    return _python_request


@pytest.fixture
def java_request() -> Callable[..., ExpansionRequest]:
    return _java_request


@pytest.fixture
def row_source() -> beam.PTransform:
    """Rows of ``id`` STRING, ``a`` and ``b`` DOUBLE."""
    return beam.Create([beam.Row(id="one", a=1.0, b=0.0), beam.Row(id="two", a=0.0, b=0.5)])


@pytest.fixture(scope="session")
def model_uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A scikit-learn classifier of two features, as a skops file."""
    path = tmp_path_factory.mktemp("models") / "classifier.skops"
    features = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    skops.io.dump(LogisticRegression().fit(features, [0, 0, 1, 1]), path)
    return str(path)


@pytest.fixture
def row_config(model_uri) -> RunInferenceConfig:
    """Takes rows with columns ``a`` and ``b``."""
    return RunInferenceConfig(
        model={"sklearn": {"uri": model_uri}},
        inputs=[{"name": "X", "columns": ["a", "b"]}],
        error_handling={"output": "errors"},
    )


@pytest.fixture
def wire_config(row_config) -> RunInferenceConfig:
    """Takes TensorBatches with columns ``a``, ``b`` and the opaque ``element``."""
    columns = [{"name": name, "datatype": "FP64"} for name in ("a", "b")]
    row_config.MergeFrom(RunInferenceConfig(tensor_batch={"columns": columns, "opaque_columns": ["element"]}))
    return row_config


@pytest.fixture
def uris_config(wire_config) -> RunInferenceConfig:
    """Takes TensorBatches with columns ``a`` and ``b``, and the uris of models."""
    wire_config.model_uris.SetInParent()
    return wire_config


class Service:
    """A running ``beam-ml-expansion serve``."""

    def __init__(self, *arguments: str):
        self._mark = f"BEAMML_TEST={uuid.uuid4()}"
        name, _, value = self._mark.partition("=")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "expansion.cli", "serve", "--port", "0", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, name: value},
        )
        self.greeting = ""
        self.addresses: dict[str, str] = {}
        for line in self.process.stdout:
            self.greeting += line
            if line.startswith("LISTENING "):
                self.addresses = dict(part.split("=", 1) for part in line.split()[1:])
                return

    def family(self) -> set[int]:
        """Returns the ids of the living processes that descend from it, itself among them."""
        found = set()
        for environ in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):  # ended meanwhile
                if self._mark.encode() in environ.read_bytes():
                    found.add(int(environ.parent.name))
        return found

    def end(self, number: int = signal.SIGTERM, timeout: float = 60) -> tuple[int, str]:
        """Sends a signal and returns the exit code and standard error."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(timeout)
        if not self.process.stderr.closed:
            self._stderr = self.process.stderr.read()
            self.process.stderr.close()
        self.process.stdout.close()
        return self.process.returncode, self._stderr


@pytest.fixture(scope="module")
def local_service() -> Iterator[Service]:
    """A service with a local runner, for the tests of a file."""
    service = Service("--local-runner")
    yield service
    service.end(signal.SIGKILL)


@pytest.fixture
def serve() -> Iterator[Callable[..., Service]]:
    """Starts services, which are killed after the test."""
    started: list[Service] = []

    def start(*arguments: str) -> Service:
        started.append(Service(*arguments))
        return started[-1]

    yield start
    for service in started:
        service.end(signal.SIGKILL)

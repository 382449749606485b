# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import apache_beam
import pytest
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.runners.pipeline_context import PipelineContext

from expansion.errors import ConfigError
from expansion.service import environments


def proto_of(spec: str) -> beam_runner_api_pb2.Environment:
    return environments.parse(spec).to_runner_api(PipelineContext())


def test_a_docker_environment_names_its_image_tag_included():
    proto = proto_of("docker:registry.example:5000/worker:1.2")
    assert proto.urn == "beam:env:docker:v1"
    assert (
        beam_runner_api_pb2.DockerPayload.FromString(proto.payload).container_image
        == "registry.example:5000/worker:1.2"
    )


def test_a_process_environment_names_its_command():
    proto = proto_of("process:/opt/apache/beam/boot")
    assert proto.urn == "beam:env:process:v1"
    assert beam_runner_api_pb2.ProcessPayload.FromString(proto.payload).command == "/opt/apache/beam/boot"


@pytest.mark.parametrize("address", ["workers:50000", "127.0.0.1:1", "[::1]:65535"])
def test_an_external_environment_names_its_address(address):
    proto = proto_of(f"external:{address}")
    assert proto.urn == "beam:env:external:v1"
    assert beam_runner_api_pb2.ExternalPayload.FromString(proto.payload).endpoint.url == address


@pytest.mark.parametrize("spec", ["docker:worker", "process:boot", "external:workers:1"])
def test_every_environment_has_the_capabilities_of_a_python_worker_and_no_artifacts(spec):
    proto = proto_of(spec)
    assert "beam:coder:row:v1" in proto.capabilities
    assert not proto.dependencies


def test_the_default_is_beams_own_image_of_the_version_that_runs_here():
    assert environments.default_spec().startswith("docker:apache/beam_python3.")
    assert environments.default_spec().endswith(f"_sdk:{apache_beam.__version__}")


@pytest.mark.parametrize(
    "spec",
    ["", "docker", "docker:", "docker:a b", "process: ", "external:workers", "external:workers:0", "kubernetes:x"],
)
def test_another_form_is_refused_with_the_forms_there_are(spec):
    with pytest.raises(ConfigError, match="expected docker:IMAGE, process:COMMAND or external:HOST:PORT"):
        environments.parse(spec)

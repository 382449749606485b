# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from apache_beam.portability.api import beam_artifact_api_pb2, beam_artifact_api_pb2_grpc, beam_runner_api_pb2

from expansion.service.artifacts import FILE, Artifact, ArtifactServicer


def file_artifact(path: str) -> beam_runner_api_pb2.ArtifactInformation:
    payload = beam_runner_api_pb2.ArtifactFilePayload(path=path).SerializeToString()
    return beam_runner_api_pb2.ArtifactInformation(type_urn=FILE, type_payload=payload)


CONTENT = bytes(range(256)) * (3 << 12) + b"end"


@pytest.fixture
def issued() -> beam_runner_api_pb2.ArtifactInformation:
    return file_artifact("token")


@pytest.fixture
def stub(issued) -> Iterator[beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub]:
    server = grpc.server(ThreadPoolExecutor(2))
    beam_artifact_api_pb2_grpc.add_ArtifactRetrievalServiceServicer_to_server(
        ArtifactServicer([Artifact(issued, CONTENT)]), server
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub(channel)
    server.stop(None)


def download(stub, artifact) -> bytes:
    request = beam_artifact_api_pb2.GetArtifactRequest(artifact=artifact)
    return b"".join(chunk.data for chunk in stub.GetArtifact(request))


def test_an_issued_file_is_resolved_and_served_whole(stub, issued):
    request = beam_artifact_api_pb2.ResolveArtifactsRequest(artifacts=[issued])
    assert list(stub.ResolveArtifacts(request).replacements) == [issued]
    assert download(stub, issued) == CONTENT


def test_an_issued_file_is_served_whatever_its_role_is_as_clients_of_gos_sdk_ask_with_another(stub, issued):
    issued.role_urn = "beam:artifact:role:staging_to:v1"
    assert download(stub, issued) == CONTENT


def test_what_looks_like_a_path_is_a_token_and_no_file_is_read(stub, tmp_path, monkeypatch):
    (tmp_path / "token").write_bytes(b"secret")
    monkeypatch.chdir(tmp_path)
    assert download(stub, file_artifact("token")) == CONTENT
    for path in ("./token", str(tmp_path / "token"), "token/../token", ""):
        with pytest.raises(grpc.RpcError) as raised:
            download(stub, file_artifact(path))
        assert raised.value.code() == grpc.StatusCode.NOT_FOUND


URL = beam_runner_api_pb2.ArtifactInformation(
    type_urn="beam:artifact:type:url:v1",
    type_payload=beam_runner_api_pb2.ArtifactUrlPayload(url="http://127.0.0.1:1/secret").SerializeToString(),
)
EMBEDDED = beam_runner_api_pb2.ArtifactInformation(
    type_urn="beam:artifact:type:embedded:v1",
    type_payload=beam_runner_api_pb2.EmbeddedFilePayload(data=b"echo").SerializeToString(),
)


@pytest.mark.parametrize("artifact", [file_artifact("/etc/passwd"), URL, EMBEDDED], ids=["file", "url", "embedded"])
def test_artifacts_that_were_not_issued_are_not_found(stub, artifact):
    with pytest.raises(grpc.RpcError) as raised:
        download(stub, artifact)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.RpcError) as raised:
        stub.ResolveArtifacts(beam_artifact_api_pb2.ResolveArtifactsRequest(artifacts=[artifact]))
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND

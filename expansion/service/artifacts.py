# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Artifacts of worker environments, and their retrieval, limited to what this service issued.

Beam's own service opens any path or URL that a client names. This one knows the artifacts of the worker environment
that it answers with, holds their bytes in memory, and knows nothing else: what looks like a path in an artifact is a
token.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import grpc
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_artifact_api_pb2, beam_artifact_api_pb2_grpc, beam_runner_api_pb2

from expansion.service import calls
from expansion.service.wheels import Wheel

FILE = common_urns.artifact_types.FILE.urn
STAGING_TO = common_urns.artifact_roles.STAGING_TO.urn
REQUIREMENTS = common_urns.artifact_roles.PIP_REQUIREMENTS_FILE.urn
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class Artifact:
    """A file that workers get.

    Attributes:
        information: What the environment and the protocols say of it.
        data: Its content.
    """

    information: beam_runner_api_pb2.ArtifactInformation
    data: bytes


def of_wheels(wheels: Sequence[Wheel]) -> list[Artifact]:
    """Returns what has the ``boot`` program of Beam's Python containers install the wheels.

    That is the wheels, and a requirements file that lists them: ``boot`` first runs pip on the staged files only and
    without dependencies, then lets pip get what the wheels depend on. Beam's own list of packages to install,
    ``extra_packages.txt``, would do as well, but for its fixed name: Java's DataflowRunner stages under the name that
    an artifact has, and does not replace a file of the same size.
    """
    if not wheels:
        return []
    requirements = "".join(f"{wheel.requirement}\n" for wheel in wheels).encode()
    return [
        *(_artifact(wheel.staged_name, wheel.data, STAGING_TO) for wheel in wheels),
        _artifact("worker_packages.txt", requirements, REQUIREMENTS),
    ]


def _artifact(name: str, data: bytes, role: str) -> Artifact:
    sha256 = hashlib.sha256(data).hexdigest()
    file = beam_runner_api_pb2.ArtifactFilePayload(path=f"{sha256}/{name}", sha256=sha256)
    staging = beam_runner_api_pb2.ArtifactStagingToRolePayload(staged_name=name)
    information = beam_runner_api_pb2.ArtifactInformation(
        type_urn=FILE,
        type_payload=file.SerializeToString(),
        role_urn=role,
        role_payload=staging.SerializeToString() if role == STAGING_TO else b"",
    )
    return Artifact(information, data)


class ArtifactServicer(beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceServicer):  # type: ignore[misc]
    """Serves the given artifacts; anything else is NOT_FOUND.

    Args:
        issued: The artifacts of the environments that this service puts into its answers.
    """

    def __init__(self, issued: Iterable[Artifact]):
        # Not by role: that says where a worker puts the file, and Go's SDK asks with another one.
        self._issued = {_type(artifact.information): artifact.data for artifact in issued}

    def ResolveArtifacts(  # noqa: N802
        self, request: beam_artifact_api_pb2.ResolveArtifactsRequest, context: grpc.ServicerContext
    ) -> beam_artifact_api_pb2.ResolveArtifactsResponse:
        """Returns the artifacts as they are."""
        for artifact in request.artifacts:
            self._data(artifact, context)
        return beam_artifact_api_pb2.ResolveArtifactsResponse(replacements=request.artifacts)

    def GetArtifact(  # noqa: N802
        self, request: beam_artifact_api_pb2.GetArtifactRequest, context: grpc.ServicerContext
    ) -> Iterator[beam_artifact_api_pb2.GetArtifactResponse]:
        """Streams a file in pieces of 1 MiB."""
        data = self._data(request.artifact, context)
        call = calls.current()
        for start in range(0, len(data), _CHUNK_BYTES):
            chunk = data[start : start + _CHUNK_BYTES]
            yield beam_artifact_api_pb2.GetArtifactResponse(data=chunk)
            call.sent_bytes += len(chunk)

    def _data(self, artifact: beam_runner_api_pb2.ArtifactInformation, context: grpc.ServicerContext) -> bytes:
        data = self._issued.get(_type(artifact))
        if data is None:
            context.abort(grpc.StatusCode.NOT_FOUND, "this service issued no such artifact")
        return data


def _type(artifact: beam_runner_api_pb2.ArtifactInformation) -> tuple[str, bytes]:
    return artifact.type_urn, artifact.type_payload

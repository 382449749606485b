# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Artifact retrieval, limited to what this service issued.

Beam's own service opens any path or URL that a client names. This one knows the artifacts of the worker environment
that it answers with, and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import grpc
from apache_beam.portability.api import beam_artifact_api_pb2, beam_artifact_api_pb2_grpc, beam_runner_api_pb2

FILE = "beam:artifact:type:file:v1"
_CHUNK_BYTES = 1 << 20


class ArtifactServicer(beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceServicer):  # type: ignore[misc]
    """Serves the files among the given artifacts; anything else is NOT_FOUND.

    Args:
        issued: The artifacts of the environments that this service puts into its answers.
    """

    def __init__(self, issued: Iterable[beam_runner_api_pb2.ArtifactInformation]):
        self._issued = {artifact.SerializeToString(deterministic=True) for artifact in issued}

    def ResolveArtifacts(  # noqa: N802
        self, request: beam_artifact_api_pb2.ResolveArtifactsRequest, context: grpc.ServicerContext
    ) -> beam_artifact_api_pb2.ResolveArtifactsResponse:
        """Returns the artifacts as they are."""
        for artifact in request.artifacts:
            self._require_issued(artifact, context)
        return beam_artifact_api_pb2.ResolveArtifactsResponse(replacements=request.artifacts)

    def GetArtifact(  # noqa: N802
        self, request: beam_artifact_api_pb2.GetArtifactRequest, context: grpc.ServicerContext
    ) -> Iterator[beam_artifact_api_pb2.GetArtifactResponse]:
        """Streams a file in pieces of 1 MiB."""
        self._require_issued(request.artifact, context)
        path = beam_runner_api_pb2.ArtifactFilePayload.FromString(request.artifact.type_payload).path
        with open(path, "rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield beam_artifact_api_pb2.GetArtifactResponse(data=chunk)

    def _require_issued(self, artifact: beam_runner_api_pb2.ArtifactInformation, context: grpc.ServicerContext) -> None:
        issued = artifact.SerializeToString(deterministic=True) in self._issued
        if artifact.type_urn != FILE or not issued:
            context.abort(grpc.StatusCode.NOT_FOUND, "this service issued no such artifact")

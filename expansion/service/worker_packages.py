# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The packages that jobs bring to the local runner's workers.

What ``boot`` does in Beam's containers: ask what a worker is to have, retrieve it, make it importable. But ``boot``
installs it, and these workers share the service's environment, which is not a job's to change; so each wheel is
unpacked into a folder of its own that the workers of such jobs import from, before anything that is installed. What a
wheel depends on has to be installed beside the service, or be a wheel that is staged too.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
from pathlib import Path

import grpc
from apache_beam.portability.api import (
    beam_artifact_api_pb2,
    beam_artifact_api_pb2_grpc,
    beam_fn_api_pb2,
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    beam_runner_api_pb2,
)

from expansion.service import wheels
from expansion.service.artifacts import STAGING_TO

_TIMEOUT_SECS = 60.0


class WorkerPackages:
    """Folders of unpacked wheels, one for each content, kept until ``close``.

    A worker's folders stay when it has ended: processes that it has started may go on, and the next job's worker is
    likely to need the same.
    """

    def __init__(self) -> None:
        self._root = tempfile.TemporaryDirectory(prefix="beam-ml-expansion-", ignore_cleanup_errors=True)
        self._lock = threading.Lock()

    def folders(self, request: beam_fn_api_pb2.StartWorkerRequest) -> list[str]:
        """Returns the folders that a worker has to import from, in the order in which the wheels were staged.

        Args:
            request: Names the worker, and where to ask what it is to have.

        Raises:
            grpc.RpcError: A service did not answer.
            zipfile.BadZipFile: What was staged as a wheel is none.
        """
        metadata = [("worker_id", request.worker_id)]
        with grpc.insecure_channel(request.provision_endpoint.url) as channel:
            provision = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
            info = provision.GetProvisionInfo(
                beam_provision_api_pb2.GetProvisionInfoRequest(), metadata=metadata, timeout=_TIMEOUT_SECS
            ).info
        if not info.dependencies:
            return []
        with grpc.insecure_channel(info.artifact_endpoint.url) as channel:
            service = beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub(channel)
            resolved = service.ResolveArtifacts(
                beam_artifact_api_pb2.ResolveArtifactsRequest(artifacts=info.dependencies), timeout=_TIMEOUT_SECS
            ).replacements
            return [self._retrieve(service, artifact) for artifact in resolved if _is_wheel(artifact)]

    def close(self) -> None:
        """Removes the folders."""
        self._root.cleanup()

    def _retrieve(
        self,
        service: beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub,
        artifact: beam_runner_api_pb2.ArtifactInformation,
    ) -> str:
        """Retrieves a wheel and unpacks it, unless that has been done before; returns its folder."""
        sha256 = hashlib.sha256()
        with tempfile.TemporaryFile() as file:
            for part in service.GetArtifact(beam_artifact_api_pb2.GetArtifactRequest(artifact=artifact)):
                file.write(part.data)
                sha256.update(part.data)
            folder = Path(self._root.name, sha256.hexdigest())
            with self._lock:
                if not folder.exists():
                    unfinished = folder.with_suffix(".unfinished")
                    wheels.unpack(file, unfinished)
                    unfinished.rename(folder)
        return str(folder)


def _is_wheel(artifact: beam_runner_api_pb2.ArtifactInformation) -> bool:
    if artifact.role_urn != STAGING_TO:
        return False
    role = beam_runner_api_pb2.ArtifactStagingToRolePayload.FromString(artifact.role_payload)
    return bool(role.staged_name.endswith(".whl"))

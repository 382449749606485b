# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Paths and URLs of what nobody may get: as artifacts to retrieve, and as models to read."""

from __future__ import annotations

import contextlib
import http.server
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_artifact_api_pb2, beam_artifact_api_pb2_grpc, beam_runner_api_pb2

from benchmarks.service import services
from benchmarks.service.answers import ask
from benchmarks.service.requests import ExpansionRequest, Requests
from benchmarks.service.row import Row
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig

_SECRET = b"what-nobody-may-get"
_METADATA_HOSTS = (
    "169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "[::ffff:169.254.169.254]",
    "[fd00:ec2::254]",
    "metadata.google.internal",
    "metadata",
    "100.100.100.200",
)
_CALL_SECS = 5.0  # most addresses are not there


def run(short: bool) -> Row:
    """Asks both services for each place, in both ways. Both forms are the same."""
    with tempfile.TemporaryDirectory(prefix="bml") as root, _web_server() as (url, hits):
        allowed, places = _places(Path(root), url)
        requests = Requests(allowed)
        port = services.free_port()
        with services.running(services.stock_command(port), port) as service, service.channel() as channel:
            asked = [place for place in places if _is_of_this_machine(place)]
            stock = [place for place in asked if _is_retrieved(channel, place)]
        hits.clear()
        port = services.free_port()
        command = [*services.ours_command(port), "--allow-uri-prefix", str(allowed)]
        with services.running(command, port) as service, service.channel() as channel:
            stub = services.stub_of(channel)
            works = not ask(stub, requests.ours(0)).error
            ours = [place for place in places if _is_retrieved(channel, place)]
            read = [place for place in places if not _is_refused(ask(stub, _with_model(requests.ours(0), place)))]
            log = service.log.read_text(errors="replace")
    for place in [*ours, *read]:
        print(f"served: {place}", file=sys.stderr)
    return Row(
        f"{len(places)} paths and URLs, as artifacts and as models",
        f"{len(stock)} served of {len(asked)} on this machine",
        f"{len(ours)} served, {len(read)} read as models, {len(hits)} fetched over HTTP",
        works and not (ours or read or hits) and _SECRET.decode() not in log and len(stock) > 0,
    )


def _places(root: Path, url: str) -> tuple[Path, list[str]]:
    """Returns a folder that is allowed, and places that are not: ways out of it, other files, URLs and schemes."""
    allowed, outside = root / "allowed", root / "outside"
    allowed.mkdir()
    outside.mkdir()
    secret = outside / "secret.skops"
    secret.write_bytes(_SECRET)
    (allowed / "link.skops").symlink_to(secret)
    (allowed / "folder").symlink_to(outside)
    (allowed / "relative").symlink_to("../outside")
    (outside / "hop").symlink_to(allowed / "folder")
    os.link(secret, outside / "second name")
    urls = [
        f"{url}/secret.skops",
        f"{url.replace('127.0.0.1', 'localhost')}/secret.skops",
        f"{url.replace('http://', 'HTTP://')}/secret.skops",
        "ftp://127.0.0.1/secret.skops",
        "gs://models/secret.skops",
        "s3://models/secret.skops",
        "hdfs://models/secret.skops",
    ]
    metadata = [f"http://{host}/latest/meta-data/iam" for host in _METADATA_HOSTS]
    return allowed, [*_ways_out(allowed, outside), *_other_files(allowed, secret), *urls, *metadata]


def _ways_out(allowed: Path, outside: Path) -> list[str]:
    return [
        f"{allowed}/../outside/secret.skops",
        f"{allowed}/./../outside/secret.skops",
        f"{allowed}//..//outside//secret.skops",
        f"{allowed}/folder/secret.skops",
        f"{allowed}/relative/secret.skops",
        f"{allowed}/link.skops",
        f"{allowed}/folder/../outside/secret.skops",
        f"{outside}/hop/secret.skops",
        f"file://{allowed}/../outside/secret.skops",
        f"{allowed}x/../outside/secret.skops",
        f"{allowed}/%2e%2e/outside/secret.skops",
        f"{allowed}/..%2foutside/secret.skops",
        f"{allowed}/..\\outside\\secret.skops",
        f"{allowed}/{{key}}/../../outside/secret.skops",
    ]


def _other_files(allowed: Path, secret: Path) -> list[str]:
    relative = os.path.relpath(secret)
    return [
        str(secret),
        f"/{secret}",
        f"//{secret}",
        f"file://{secret}",
        f"FILE://{secret}",
        f"file:{secret}",
        f"file://localhost{secret}",
        f"{secret.parent}/second name",
        relative,
        f"./{relative}",
        "/etc/passwd",
        "/etc/../etc/passwd",
        "/proc/self/environ",
        "/proc/self/root/etc/passwd",
        "/proc/1/cmdline",
        "/sys/kernel/notes",
        "/dev/stdin",
        "~/.bashrc",
        f"{allowed}\0/../outside/secret.skops",
    ]


def _is_of_this_machine(place: str) -> bool:
    """Whether a service that opens it leaves nothing but this machine alone: Beam's own is asked for no other."""
    scheme, separator, rest = place.partition("://")
    return not separator or scheme.lower() == "file" or rest.startswith(("127.0.0.1", "localhost"))


def _is_retrieved(channel: grpc.Channel, place: str) -> bool:
    """Whether the service's artifact retrieval gives what is there, as a file or as a URL."""
    stub = beam_artifact_api_pb2_grpc.ArtifactRetrievalServiceStub(channel)
    file = beam_runner_api_pb2.ArtifactFilePayload(path=place)
    url = beam_runner_api_pb2.ArtifactUrlPayload(url=place)
    for urn, payload in ((common_urns.artifact_types.FILE.urn, file), (common_urns.artifact_types.URL.urn, url)):
        artifact = beam_runner_api_pb2.ArtifactInformation(type_urn=urn, type_payload=payload.SerializeToString())
        request = beam_artifact_api_pb2.GetArtifactRequest(artifact=artifact)
        with contextlib.suppress(grpc.RpcError):
            if any(part.data for part in stub.GetArtifact(request, timeout=_CALL_SECS)):
                return True
    return False


def _with_model(request: ExpansionRequest, place: str) -> ExpansionRequest:
    config = RunInferenceConfig.FromString(request.transform.spec.payload)
    config.model.sklearn.uri = place
    request.transform.spec.payload = config.SerializeToString()
    return request


def _is_refused(answer: object) -> bool:
    """Whether a model was refused by where it is, or is not there: a local file may well be called "%2e%2e"."""
    error, fault = getattr(answer, "error", ""), getattr(answer, "fault", "")
    said = ("in no place that this service allows", "the operating system's", "'..'", "control characters", "secrets")
    said += ("there is no such file",)
    return not fault and error.startswith("model.sklearn.uri: ") and any(text in error for text in said)


@contextlib.contextmanager
def _web_server() -> Iterator[tuple[str, list[str]]]:
    """Gives the URL of a server on this machine that has the secret, and a list of what it is asked for."""
    hits: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hits.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(_SECRET)))
            self.end_headers()
            self.wfile.write(_SECRET)

        def log_message(self, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", hits
    finally:
        server.shutdown()
        server.server_close()

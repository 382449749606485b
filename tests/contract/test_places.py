# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import pytest
from apache_beam.io.filesystems import FileSystems

from expansion.contract._gen.model_pb2 import EmbeddingServiceModel, OnnxModel, OpenInferenceModel, TensorRtModel
from expansion.contract.locations import Kind
from expansion.contract.places import Places, check_prefix


def allows(prefix: str, uri: str, kind: Kind = Kind.FILE) -> bool:
    return Places((prefix,)).refusal(uri, kind) == ""


@pytest.mark.parametrize(
    ("prefix", "uri"),
    [
        ("gs://models", "gs://models"),
        ("gs://models", "gs://models/"),
        ("gs://models/", "gs://models/a/b.onnx"),
        ("gs://models", "GS://models/a.onnx"),
        ("gs://", "gs://anything/a.onnx"),
        ("/", "/srv/a.onnx"),
        ("/srv", "/srv/../srv/a.onnx"),
        ("/srv", "//srv//a.onnx"),
        ("/srv", "file:///srv/a.onnx"),
        ("file:///srv/", "/srv/a.onnx"),
        ("hf://organisation", "hf://organisation/name@main"),
        ("gs://models", "gs://models/{key}.onnx"),
        ("/srv", "/srv/%2e%2e/a.onnx"),  # a name as any other: no filesystem decodes it
        ("https://models.example", "https://models.example/a.onnx"),
    ],
)
def test_what_is_below_a_prefix_is_allowed(prefix, uri):
    assert allows(prefix, uri)


@pytest.mark.parametrize(
    ("prefix", "uri"),
    [
        ("gs://models", "gs://models2/a.onnx"),
        ("gs://models/a", "gs://models/ab"),
        ("gs://models", "s3://models/a.onnx"),
        ("gs://models/a", "gs://models/a/../b"),
        ("gs://models/a", "gs://models/a/./../b"),
        ("gs://models/a", "gs://models/a/%2e%2E/b"),
        ("gs://models/a", "gs://models/a/..%2fb"),
        ("gs://models/a", "gs://models/a/%252e%252e/b"),
        ("gs://models/a", "gs://models/a\\..\\b"),
        ("gs://models", "gs://models@evil/a"),
        ("gs://models", "gs://evil/models/a"),
        ("gs://models", "gs:///models/a"),
        ("gs://models", "gs:/models/a"),
        ("gs://models", "models/a"),
        ("gs://models", "gs://{key}/a.onnx"),
        ("/srv", "/srv/../etc/passwd"),
        ("/srv", "/srv2/a"),
        ("/srv", "file:///etc/passwd"),
        ("/srv", "file://srv/a"),  # relative, as it is opened
        ("/srv", "srv/a"),
        ("/srv", "FILE:///etc/passwd"),
        ("/srv", "//etc/passwd"),
        ("/srv", "/srv/{key}/../../etc/passwd"),
        ("/", "/proc/self/environ"),
        ("/", "/proc/self/../self/environ"),
        ("/", "/sys/kernel/notes"),
        ("/", "/dev/stdin"),
        ("/srv", "http://models.example/a"),
        ("gs://models", "gs://models/a\nb"),
        ("gs://models", "gs://models/a\0b"),
        # What Beam's filesystems take for a URI of the bucket "other", and nothing else for one.
        ("/", " gs://other/a"),
        ("/", "\u00a0gs://other/a"),
        ("/", "\u2003s3://other/a"),
        ("/", "file://gs://other/a"),
        ("/", "FILE://gs://other/a"),
        ("/", "file:// gs://other/a"),
        ("/", "file://file://gs://other/a"),
        ("/", "/srv/a "),
    ],
)
def test_what_is_not_below_a_prefix_is_refused(prefix, uri):
    assert not allows(prefix, uri)


def test_links_are_followed_before_a_path_is_compared(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    (outside / "back").symlink_to(inside)
    assert not allows(str(inside), f"{inside}/link/a.onnx")
    assert allows(str(inside), f"{outside}/back/a.onnx")
    assert allows(str(outside / "back"), f"{inside}/a.onnx")


METADATA = [
    "169.254.169.254",
    "169.254.169.254:80",
    "user@169.254.169.254",
    "2852039166",
    "0xa9fea9fe",
    "0xA9.0xFE.0xA9.0xFE",
    "0251.0376.0251.0376",
    "169.254.43518",
    "１６９.254.169.254",
    "%31%36%39.254.169.254",
    "169.254.170.2",  # of containers
    "[::ffff:169.254.169.254]",
    "[64:ff9b::a9fe:a9fe]:80",
    "[fd00:ec2::254]",
    "[fe80::a9fe:a9fe%25eth0]",
    "[FD00:EC2:0:0::254]:80",
    "100.100.100.200",
    "168.63.129.16",
    "metadata",
    "metadata.google.internal",
    "METADATA.google.internal.",
    "metadata.google.internal:80",
]


@pytest.mark.parametrize("host", METADATA)
@pytest.mark.parametrize(
    "places", [Places(), Places(("http://", "grpc://", "https://")), Places((f"http://{METADATA[0]}",))]
)
def test_addresses_at_which_clouds_tell_secrets_are_never_allowed(host, places):
    for scheme in ("http", "https", "grpc"):
        for kind in Kind.FILE, Kind.SERVER:
            assert places.refusal(f"{scheme}://{host}/latest/meta-data", kind) != ""
    assert places.refusal(host, Kind.SERVER) != ""


def test_without_prefixes_files_may_be_anywhere_but_behind_http():
    for uri in ("/etc/passwd", "models/a.onnx", "gs://any/a.onnx", "hf://a/b", "file:///srv/a", "/dev/shm/a.onnx"):  # noqa: S108
        assert Places().refusal(uri) == ""
    assert Places().refusal("https://models.example/a.onnx").startswith("which is fetched over HTTPS")
    assert Places().refusal("/proc/kmsg") == "which is the operating system's and no file"
    for server in ("http://localhost:8080/v1", "grpc://triton:8001/m", "triton.example:443", "[::1]:80"):
        assert Places().refusal(server, Kind.SERVER) == ""


def test_servers_are_allowed_by_scheme_host_and_port():
    allowed = Places(("grpc://Triton:8001", "https://vertex.example"))
    assert allowed.refusal("grpc://triton:8001/m", Kind.SERVER) == ""
    assert allowed.refusal("vertex.example", Kind.SERVER) == ""
    for other in ("grpc://triton:8002/m", "grpc://triton:8001@evil/m", "grpcs://triton:8001/m", "grpc://{key}:8001/m"):
        assert allowed.refusal(other, Kind.SERVER) != ""
    assert Places(("grpc://",)).refusal("grpc://{key}/m", Kind.SERVER) != ""


def test_of_a_models_message_the_uri_is_looked_at_where_it_says_a_place():
    allowed = Places(("gs://models",))
    assert allowed.refusal_of_model(TensorRtModel(uri="gs://models/a", engine_cache_uri="/cache")) == ""
    assert allowed.refusal_of_model(OnnxModel(uri="gs://other/a")).startswith("which is in no place")
    assert allowed.refusal_of_model(OpenInferenceModel(uri="grpc://s:1/m")).startswith("which is in no place")
    assert Places().refusal_of_model(OpenInferenceModel(uri="http://169.254.169.254/m")).endswith("its secrets")
    assert allowed.refusal_of_model(EmbeddingServiceModel(uri="text-embedding-3-small")) == ""


@pytest.mark.parametrize(
    ("template", "beside", "outside"),
    [
        ("gs://m/a/{key}.onnx", "gs://m/a/de.onnx", "gs://m/b/de.onnx"),
        ("gs://m/a-{key}/b/c.onnx", "gs://m/a-de/b/c.onnx", "gs://n/a-de/b/c.onnx"),
        ("/srv/{key}/{key}.onnx", "/srv/de/de.onnx", "/var/de/de.onnx"),
        ("file:///srv/{key}", "/srv/de", "/var/de"),
        ("{key}.onnx", "de.onnx", "/de.onnx"),
        ("hf://a/{key}", "hf://a/b", "hf://b/b"),
    ],
)
def test_where_a_template_leads_is_beside_it(template, beside, outside):
    places = Places(("s3://models",)).beside(template)
    assert places.refusal(beside) == places.refusal("s3://models/a") == ""
    assert places.refusal(outside) != ""


def test_beside_a_template_is_no_limit_where_there_was_none():
    assert Places().beside("gs://m/{key}").refusal("gs://n/a") == ""


@pytest.mark.parametrize("prefix", ["models", "", "gs:", "http://169.254.169.254", "/proc", "gs://a/../b"])
def test_prefixes_that_are_none_are_refused(prefix):
    assert check_prefix(prefix) != ""


@pytest.mark.parametrize(
    "uri", [" gs://other/a", "file://gs://other/a", "file:// s3://other/a", "\u2003azfs://other/a"]
)
def test_what_another_filesystem_would_open_is_no_local_file_anywhere(uri):
    assert FileSystems.get_scheme(uri.removeprefix("file://")) is not None
    assert Places().refusal(uri)

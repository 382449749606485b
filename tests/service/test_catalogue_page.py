# Licensed under the Apache License, Version 2.0; see LICENSE.
import base64
import http.client
import re
from email.message import Message
from pathlib import Path

import pytest

from expansion.contract._gen.server_pb2 import Preset
from expansion.page.about import About
from expansion.service.access import Access
from expansion.service.catalogue_page import CataloguePage
from expansion.service.http_server import Visit

ABOUT = About("localhost:8097")


@pytest.fixture
def preset(tmp_path, adder):
    (tmp_path / "a.onnx").write_bytes(adder(1))
    return Preset(name="adder", run_inference={"model": {"onnx": {"uri": str(tmp_path / "a.onnx")}}})


def visit(**headers):
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return Visit(message)


def ask(address, **headers):
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request("GET", "/", headers=headers)
    response = connection.getresponse()
    answer = response.status, dict(response.getheaders()), response.read().decode()
    connection.close()
    return answer


def test_the_page_is_made_once_and_browsers_keep_it(preset):
    page = CataloguePage([preset], ABOUT)
    first, second = page(visit()), page(visit())
    assert first.status == 200
    assert first is second
    again = page(visit(If_None_Match=first.headers["ETag"]))
    assert (again.status, again.body) == (304, b"")
    assert again.headers["Content-Length"] == str(len(first.body))
    assert page(visit(If_None_Match='"another"')).status == 200


def test_it_has_a_policy_of_its_own(preset):
    headers = CataloguePage([preset], ABOUT)(visit()).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'sha256-")
    assert headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("access", "status", "said"),
    [
        (Access("127.0.0.1"), 200, b"<!doctype html>"),
        (Access("0.0.0.0"), 403, b"403 Forbidden: beyond this machine it needs token_file or tls.client_ca_file"),  # noqa: S104
        (Access("0.0.0.0", is_token="right".__eq__), 401, b"401 Unauthorized: send one of the operator's tokens"),  # noqa: S104
    ],
)
def test_beyond_this_machine_it_is_for_those_who_say_who_they_are(access, status, said):
    reply = access.to_catalogue(CataloguePage([], ABOUT))(visit())
    assert reply.status == status
    assert reply.body.startswith(said)


@pytest.mark.runner
def test_a_service_shows_its_presets_at_its_own_address_and_imports_no_framework_for_it(serve, preset, tmp_path):
    uri = preset.run_inference.model.onnx.uri
    (tmp_path / "server.yaml").write_text(
        f"presets: [{{name: adder, run_inference: {{model: {{onnx: {{uri: '{uri}'}}}}}}}}]"
    )
    service = serve(f"--config={tmp_path / 'server.yaml'}")
    status, headers, body = ask(service.addresses["http"])
    assert status == 200
    assert f"  page     http://{service.addresses['http']}/\n" in service.greeting
    assert re.search(r'id="preset-adder"', body)
    assert "<code>y</code>" in body  # read from the model
    assert body.count(service.addresses["expansion"]) >= 5
    assert ask(service.addresses["http"], **{"If-None-Match": headers["ETag"]})[0] == 304
    maps = Path(f"/proc/{service.process.pid}/maps").read_text()
    assert not [name for name in ("onnxruntime", "/torch/", "tensorflow", "sklearn") if name in maps]
    assert service.end()[0] == 0


@pytest.mark.runner
def test_a_service_on_a_network_shows_it_to_those_with_a_token_and_to_nobody_where_it_asks_nobody(serve, tmp_path):
    (tmp_path / "tokens").write_text("a-token-of-the-operator\n")
    options = ["--host", "0.0.0.0", "--allow-uri-prefix", "/srv/models"]  # noqa: S104
    service = serve(*options, "--token-file", str(tmp_path / "tokens"))
    address = service.addresses["http"].replace("0.0.0.0", "127.0.0.1")  # noqa: S104
    password = base64.b64encode(b"anyone:a-token-of-the-operator").decode()
    assert ask(address)[0] == 401
    assert ask(address, Authorization="Basic wrong")[0] == 401
    status, _, body = ask(address, Authorization=f"Basic {password}")
    assert (status, "needs tokens" in body) == (200, True)
    service = serve(*options, "--insecure")
    assert ask(service.addresses["http"].replace("0.0.0.0", "127.0.0.1"))[0] == 403  # noqa: S104

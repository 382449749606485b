# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

from importlib import metadata

import pytest
from click.testing import CliRunner

from expansion import cli
from expansion.contract._gen.server_pb2 import ServerConfig
from expansion.service import serve
from expansion.service.server_config import checked


@pytest.fixture
def settings(monkeypatch) -> list[serve.Settings]:
    """What ``serve`` is run with, instead of running it."""
    runs: list[serve.Settings] = []
    monkeypatch.setattr(serve, "run", lambda given: runs.append(given) or 0)
    return runs


def run(*arguments: str):
    return CliRunner().invoke(cli.main, arguments)


def test_the_version_is_the_packages():
    assert run("--version").output.split() == ["beam-ml-expansion", metadata.version("beam-ml-expansion")]


def test_the_help_of_serve_shows_defaults_and_the_promise():
    text = " ".join(run("serve", "--help").output.split())
    assert "[default: 127.0.0.1]" in text
    assert "default: 8097" in text
    assert "only this machine" in text
    assert "LISTENING expansion=HOST:PORT" in text
    assert "--allow-inline-source Let clients send Python source as custom hooks" in text


def test_serve_listens_on_loopback_and_8097_unless_told_otherwise(settings):
    assert run("serve").exit_code == 0
    config = checked(ServerConfig())
    assert (config.host, config.port, config.http_port) == ("127.0.0.1", 8097, 8098)
    assert settings == [serve.Settings(config)]


def test_every_option_reaches_the_service(settings):
    arguments = "--host 0.0.0.0 --insecure --port 1 --environment docker:x --allow-format joblib --allow-format pickle"
    arguments += " --trust-type a.B --trust-type a.b.C --allow-import mine.models --allow-inline-source"
    arguments += " --allow-server-arg chat-template --allow-server-arg compilation-config.mode"
    arguments += " --trust-artifact-root /features --trust-artifact-root gs://features/visits"
    arguments += f" --allow-uri-prefix gs://models --allow-uri-prefix / --allow-sha256 {'ab' * 32} --allow-env-var A_B"
    assert run("serve", *arguments.split(), "--exit-with-parent").exit_code == 0
    allow = {
        "formats": ["joblib", "pickle"],
        "types": ["a.B", "a.b.C"],
        "imports": ["mine.models"],
        "server_args": ["chat-template", "compilation-config.mode"],
        "inline_source": True,
        "artifact_roots": ["/features", "gs://features/visits"],
        "uri_prefixes": ["gs://models", "/"],
        "sha256": ["ab" * 32],
        "env_vars": ["A_B"],
    }
    config = ServerConfig(host="0.0.0.0", insecure=True, port=1, environment="docker:x", allow=allow)  # noqa: S104
    assert settings == [serve.Settings(checked(config), exit_with_parent=True)]


def test_options_win_over_the_file_and_lists_add_to_it(settings, tmp_path):
    file = tmp_path / "server.yaml"
    file.write_text("port: 1\nhost: 127.0.0.2\nallow: {imports: [a.b]}\n")
    assert run("serve", "--config", str(file), "--port", "2", "--allow-import", "c").exit_code == 0
    config = ServerConfig(host="127.0.0.2", port=2, allow={"imports": ["a.b", "c"]})
    assert settings == [serve.Settings(checked(config))]


def test_everything_that_is_wrong_with_a_file_and_the_options_is_said_at_once(settings, tmp_path):
    file = tmp_path / "server.yaml"
    file.write_text("environment: kubernetes:x\nlimits: {workers: -1}\n")
    result = run("serve", "--config", str(file), "--trust-type", "Tree")
    assert result.exit_code == 2
    for path in ("environment: got 'kubernetes:x'", "limits.workers: got -1", "allow.types[0]: got 'Tree'"):
        assert path in " ".join(result.output.split())
    assert settings == []


def test_a_trusted_directory_is_named_from_the_root(settings):
    result = run("serve", "--trust-artifact-root", "features")
    assert result.exit_code == 2
    assert "expected an absolute path or a URI" in " ".join(result.output.split())
    assert settings == []


def test_local_runner_options_reach_the_service(settings):
    assert run("serve", "--local-runner", "--job-port", "8099").exit_code == 0
    assert settings == [serve.Settings(checked(ServerConfig()), local_runner=True, job_port=8099)]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "example.com"])  # noqa: S104
def test_a_host_that_others_can_reach_needs_access_and_places_to_be_settled(settings, host):
    result = run("serve", "--host", host)
    assert result.exit_code == 2
    for option in ("--tls-certificate", "--token-file", "--insecure", "--allow-uri-prefix"):
        assert option in result.output
    assert settings == []


def test_the_local_runner_is_never_reachable_from_other_machines(settings):
    result = run("serve", "--local-runner", "--host", "0.0.0.0", "--insecure", "--allow-uri-prefix", "/")  # noqa: S104
    assert result.exit_code == 2
    assert "needs a loopback --host" in " ".join(result.output.split())
    assert settings == []


def test_an_unknown_format_is_refused_with_the_ones_there_are(settings):
    result = run("serve", "--allow-format", "dill")
    assert result.exit_code == 2
    assert "'joblib', 'pickle'" in result.output


@pytest.mark.parametrize("name", ["Tree", "a b.C", "*", "a."])
def test_a_trusted_type_is_named_with_its_module(settings, name):
    result = run("serve", "--trust-type", name)
    assert result.exit_code == 2
    assert "expected MODULE.CLASS" in " ".join(result.output.split())
    assert settings == []


def test_an_argument_of_a_server_is_named_without_its_dashes():
    result = run("serve", "--allow-server-arg", "--chat-template")
    assert result.exit_code == 2
    assert "got '--chat-template'; expected a name without its dashes" in " ".join(result.output.split())


def test_a_name_to_import_must_be_dotted_words():
    result = run("serve", "--allow-import", "mine/models.py")
    assert result.exit_code == 2
    assert "got 'mine/models.py'; expected a dotted name" in result.output

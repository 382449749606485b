# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest
from click.testing import CliRunner

from expansion import cli
from expansion.service import serve


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
    assert settings == [serve.Settings("127.0.0.1", 8097, False, 0, None, {}, False)]


def test_every_option_reaches_the_service(settings):
    arguments = "--host 0.0.0.0 --insecure --port 1 --environment docker:x --allow-format joblib --allow-format pickle"
    arguments += " --trust-type a.B --trust-type a.b.C --allow-import mine.models --allow-inline-source"
    assert run("serve", *arguments.split(), "--exit-with-parent").exit_code == 0
    allowed = {
        "--allow-format": ("joblib", "pickle"),
        "--trust-type": ("a.B", "a.b.C"),
        "--allow-import": ("mine.models",),
        "--allow-inline-source": ("",),
    }
    assert settings == [serve.Settings("0.0.0.0", 1, False, 0, "docker:x", allowed, True)]  # noqa: S104


def test_local_runner_options_reach_the_service(settings):
    assert run("serve", "--local-runner", "--job-port", "8099").exit_code == 0
    assert settings == [serve.Settings("127.0.0.1", 8097, True, 8099, None, {}, False)]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "example.com"])  # noqa: S104
def test_a_host_that_others_can_reach_needs_insecure(settings, host):
    result = run("serve", "--host", host)
    assert result.exit_code == 1
    assert "add --insecure" in " ".join(result.output.split())
    assert settings == []


def test_the_local_runner_is_never_reachable_from_other_machines(settings):
    result = run("serve", "--local-runner", "--host", "0.0.0.0", "--insecure")  # noqa: S104
    assert result.exit_code == 1
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


def test_help_imports_neither_beam_nor_grpc():
    script = (
        "import sys; from click.testing import CliRunner; from expansion import cli; "
        "CliRunner().invoke(cli.main, ['serve', '--help']); print({'apache_beam', 'grpc', 'numpy'} & set(sys.modules))"
    )
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert output.stdout.strip() == "set()"


def test_a_name_to_import_must_be_dotted_words():
    result = run("serve", "--allow-import", "mine/models.py")
    assert result.exit_code == 2
    assert "got 'mine/models.py'; expected a dotted name" in result.output

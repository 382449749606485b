# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path

import pytest
import skops.io
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import FunctionTransformer

from expansion.contract import urns
from expansion.contract._gen.model_pb2 import CustomModel
from expansion.contract.permissions import Permission
from expansion.models import onnx
from expansion.service import environments
from expansion.service.expand import ExpansionServicer, Offer
from expansion.service.policy import Policy, installed_hooks
from expansion.transforms import ml_transform_config
from expansion.transforms.config import read_config


@pytest.fixture
def servicer() -> ExpansionServicer:
    return ExpansionServicer(Offer(environments.parse("docker:worker:1")))


def test_formats_that_run_code_are_refused_unless_the_operator_allows_them(
    servicer, python_request, row_source, row_config
):
    row_config.model.sklearn.format = "pickle"
    request = python_request(row_source, row_config.SerializeToString())
    refused = servicer.Expand(request).error
    assert refused.startswith("model.sklearn.format: got 'pickle', which runs code from the model's file")
    assert refused.endswith("start the service with --allow-format pickle")
    permissive = ExpansionServicer(Offer(environments.parse("docker:worker:1"), Policy({"--allow-format": ["pickle"]})))
    assert "--allow-format" not in permissive.Expand(request).error


def test_types_that_may_run_code_are_refused_unless_the_operator_trusts_them(
    servicer, python_request, row_source, row_config, tmp_path
):
    path = tmp_path / "model.skops"
    skops.io.dump(FunctionTransformer(os.system), path)
    row_config.model.sklearn.uri = str(path)
    row_config.model.sklearn.methods.append("transform")
    row_config.model.sklearn.trusted_types.extend(["sklearn.tree._tree.Tree", "posix.system"])
    row_config.outputs.add(source="transform", datatype="FP64")
    request = python_request(row_source, row_config.SerializeToString())
    refused = servicer.Expand(request).error
    assert refused.startswith("model.sklearn.trusted_types[1]: got 'posix.system', which may run code from the model's")
    assert refused.endswith("start the service with --trust-type posix.system")
    assert len(refused.splitlines()) == 1
    trusting = Policy({"--trust-type": ["posix.system"]})
    assert ExpansionServicer(Offer(environments.parse("docker:worker:1"), trusting)).Expand(request).error == ""


def test_the_types_that_the_digits_example_trusts_need_no_operator(servicer, python_request, row_source, row_config):
    example = (Path(__file__).parents[2] / "examples/digits/sklearn.yaml").read_text()
    types = read_config(example).model.sklearn.trusted_types
    assert types
    row_config.model.sklearn.trusted_types.extend(types)
    assert servicer.Expand(python_request(row_source, row_config.SerializeToString())).error == ""


def test_arguments_of_vllms_server_that_may_run_code_are_refused_unless_the_operator_allows_them(
    servicer, java_request, wire_config
):
    wire_config.model.vllm.uri, wire_config.model.vllm.task = "hf://a/b", "chat"
    wire_config.model.vllm.server_args.update({"trust_remote_code": "true", "middleware": "a.B", "seed": "7"})
    request = java_request("bytes", wire_config.SerializeToString())
    middleware, code = servicer.Expand(request).error.splitlines()
    assert middleware.startswith(
        "model.vllm.server_args.middleware: got 'middleware', which may have vLLM's server run"
    )
    assert code.startswith("model.vllm.server_args.trust_remote_code: got 'trust-remote-code', which may have")
    assert code.endswith("or start the service with --allow-server-arg trust-remote-code")
    allowing = Policy({"--allow-server-arg": ["trust-remote-code", "middleware"]})
    assert (
        "--allow-server-arg"
        not in ExpansionServicer(Offer(environments.parse("docker:x"), allowing)).Expand(request).error
    )


def test_every_framework_is_asked_what_runs_code(monkeypatch, servicer, java_request, wire_config):
    wire_config.model.onnx.uri = "model.onnx"
    asked = [Permission("some[3]", "--allow-import", "a.B", "runs", "none"), Permission("x", "--y", "z", "w", "v")]
    monkeypatch.setattr(onnx, "permissions", lambda message: iter(asked))
    errors = servicer.Expand(java_request("bytes", wire_config.SerializeToString())).error.splitlines()
    assert [error.split(",")[0] for error in errors] == [
        "model.onnx.some[3]: got 'a.B'",
        "model.onnx.x: got 'z'",
    ]


@pytest.mark.parametrize(
    ("allowed", "is_allowed"), [("mine.nets", True), ("mine.nets.Digits", True), ("mine.net", False), ("nets", False)]
)
def test_an_allowed_import_covers_what_is_below_it_and_nothing_else(monkeypatch, allowed, is_allowed, wire_config):
    asked = Permission("model_class", "--allow-import", "mine.nets.Digits", "is imported", "nothing")
    monkeypatch.setattr(onnx, "permissions", lambda message: iter([asked]))
    wire_config.model.onnx.uri = "model.onnx"
    assert (list(Policy({"--allow-import": [allowed]}).check(wire_config)) == []) is is_allowed


@pytest.mark.parametrize(
    ("location", "is_allowed"),
    [
        ("gs://a/features", True),
        ("gs://a/features/", True),
        ("gs://a/features/visits", True),
        ("gs://a/features2", False),
        ("gs://a", False),
        ("gs://a/features/../others", False),
        ("/srv/features/a", True),
        ("file:///srv/features/a", True),
        ("/srv/features/../a", False),
        ("features", False),
    ],
)
def test_a_trusted_directory_covers_what_is_below_it_and_nothing_else(location, is_allowed):
    config = ml_transform_config.read_config({"engine": "TFT", "read_artifact_location": location})
    policy = Policy({"--trust-artifact-root": ["gs://a/features", "/srv/features/"]})
    assert (list(policy.check(config)) == []) is is_allowed


def test_an_artifact_of_engine_tft_is_not_even_looked_at_unless_the_operator_trusts_its_directory(
    servicer, python_request, row_source, tmp_path
):
    config = ml_transform_config.read_config({"engine": "TFT", "read_artifact_location": str(tmp_path)})
    request = python_request(row_source, config.SerializeToString(), urn=urns.ML_TRANSFORM)
    assert servicer.Expand(request).error == (
        f"read_artifact_location: got {str(tmp_path)!r}, which has workers run the TensorFlow graph that is there; "
        f"expected an artifact of engine 'native', which is data, or start the service with --trust-artifact-root "
        f"{tmp_path}"
    )
    trusting = ExpansionServicer(
        Offer(environments.parse("docker:x"), Policy({"--trust-artifact-root": [str(tmp_path)]}))
    )
    assert "there is no artifact in" in trusting.Expand(request).error


@pytest.fixture
def with_hook(java_request, wire_config):
    """Returns a request for a pipeline with one custom hook."""

    def with_hook(**code):
        wire_config.pre_hooks.add(custom={"columns": ["x"], "outputs": [{"name": "x", "datatype": "FP32"}], **code})
        return java_request("bytes", wire_config.SerializeToString())

    return with_hook


def test_inline_source_is_refused_unless_the_operator_allows_it(servicer, with_hook):
    request = with_hook(source="raise SystemExit  # and nobody runs, or even parses this here: (")
    assert servicer.Expand(request).error == (
        "pre_hooks[0].custom.source: is set, which has workers run what a client sends; expected function, or start "
        "the service with --allow-inline-source"
    )
    for option in ("--allow-import", "--allow-format"):
        other = ExpansionServicer(Offer(environments.parse("docker:worker:1"), Policy({option: ["", "source"]})))
        assert "--allow-inline-source" in other.Expand(request).error
    permissive = ExpansionServicer(
        Offer(environments.parse("docker:worker:1"), Policy({"--allow-inline-source": [""]}))
    )
    assert "--allow-inline-source" not in permissive.Expand(request).error


def test_a_function_is_refused_unless_the_operator_allows_it(servicer, with_hook):
    request = with_hook(function="mine.text.strip")
    assert servicer.Expand(request).error == (
        "pre_hooks[0].custom.function: got 'mine.text.strip', which is imported and run by workers; expected another "
        "kind of hook, or start the service with --allow-import mine.text.strip"
    )
    permissive = ExpansionServicer(Offer(environments.parse("docker:worker:1"), Policy({"--allow-import": ["mine"]})))
    assert "--allow-import" not in permissive.Expand(request).error


@pytest.fixture
def installed_package(tmp_path, monkeypatch):
    """A package that offers a hook, installed in this environment; it can't be imported."""
    info = tmp_path / "mine-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
    entry_points = "[beam_ml_expansion.hooks]\nstrip = mine.text:strip\nnested = mine:Text.clean [extra]\nbad = mine\n"
    (info / "entry_points.txt").write_text(entry_points + "[console_scripts]\nrun = mine.main:main\n")
    (tmp_path / "mine.py").write_text("raise SystemExit('imported on the host')")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("installed_package")
def test_hooks_that_installed_packages_offer_as_entry_points_are_allowed_and_not_imported(with_hook):
    assert {"mine.text.strip", "mine.Text.clean"} <= installed_hooks()
    assert not {"mine", "mine.main.main"} & installed_hooks()
    servicer = ExpansionServicer(Offer(environments.parse("docker:worker:1")))
    assert "--allow-import" not in servicer.Expand(with_hook(function="mine.text.strip")).error
    error = servicer.Expand(with_hook(function="mine.main.main")).error
    assert error.startswith("pre_hooks[1].custom.function: got 'mine.main.main'")
    assert len(error.splitlines()) == 1


@pytest.mark.usefixtures("installed_package")
def test_an_installed_hook_is_no_model(wire_config):
    fields = [{"name": "x", "datatype": "FP32"}]
    wire_config.model.custom.CopyFrom(CustomModel(model_class="mine.text.strip", inputs=fields, outputs=fields))
    (problem,) = Policy().check(wire_config)
    assert problem.message.endswith("start the service with --allow-import mine.text.strip")


def test_environment_variables_beyond_threads_devices_and_logs_are_refused_unless_the_operator_allows_them(
    servicer, java_request, wire_config
):
    for name in ("LD_PRELOAD", "PYTHONPATH", "OMP_TOOL_LIBRARIES", "VLLM_PLUGINS", "omp_num_threads"):
        wire_config.model.env_vars[name] = "x"
    wire_config.model.env_vars.update({"OMP_NUM_THREADS": "2", "CUDA_VISIBLE_DEVICES": "0"})
    request = java_request("bytes", wire_config.SerializeToString())
    lines = servicer.Expand(request).error.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "model.env_vars.LD_PRELOAD",
        "model.env_vars.OMP_TOOL_LIBRARIES",
        "model.env_vars.PYTHONPATH",
        "model.env_vars.VLLM_PLUGINS",
        "model.env_vars.omp_num_threads",
    ]
    assert lines[0].endswith("such as OMP_NUM_THREADS, or start the service with --allow-env-var LD_PRELOAD")
    allowed = ["LD_PRELOAD", "PYTHONPATH", "OMP_TOOL_LIBRARIES", "VLLM_PLUGINS", "omp_num_threads"]
    offer = Offer(environments.parse("docker:worker:1"), Policy({"--allow-env-var": allowed}))
    assert ExpansionServicer(offer).Expand(request).error == ""


def test_a_file_that_runs_code_needs_no_format_where_the_operator_lists_its_sha256(java_request, wire_config, tmp_path):
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(LinearRegression()))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    wire_config.model.sklearn.uri, wire_config.model.sklearn.format = str(path), "pickle"
    wire_config.outputs.add(source="predict", datatype="FP64")
    offer = Offer(environments.parse("docker:worker:1"), Policy({"--allow-sha256": [sha256]}))

    def error() -> str:
        return ExpansionServicer(offer).Expand(java_request("bytes", wire_config.SerializeToString())).error

    assert "--allow-format pickle" in error()
    wire_config.model.sha256 = "0" * 64
    assert "--allow-format pickle" in error()
    wire_config.model.sha256 = sha256
    assert error() == ""

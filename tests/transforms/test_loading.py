# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Models and hooks that a worker can't load say which they are, and which worker it is."""

import logging
import socket
import sys

import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import Hook
from expansion.contract.fields import Field
from expansion.errors import SystemicError
from expansion.models.runtime import nvidia_driver
from expansion.tensors.columns import Columns, Dense
from expansion.transforms.batch import Batch
from expansion.transforms.config import read_config
from expansion.transforms.handler import ColumnarModelHandler
from expansion.transforms.loading import where
from expansion.transforms.plan import make_plan
from expansion.transforms.steps import ApplyHooks

X = {"name": "x", "datatype": "FP64"}
ABSENT = {"custom": {"model_class": "not_installed_anywhere.Model", "inputs": [X], "outputs": [{**X, "name": "y"}]}}


def handler(columns=None, /, **config):
    fields = {
        name: Field(name, datatype) for name, datatype in {"x": "FP64", "key": "STRING", **(columns or {})}.items()
    }
    plan = make_plan(read_config({"error_handling": {"output": "errors"}, **config}), fields, [])
    return ColumnarModelHandler(plan.steps[0])


def test_a_worker_is_told_by_its_machine_and_its_python():
    assert where() == f"{socket.gethostname()}, {sys.executable}"


def test_a_model_that_does_not_load_says_which_where_and_what_to_do():
    with pytest.raises(SystemicError) as raised:
        handler(model={**ABSENT, "model_id": "fares"}).load_model()
    assert str(raised.value) == (
        f"model 'fares' does not load on the worker ({where()}): not_installed_anywhere.Model: there is no module "
        "'not_installed_anywhere' on this worker; install the package that has it on the workers, or have the service "
        "bring its wheel: serve --worker-package FILE.whl"
    )


def test_the_environment_is_named_as_the_configuration_does():
    loading = handler(model=ABSENT)
    loading._plan.config.environment = "gpu"  # which only a service lets one do
    with pytest.raises(SystemicError, match=r", environment 'gpu'\): not_installed"):
        loading.load_model()
    step = ApplyHooks([Hook(custom={"function": "not_installed_anywhere.f"})], "preprocess", "gpu")
    with pytest.raises(SystemicError, match=r", environment 'gpu'\): not_installed"):
        step.setup()


def test_a_hook_whose_package_is_not_on_the_worker_says_its_field_the_module_and_how_to_bring_it():
    hooks = [Hook(rename={"columns": {"x": "z"}}), Hook(custom={"function": "not_installed_anywhere.f"})]
    for stage, field in (("preprocess", "pre_hooks"), ("postprocess", "post_hooks")):
        with pytest.raises(SystemicError) as raised:
            ApplyHooks(hooks, stage).setup()
        reason = "not_installed_anywhere.f: there is no module 'not_installed_anywhere' on this worker"
        assert str(raised.value).startswith(f"{field}[1].custom does not load on the worker ({where()}): {reason}")
        assert "serve --worker-package FILE.whl" in str(raised.value)


def test_members_of_an_ensemble_are_models_too():
    with pytest.raises(SystemicError, match=r"model 'not_installed_anywhere.Model, other' does not load on the worker"):
        handler(ensemble={"models": [ABSENT, {**ABSENT, "model_id": "other"}]}).load_model()


def test_of_models_by_key_a_missing_extra_fails_the_job_and_a_missing_file_costs_rows_that_say_nothing_of_workers(
    monkeypatch, models
):
    uris = {"here": str(models / "double_scalar.onnx"), "gone": "/nowhere.onnx"}
    by_key = handler(
        {"x": "FP32"}, model={"onnx": {}}, per_key={"column": "key", "uris": uris, "signature_key": "here"}
    )
    pool = by_key.load_model()
    column = Columns({"x": Dense(np.ones(1, np.float32))}, 1)
    [result] = by_key.run_inference(Batch(column, column, route="gone"), pool)
    [failure] = result.failures[0].errors
    assert failure.error_type == "ModelUnavailable"
    assert failure.message.startswith("can't read '/nowhere.onnx'")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SystemicError, match=r"does not load on the worker \(.*: onnxruntime is missing; install"):
        by_key.run_inference(Batch(column, column, route="here"), pool)


@pytest.mark.skipif(nvidia_driver() is not None, reason="this machine has an NVIDIA driver")
def test_an_accelerator_that_the_runner_passed_over_is_warned_of(caplog, models):
    model = {"onnx": {"uri": str(models / "double_scalar.onnx")}}
    hints = {"accelerator": "type:nvidia-l4;count:1;install-nvidia-driver"}
    handler({"x": "FP32"}, model=model, resource_hints=hints).load_model()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert (
        f"resource_hints.accelerator is {hints['accelerator']!r}, and this worker ({where()}) has no NVIDIA driver: "
        in (record.getMessage())
    )
    caplog.clear()
    handler({"x": "FP32"}, model=model).load_model()
    assert caplog.records == []

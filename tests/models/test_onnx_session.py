# Licensed under the Apache License, Version 2.0; see LICENSE.
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pytest

from expansion.contract._gen.model_pb2 import OnnxModel
from expansion.errors import SystemicError
from expansion.models import onnx, onnx_session
from expansion.models.onnx_session import choose_providers, make_session
from expansion.models.runtime import GET_A_GPU, Runtime

CPU = ["CPUExecutionProvider"]
CUDA = ["CUDAExecutionProvider", "CPUExecutionProvider"]
TENSORRT = ["TensorrtExecutionProvider", *CUDA]


def uses_cuda():
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


@pytest.fixture(scope="module")
def doubled(onnx_file):
    """x FP32[3] → y = x + x; the two operators in a row can be made one."""
    nodes = [("Add", ["x", "x"], ["sum"]), ("Identity", ["sum"], ["y"])]
    return onnx_file(nodes, [("x", "FLOAT", [None, 3])], [("y", "FLOAT", [None, 3])])


def session(path, runtime=Runtime(), **config):
    return make_session(Path(path), OnnxModel(**config), runtime)


def problems(**config):
    return [(problem.path, problem.message) for problem in onnx.check(OnnxModel(uri="x", **config))]


def test_every_provider_that_onnx_runtime_knows_may_be_named():
    assert problems(providers=onnxruntime.get_all_providers()) == []


def test_unknown_names_are_all_reported_with_what_may_be_meant():
    found = problems(
        providers=["CUDAExecutionProviders", "CPUExecutionProvider", "CPUExecutionProvider"],
        graph_optimization="everything",
        session_config={"session.intra_op.allow_spining": "0", "ep.context_enable": "1"},
    )
    assert found == [
        ("providers[0]", "unknown provider 'CUDAExecutionProviders'; did you mean 'CUDAExecutionProvider'?"),
        ("providers[2]", "'CPUExecutionProvider' is named twice; name it once"),
        ("graph_optimization", "got 'everything'; expected one of 'all', 'basic', 'disabled', 'extended'"),
        ("session_config", "got 'ep.context_enable'; expected a name that begins with 'session.'"),
        (
            "session_config",
            "'session.intra_op.allow_spining' can't be set here; did you mean 'session.intra_op.allow_spinning'?",
        ),
    ]


@pytest.mark.parametrize("name", ["collect_node_memory_stats_to_file", "enable_profiling", "optimized_model_filepath"])
def test_entries_with_which_onnx_runtime_would_read_or_write_files_are_refused(name):
    ((path, message),) = problems(session_config={f"session.{name}": "/tmp/x"})  # noqa: S108
    assert path == "session_config"
    assert f"'session.{name}' can't be set here" in message


def test_the_default_is_the_cpu_without_a_gpu_and_cuda_with_one():
    assert choose_providers([], Runtime(), CPU, 0) == [("CPUExecutionProvider", {})]
    assert choose_providers([], Runtime(), CUDA, 0) == [("CPUExecutionProvider", {})]
    on_gpu = [("CUDAExecutionProvider", {"device_id": "0"}), ("CPUExecutionProvider", {})]
    assert choose_providers([], Runtime(), TENSORRT, 1) == on_gpu
    assert choose_providers([], Runtime("cpu"), CUDA, 1) == [("CPUExecutionProvider", {})]


def test_the_index_of_the_device_is_that_of_every_provider_on_cuda():
    chosen = choose_providers(TENSORRT, Runtime("cuda:1"), TENSORRT, 2)
    at_one = {"device_id": "1"}
    expected = [("TensorrtExecutionProvider", at_one), ("CUDAExecutionProvider", at_one), ("CPUExecutionProvider", {})]
    assert chosen == expected


def test_a_gpu_that_is_not_there_is_refused():
    with pytest.raises(SystemicError, match=r"device is 'cuda:1', and this worker has 1 GPU\(s\)"):
        choose_providers([], Runtime("cuda:1"), CUDA, 1)
    # GPUs are of no use to an onnxruntime without CUDA, or where only the CPU's provider is named.
    for named, available in (([], CPU), (CPU, CUDA)):
        with pytest.raises(SystemicError, match="device is 'cuda', and this worker has no GPU"):
            choose_providers(named, Runtime("cuda"), available, 1 if available == CUDA else 0)


def test_a_cpu_and_a_provider_of_gpus_contradict_each_other():
    with pytest.raises(SystemicError, match="device is 'cpu', and providers names CUDAExecutionProvider; leave"):
        choose_providers(CUDA, Runtime("cpu"), CUDA, 1)


@pytest.mark.skipif("DmlExecutionProvider" in onnxruntime.get_available_providers(), reason="it has DirectML")
def test_a_provider_that_this_onnxruntime_lacks_is_refused_with_those_that_it_has(doubled):
    with pytest.raises(SystemicError) as raised:
        onnx.build(OnnxModel(uri=doubled, providers=["DmlExecutionProvider", "CPUExecutionProvider"]))
    assert "onnxruntime has no DmlExecutionProvider, only " in str(raised.value)
    assert "CPUExecutionProvider" in str(raised.value)
    assert "; install the package that has it (onnxruntime-gpu in place of" in str(raised.value)


def test_providers_that_onnx_runtime_went_on_without_are_said(caplog):
    onnx_session._check_started("m.onnx", CUDA, CPU, Runtime(), gpu_count=1)
    assert "m.onnx runs on CPUExecutionProvider. ONNX Runtime can't start CUDAExecutionProvider: install" in caplog.text
    with pytest.raises(SystemicError, match="can't start CUDAExecutionProvider: install the CUDA, cuDNN"):
        onnx_session._check_started("m.onnx", CUDA, CPU, Runtime("cuda"), gpu_count=1)


def test_a_provider_of_gpus_on_a_worker_without_one_says_where_there_are_gpus(caplog):
    onnx_session._check_started("m.onnx", CUDA, CPU, Runtime(), gpu_count=0)
    [record] = caplog.records
    assert record.getMessage() == (
        "m.onnx runs on CPUExecutionProvider. ONNX Runtime can't start CUDAExecutionProvider: this worker has no GPU "
        f"that CUDA shows; {GET_A_GPU}; or leave providers out"
    )


def test_the_libraries_of_cuda_are_loaded_before_a_session_that_uses_them_and_not_for_others(doubled, monkeypatch):
    done = []

    def made(path, options, providers):
        done.append([name for name, _ in providers])
        return SimpleNamespace(get_providers=lambda: done[-1])

    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: done.append("loaded"), raising=False)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: CUDA)
    monkeypatch.setattr(onnxruntime, "InferenceSession", made)
    for gpus, expected in ((0, [CPU]), (1, ["loaded", CUDA])):
        monkeypatch.setattr(onnx_session, "cuda_gpu_count", lambda gpus=gpus: gpus)
        session(doubled)
        assert done == expected
        done.clear()


def test_a_named_provider_runs_the_model(doubled, columns):
    model = onnx.build(OnnxModel(uri=doubled, providers=CPU))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.testing.assert_array_equal(model.run({"x": columns(x=x)}, ["y"])["y"].values, 2 * x)
    assert session(doubled, providers=CPU).get_providers() == CPU


def test_graph_optimization_is_all_unless_set(doubled):
    levels = onnxruntime.GraphOptimizationLevel
    for name, level in (
        ("", levels.ORT_ENABLE_ALL),
        ("disabled", levels.ORT_DISABLE_ALL),
        ("basic", levels.ORT_ENABLE_BASIC),
        ("extended", levels.ORT_ENABLE_EXTENDED),
        ("all", levels.ORT_ENABLE_ALL),
    ):
        options = session(doubled, graph_optimization=name).get_session_options()
        assert options.graph_optimization_level == level


def test_threads_are_those_of_the_runtime_and_do_not_spin_unless_told(doubled):
    spinning = "session.intra_op.allow_spinning"
    options = session(doubled, Runtime(threads=2)).get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.get_session_config_entry(spinning) == "0"
    config = {spinning: "1", "session.set_denormal_as_zero": "1"}
    options = session(doubled, session_config=config).get_session_options()
    assert {name: options.get_session_config_entry(name) for name in config} == config


def test_the_host_checks_a_session_without_importing_onnx_runtime():
    program = (
        "import sys; from expansion.contract._gen.model_pb2 import OnnxModel; from expansion.models import onnx\n"
        "assert len(list(onnx.check(OnnxModel(uri='x', providers=['x'])))) == 1\n"
        "assert not {'onnxruntime', 'onnx', 'apache_beam'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.gpu(uses_cuda, "onnxruntime-gpu is not installed")
def test_predictions_of_a_gpu_are_those_of_the_cpu(doubled, columns):
    x = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    on_gpu = onnx.build(OnnxModel(uri=doubled), Runtime("cuda")).run({"x": columns(x=x)}, ["y"])["y"].values
    np.testing.assert_allclose(on_gpu, 2 * x, rtol=1e-6)
    assert session(doubled, Runtime("cuda")).get_providers()[0] == "CUDAExecutionProvider"

# Licensed under the Apache License, Version 2.0; see LICENSE.
import io
import subprocess
import sys

import numpy as np
import pytest

from expansion.contract._gen.model_pb2 import Model, TensorRtModel, TensorRtRange
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract._gen.tensor_pb2 import Field as FieldProto
from expansion.contract.fields import Field
from expansion.errors import BadRows, ConfigError, SystemicError
from expansion.models import tensorrt
from expansion.models.onnx_graph import read_graph
from expansion.models.runtime import Runtime
from expansion.models.tensorrt_gpu import Gpu
from expansion.models.tensorrt_parts import Limits, parts, without_padding
from expansion.models.tensorrt_settings import Settings
from expansion.service.policy import Policy

X = [FieldProto(name="x", datatype="FP32", shape=[3])]
Y = [FieldProto(name="y", datatype="FP32", shape=[3])]


@pytest.fixture(scope="module")
def identity(onnx_file):
    """Writes the model x → y, the same, for x of this element type and shape."""

    def identity(datatype="FLOAT", shape=(None, 3)):
        value = (datatype, list(shape))
        return onnx_file([("Identity", ["x"], ["y"])], [("x", *value)], [("y", *value)])

    return identity


@pytest.fixture
def engine_file(tmp_path):
    """A file that begins as engines do."""
    path = tmp_path / "model.engine"
    path.write_bytes(b"ftrt" + bytes(200))
    return str(path)


def problems(**config):
    return {problem.path: problem.message for problem in tensorrt.check(TensorRtModel(**config))}


def refusal(**config):
    with pytest.raises(ConfigError) as raised:
        tensorrt.signature(TensorRtModel(**config))
    return {problem.path: problem.message for problem in raised.value.problems}


def span(**shapes):
    return TensorRtRange(input=shapes.pop("input", "x"), **{f"{name}_shape": shape for name, shape in shapes.items()})


def test_a_message_that_is_right_has_no_problems():
    assert problems(uri="x", inputs=X, outputs=Y) == {}
    ranges = [span(min=[1], optimal=[8], max=[16])]
    assert problems(uri="x", ranges=ranges, max_rows=8, optimal_rows=8, precision="FP16", engine_cache_uri="d") == {}


def test_everything_that_is_wrong_for_an_onnx_model_is_said_at_once():
    ranges = [span(min=[2], max=[1]), span(min=[1, 1], max=[1]), span(input="", min=[0], max=[1]), span(input="z")]
    found = problems(optimal_rows=65, precision="FP32", workspace_bytes=-1, ranges=ranges)
    assert found == {
        "uri": "missing; expected the path or URI of an .engine, .plan or .onnx file",
        "optimal_rows": "got 65; expected at most max_rows, 64",
        "precision": "got 'FP32'; expected one of 'BF16', 'FP16'",
        "workspace_bytes": "got -1; expected bytes, or 0 for all that the GPU has",
        "ranges[0]": "got [2], [1] and [1]; expected shapes of one rank with min_shape ≤ optimal_shape ≤ max_shape",
        "ranges[1].input": "'x' is there twice; each may be there once",
        "ranges[1]": "got [1, 1], [1] and [1]; expected shapes of one rank with min_shape ≤ optimal_shape ≤ max_shape",
        "ranges[2].input": "is not set; every entry needs one",
        "ranges[2]": "got a size below 1; expected sizes of at least 1",
        "ranges[3].min_shape": "missing; expected the shape of one row, such as [128]",
        "ranges[3].max_shape": "missing; expected the shape of one row, such as [128]",
    }
    assert problems(uri="x", max_rows=-1) == {"max_rows": "got -1; expected a number of rows, or 0 for 64"}


def test_what_is_for_onnx_models_is_refused_where_an_engine_is_declared():
    ranges = [span(min=[1], max=[2])]
    found = problems(uri="x", inputs=X, max_rows=1, precision="FP16", ranges=ranges, engine_cache_uri="d")
    assert found["outputs"].startswith("missing; expected what the engine returns")
    for path in ("max_rows", "precision", "ranges", "engine_cache_uri"):
        assert found[path].startswith("is for ONNX models; inputs and outputs are declared")


def test_datatypes_that_tensorrt_does_not_have_are_refused():
    found = problems(uri="x", inputs=[FieldProto(name="x", datatype="STRING")], outputs=Y)
    assert found == {
        "inputs[0].datatype": "got 'STRING', which TensorRT does not have; expected one of "
        "FP32, FP16, INT64, INT32, INT8, UINT8, BOOL"
    }


def test_engines_and_caches_of_them_need_the_operators_permission():
    def refused(allowed=(), **config):
        model = Model(tensorrt=TensorRtModel(uri="x", **config))
        return list(Policy({"--allow-format": allowed}).check(RunInferenceConfig(model=model)))

    assert refused() == []
    (engine,) = refused(inputs=X, outputs=Y)
    assert engine.path == "model.tensorrt.uri"
    assert engine.message.startswith("got 'tensorrt-engine', which is native code that workers run; expected an ONNX")
    assert engine.message.endswith("or start the service with --allow-format tensorrt-engine")
    (cache,) = refused(engine_cache_uri="gs://somewhere")
    assert cache.path == "model.tensorrt.engine_cache_uri"
    assert refused(["tensorrt-engine"], inputs=X, outputs=Y) == []
    assert refused(["tensorrt-engine"], engine_cache_uri="d") == []


def test_the_signature_of_an_onnx_model_is_read_from_the_file(identity):
    read = tensorrt.signature(TensorRtModel(uri=identity("INT64")))
    assert read.inputs == {"x": Field("x", "INT64", (3,))}
    assert read.outputs == {"y": Field("y", "INT64", (3,))}


def test_the_signature_of_an_engine_is_what_is_declared(engine_file):
    read = tensorrt.signature(TensorRtModel(uri=engine_file, inputs=X, outputs=Y))
    assert read.inputs == {"x": Field("x", "FP32", (3,))}
    assert read.outputs == {"y": Field("y", "FP32", (3,))}


def test_fp64_is_fp32_as_tensorrt_makes_it_that(identity):
    read = tensorrt.signature(TensorRtModel(uri=identity("DOUBLE")))
    assert (read.inputs["x"].datatype, read.outputs["y"].datatype) == ("FP32", "FP32")


def test_an_onnx_model_of_other_datatypes_is_refused(identity):
    path = identity("STRING", ["n"])
    message = refusal(uri=path)["uri"]  # the same for the output
    assert message.startswith(f"{path!r}: output 'y' is of STRING, which TensorRT does not have")


def test_problems_of_an_onnx_model_are_those_that_onnx_has(identity, tmp_path):
    assert "input 'x' takes batches of exactly 8 rows" in refusal(uri=identity(shape=[8, 3]))["uri"]
    with open(identity(), "rb") as file:
        content = file.read()
    (tmp_path / "model.onnx").write_bytes(content[: len(content) // 2])
    assert "is no ONNX model, or only a part of one" in refusal(uri=str(tmp_path / "model.onnx"))["uri"]


def test_a_file_of_the_other_kind_than_configured_is_refused(identity, engine_file):
    assert refusal(uri=engine_file)["inputs"] == (
        "missing; the file is an engine, which only TensorRT can read: declare what it takes, such as "
        "[{name: x, datatype: FP32, shape: [4]}]"
    )
    path = identity()
    assert refusal(uri=path, inputs=X, outputs=Y) == {
        "inputs": f"{path!r} is an ONNX model, which says itself what it takes; leave it out",
        "outputs": f"{path!r} is an ONNX model, which says itself what it returns; leave it out",
    }


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "; it is empty"), (b"PK\x03\x04" + bytes(90), "; it looks like a zip file, as"), (b"text" * 9, "like text")],
)
def test_a_file_that_is_no_engine_is_named_for_what_it_looks_like(content, reason, tmp_path):
    path = tmp_path / "model.plan"
    path.write_bytes(content)
    message = refusal(uri=str(path), inputs=X, outputs=Y)["uri"]
    assert message.startswith(f"{str(path)!r} is no TensorRT engine")
    assert reason in message


def test_ranges_are_needed_for_inputs_whose_sizes_vary_and_only_for_them(identity):
    varying, fixed = identity(shape=[None, None, 7]), identity()
    assert refusal(uri=varying) == {
        "ranges": "missing: model input 'x' takes [-1, 7]; say which sizes to build the engine for, such as "
        "[{input: x, min_shape: [1, 7], max_shape: [512, 7]}]"
    }
    assert tensorrt.signature(TensorRtModel(uri=varying, ranges=[span(min=[1, 7], max=[9, 7])])).outputs
    found = refusal(uri=varying, ranges=[span(min=[1, 7], max=[9, 8]), span(input="xx", min=[1], max=[2])])
    assert found == {
        "ranges[0]": "got [1, 7] to [9, 8]; model input 'x' takes [-1, 7]",
        "ranges[1].input": "no model input 'xx'; did you mean 'x'?",
    }
    assert refusal(uri=fixed, ranges=[span(min=[3], max=[3])]) == {
        "ranges[0].input": "model input 'x' takes [3], of which no size varies; leave it out"
    }


def test_an_engine_is_built_for_one_to_max_rows_and_for_the_ranges(identity):
    def settings(path, **config):
        with open(path, "rb") as file:
            return Settings.of(TensorRtModel(**config), read_graph(file))

    made = settings(identity(shape=[None, None, 7]), ranges=[span(min=[1, 7], max=[9, 7])], max_rows=8, optimal_rows=4)
    assert made.shapes(Field("x", "FP32", (-1, 7))) == ((1, 1, 7), (4, 9, 7), (8, 9, 7))
    assert settings(identity()).shapes(Field("x", "FP32", (3,))) == ((1, 3), (64, 3), (64, 3))
    # A model that was exported for one row is run row by row.
    assert settings(identity(shape=[1, 3]), max_rows=8).shapes(Field("x", "FP32", (3,))) == ((1, 3),) * 3


def test_a_batch_is_run_in_parts_of_at_most_what_the_engine_takes():
    x, n = np.arange(14.0).reshape(7, 2), np.arange(7)
    found = list(parts({"x": x, "n": n}, 1, 3))
    assert [count for count, _ in found] == [3, 3, 1]
    np.testing.assert_array_equal(np.concatenate([part["x"] for _, part in found]), x)
    np.testing.assert_array_equal(np.concatenate([part["n"] for _, part in found]), n)
    ((count, whole),) = parts({"x": x}, 1, 7)
    assert count == 7
    assert np.shares_memory(whole["x"], x)


def test_the_last_part_is_padded_with_its_last_row_and_padding_is_cut_off():
    x = np.arange(10.0).reshape(5, 2)
    results = []
    for count, feed in parts({"x": x}, 4, 4):
        assert feed["x"].shape == (4, 2)
        assert feed["x"].flags.c_contiguous
        results.append(without_padding("y", feed["x"] * 2, 4, count))
    np.testing.assert_array_equal(np.concatenate(results), x * 2)
    *_, (count, last) = parts({"x": x}, 4, 4)
    assert count == 1
    np.testing.assert_array_equal(last["x"], np.repeat(x[-1:], 4, axis=0))


def test_a_part_stays_above_the_smallest_batch_of_the_engine():
    ((count, feed),) = parts({"x": np.ones((2, 1))}, 4, 8)
    assert (count, len(feed["x"])) == (2, 4)


def test_an_output_without_a_row_for_each_is_systemic():
    with pytest.raises(SystemicError, match=r"output 'y' has shape \[3\] for 4 rows; expected rows along its first"):
        without_padding("y", np.zeros(3), 4, 2)


def test_rows_outside_of_the_engines_sizes_are_bad_rows():
    limits = Limits({"x": ((1, 2, 7), (8, 4, 7)), "y": ((2, 3), (16, 3))})
    assert (limits.min_rows, limits.max_rows) == (2, 8)
    limits.check({"x": np.zeros((3, 2, 7)), "y": np.zeros((3, 3))})
    with pytest.raises(BadRows) as raised:
        limits.check({"x": np.zeros((2, 5, 7)), "y": np.zeros((2, 3))})
    assert sorted(raised.value.messages) == [0, 1]
    reason = "shape [5, 7] does not fit model input 'x', whose engine takes [2, 7] to [4, 7]"
    assert raised.value.messages[0].startswith(reason)


@pytest.fixture
def small_gpu(monkeypatch):
    """A GPU of 100 bytes, and what is allocated of it by address."""
    cuda = pytest.importorskip("cuda.bindings.runtime")
    allocated, done = {}, (cuda.cudaError_t.cudaSuccess,)

    def malloc(size):
        if sum(allocated.values()) + size > 100:
            return cuda.cudaError_t.cudaErrorMemoryAllocation, 0
        address = 1 + max(allocated, default=0)
        allocated[address] = size
        return *done, address

    monkeypatch.setattr(cuda, "cudaMalloc", malloc)
    monkeypatch.setattr(cuda, "cudaFree", lambda address: allocated.pop(address) and done)
    monkeypatch.setattr(cuda, "cudaStreamCreate", lambda: (*done, 7))
    for name in ("cudaSetDevice", "cudaStreamSynchronize", "cudaStreamDestroy"):
        monkeypatch.setattr(cuda, name, lambda handle: done)
    return Gpu(0), allocated


def test_buffers_of_a_batch_that_did_not_fit_are_given_back_for_a_smaller_one(small_gpu):
    gpu, allocated = small_gpu
    gpu.buffer("x", 80)
    with pytest.raises(MemoryError, match="the GPU is out of memory"):
        gpu.buffer("y", 40)
    gpu.release()
    assert allocated == {}
    assert gpu.buffer("x", 40) != gpu.buffer("y", 20)
    assert sorted(allocated.values()) == [20, 40]


def test_a_worker_without_a_gpu_is_refused_with_what_to_do_as_tensorrt_has_nothing_for_cpus():
    reason = (
        r"TensorRT needs an NVIDIA GPU; device is 'cpu', and this worker has 1 GPU\(s\); run it where there are GPUs"
    )
    with pytest.raises(SystemicError, match=reason):
        tensorrt.gpu_index(Runtime("cpu"), 1)
    reason = r"device is 'auto', and this worker has no GPU\(s\); .* resource_hints.accelerator .* ONNX model with onnx"
    with pytest.raises(SystemicError, match=reason):
        tensorrt.gpu_index(Runtime(), 0)
    with pytest.raises(SystemicError, match=r"device is 'cuda:2', and this worker has 2 GPU\(s\)"):
        tensorrt.gpu_index(Runtime("cuda:2"), 2)
    assert [tensorrt.gpu_index(Runtime(device), 2) for device in ("auto", "cuda", "cuda:1")] == [0, 0, 1]


def test_a_missing_package_names_the_extra(monkeypatch, identity):
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(SystemicError, match=r"; install beam-ml-expansion\[tensorrt\] on the workers"):
        tensorrt.build(TensorRtModel(uri=identity()))


def test_workers_check_the_kind_of_the_file_again(identity):
    # The operator was asked about what the configuration says; a file that has become an engine since is not loaded.
    with pytest.raises(ConfigError, match="inputs: missing; the file is an engine"):
        tensorrt._read(TensorRtModel(uri="x"), io.BytesIO(b"ftrt" + bytes(200)))


def test_the_host_reads_the_signature_without_importing_tensorrt(identity):
    program = (
        "import sys; from expansion.models import tensorrt\n"
        "from expansion.contract._gen.model_pb2 import TensorRtModel\n"
        f"config = TensorRtModel(uri={identity()!r})\n"
        "assert not list(tensorrt.check(config)) and tensorrt.signature(config).outputs\n"
        "assert not {'tensorrt', 'cuda', 'onnx', 'onnxruntime', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

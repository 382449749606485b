# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What only a GPU and TensorRT can show."""

import concurrent.futures
import importlib.util
import logging

import numpy as np
import pytest

from expansion.contract._gen.model_pb2 import OnnxModel, TensorRtModel, TensorRtRange
from expansion.contract._gen.tensor_pb2 import Field as FieldProto
from expansion.errors import BadRows, SystemicError
from expansion.models import onnx, tensorrt
from expansion.models.runtime import Runtime


def has_tensorrt():
    return all(importlib.util.find_spec(name) for name in ("tensorrt", "cuda"))


pytestmark = [pytest.mark.framework, pytest.mark.gpu(has_tensorrt, "TensorRT is not installed")]

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(23, 8)).astype(np.float32)
NAMES = ("scores", "hidden")


@pytest.fixture(scope="module")
def perceptron(onnx_file):
    """x FP32[8] → hidden FP32[16], scores FP32[4], for batches of any size or of these rows."""
    from onnx import numpy_helper

    def perceptron(rows="batch"):
        # Small ones, as GPUs multiply in TF32, which is exact to three digits.
        weights = {"w0": RANDOM.normal(0, 0.1, (8, 16)), "w1": RANDOM.normal(0, 0.1, (16, 4))}
        return onnx_file(
            [("MatMul", ["x", "w0"], ["h"]), ("Relu", ["h"], ["hidden"]), ("MatMul", ["hidden", "w1"], ["scores"])],
            [("x", "FLOAT", [rows, 8])],
            [("scores", "FLOAT", [rows, 4]), ("hidden", "FLOAT", [rows, 16])],
            [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
        )

    return perceptron


@pytest.fixture(scope="module")
def model_file(perceptron):
    return perceptron()


def by_onnx_runtime(path, feed, outputs):
    return onnx.build(OnnxModel(uri=path), Runtime("cpu")).run(feed, outputs)


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert found[name].datatype == column.datatype
        np.testing.assert_allclose(found[name].values, column.values, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("rows", [1, 7, 8, 23])
def test_predictions_are_those_of_onnx_runtime_whatever_the_size_of_the_batch(rows, model_file, columns):
    model = tensorrt.build(TensorRtModel(uri=model_file, max_rows=8, optimal_rows=4))
    feed = {"x": columns(x=X[:rows])}
    assert_same(model.run(feed, NAMES), by_onnx_runtime(model_file, feed, NAMES))


def test_only_the_outputs_that_are_asked_for_come_back(model_file, columns):
    model = tensorrt.build(TensorRtModel(uri=model_file))
    assert list(model.run({"x": columns(x=X)}, ["hidden"])) == ["hidden"]


def test_several_inputs_and_columns_that_are_joined_and_converted(onnx_file, columns):
    path = onnx_file(
        [("Add", ["a", "b"], ["sum"]), ("Sub", ["a", "b"], ["difference"])],
        [("a", "FLOAT", ["n", 2]), ("b", "FLOAT", ["n", 2])],
        [("sum", "FLOAT", ["n", 2]), ("difference", "FLOAT", ["n", 2])],
    )
    feed = {"b": columns(b=X[:, :2]), "a": columns(u=np.arange(23), v=X[:, 5].astype(np.float64))}
    outputs = ["difference", "sum"]
    assert_same(tensorrt.build(TensorRtModel(uri=path)).run(feed, outputs), by_onnx_runtime(path, feed, outputs))


def test_rows_of_sizes_in_the_range_are_run_and_others_are_bad_rows(onnx_file, columns):
    path = onnx_file([("Softmax", ["x"], ["y"])], [("x", "FLOAT", ["n", "m"])], [("y", "FLOAT", ["n", "m"])])
    ranges = [TensorRtRange(input="x", min_shape=[2], max_shape=[6])]
    model = tensorrt.build(TensorRtModel(uri=path, ranges=ranges))
    for size in (2, 5, 6, 3):
        feed = {"x": columns(x=X[:, :size])}
        assert_same(model.run(feed, ["y"]), by_onnx_runtime(path, feed, ["y"]))
    with pytest.raises(BadRows, match=r"shape \[7\] does not fit model input 'x', whose engine takes \[2\] to \[6\]"):
        model.run({"x": columns(x=X[:, :7])}, ["y"])


def test_a_model_of_batch_one_is_run_row_by_row(perceptron, columns):
    path = perceptron(1)
    feed = {"x": columns(x=X)}
    assert_same(tensorrt.build(TensorRtModel(uri=path)).run(feed, NAMES), by_onnx_runtime(path, feed, NAMES))


@pytest.fixture
def engine_file(model_file, tmp_path):
    """Builds an engine as others do, for batches of these sizes, and returns its path."""
    import tensorrt as library

    def engine_file(smallest, largest):
        log = library.Logger(library.Logger.ERROR)
        builder = library.Builder(log)
        network = builder.create_network(0)
        parser = library.OnnxParser(network, log)
        with open(model_file, "rb") as file:
            assert parser.parse(file.read())
        config, profile = builder.create_builder_config(), builder.create_optimization_profile()
        profile.set_shape("x", (smallest, 8), (largest, 8), (largest, 8))
        config.add_optimization_profile(profile)
        path = tmp_path / "model.engine"
        path.write_bytes(bytes(builder.build_serialized_network(network, config)))
        return str(path)

    return engine_file


def declared(path, **changes):
    fields = {
        "inputs": [FieldProto(name="x", datatype="FP32", shape=[8])],
        "outputs": [
            FieldProto(name="scores", datatype="FP32", shape=[4]),
            FieldProto(name="hidden", datatype="FP32", shape=[16]),
        ],
    }
    return TensorRtModel(uri=path, **{**fields, **changes})


@pytest.mark.parametrize("rows", [1, 8, 20, 23])
def test_an_engine_of_one_batch_size_takes_every_number_of_rows(rows, engine_file, model_file, columns):
    path = engine_file(8, 8)
    with open(path, "rb") as file:
        assert file.read(4) in tensorrt._MAGIC
    model = tensorrt.build(declared(path))
    feed = {"x": columns(x=X[:rows])}
    assert_same(model.run(feed, NAMES), by_onnx_runtime(model_file, feed, NAMES))


def test_an_engine_that_is_not_as_declared_is_systemic_with_all_that_differs(engine_file):
    path = engine_file(1, 8)
    wrong = [FieldProto(name="scores", datatype="INT64", shape=[4]), FieldProto(name="score", datatype="FP32")]
    with pytest.raises(SystemicError) as raised:
        tensorrt.build(declared(path, inputs=[FieldProto(name="x", datatype="FP32", shape=[9])], outputs=wrong))
    for reason in (
        "input 'x' is FP32[8]; declared is FP32[9]",
        "output 'scores' is FP32[4]; declared is INT64[4]",
        "it has no output 'score', only ['hidden', 'scores']",
    ):
        assert reason in str(raised.value)


def test_a_damaged_engine_is_systemic(tmp_path):
    path = tmp_path / "model.engine"
    path.write_bytes(b"ftrt" + bytes(500))
    with pytest.raises(SystemicError, match="can't load the engine") as raised:
        tensorrt.build(declared(str(path)))
    assert "\n" not in str(raised.value)


def test_an_engine_is_built_once_and_then_comes_from_the_cache(model_file, tmp_path, columns, caplog):
    caplog.set_level(logging.INFO, "expansion.models")
    config = TensorRtModel(uri=model_file, engine_cache_uri=str(tmp_path / "engines"))
    feed = {"x": columns(x=X)}
    expected = by_onnx_runtime(model_file, feed, NAMES)
    for builds in (1, 1):
        assert_same(tensorrt.build(config).run(feed, NAMES), expected)
        assert caplog.text.count("building a TensorRT engine") == builds
    (kept,) = (tmp_path / "engines").iterdir()
    kept.write_bytes(kept.read_bytes()[:-1])
    assert_same(tensorrt.build(config).run(feed, NAMES), expected)
    assert caplog.text.count("building a TensorRT engine") == 2


def test_an_engine_in_the_cache_that_does_not_load_is_built_again(model_file, tmp_path, columns, caplog):
    from expansion.models.tensorrt_cache import write_engine

    config = TensorRtModel(uri=model_file, engine_cache_uri=str(tmp_path))
    tensorrt.build(config)
    (kept,) = tmp_path.iterdir()
    write_engine(str(tmp_path), kept.stem, b"ftrt" + bytes(500))
    feed = {"x": columns(x=X)}
    assert_same(tensorrt.build(config).run(feed, NAMES), by_onnx_runtime(model_file, feed, NAMES))
    assert "in the cache does not load, and is built again" in caplog.text


def test_several_threads_may_use_one_model(model_file, columns):
    model = tensorrt.build(TensorRtModel(uri=model_file, max_rows=4))
    expected = by_onnx_runtime(model_file, {"x": columns(x=X)}, ["scores"])["scores"].values
    starts = list(range(0, 23, 5)) * 20
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        run = lambda start: model.run({"x": columns(x=X[start : start + 5])}, ["scores"])["scores"].values  # noqa: E731
        for start, result in zip(starts, pool.map(run, starts), strict=True):
            np.testing.assert_allclose(result, expected[start : start + 5], rtol=1e-3, atol=1e-3)


def test_half_precision_is_a_choice_of_tensorrt_10_only(model_file, columns):
    import tensorrt as library

    config = TensorRtModel(uri=model_file, precision="FP16")
    feed = {"x": columns(x=X)}
    if hasattr(library.BuilderFlag, "FP16"):
        found = tensorrt.build(config).run(feed, ["scores"])["scores"]
        expected = by_onnx_runtime(model_file, feed, ["scores"])["scores"]
        assert found.datatype == "FP32"
        np.testing.assert_allclose(found.values, expected.values, rtol=0.05, atol=0.05)
    else:
        with pytest.raises(SystemicError, match="computes in the model's own datatypes and has no precision to choose"):
            tensorrt.build(config)


def test_a_model_with_an_operator_that_tensorrt_lacks_is_systemic_and_says_which(onnx_file):
    path = onnx_file([("NoSuchOperator", ["x"], ["y"])], [("x", "FLOAT", [None])], [("y", "FLOAT", [None])])
    with pytest.raises(SystemicError, match=r"TensorRT can't run .*NoSuchOperator.* run it with onnx"):
        tensorrt.build(TensorRtModel(uri=path))

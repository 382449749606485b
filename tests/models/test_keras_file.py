# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Keras v3 files, as models of the framework tensorflow."""

import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from expansion.contract._gen.model_pb2 import TensorFlowModel
from expansion.contract.fields import Field
from expansion.errors import ConfigError, SystemicError
from expansion.models import tensorflow
from expansion.tensors.columns import Columns, Dense

pytestmark = pytest.mark.framework

ROWS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
PROBABILITIES = {"name": "probabilities", "datatype": "FP32", "shape": [3]}


@pytest.fixture(scope="session")
def classifier():
    tf.keras.utils.set_random_seed(0)
    pixels = tf.keras.Input((4,), name="pixels")
    return tf.keras.Model(pixels, tf.keras.layers.Dense(3, "softmax")(tf.keras.layers.Dropout(0.5)(pixels)))


@pytest.fixture(scope="session")
def keras_file(tmp_path_factory):
    """Saves a Keras model; returns its path."""

    def keras_file(model):
        path = str(tmp_path_factory.mktemp("keras") / "net.keras")
        model.save(path)
        return path

    return keras_file


def run(config, *outputs, **inputs):
    feed = {name: Columns({name: Dense(array)}, len(array)) for name, array in inputs.items()}
    return tensorflow.build(config).run(feed, outputs)


def problems(config):
    with pytest.raises(ConfigError) as raised:
        tensorflow.signature(config)
    return {problem.path: problem.message for problem in raised.value.problems}


def test_a_keras_file_gives_what_the_model_gives_and_says_its_inputs(classifier, keras_file):
    config = TensorFlowModel(uri=keras_file(classifier), outputs=[PROBABILITIES])
    assert list(tensorflow.check(config)) == []
    signature = tensorflow.signature(config)
    assert signature.inputs == {"pixels": Field("pixels", "FP32", (4,))}
    assert signature.outputs == {"probabilities": Field("probabilities", "FP32", (3,))}
    expected = classifier(ROWS, training=False).numpy()
    results = run(config, "probabilities", pixels=ROWS)
    np.testing.assert_allclose(results["probabilities"].values, expected, atol=1e-6)


def test_a_sequential_model_takes_one_input(keras_file):
    model = tf.keras.Sequential([tf.keras.Input((4,), name="row"), tf.keras.layers.Dense(2)])
    config = TensorFlowModel(uri=keras_file(model), outputs=[{"name": "y", "datatype": "FP64", "shape": [2]}])
    assert tensorflow.signature(config).inputs == {"row": Field("row", "FP32", (4,))}
    result = run(config, "y", row=ROWS)["y"]
    assert result.datatype == "FP64"
    np.testing.assert_allclose(result.values, model(ROWS).numpy(), atol=1e-6)


@pytest.mark.parametrize("as_dict", [False, True])
def test_keras_inputs_and_outputs_may_be_lists_or_dicts(keras_file, as_dict):
    a, b = tf.keras.Input((4,), name="a"), tf.keras.Input((), name="b", dtype="int32")
    double = tf.keras.layers.Rescaling(2.0, name="d")(a)
    same = tf.keras.layers.Rescaling(1.0, name="s")(b)
    model = (
        tf.keras.Model({"p": a, "q": b}, {"d": double, "s": same})
        if as_dict
        else tf.keras.Model([a, b], [double, same])
    )
    outputs = [{"name": "d", "datatype": "FP32", "shape": [4]}, {"name": "s", "datatype": "FP32"}]
    config = TensorFlowModel(uri=keras_file(model), outputs=outputs)
    first, second = ("p", "q") if as_dict else ("a", "b")
    assert list(tensorflow.signature(config).inputs.values()) == [
        Field(first, "FP32", (4,)),
        Field(second, "INT32"),
    ]
    results = run(config, "s", "d", **{second: np.arange(5, dtype=np.int32), first: ROWS})
    assert results["s"].to_rows() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(results["d"].values, 2 * ROWS, atol=1e-6)


@tf.keras.utils.register_keras_serializable(package="tests")
class Difference(tf.keras.Model):
    """A subclassed model, whose file has no input layers."""

    def call(self, left, right):
        return left - right


def test_the_inputs_of_a_subclassed_model_are_declared_and_passed_by_name(keras_file):
    model = Difference()
    model(tf.zeros([1, 2]), tf.zeros([1, 2]))
    outputs = [{"name": "y", "datatype": "FP32", "shape": [2]}]
    config = TensorFlowModel(uri=keras_file(model), outputs=outputs)
    assert "what the model takes, as the file has no input layers" in problems(config)["inputs"]
    config.inputs.add(name="right", datatype="FP32", shape=[2])
    config.inputs.add(name="left", datatype="FP32", shape=[2])
    assert list(tensorflow.signature(config).inputs) == ["right", "left"]
    results = run(config, "y", left=np.float32([[5, 7]]), right=np.float32([[1, 2]]))
    assert results["y"].to_rows() == [[4.0, 5.0]]


def test_keras_inputs_that_are_declared_have_the_files_names(classifier, keras_file):
    config = TensorFlowModel(uri=keras_file(classifier), outputs=[PROBABILITIES])
    config.inputs.add(name="pixel", datatype="FP32", shape=[4])
    assert problems(config)["inputs"].startswith("got ['pixel']; the file's inputs are ['pixels']")


def test_keras_outputs_that_are_declared_wrongly_are_said_when_the_model_is_loaded(classifier, keras_file):
    config = TensorFlowModel(uri=keras_file(classifier), outputs=[PROBABILITIES, {"name": "y", "datatype": "FP32"}])
    with pytest.raises(SystemicError, match="the model returns 1 tensors; declared in outputs are 2"):
        tensorflow.build(config)


def test_code_in_a_keras_file_is_not_run(keras_file):
    model = tf.keras.Sequential([tf.keras.Input((4,)), tf.keras.layers.Lambda(lambda x: x)])
    config = TensorFlowModel(uri=keras_file(model), outputs=[{"name": "y", "datatype": "FP32", "shape": [4]}])
    with pytest.raises(SystemicError, match=r"TensorFlow can't load .*net.keras"):
        tensorflow.build(config)


def test_only_a_keras_file_needs_the_operators_permission():
    assert list(tensorflow.permissions(TensorFlowModel(uri="x/net"))) == []
    (permission,) = tensorflow.permissions(TensorFlowModel(uri="x/net.keras"))
    assert (permission.path, permission.option, permission.value) == ("uri", "--allow-format", "keras")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (b"hello", "it is no zip file; it looks like text"),
        (b"\x89HDF\r\n\x1a\n", "it looks like an HDF5 file"),
        (b"PK\x03\x04 and nothing else", "it is a damaged zip file, or a part of one"),
        ({"other": "x"}, "it is a zip file without config.json"),
        ({"config.json": "{"}, "its 'config.json' is no JSON"),
        ({"config.json": "[" * 100_000}, "its 'config.json' is no JSON"),
        ({"config.json": "[]"}, "its config.json describes no model"),
        ({"config.json": " " * (17 << 20)}, "its 'config.json' has 17825792 bytes; at most 16777216 are read"),
    ],
)
def test_a_file_that_is_no_keras_file_is_refused_with_the_reason(tmp_path, files, reason):
    path = tmp_path / "net.keras"
    if isinstance(files, bytes):
        path.write_bytes(files)
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    config = TensorFlowModel(uri=str(path), outputs=[PROBABILITIES])
    assert reason in problems(config)["uri"]
    with pytest.raises(SystemicError, match=r"net\.keras' is no Keras v3 file"):
        tensorflow.build(config)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ({"batch_shape": [None, 4], "dtype": "complex64"}, "input 'x' is of complex64"),
        ({"batch_shape": [None, 4], "dtype": "float32", "sparse": True}, "is a sparse or ragged tensor"),
        ({"batch_shape": [8, 4], "dtype": "float32"}, "its inputs have batch sizes [8]"),
        ({"dtype": "float32"}, "does not say its shape"),
    ],
)
def test_keras_inputs_that_no_column_can_feed_are_refused(tmp_path, layer, reason):
    layers = [{"class_name": "InputLayer", "config": {"name": "x", **layer}}]
    with zipfile.ZipFile(tmp_path / "net.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": layers, "input_layers": ["x", 0, 0]}}))
    assert reason in problems(TensorFlowModel(uri=str(tmp_path / "net.keras"), outputs=[PROBABILITIES]))["uri"]


def test_problems_of_the_message_are_reported_at_once():
    keras = TensorFlowModel(uri="net.keras", signature_name="x", inputs=[{"name": "x", "datatype": "FLOAT"}])
    assert [problem.path for problem in tensorflow.check(keras)] == ["signature_name", "inputs[0].datatype", "outputs"]


def test_a_file_of_keras_2_is_refused_with_what_to_do():
    (problem,) = tensorflow.check(TensorFlowModel(uri="net.h5"))
    assert "is a file of Keras 2; load it and save it with model.export or as .keras" in problem.message


def test_inputs_are_read_without_tensorflow_or_keras(classifier, keras_file):
    program = (
        "import sys; from expansion.models import tensorflow\n"
        "from expansion.contract._gen.model_pb2 import TensorFlowModel\n"
        f"config = TensorFlowModel(uri={keras_file(classifier)!r}, outputs=[{PROBABILITIES!r}])\n"
        "assert tensorflow.signature(config).inputs\n"
        "print({'tensorflow', 'keras', 'h5py', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

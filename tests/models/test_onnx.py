# Licensed under the Apache License, Version 2.0; see LICENSE.
import io
from pathlib import Path

import numpy as np
import pytest

from expansion.contract._gen.model_pb2 import OnnxModel
from expansion.contract.fields import Field
from expansion.errors import BadRows, ConfigError, SystemicError
from expansion.models import onnx
from expansion.models.onnx_graph import read_graph
from expansion.models.wire import WireError


def signature(path):
    return onnx.signature(OnnxModel(uri=path))


def problems(path):
    with pytest.raises(ConfigError) as raised:
        signature(path)
    assert {problem.path for problem in raised.value.problems} == {"uri"}
    return [problem.message for problem in raised.value.problems]


@pytest.fixture(scope="module")
def two_in_two_out(onnx_file):
    return onnx_file(
        [("Add", ["a", "b"], ["sum"]), ("Sub", ["a", "b"], ["difference"])],
        [("a", "FLOAT", ["batch", 3]), ("b", "FLOAT", ["batch", 3])],
        [("sum", "FLOAT", ["batch", 3]), ("difference", "FLOAT", ["batch", 3])],
    )


@pytest.fixture(scope="module")
def iris_files(tmp_path_factory, classifier):
    """The classifier as ONNX, with probabilities as a tensor and as a sequence of maps."""
    from skl2onnx import to_onnx

    paths = {}
    for zipmap in (False, True):
        model = to_onnx(classifier, np.zeros((1, 4), np.float32), options={"zipmap": zipmap})
        path = tmp_path_factory.mktemp("iris") / "iris.onnx"
        path.write_bytes(model.SerializeToString())
        paths[zipmap] = str(path)
    return paths


def test_the_signature_names_inputs_and_outputs_without_the_batch_dimension(iris_files):
    read = signature(iris_files[False])
    assert read.inputs == {"X": Field("X", "FP32", (4,))}
    assert read.outputs == {"label": Field("label", "INT64"), "probabilities": Field("probabilities", "FP32", (3,))}
    assert read.notes == {}


def test_predictions_are_those_of_onnx_runtime_called_by_hand(iris_files, iris, columns):
    import onnxruntime

    features = iris[0].astype(np.float32)
    by_hand = onnxruntime.InferenceSession(iris_files[False]).run(None, {"X": features})
    model = onnx.build(OnnxModel(uri=iris_files[False]))
    result = model.run({"X": columns(f=features)}, ["probabilities", "label"])
    assert list(result) == ["probabilities", "label"]
    np.testing.assert_array_equal(result["label"].values, by_hand[0])
    np.testing.assert_array_equal(result["probabilities"].values, by_hand[1])


def test_scalar_columns_are_joined_and_converted_to_the_input(iris_files, iris, columns):
    model = onnx.build(OnnxModel(uri=iris_files[False]))
    separate = columns(**{name: iris[0][:, index] for index, name in enumerate("abcd")})
    joined = model.run({"X": columns(f=iris[0].astype(np.float32))}, ["label"])["label"].to_rows()
    assert model.run({"X": separate}, ["label"])["label"].to_rows() == joined


def test_several_named_inputs_and_outputs(two_in_two_out, columns):
    read = signature(two_in_two_out)
    assert list(read.inputs) == ["a", "b"]
    model = onnx.build(OnnxModel(uri=two_in_two_out))
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((2, 3), np.float32)
    result = model.run({"b": columns(x=b), "a": columns(x=a)}, ["difference", "sum"])
    np.testing.assert_array_equal(result["sum"].values, a + b)
    np.testing.assert_array_equal(result["difference"].values, a - b)


def test_a_sequence_of_maps_is_an_output_of_no_datatype_with_a_note(iris_files, iris, columns):
    read = signature(iris_files[True])
    assert read.outputs["output_label"] == Field("output_label", "INT64")
    assert read.outputs["output_probability"].datatype == ""
    note = "output 'output_probability' is a sequence of maps; export the model with zipmap=False"
    assert read.notes == {"output_probability": note}
    model = onnx.build(OnnxModel(uri=iris_files[True]))
    features = columns(f=iris[0][:3].astype(np.float32))
    assert model.run({"X": features}, ["output_label"])["output_label"].to_rows() == [0, 0, 0]
    with pytest.raises(SystemicError, match="zipmap=False"):
        model.run({"X": features}, ["output_probability"])


@pytest.mark.parametrize(
    ("element_type", "datatype"),
    [
        ("FLOAT", "FP32"),
        ("DOUBLE", "FP64"),
        ("FLOAT16", "FP16"),
        ("BOOL", "BOOL"),
        ("INT8", "INT8"),
        ("UINT64", "UINT64"),
        ("STRING", "STRING"),
    ],
)
def test_every_element_type_has_its_datatype(onnx_file, element_type, datatype):
    path = onnx_file([("Identity", ["x"], ["y"])], [("x", element_type, [None, 2])], [("y", element_type, [None, 2])])
    read = signature(path)
    assert read.inputs == {"x": Field("x", datatype, (2,))}
    assert read.outputs == {"y": Field("y", datatype, (2,))}


def test_strings_go_in_and_come_out(onnx_file, columns):
    path = onnx_file([("Identity", ["x"], ["y"])], [("x", "STRING", ["n"])], [("y", "STRING", ["n"])])
    result = onnx.build(OnnxModel(uri=path)).run({"x": columns(text=["ä", "", "b"])}, ["y"])
    assert result["y"].datatype == "STRING"
    assert result["y"].to_rows() == ["ä", "", "b"]


def test_a_named_or_missing_dimension_is_of_any_size(onnx_file):
    shape = ["batch", "tokens", None, 7]
    path = onnx_file([("Identity", ["x"], ["y"])], [("x", "INT64", shape)], [("y", "INT64", shape)])
    assert signature(path).inputs["x"].shape == (-1, -1, 7)


def test_initializers_that_are_listed_as_inputs_are_none(onnx_file):
    from onnx import numpy_helper

    path = onnx_file(
        [("Add", ["x", "bias"], ["y"])],
        [("x", "FLOAT", [None, 2]), ("bias", "FLOAT", [2])],
        [("y", "FLOAT", [None, 2])],
        [numpy_helper.from_array(np.ones(2, np.float32), "bias")],
    )
    assert list(signature(path).inputs) == ["x"]


def test_weights_are_not_read_for_the_signature(onnx_file):
    from onnx import numpy_helper

    path = onnx_file(
        [("MatMul", ["x", "w"], ["y"])],
        [("x", "FLOAT", [None, 1000])],
        [("y", "FLOAT", [None, 1000])],
        [numpy_helper.from_array(np.ones((1000, 1000), np.float32), "w")],
    )

    class Counting(io.FileIO):
        count = 0

        def read(self, size=-1):
            content = super().read(size)
            self.count += len(content)
            return content

    with Counting(path) as file:
        read_graph(file)
        assert file.count < 2000


def test_weights_in_another_file_are_a_problem(onnx_file):
    from onnx import numpy_helper

    path = onnx_file(
        [("MatMul", ["x", "w"], ["y"])],
        [("x", "FLOAT", [None, 100])],
        [("y", "FLOAT", [None, 100])],
        [numpy_helper.from_array(np.ones((100, 100), np.float32), "w")],
        save_as_external_data=True,
        location="weights",
        size_threshold=0,
    )
    assert problems(path) == [f"{path!r}: its weights lie in another file (external data); save it as one file"]


def test_a_model_of_batch_one_is_run_row_by_row(onnx_file, columns):
    path = onnx_file([("Softmax", ["x"], ["y"])], [("x", "FLOAT", [1, 3])], [("y", "FLOAT", [1, 3])])
    assert signature(path).outputs["y"] == Field("y", "FP32", (3,))
    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    result = onnx.build(OnnxModel(uri=path)).run({"x": columns(x=x)}, ["y"])["y"].values
    np.testing.assert_allclose(result, np.exp(x) / np.exp(x).sum(1, keepdims=True), rtol=1e-6)


def test_another_fixed_batch_is_a_problem_that_says_how_to_export(onnx_file):
    path = onnx_file([("Identity", ["x"], ["y"])], [("x", "FLOAT", [8, 3])], [("y", "FLOAT", [8, 3])])
    (problem,) = problems(path)
    assert "input 'x' takes batches of exactly 8 rows; export it with a dynamic batch dimension" in problem


def test_inputs_that_can_not_be_fed_are_all_reported(onnx_file):
    path = onnx_file(
        [("Identity", ["x"], ["y"])],
        [("x", "BFLOAT16", [None]), ("s", "FLOAT", []), ("u", "FLOAT", None), ("c", "COMPLEX64", [None])],
        [("y", "BFLOAT16", [None]), ("s", "FLOAT", []), ("u", "FLOAT", None)],
    )
    found = problems(path)
    assert len(found) == 4
    assert "input 'x' is of BFLOAT16, which is not supported" in found[0]
    assert "input 's' is a scalar" in found[1]
    assert "input 'u' does not say its shape" in found[2]


def test_outputs_that_do_not_say_what_they_are_have_notes(onnx_file):
    path = onnx_file(
        [("Identity", ["x"], ["u"]), ("ReduceSum", ["x"], ["s"]), ("Identity", ["x"], ["y"])],
        [("x", "FLOAT", [None, 2])],
        [("u", "FLOAT", None), ("s", "FLOAT", []), ("y", "FLOAT", [None, 2])],
    )
    read = signature(path)
    assert {name: field.datatype for name, field in read.outputs.items()} == {"u": "", "s": "", "y": "FP32"}
    assert read.notes["u"] == "the model does not say the shape of output 'u'; declare its datatype and shape"
    assert read.notes["s"] == "output 's' is a scalar, without a batch dimension; leave it out"


def test_an_output_that_has_not_one_row_for_each_is_systemic(onnx_file, columns):
    path = onnx_file([("Transpose", ["x"], ["y"])], [("x", "FLOAT", [None, 2])], [("y", "FLOAT", [None, None])])
    with pytest.raises(SystemicError, match=r"output 'y' has shape \[2, 3\] for 3 rows"):
        onnx.build(OnnxModel(uri=path)).run({"x": columns(x=np.zeros((3, 2)))}, ["y"])


def test_rows_of_a_wrong_shape_are_bad_rows(iris_files, columns):
    model = onnx.build(OnnxModel(uri=iris_files[False]))
    with pytest.raises(BadRows, match=r"shape \[5\] does not fit model input 'X', which takes \[4\]"):
        model.run({"X": columns(f=np.zeros((2, 5)))}, ["label"])


def test_a_row_that_makes_the_model_raise_is_a_value_error(onnx_file, columns):
    from onnx import numpy_helper

    path = onnx_file(
        [("Gather", ["table", "x"], ["y"])],
        [("x", "INT64", ["n"])],
        [("y", "FLOAT", ["n"])],
        [numpy_helper.from_array(np.arange(4, dtype=np.float32), "table")],
    )
    model = onnx.build(OnnxModel(uri=path))
    assert model.run({"x": columns(x=np.array([3, 0]))}, ["y"])["y"].to_rows() == [3, 0]
    with pytest.raises(ValueError, match="out of data bounds"):
        model.run({"x": columns(x=np.array([3, 9]))}, ["y"])


def test_running_out_of_memory_is_a_memory_error(onnx_file, columns):
    path = onnx_file([("ConstantOfShape", ["x"], ["y"])], [("x", "INT64", ["n"])], [("y", "FLOAT", ["n"])])
    with pytest.raises(MemoryError):
        onnx.build(OnnxModel(uri=path)).run({"x": columns(x=np.array([2**42]))}, ["y"])


def test_files_that_are_no_onnx_model_are_named_for_what_they_look_like(tmp_path):
    path = tmp_path / "model.onnx"
    for content, reason in (
        (b"", "it is empty"),
        (b"PK\x03\x04" + bytes(100), "it looks like a zip file"),
        (b"\x80\x04\x95" + bytes(100), "it looks like a Python pickle"),
        (b"import numpy\n" * 9, "it looks like text"),
        (b"\x08\x08\x12\x04test", "or only a part of one: it has no graph"),
    ):
        path.write_bytes(content)
        (problem,) = problems(str(path))
        assert problem.startswith(f"{str(path)!r} is no ONNX model")
        assert reason in problem
        with pytest.raises(SystemicError, match="is no ONNX model"):
            onnx.build(OnnxModel(uri=str(path)))


def test_a_truncated_model_is_refused_wherever_it_is_cut(iris_files, tmp_path):
    content = Path(iris_files[False]).read_bytes()
    path = tmp_path / "model.onnx"
    for length in (*range(1, len(content), 37), len(content) - 1):
        path.write_bytes(content[:length])
        assert "is no ONNX model" in problems(str(path))[0]


def test_a_damaged_model_never_raises_anything_else(iris_files):
    content = Path(iris_files[False]).read_bytes()
    random = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        for position in random.integers(0, len(damaged), 3):
            damaged[position] = random.integers(256)
        try:
            read_graph(io.BytesIO(damaged))
        except WireError:
            continue


def test_a_model_that_onnx_runtime_refuses_is_systemic(onnx_file):
    path = onnx_file([("NoSuchOperator", ["x"], ["y"])], [("x", "FLOAT", [None])], [("y", "FLOAT", [None])])
    assert signature(path).outputs == {"y": Field("y", "FP32")}
    with pytest.raises(SystemicError, match="ONNX Runtime can't load") as raised:
        onnx.build(OnnxModel(uri=path))
    assert "\n" not in str(raised.value)


def test_a_missing_package_names_the_extra(monkeypatch, iris_files):
    import sys

    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(SystemicError, match=r"install beam-ml-expansion\[onnx\] on the workers"):
        onnx.build(OnnxModel(uri=iris_files[False]))


def test_loading_runs_no_code():
    assert list(onnx.permissions(OnnxModel(uri="x"))) == []

# Licensed under the Apache License, Version 2.0; see LICENSE.
import concurrent.futures
import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from expansion.contract._gen.model_pb2 import Model, TensorFlowModel
from expansion.contract.fields import Field
from expansion.errors import BadRows, ConfigError, DeviceFailed, SystemicError
from expansion.models import tensorflow
from expansion.models.runtime import Runtime
from expansion.models.saved_model_file import Interface, SavedModelError, read_saved_model
from expansion.models.tensorflow_function import TensorFlowFunction
from expansion.tensors.columns import Blobs, Columns, Dense, Ragged
from expansion.tensors.grouping import uniformly

pytestmark = pytest.mark.framework

ROWS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def spec(*shape, dtype=tf.float32, name="x"):
    return tf.TensorSpec(shape, dtype, name=name)


def of_unknown_rank(x):
    """Returns x [1] in as many dimensions as it says."""
    return tf.reshape(x, tf.repeat(1, tf.cast(x[0], tf.int32)))


class Net(tf.Module):
    """Signatures of all kinds; the one to call is named after the function."""

    def __init__(self):
        super().__init__()
        self.weights = tf.Variable(np.random.default_rng(1).normal(size=(4, 3)), dtype=tf.float32)

    @tf.function(input_signature=[spec(None, 4)])
    def serving_default(self, x):
        return {"logits": x @ self.weights}

    @tf.function(input_signature=[spec(None, name="b"), spec(None, dtype=tf.int32, name="a")])
    def two(self, b, a):
        return {"sum": tf.cast(a, tf.float32) + b, "difference": tf.cast(a, tf.float32) - b}

    @tf.function(input_signature=[spec(None, dtype=tf.string)])
    def upper(self, x):
        return {"y": tf.strings.upper(x), "length": tf.strings.length(x)}

    @tf.function(input_signature=[spec(None, dtype=tf.string)])
    def same(self, x):
        return {"y": x}

    @tf.function(input_signature=[spec(None, dtype=tf.string)])
    def parse(self, x):
        return {"y": tf.strings.to_number(x)}

    @tf.function(input_signature=[spec(None, None)])
    def total(self, x):
        return {"y": tf.reduce_sum(x, axis=1)}

    @tf.function(input_signature=[spec(1, 4)])
    def one_row(self, x):
        return {"y": x @ self.weights, "text": tf.strings.as_string(x[:, 0], precision=1)}

    @tf.function(input_signature=[spec(2, 4)])
    def two_rows(self, x):
        return {"y": x}

    @tf.function(input_signature=[spec()])
    def scalar(self, x):
        return {"y": x}

    @tf.function(input_signature=[tf.TensorSpec(None, name="x")])
    def no_rank(self, x):
        return {"y": x}

    @tf.function(input_signature=[spec(None, dtype=tf.complex64)])
    def complex(self, x):
        return {"y": x}

    @tf.function(input_signature=[spec(None)])
    def odd_outputs(self, x):
        return {"count": tf.size(x), "half": tf.cast(x, tf.bfloat16), "unknown": of_unknown_rank(x)}


SIGNATURES = [name for name, value in vars(Net).items() if hasattr(value, "get_concrete_function")]


@pytest.fixture(scope="session")
def net():
    return Net()


@pytest.fixture(scope="session")
def saved(net, tmp_path_factory):
    """A SavedModel with all signatures of Net."""
    path = str(tmp_path_factory.mktemp("tensorflow") / "net")
    tf.saved_model.save(net, path, {name: getattr(net, name) for name in SIGNATURES})
    return path


@pytest.fixture
def configured(saved):
    """Returns the message for a signature of Net."""
    return lambda name="", **settings: TensorFlowModel(uri=saved, signature_name=name, **settings)


def feed(**inputs):
    def column(values):
        if isinstance(values, np.ndarray):
            return Dense(values)
        return Blobs.of("BYTES" if isinstance(values[0], bytes) else "STRING", values, len(values))

    return {name: Columns({name: column(values)}, len(values)) for name, values in inputs.items()}


def run(config, *outputs, runtime=Runtime(), **inputs):
    return tensorflow.build(config, runtime).run(feed(**inputs), outputs)


def problems(config):
    with pytest.raises(ConfigError) as raised:
        tensorflow.signature(config)
    return {problem.path: problem.message for problem in raised.value.problems}


def save(function, path, name="serving_default"):
    module = tf.Module()
    module.function = function
    tf.saved_model.save(module, str(path), {name: function})
    return TensorFlowModel(uri=str(path))


def test_a_saved_model_gives_what_tensorflow_gives(configured, net):
    config = configured()
    signature = tensorflow.signature(config)
    assert signature.inputs == {"x": Field("x", "FP32", (4,))}
    assert signature.outputs == {"logits": Field("logits", "FP32", (3,))}
    expected = net.serving_default(ROWS)["logits"].numpy()
    np.testing.assert_allclose(run(config, "logits", x=ROWS)["logits"].values, expected, atol=1e-6)


def test_several_inputs_and_outputs_go_by_name_and_numbers_are_converted(configured):
    signature = tensorflow.signature(configured("two"))
    assert list(signature.inputs.values()) == [Field("a", "INT32"), Field("b", "FP32")]
    assert list(signature.outputs) == ["difference", "sum"]
    results = run(configured("two"), "sum", "difference", a=np.int16([5, 7]), b=np.array([0.5, 2.0]))
    assert list(results) == ["sum", "difference"]
    assert results["sum"].to_rows() == [5.5, 9.0]
    assert results["difference"].to_rows() == [4.5, 5.0]


@pytest.mark.parametrize("texts", [["zażółć", "", "b"], ["zażółć".encode(), b"", b"b"]])
def test_texts_go_in_as_strings_or_bytes_and_come_out_as_strings(configured, texts):
    signature = tensorflow.signature(configured("upper"))
    assert signature.inputs == {"x": Field("x", "BYTES")}
    assert signature.outputs == {"y": Field("y", "STRING"), "length": Field("length", "INT32")}
    results = run(configured("upper"), "y", "length", x=texts)
    assert (results["y"].datatype, results["y"].to_rows()) == ("STRING", ["ZAżółć", "", "B"])
    assert results["length"].to_rows() == [10, 0, 1]


def test_bytes_that_are_no_text_are_bad_rows_unless_the_output_is_declared_as_bytes(configured):
    data = [b"\xff\xfe", b"text", b"\x80"]
    with pytest.raises(BadRows, match=r"declare it in the model's outputs: \[{name: y, datatype: BYTES}\]") as raised:
        run(configured("same"), "y", x=data)
    assert sorted(raised.value.messages) == [0, 2]
    config = configured("same", outputs=[{"name": "y", "datatype": "BYTES"}])
    assert list(tensorflow.check(config)) == []
    assert tensorflow.signature(config).outputs == {"y": Field("y", "BYTES")}
    assert run(config, "y", x=data)["y"].to_rows() == data


def test_only_outputs_that_are_strings_may_be_declared_as_bytes(configured):
    outputs = [{"name": "length", "datatype": "BYTES"}, {"name": "z", "datatype": "BYTES"}]
    assert problems(configured("upper", outputs=outputs)) == {
        "outputs[0]": "got BYTES; the signature says INT32",
        "outputs[1].name": "signature 'upper' has no output 'z'; expected one of 'length', 'y'",
    }


def test_rows_of_unequal_size_are_run_in_their_own_shapes(configured):
    rows = [np.arange(size, dtype=np.float32) for size in (1, 3, 2, 3)]
    model = tensorflow.build(configured("total"))
    batch = Columns({"x": Ragged.of_rows(rows, np.float32, 1)}, 4)
    result = uniformly(lambda part: Columns(model.run({"x": part}, ["y"]), part.row_count), batch, ["x"])
    assert result["y"].to_rows() == [0, 3, 1, 3]


def test_a_model_for_one_row_is_run_row_by_row_and_one_for_two_is_refused(configured, net):
    results = run(configured("one_row"), "text", "y", x=ROWS)
    np.testing.assert_allclose(results["y"].values, net.serving_default(ROWS)["logits"].numpy(), atol=1e-6)
    assert results["text"].to_rows() == [f"{value:.1f}" for value in ROWS[:, 0]]
    assert (
        "takes batches of exactly 2 rows; export it with a first dimension of None"
        in problems(configured("two_rows"))["uri"]
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("scalar", "input 'x' is a scalar, without a batch dimension"),
        ("no_rank", "input 'x' does not say its rank"),
        ("complex", "input 'x' is of COMPLEX64, which is not supported"),
    ],
)
def test_inputs_that_no_column_can_feed_are_refused(configured, name, reason):
    assert reason in problems(configured(name))["uri"]
    with pytest.raises(SystemicError, match=reason):
        tensorflow.build(configured(name))


def test_outputs_that_can_not_be_served_are_left_out_or_declared(configured):
    signature = tensorflow.signature(configured("odd_outputs"))
    assert {field.datatype for field in signature.outputs.values()} == {""}
    assert "scalar, without a batch dimension" in signature.notes["count"]
    assert "is of BFLOAT16" in signature.notes["half"]
    assert "does not say the rank of output 'unknown'; declare its datatype and shape" in signature.notes["unknown"]
    result = run(configured("odd_outputs"), "unknown", x=np.float32([2]))["unknown"]
    assert (result.datatype, result.shape) == ("FP32", (1,))


def test_an_unknown_signature_is_refused_with_those_that_there_are(configured):
    assert "has no signature 'uper'; did you mean 'upper'?" in problems(configured("uper"))["signature_name"]
    assert "expected one of 'complex', 'no_rank'" in problems(configured("zzzzz"))["signature_name"]
    with pytest.raises(SystemicError, match="has no signature 'uper'"):
        tensorflow.build(configured("uper"))


def test_a_truncated_saved_model_is_refused_wherever_it_is_cut(saved, tmp_path):
    content = (Path(saved) / "saved_model.pb").read_bytes()
    for length in (0, 1, 2, 3, 50, len(content) // 3, len(content) // 2, len(content) - 1):
        (tmp_path / "saved_model.pb").write_bytes(content[:length])
        assert "saved_model.pb' is of no SavedModel: it " in problems(TensorFlowModel(uri=str(tmp_path)))["uri"]
    with pytest.raises(SystemicError, match="is of no SavedModel: it is damaged, or only a part of one"):
        tensorflow.build(TensorFlowModel(uri=str(tmp_path)))


def test_a_damaged_saved_model_never_raises_anything_else(saved):
    content = (Path(saved) / "saved_model.pb").read_bytes()
    random = np.random.default_rng(0)
    for _ in range(30):
        damaged = bytearray(content)
        for position in random.integers(0, len(damaged), 20):
            damaged[position] = random.integers(256)
        try:
            found = read_saved_model(io.BytesIO(damaged))
        except SavedModelError:
            continue
        for name in found.signature_names:
            found.interface(name)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"hello, this is a text", "it looks like text"),
        (b"\x08\x01", "it has no MetaGraph"),
        (b"PK\x03\x04" + bytes(40), "it looks like a zip file"),
    ],
)
def test_a_file_that_is_no_saved_model_is_refused_with_the_reason(tmp_path, content, reason):
    (tmp_path / "saved_model.pb").write_bytes(content)
    assert reason in problems(TensorFlowModel(uri=str(tmp_path)))["uri"]


def test_a_directory_without_a_saved_model_is_refused_and_says_what_is_expected(tmp_path):
    message = problems(TensorFlowModel(uri=f"{tmp_path}/"))["uri"]
    assert message.startswith(
        f"can't read '{tmp_path}/saved_model.pb': there is no such file; expected the directory of"
    )
    with pytest.raises(SystemicError, match=r"can't read .*saved_model.pb"):
        tensorflow.build(TensorFlowModel(uri=str(tmp_path)))


def write_file(x):
    tf.io.write_file("never-written", "x")
    return {"y": x}


def read_in_a_branch(x):
    return {"y": tf.cond(x[0] > 0, lambda: x, lambda: tf.strings.to_number(tf.io.read_file("/etc/hostname")) + x)}


def run_python(x):
    return {"y": tf.ensure_shape(tf.numpy_function(lambda value: value, [x], tf.float32), [None])}


def print_to_a_file(x):
    tf.print(x, output_stream="file://never-written")
    return {"y": x}


def read_lines(x):
    return {"y": tf.data.TextLineDataset("/etc/hostname").reduce(x, lambda total, line: total)}


@pytest.mark.parametrize(
    ("body", "operation"),
    [
        (write_file, "WriteFile"),
        (read_in_a_branch, "ReadFile"),
        (run_python, "PyFunc"),
        (print_to_a_file, "PrintV2"),
        (read_lines, "TextLineDataset"),
    ],
)
def test_operations_that_touch_files_or_run_python_are_refused_on_the_host_and_the_worker(tmp_path, body, operation):
    config = save(tf.function(body, input_signature=[spec(None)]), tmp_path / "evil")
    reason = f"touch files or connections by themselves, or run Python: {operation}; export the model without them"
    assert reason in problems(config)["uri"]
    with pytest.raises(SystemicError, match=reason):
        tensorflow.build(config)


def test_a_refused_operation_in_the_main_graph_is_found(tmp_path):
    graph = tf.Graph()
    with graph.as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None, 2], name="x")
        tf.io.matching_files("/etc/*")
        tf.compat.v1.saved_model.simple_save(session, str(tmp_path / "old"), {"x": x}, {"y": x * 2})
    assert "run Python: MatchingFiles" in problems(TensorFlowModel(uri=str(tmp_path / "old")))["uri"]


def test_a_saved_model_of_tensorflow_1_with_several_graphs_is_served_by_the_one_for_serving(tmp_path):
    builder = tf.compat.v1.saved_model.Builder(str(tmp_path / "old"))
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, [None, 2], name="x")
        weights = tf.compat.v1.get_variable("w", initializer=[2.0, 3.0], use_resource=True)
        session.run(tf.compat.v1.global_variables_initializer())
        signature = tf.compat.v1.saved_model.predict_signature_def({"x": x}, {"y": x * weights})
        builder.add_meta_graph_and_variables(session, ["train"], {})
        builder.add_meta_graph(["serve"], {"serving_default": signature})
    builder.save()
    config = TensorFlowModel(uri=str(tmp_path / "old"))
    assert tensorflow.signature(config).outputs == {"y": Field("y", "FP32", (2,))}
    assert run(config, "y", x=np.float32([[1, 2]]))["y"].to_rows() == [[2.0, 6.0]]


def test_a_model_of_an_object_store_is_copied_with_its_variables_and_assets(tmp_path, object_store):
    (tmp_path / "words.txt").write_text("minus\nplus\n")
    module = tf.Module()
    module.lookup = tf.keras.layers.StringLookup(vocabulary=str(tmp_path / "words.txt"))
    module.offset = tf.Variable(10, dtype=tf.int64)
    body = tf.function(lambda x: {"index": module.lookup(x) + module.offset})
    signature = body.get_concrete_function(spec(None, dtype=tf.string))
    tf.saved_model.save(module, str(tmp_path / "net"), {"serving_default": signature})
    files = [path for path in (tmp_path / "net").rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} == {"net", "variables", "assets"}
    object_store.update({f"objects://models/{path.relative_to(tmp_path)}": path.read_bytes() for path in files})
    config = TensorFlowModel(uri="objects://models/net/")
    assert tensorflow.signature(config).inputs == {"x": Field("x", "BYTES")}
    assert run(config, "index", x=["plus", "other", "minus"])["index"].to_rows() == [12, 10, 11]


def test_what_a_row_makes_tensorflow_raise_is_a_value_error_with_the_reason_alone(configured):
    with pytest.raises(ValueError, match=r"^StringToNumberOp could not correctly convert string: x$"):
        run(configured("parse"), "y", x=["1", "x"])


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (tf.errors.ResourceExhaustedError, MemoryError),  # for which TensorFlow itself waits 10 seconds
        (tf.errors.OutOfRangeError, ValueError),
        (tf.errors.UnimplementedError, SystemicError),
        (tf.errors.InternalError, SystemicError),
    ],
)
def test_errors_of_tensorflow_are_of_memory_of_rows_or_systemic(configured, error, becomes):
    message = "Graph execution error:\n\nDetected at node n\nit went wrong\n\t [[{{node n}}]]\nHint: none"

    def call(tensors):
        raise error(None, None, message)

    model = TensorFlowFunction(call, Interface(tensorflow.signature(configured()), False, ()), "/CPU:0", None)
    with pytest.raises(becomes, match=r"^(TensorFlow failed: )?it went wrong$"):
        model.run(feed(x=ROWS), ["logits"])


def test_rows_of_a_wrong_shape_are_bad_rows(configured):
    with pytest.raises(BadRows, match=r"shape \[3\] does not fit model input 'x', which takes \[4\]"):
        run(configured(), "logits", x=ROWS[:, :3])


def test_several_threads_may_use_one_model(configured, net):
    model = tensorflow.build(configured())
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        batches = list(pool.map(lambda _: model.run(feed(x=ROWS), ["logits"])["logits"].values, range(40)))
    np.testing.assert_allclose(batches, [net.serving_default(ROWS)["logits"].numpy()] * 40, atol=1e-6)


@pytest.mark.parametrize(
    ("message", "becomes"),
    [
        ("Dst tensor is not initialized.", MemoryError),
        ("CUDA error: an illegal memory access was encountered", DeviceFailed),
    ],
)
def test_failures_of_a_gpu_that_show_when_results_are_fetched_are_not_the_rows(
    configured, message, becomes, monkeypatch
):
    def fail(tensor):
        raise tf.errors.InternalError(None, None, message)

    model = tensorflow.build(configured())
    monkeypatch.setattr(type(tf.constant(0)), "numpy", fail)
    with pytest.raises(becomes, match=message):
        model.run(feed(x=ROWS), ["logits"])


def test_a_gpu_that_is_not_there_is_refused(configured):
    with pytest.raises(SystemicError, match=r"device is 'cuda:99', and this worker has (no GPU|\d+ GPU\(s\))"):
        tensorflow.build(configured(), Runtime("cuda:99"))


@pytest.mark.gpu(lambda: tf.config.list_physical_devices("GPU"), "TensorFlow can't use the GPU")
def test_predictions_of_a_gpu_are_those_of_the_cpu(configured, net):
    expected = net.serving_default(ROWS)["logits"].numpy()
    results = run(configured(), "logits", runtime=Runtime("cuda"), x=ROWS)
    np.testing.assert_allclose(results["logits"].values, expected, atol=1e-5)


def test_problems_of_the_message_are_reported_at_once():
    assert [problem.path for problem in tensorflow.check(TensorFlowModel())] == ["uri"]
    field = {"name": "x", "datatype": "FP32"}
    wrong = TensorFlowModel(uri="net", inputs=[field], outputs=[field])
    assert [problem.path for problem in tensorflow.check(wrong)] == ["inputs", "outputs[0]"]


def test_a_missing_package_names_the_extra(monkeypatch, configured):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(SystemicError, match=r"install beam-ml-expansion\[tensorflow\] on the workers"):
        tensorflow.build(configured())


def test_signatures_are_read_without_tensorflow(saved):
    program = (
        "import sys; from expansion.models import tensorflow\n"
        "from expansion.contract._gen.model_pb2 import TensorFlowModel\n"
        f"assert tensorflow.signature(TensorFlowModel(uri={saved!r})).outputs\n"
        "print({'tensorflow', 'keras', 'h5py', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_directory_may_be_overwritten_while_its_model_is_in_use_and_is_then_refreshed(tmp_path, check_refresh):
    net = Net()
    for name in ("first", "second"):
        tf.saved_model.save(net, str(tmp_path / name), {"serving_default": net.serving_default})
        net.weights.assign(net.weights * 2)

    def configured(uri):
        return Model(tensorflow=TensorFlowModel(uri=uri))

    check_refresh(tmp_path / "first", tmp_path / "second", configured, feed(x=ROWS), "logits")

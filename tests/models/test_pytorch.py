# Licensed under the Apache License, Version 2.0; see LICENSE.
import io
import json
import subprocess
import sys
import weakref
import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from expansion.contract._gen.model_pb2 import Model, PyTorchModel
from expansion.contract.fields import Field
from expansion.errors import BadRows, ConfigError, DeviceFailed, SystemicError
from expansion.models import pytorch
from expansion.models.pytorch_file import Interface, PyTorchFileError, exported_interface
from expansion.models.runtime import Runtime
from expansion.tensors.columns import Columns, Dense, Ragged
from expansion.tensors.grouping import uniformly

pytestmark = pytest.mark.framework
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu(torch.cuda.is_available, "PyTorch can't use the GPU"))]

X = {"name": "x", "datatype": "FP32", "shape": [4]}
LOGITS = {"name": "logits", "datatype": "FP32", "shape": [3]}
ROWS = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


class Net(torch.nn.Module):
    """A class of a user's own."""

    def __init__(self, size=3):
        super().__init__()
        self.linear = torch.nn.Linear(4, size)

    def forward(self, x):
        return self.linear(x)


class TwoInTwoOut(torch.nn.Module):
    def forward(self, a, *, b):
        return {"sum": a + b, "difference": a - b}


class SumOfAll(torch.nn.Module):
    def forward(self, x):
        return x.sum(dim=1)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return Net().eval()


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setitem(sys.modules, "my_package.nets", sys.modules[__name__])
    monkeypatch.setitem(sys.modules, "my_package", sys.modules[__name__])


def export(module, path, arguments, keywords=None, dynamic=True):
    shapes = None
    if dynamic:
        batch = torch.export.Dim("batch")
        names = list(keywords or {})
        shapes = tuple({0: batch} for _ in arguments) if not names else None
        if names:
            parameters = list(module.forward.__code__.co_varnames[1 : 1 + len(arguments)])
            shapes = {name: {0: batch} for name in [*parameters, *names]}
    torch.export.save(torch.export.export(module, arguments, keywords, dynamic_shapes=shapes), path)
    return str(path)


@pytest.fixture(params=["torchscript", "export", "state_dict", "safetensors"])
def config(request, net, tmp_path):
    """The same network, as each kind of file."""
    path = tmp_path / f"net.{request.param}"
    declared = {"inputs": [X], "outputs": [LOGITS]}
    if request.param == "torchscript":
        torch.jit.script(net).save(str(path))
    elif request.param == "export":
        export(net, path.with_suffix(".pt2"), (torch.zeros(2, 4),))
        return PyTorchModel(uri=str(path.with_suffix(".pt2")))
    else:
        save = torch.save if request.param == "state_dict" else safetensors.torch.save_file
        save(net.state_dict(), path)
        declared.update(model_class="my_package.nets.Net", class_arguments={"size": "3"})
    return PyTorchModel(uri=str(path), **declared)


def columns(**arrays):
    return Columns({name: Dense(array) for name, array in arrays.items()}, len(next(iter(arrays.values()))))


def run(config, *outputs, runtime=Runtime(), **inputs):
    feed = {name: columns(**{name: array}) for name, array in inputs.items()}
    return pytorch.build(config, runtime).run(feed, outputs)


def problems(config):
    with pytest.raises(ConfigError) as raised:
        pytorch.signature(config)
    return {problem.path: problem.message for problem in raised.value.problems}


@pytest.mark.parametrize("device", DEVICES)
def test_every_kind_of_file_gives_what_the_module_gives(config, net, device):
    expected = net(torch.from_numpy(ROWS)).detach().numpy()
    (output,) = pytorch.signature(config).outputs
    results = run(config, output, runtime=Runtime(device), x=ROWS)
    np.testing.assert_allclose(results[output].values, expected, atol=1e-6 if device == "cpu" else 1e-5)


def test_every_kind_of_file_has_a_signature(config):
    signature = pytorch.signature(config)
    assert signature.inputs == {"x": Field("x", "FP32", (4,))}
    assert [(field.datatype, field.shape) for field in signature.outputs.values()] == [("FP32", (3,))]


def test_half_a_file_is_refused_by_the_service_or_the_worker_and_says_so(config, tmp_path):
    content = Path(config.uri).read_bytes()
    half = tmp_path / "half"
    half.write_bytes(content[: len(content) // 2])
    config.uri = str(half)
    with pytest.raises(SystemicError, match="half"):
        pytorch.build(config)


def test_an_exported_program_says_its_inputs_and_outputs_by_name(tmp_path):
    path = export(TwoInTwoOut(), tmp_path / "two.pt2", (torch.zeros(2, 3),), {"b": torch.zeros(2, 3)})
    signature = pytorch.signature(PyTorchModel(uri=path))
    assert signature.inputs == {name: Field(name, "FP32", (3,)) for name in ("a", "b")}
    assert signature.outputs == {name: Field(name, "FP32", (3,)) for name in ("sum", "difference")}
    a, b = np.float32([[1, 2, 3]]), np.float32([[4, 5, 7]])
    results = run(PyTorchModel(uri=path), "difference", "sum", a=a, b=b)
    assert list(results) == ["difference", "sum"]
    assert results["difference"].to_rows() == [[-3, -3, -4]]


def test_a_program_for_one_row_runs_row_by_row_and_one_for_two_is_refused(net, tmp_path):
    one = PyTorchModel(uri=export(net, tmp_path / "one.pt2", (torch.zeros(1, 4),), dynamic=False))
    expected = net(torch.from_numpy(ROWS)).detach().numpy()
    np.testing.assert_allclose(run(one, "output", x=ROWS)["output"].values, expected, atol=1e-6)
    two = PyTorchModel(uri=export(net, tmp_path / "two.pt2", (torch.zeros(2, 4),), dynamic=False))
    assert "was exported for batches of 2 rows" in problems(two)["uri"]


def test_rows_of_unequal_length_are_run_in_their_own_shapes_where_stacking_them_would_fail(tmp_path):
    path = tmp_path / "sum.pt"
    torch.jit.script(SumOfAll()).save(str(path))
    ragged = [np.arange(size, dtype=np.float32) for size in (1, 3, 2, 3)]
    with pytest.raises(RuntimeError, match="stack expects each tensor to be equal size"):
        torch.stack([torch.from_numpy(row) for row in ragged])
    field = {"name": "x", "datatype": "FP32", "shape": [-1]}
    model = pytorch.build(PyTorchModel(uri=str(path), inputs=[field], outputs=[{"name": "y", "datatype": "FP32"}]))
    rows = Columns({"x": Ragged.of_rows(ragged, np.float32, 1)}, 4)
    result = uniformly(lambda part: Columns(model.run({"x": part}, ["y"]), part.row_count), rows, ["x"])
    assert result["y"].values.tolist() == [0, 3, 1, 3]


def test_weights_need_a_class_and_what_it_takes(net, tmp_path):
    torch.save(net.state_dict(), tmp_path / "net.pth")
    found = problems(PyTorchModel(uri=str(tmp_path / "net.pth")))
    assert list(found) == ["model_class", "inputs", "outputs"]
    assert "the file is a state_dict, which holds weights only" in found["model_class"]


def test_a_program_needs_no_class_and_no_declarations(net, tmp_path):
    path = export(net, tmp_path / "net.pt2", (torch.zeros(2, 4),))
    assert list(problems(PyTorchModel(uri=path, model_class="a.B", inputs=[X], outputs=[LOGITS]))) == [
        "model_class",
        "inputs",
        "outputs",
    ]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"hello, this is a text", "it looks like text"),
        (b"\x80\x02}q\x00.", "save the weights with safetensors, or anew with torch.save"),
        (b"PK\x03\x04 and nothing else", "it is a damaged zip file, or a part of one"),
        ((2**20).to_bytes(8, "little") + b"{}", "it ends in the middle of the header of safetensors"),
    ],
)
def test_a_file_that_is_no_model_is_refused_at_expansion(tmp_path, content, reason):
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    assert reason in problems(PyTorchModel(uri=str(path)))["uri"]


def archive(graph, name="model/models/model.json"):
    """Makes a zip file with this graph, as torch.export.save does."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr(name, graph)
    return content


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (b"[" + b"{}," * (2 << 20) + b"1]", "more than 1048576 objects and arrays"),
        (b" " * (33 << 20), "has 34603008 bytes; at most 33554432 are read"),
        (b"[" * 1_000_000, "model.json' is no JSON"),
    ],
)
def test_a_small_file_with_an_enormous_graph_is_refused_before_it_takes_memory(graph, reason):
    content = archive(graph)
    assert len(content.getvalue()) < 100_000
    with pytest.raises(PyTorchFileError, match=reason):
        exported_interface(content)


def test_a_stored_graph_that_is_larger_than_a_directory_may_be_is_read():
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made:
        made.writestr("model/models/model.json", b'{"graph_module": {}}' + b" " * (17 << 20))
    with pytest.raises(PyTorchFileError, match="its graph can't be read \\(KeyError: 'graph'\\)"):
        exported_interface(content)


@pytest.mark.parametrize("size", [2**70, -5])
def test_a_program_with_a_dimension_that_no_tensor_has_is_refused(size):
    tensor = {"as_tensor": {"name": "a"}}
    graph = {
        "graph": {"tensor_values": {"a": {"sizes": [{"as_expr": 0}, {"as_int": size}], "dtype": 7}}},
        "signature": {
            "input_specs": [{"user_input": {"arg": tensor}}],
            "output_specs": [{"user_output": {"arg": tensor}}],
        },
        "module_call_graph": [{"signature": None}],
    }
    with pytest.raises(PyTorchFileError, match=f"a tensor has a dimension of {size}"):
        exported_interface(archive(json.dumps({"graph_module": graph})))


def test_problems_of_the_message_are_reported_at_once():
    config = PyTorchModel(
        model_class="Net", class_arguments={"size": "three"}, inputs=[{"name": "x", "datatype": "FLOAT"}], dtype="FP64"
    )
    assert [problem.path for problem in pytorch.check(config)] == [
        "uri",
        "model_class",
        "class_arguments.size",
        "inputs[0].datatype",
        "dtype",
    ]


def test_only_a_class_needs_the_operators_permission():
    assert list(pytorch.permissions(PyTorchModel(uri="x"))) == []
    (permission,) = pytorch.permissions(PyTorchModel(uri="x", model_class="a.B"))
    assert (permission.option, permission.value) == ("--allow-import", "a.B")


def test_weights_for_another_class_are_systemic(net, tmp_path):
    torch.save(net.state_dict(), tmp_path / "net.pth")
    config = PyTorchModel(
        uri=str(tmp_path / "net.pth"), model_class="my_package.nets.Net", inputs=[X], outputs=[LOGITS]
    )
    config.class_arguments["size"] = "5"
    with pytest.raises(SystemicError, match=r"can't load .*net.pth"):
        pytorch.build(config)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("setting", [{"dtype": "BF16"}, {"autocast": "BF16"}])
def test_lower_precision_comes_back_as_declared(net, tmp_path, setting, device):
    torch.jit.script(net).save(str(tmp_path / "net.pt"))
    config = PyTorchModel(uri=str(tmp_path / "net.pt"), inputs=[X], outputs=[LOGITS], **setting)
    values = run(config, "logits", runtime=Runtime(device), x=ROWS)["logits"].values
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, net(torch.from_numpy(ROWS)).detach().numpy(), atol=0.05)


def test_a_wrong_shape_is_a_bad_row_and_what_the_model_raises_is_a_value_error(net, tmp_path):
    torch.jit.script(net).save(str(tmp_path / "net.pt"))
    config = PyTorchModel(uri=str(tmp_path / "net.pt"), inputs=[X], outputs=[LOGITS])
    with pytest.raises(BadRows, match=r"takes \[4\]"):
        run(config, "logits", x=ROWS[:, :3])
    config.inputs[0].shape[0] = -1
    with pytest.raises(ValueError, match="mat1 and mat2 shapes cannot be multiplied"):
        run(config, "logits", x=ROWS[:, :3])


class Fails(torch.Tensor):
    """A result that can't be fetched: what happens on a GPU is known only then."""

    error = RuntimeError()

    def cpu(self):
        raise self.error


class FailsLater(torch.nn.Module):
    def forward(self, x):
        return torch.zeros(len(x), 3).as_subclass(Fails)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (RuntimeError("CUDA error: device-side assert triggered"), DeviceFailed),
        (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), DeviceFailed),
        (RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"), MemoryError),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), MemoryError),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"), MemoryError),
    ],
)
def test_failures_of_a_gpu_that_show_when_results_are_fetched_are_not_the_rows(error, expected, monkeypatch):
    monkeypatch.setattr(Fails, "error", error)
    message = PyTorchModel(inputs=[X], outputs=[LOGITS])
    declared = Interface([Field.from_proto(message.inputs[0])], [Field.from_proto(message.outputs[0])], frozenset(), -1)
    model = pytorch.PyTorchModule(FailsLater(), message, declared, "cpu")
    with pytest.raises(expected, match=r"CUDA|CUBLAS|CUDNN"):
        model.run({"x": Columns({"x": Dense(ROWS)}, 5)}, ["logits"])


class RunsOut(torch.nn.Module):
    """Runs out of memory with something in it."""

    def forward(self, x):
        made = x * 2
        self.made = weakref.ref(made)
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def test_what_a_call_holds_that_runs_out_of_memory_is_freed_before_pytorch_gives_back_what_is_free(monkeypatch):
    message = PyTorchModel(inputs=[X], outputs=[LOGITS])
    declared = Interface([Field.from_proto(message.inputs[0])], [Field.from_proto(message.outputs[0])], frozenset(), -1)
    module, still_there = RunsOut(), []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: still_there.append(module.made()))
    model = pytorch.PyTorchModule(module, message, declared, "cpu")
    with pytest.raises(MemoryError):
        model.run({"x": Columns({"x": Dense(ROWS)}, 5)}, ["logits"])
    assert still_there == [None]


class Positions(torch.nn.Module):
    def forward(self, x):
        return x + torch.arange(4, device=x.device)


def test_an_exported_program_keeps_no_device_of_the_machine_where_it_was_exported(tmp_path):
    path = export(Positions(), tmp_path / "positions.pt2", (torch.zeros(2, 4),))
    # Nothing is computed on "meta", but it is the one other device that every machine has.
    module = pytorch._load(PyTorchModel(uri=path), pytorch.EXPORT, Path(path), "meta")
    assert module(torch.zeros(2, 4, device="meta")).device.type == "meta"


def test_an_array_that_can_not_be_written_to_is_copied_once_and_what_a_module_does_to_it_stays_there(tmp_path):
    class InPlace(torch.nn.Module):
        def forward(self, x):
            return x.mul_(2)

    torch.jit.trace(InPlace(), torch.zeros(2, 4)).save(str(tmp_path / "net.pt"))
    config = PyTorchModel(uri=str(tmp_path / "net.pt"), inputs=[X], outputs=[{**X, "name": "y"}])
    rows = ROWS.copy()
    rows.flags.writeable = False
    np.testing.assert_array_equal(run(config, "y", x=rows)["y"].values, 2 * ROWS)
    np.testing.assert_array_equal(rows, ROWS)


def test_a_gpu_that_is_not_there_is_systemic(net, tmp_path):
    torch.jit.script(net).save(str(tmp_path / "net.pt"))
    config = PyTorchModel(uri=str(tmp_path / "net.pt"), inputs=[X], outputs=[LOGITS])
    with pytest.raises(SystemicError, match=r"device is 'cuda:99', and this worker has (no GPU|\d+ GPU\(s\))"):
        pytorch.build(config, Runtime("cuda:99"))


def test_signatures_are_read_without_pytorch(net, tmp_path):
    path = export(net, tmp_path / "net.pt2", (torch.zeros(2, 4),))
    program = (
        "import sys; from expansion.models import pytorch; from expansion.contract._gen.model_pb2 import PyTorchModel\n"
        f"pytorch.signature(PyTorchModel(uri={path!r})); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_file_of_any_kind_may_be_overwritten_while_its_model_is_in_use_and_is_then_refreshed(
    config, net, tmp_path, check_refresh
):
    first, second = Path(config.uri), tmp_path / "second"
    (output,) = pytorch.signature(config).outputs
    with torch.no_grad():
        net.linear.weight.mul_(2)
    if first.suffix == ".pt2":
        export(net, second, (torch.zeros(2, 4),))
    elif first.suffix == ".torchscript":
        torch.jit.script(net).save(str(second))
    else:
        (torch.save if first.suffix == ".state_dict" else safetensors.torch.save_file)(net.state_dict(), second)

    def configured(uri):
        config.uri = uri
        return Model(pytorch=config)

    check_refresh(first, second, configured, {"x": columns(x=ROWS)}, output)

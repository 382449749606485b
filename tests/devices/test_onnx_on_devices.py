# Licensed under the Apache License, Version 2.0; see LICENSE.
"""ONNX Runtime: batches that do not fit, and rows of unequal size."""

from contextlib import nullcontext
from functools import partial

import numpy as np
import onnxruntime
import pytest


def uses_cuda():
    return "CUDAExecutionProvider" in onnxruntime.get_available_providers()


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu(uses_cuda, "onnxruntime-gpu is not installed"))]
pytestmark = [pytest.mark.framework, pytest.mark.parametrize("device", DEVICES)]

MIB = 1 << 20


@pytest.fixture
def save(tmp_path):
    """Writes a model of these nodes, FP32 x → y, and returns its path."""
    from onnx import TensorProto, helper, save_model

    def save(nodes, x_shape, y_shape, *initializers):
        x, y = (helper.make_tensor_value_info(*each) for each in (("x", 1, x_shape), ("y", 1, y_shape)))
        assert TensorProto.FLOAT == 1
        made = [helper.make_node(kind, inputs, outputs, **more) for kind, inputs, outputs, more in nodes]
        graph = helper.make_graph(made, "graph", [x], [y], list(initializers))
        opset = helper.make_opsetid("", 18)
        save_model(helper.make_model(graph, opset_imports=[opset], ir_version=8), tmp_path / "model.onnx")
        return str(tmp_path / "model.onnx")

    return save


def test_a_batch_that_does_not_fit_is_run_in_parts_and_the_smaller_size_is_kept(
    save, device, check_halving, address_space
):
    from onnx import numpy_helper

    # ONNX Runtime's memory can't be limited by a configuration: half of the rows are more than any GPU has, 256 GiB.
    per_row = MIB if device == "cpu" else 512 * MIB
    factors = np.linspace(0.25, 0.75, per_row // 64, dtype=np.float32)
    last = numpy_helper.from_array(np.array([2]), "last")
    nodes = [
        ("Unsqueeze", ["x", "last"], ["column"], {}),
        ("Mul", ["column", "factors"], ["wide"], {}),
        ("Relu", ["wide"], ["positive"], {}),
        ("Add", ["wide", "positive"], ["both"], {}),
        ("ReduceMean", ["both", "last"], ["y"], {"keepdims": 0}),
    ]
    uri = save(nodes, ["n", 16], ["n", 16], numpy_helper.from_array(factors, "factors"), last)
    model = {"onnx": {"uri": uri}, "device": device}
    if device == "cpu":
        check_halving(model, partial(address_space, 800 * MIB))
    else:
        check_halving(model, nullcontext, parts=[2**power for power in range(2, 10)])


@pytest.mark.parametrize("pre_hooks", [[], [{"pad": {"columns": ["x"], "longest": True}}]], ids=["by shape", "padded"])
def test_rows_of_unequal_size_give_what_each_gives_by_itself(save, device, check_unequal, pre_hooks):
    from onnx import numpy_helper

    nodes = [("Mul", ["x", "x"], ["squares"], {}), ("ReduceSum", ["squares", "last"], ["y"], {"keepdims": 0})]
    uri = save(nodes, ["n", "length"], ["n"], numpy_helper.from_array(np.array([1]), "last"))
    check_unequal({"model": {"onnx": {"uri": uri}, "device": device}, "pre_hooks": pre_hooks})

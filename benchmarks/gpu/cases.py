# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The models that are measured, each the same in every framework, and the sizes of batches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Case:
    """A model x FP32[*shape] → y FP32[16] and a batch size.

    Attributes:
        model: "perceptron", of three layers of 1,024; or "convolutional", of three layers with a stride of 2.
        shape: Shape of a row.
        rows: Rows in a batch.
    """

    model: str
    shape: tuple[int, ...]
    rows: int


CASES = [
    Case("perceptron", (512,), 256),
    Case("perceptron", (512,), 4096),
    Case("convolutional", (3, 128, 128), 64),
]


def model_config(framework: str, case: Case, folder: Path) -> dict[str, Any]:
    """Writes the model of a case for a framework, the same for all, and returns its configuration."""
    weights = weights_of(case)
    if framework == "pytorch":
        return {"pytorch": {"uri": write_pytorch(case, weights, folder / "model.pt2")}}
    uri = write_onnx(case, weights, folder / "model.onnx")
    if framework == "tensorrt":
        return {"tensorrt": {"uri": uri, "max_rows": case.rows}}
    return {"onnx": {"uri": uri}}


def weights_of(case: Case) -> list[Array]:
    """Returns the weights of each layer: [in, out], or of convolutions [out, in, 3, 3]."""
    random = np.random.default_rng(1)
    if case.model == "perceptron":
        shapes: list[tuple[int, ...]] = [(512, 1024), (1024, 1024), (1024, 1024), (1024, 16)]
    else:
        shapes = [(32, 3, 3, 3), (64, 32, 3, 3), (128, 64, 3, 3), (128, 16)]
    fans = [shape[0] if len(shape) == 2 else 9 * shape[1] for shape in shapes]
    return [(random.normal(size=shape) / fan**0.5).astype(np.float32) for shape, fan in zip(shapes, fans, strict=True)]


def write_pytorch(case: Case, weights: list[Array], path: Path) -> str:
    """Writes an exported program for batches of any size."""
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weights = torch.nn.ParameterList(map(torch.from_numpy, weights))

        def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
            for weight in self.weights[:-1]:
                x = torch.relu(torch.conv2d(x, weight, stride=2) if weight.ndim == 4 else x @ weight)
            return {"y": (x.mean(dim=(2, 3)) if x.ndim == 4 else x) @ self.weights[-1]}

    shapes = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(Net(), (torch.zeros(2, *case.shape),), dynamic_shapes=shapes), path)
    return str(path)


def write_onnx(case: Case, weights: list[Array], path: Path) -> str:
    """Writes the same model as an ONNX file."""
    from onnx import TensorProto, helper, numpy_helper, save_model

    nodes, last = [], "x"
    for index, weight in enumerate(weights[:-1]):
        kind, more = ("Conv", {"strides": [2, 2]}) if weight.ndim == 4 else ("MatMul", {})
        nodes.append(helper.make_node(kind, [last, f"w{index}"], [f"h{index}"], **more))
        nodes.append(helper.make_node("Relu", [f"h{index}"], [last := f"r{index}"]))
    if len(case.shape) == 3:
        nodes.append(helper.make_node("GlobalAveragePool", [last], ["pooled"]))
        nodes.append(helper.make_node("Flatten", ["pooled"], [last := "flat"]))
    nodes.append(helper.make_node("MatMul", [last, f"w{len(weights) - 1}"], ["y"]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", *case.shape])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 16])
    kept = [numpy_helper.from_array(weight, f"w{index}") for index, weight in enumerate(weights)]
    graph = helper.make_graph(nodes, case.model, [x], [y], kept)
    save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return str(path)

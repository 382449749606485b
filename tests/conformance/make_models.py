# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Writes the models that the conformance cases name, small and exact enough to check by hand.

Those of large frameworks are written by FRAMEWORK_models.py beside this file, each in a process of its own.

Usage: python tests/conformance/make_models.py DIRECTORY
"""

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import skops.io
from onnx import TensorProto, helper
from sklearn.linear_model import LogisticRegression


def main(directory: Path, *, large_frameworks: bool = True) -> None:
    """Writes every model, or only those that take no time."""
    directory.mkdir(parents=True, exist_ok=True)
    _identity(directory / "identity.onnx", TensorProto.FLOAT, ["batch", "size"])
    _identity(directory / "identity_scalar.onnx", TensorProto.FLOAT, ["batch"])
    _identity(directory / "identity_int64.onnx", TensorProto.INT64, ["batch", "size"])
    _identity(directory / "identity_string.onnx", TensorProto.STRING, ["batch"])
    _double(directory / "double_scalar.onnx")
    _slope(directory / "slope.onnx")
    _sum_and_difference(directory / "sum_and_difference.onnx")
    _sign(directory / "sign.skops")
    for name, part in (("sum_and_difference.onnx", "truncated.onnx"), ("sign.skops", "truncated.skops")):
        content = (directory / name).read_bytes()
        (directory / part).write_bytes(content[: len(content) // 2])
    # As the first release of MLTransform wrote it: those after it read it, too.
    shutil.copytree(Path(__file__).with_name("artifact"), directory / "artifact", dirs_exist_ok=True)
    if large_frameworks:
        _large_frameworks(directory)


def _large_frameworks(directory: Path) -> None:
    for module in sorted(Path(__file__).parent.glob("*_models.py")):
        if module.name != Path(__file__).name:
            # TorchScript needs a module name that is an identifier.
            program = (
                "import pathlib, runpy, sys\n"
                "runpy.run_path(sys.argv[1], run_name='models')['write'](pathlib.Path(sys.argv[2]))"
            )
            subprocess.run([sys.executable, "-c", program, str(module), str(directory)], check=True)


def _identity(path: Path, kind: int, shape: list[str]) -> None:
    """x → y, the same."""
    _save(path, [helper.make_node("Identity", ["x"], ["y"])], {"x": (kind, shape)}, {"y": (kind, shape)})


def _double(path: Path) -> None:
    """x FP32 → y FP32, twice as much; as identity_scalar.onnx but for that."""
    scalar = (TensorProto.FLOAT, ["batch"])
    _save(path, [helper.make_node("Add", ["x", "x"], ["y"])], {"x": scalar}, {"y": scalar})


def _slope(path: Path) -> None:
    """x FP32 → y FP32, 12345 times as much: a model to train, by writing another number in its place."""
    scalar = (TensorProto.FLOAT, ["batch"])
    slope = helper.make_tensor("slope", TensorProto.FLOAT, [], [12345.0])
    _save(path, [helper.make_node("Mul", ["x", "slope"], ["y"])], {"x": scalar}, {"y": scalar}, [slope])


def _sum_and_difference(path: Path) -> None:
    """a, b FP32 → sum, difference FP32."""
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Sub", ["a", "b"], ["difference"])]
    scalar = (TensorProto.FLOAT, ["batch"])
    _save(path, nodes, {"a": scalar, "b": scalar}, {"sum": scalar, "difference": scalar})


def _save(path: Path, nodes: list, inputs: dict, outputs: dict, constants: Sequence[TensorProto] = ()) -> None:
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)


def _sign(path: Path) -> None:
    """X FP64[2] → whether the sum is positive, as "minus" or "plus"; raises ValueError on NaN."""
    points = np.array([[-1.0, -1.0], [-2.0, -1.0], [1.0, 1.0], [2.0, 1.0]])
    skops.io.dump(LogisticRegression().fit(points, ["minus", "minus", "plus", "plus"]), path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

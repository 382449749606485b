# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Models for pipelines: small, real, made once."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def iris_skops(tmp_path_factory):
    """A logistic regression on iris' four measures, which raises ValueError on NaN."""
    import skops.io
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    iris = load_iris()
    path = tmp_path_factory.mktemp("models") / "iris.skops"
    skops.io.dump(LogisticRegression(max_iter=1000).fit(iris.data, iris.target), path)
    return str(path)


@pytest.fixture(scope="session")
def double_onnx(tmp_path_factory):
    """An ONNX model that doubles its input: x FP32[n, -1] → y FP32[n, -1]."""
    import onnx
    from onnx import TensorProto, helper

    node = helper.make_node("Add", ["x", "x"], ["y"])
    shape = ["batch", "size"]
    graph = helper.make_graph(
        [node],
        "double",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = tmp_path_factory.mktemp("models") / "double.onnx"
    onnx.save(model, path)
    return str(path)


@pytest.fixture(scope="session")
def iris_rows():
    """Iris' measures, as float64 [150, 4]."""
    from sklearn.datasets import load_iris

    return np.asarray(load_iris().data)

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Models of the user's own. The classes here stand for a package of theirs: workers import this module by its name."""

import sys

import numpy as np
import pytest
from apache_beam.ml.inference.base import ModelHandler, PredictionResult

from expansion.contract._gen.model_pb2 import CustomModel
from expansion.contract.fields import Field
from expansion.errors import SystemicError
from expansion.models import custom
from expansion.tensors.columns import Blobs, Columns, Dense

FIELD = {"name": "x", "datatype": "FP32", "shape": [2]}


class Scales:
    """A plain class."""

    def __init__(self, factor=1, uri=None):
        self.factor, self.uri, self.is_loaded = factor, uri, False

    def load(self):
        self.is_loaded = True

    def predict(self, inputs):
        assert self.is_loaded
        return {"y": inputs["x"] * self.factor, "uri": [self.uri or ""] * len(inputs["x"])}


class Sums(ModelHandler):
    """A Beam ModelHandler."""

    def load_model(self):
        return np.sum

    def run_inference(self, batch, model, inference_args=None):
        return [PredictionResult(example, model(example["x"])) for example in batch]


class DoesNotLoad:
    def load(self):
        raise OSError("no weights")

    def predict(self, inputs):
        return inputs


class LosesARow:
    def predict(self, inputs):
        return {"y": inputs["x"][1:]}


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setitem(sys.modules, "my_package.models", sys.modules[__name__])
    monkeypatch.setitem(sys.modules, "my_package", sys.modules[__name__])


def config(name, outputs=({"name": "y", "datatype": "FP32", "shape": [2]},), **more):
    return CustomModel(model_class=f"my_package.models.{name}", inputs=[FIELD], outputs=outputs, **more)


def run(configured, values, *outputs):
    features = Columns({"x": Dense(np.asarray(values, np.float32))}, len(values))
    return custom.build(configured).run({"x": features}, outputs or ["y"])


def test_problems_of_the_message_are_reported_at_once():
    wrong = CustomModel(
        model_class="Model", class_arguments={"size": "three"}, outputs=[{"name": "y", "datatype": "FLOAT"}]
    )
    assert [problem.path for problem in custom.check(wrong)] == [
        "model_class",
        "class_arguments.size",
        "inputs",
        "outputs[0].datatype",
    ]
    assert list(custom.check(config("Scales"))) == []


def test_the_class_needs_the_operators_permission():
    (permission,) = custom.permissions(config("Scales"))
    assert (permission.path, permission.option, permission.value) == (
        "model_class",
        "--allow-import",
        "my_package.models.Scales",
    )


def test_the_signature_is_what_is_declared():
    signature = custom.signature(config("Scales"))
    assert signature.inputs == {"x": Field("x", "FP32", (2,))}
    assert signature.outputs == {"y": Field("y", "FP32", (2,))}


def test_a_plain_class_is_loaded_and_gets_all_rows_at_once():
    outputs = [{"name": "y", "datatype": "FP32", "shape": [2]}, {"name": "uri", "datatype": "STRING"}]
    configured = config("Scales", outputs, class_arguments={"factor": "3"}, uri="models/scale")
    results = run(configured, [[1, 2], [3, 4]], "y", "uri")
    assert results["y"].to_rows() == [[3, 6], [9, 12]]
    assert results["uri"].to_rows() == ["models/scale"] * 2


def test_a_beam_model_handler_gets_a_row_at_a_time():
    results = run(config("Sums", [{"name": "sum", "datatype": "FP64"}]), [[1, 2], [3, 4]], "sum")
    assert results["sum"].to_rows() == [3, 7]
    assert results["sum"].datatype == "FP64"


def test_texts_are_passed_as_they_are():
    configured = CustomModel(
        model_class="my_package.models.Scales",
        inputs=[{"name": "x", "datatype": "STRING"}],
        outputs=[{"name": "y", "datatype": "STRING"}],
        class_arguments={"factor": "2"},
    )
    features = Columns({"x": Blobs.of("STRING", ["a", "b"], 2)}, 2)
    assert custom.build(configured).run({"x": features}, ["y"])["y"].to_rows() == ["aa", "bb"]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Missing", "my_package.models has no Missing on this worker"),
        ("DoesNotLoad", "did not load: OSError: no weights"),
        ("FIELD", "raised TypeError"),
    ],
)
def test_a_class_that_gives_no_model_is_systemic(name, reason):
    with pytest.raises(SystemicError, match=reason):
        custom.build(config(name))


def test_an_object_that_is_no_model_is_systemic():
    with pytest.raises(SystemicError, match=r"collections.OrderedDict is no model; expected a Beam ModelHandler"):
        custom.build(CustomModel(model_class="collections.OrderedDict"))


@pytest.mark.parametrize(
    ("name", "outputs", "reason"),
    [
        ("LosesARow", [{"name": "y", "datatype": "FP32"}], "for 2 rows; expected rows along its first axis"),
        ("Scales", [{"name": "z", "datatype": "FP32"}], "returned no 'z', which it is declared to"),
    ],
)
def test_a_result_that_is_not_as_declared_is_systemic(name, outputs, reason):
    with pytest.raises(SystemicError, match=reason):
        run(config(name, outputs), [[1, 2], [3, 4]], outputs[0]["name"])

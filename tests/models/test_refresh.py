# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Tests look themselves, with poll(); the interval is so long that the thread does not."""

import gc
import logging
import os
import pickle
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from expansion import models
from expansion.contract._gen.model_pb2 import CustomModel, Model, OnnxModel, SklearnModel
from expansion.contract._gen.tensor_pb2 import Field as FieldMessage
from expansion.contract.fields import Field
from expansion.errors import SystemicError
from expansion.models.expected_interface import ExpectedInterface
from expansion.models.refresh import RefreshingModel
from expansion.tensors.columns import Columns, Dense

SCALARS = ExpectedInterface([Field("x", "FP32")], {"y": Field("sum", "FP32")})


def refreshing(config, expected=SCALARS, interval_secs=1e6):
    config.refresh_interval_secs = interval_secs
    return RefreshingModel(config, lambda: models.module_of(config).build(models.framework(config)[1]), expected)


@pytest.fixture
def path(tmp_path, adder):
    path = tmp_path / "model.onnx"
    path.write_bytes(adder(1))
    return path


@pytest.fixture
def model(path):
    return refreshing(Model(onnx=OnnxModel(uri=str(path))))


def rename(path, content):
    new = path.with_suffix(".new")
    new.write_bytes(content)
    os.replace(new, path)


def overwrite(path, content):
    path.write_bytes(content)


def look(model, times=2):
    for _ in range(times):
        model.poll()


def answer(model, rows=1, width=None, name="x", output="y", dtype=np.float32):
    """Returns what the model makes of zeros."""
    values = np.zeros(rows if width is None else (rows, width), dtype)
    return model.run({name: Columns({"f": Dense(values)}, rows)}, [output])[output].values.tolist()


@pytest.mark.parametrize("write", [rename, overwrite])
def test_a_file_name_that_is_used_again_for_as_many_bytes_is_noticed_and_the_version_says_so(model, path, adder, write):
    first = model.version
    assert answer(model) == [1]
    write(path, adder(2))
    assert answer(model) == [1]
    look(model)
    assert answer(model) == [2]
    assert model.take_counts() == (1, 0)
    assert model.take_counts() == (0, 0)
    assert model.version != first
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z-[0-9a-f]{8}", model.version)


def test_a_file_is_loaded_only_when_it_was_the_same_at_two_looks_as_it_may_be_half_written(model, path, adder):
    for number in (2, 3, 4):
        overwrite(path, adder(number)[: 40 * number])  # as it grows
        look(model, 1)
    assert (answer(model), model.take_counts()) == ([1], (0, 0))
    overwrite(path, adder(5))
    look(model, 1)
    assert answer(model) == [1]
    look(model, 1)
    assert (answer(model), model.take_counts()) == ([5], (1, 0))


def test_a_file_that_changes_while_it_is_loaded_is_not_used_and_not_counted(path, adder):
    config = Model(onnx=OnnxModel(uri=str(path)), refresh_interval_secs=0.1)
    changes = iter([b"", adder(3)])  # during the first load, which fails, and during the second one

    def load():
        content = path.read_bytes()
        change = next(changes, None)
        if change is not None:
            rename(path, change or adder(2))
        if change == b"":
            raise SystemicError("cut off")
        assert content
        return models.module_of(config).build(config.onnx)

    model = RefreshingModel(config, load, SCALARS)
    assert (answer(model), model.take_counts()) == ([3], (0, 0))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: b"no model",
        lambda content: content[: len(content) // 2],
        lambda content: b"",
        lambda content: bytes(len(content)),
    ],
)
def test_a_corrupt_or_truncated_file_keeps_the_model_and_is_counted_and_logged_once(model, path, adder, spoil, caplog):
    first = model.version
    overwrite(path, spoil(adder(2)))
    look(model, 20)
    assert (answer(model), model.version, model.take_counts()) == ([1], first, (0, 1))
    [warning] = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert f"{first} stays: " in warning.getMessage()
    rename(path, adder(3))
    look(model)
    assert (answer(model), model.take_counts()) == ([3], (1, 0))


def test_what_failed_is_tried_again_after_ever_longer_pauses(path, adder):
    config, tries, is_down = Model(onnx=OnnxModel(uri=str(path)), refresh_interval_secs=1e6), [], False

    def load():
        tries.append(looks[-1])
        if is_down:
            raise OSError("the network is down")
        return models.module_of(config).build(config.onnx)

    looks = [0]
    model = RefreshingModel(config, load, SCALARS)
    is_down, tries[:] = True, []
    rename(path, adder(2))
    for _ in range(1, 40):
        looks.append(looks[-1] + 1)
        look(model, 1)
    assert tries == [2, 4, 7, 12, 21, 38]
    is_down = False
    look(model, 40)
    assert (answer(model), model.take_counts()) == ([2], (1, 1))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"output": "z"}, "its outputs are z FP32; expected 'y' among them"),
        ({"shape": (3,)}, "its inputs are x FP32[3]; expected x FP32, as planned"),
    ],
)
def test_a_model_with_another_signature_is_refused_and_says_how_it_differs(model, path, adder, change, reason, caplog):
    rename(path, adder(2, **change))
    look(model, 5)
    assert (answer(model), model.take_counts()) == ([1], (0, 1))
    assert reason in caplog.text


def test_a_model_that_two_steps_share_must_suit_both(tmp_path, onnx_file, caplog):
    def content(*outputs):
        nodes = [("Identity", ["x"], [output]) for output in outputs]
        values = [(output, "FLOAT", [None]) for output in outputs]
        with open(onnx_file(nodes, [("x", "FLOAT", [None])], values), "rb") as file:
            return file.read()

    path = tmp_path / "model.onnx"
    path.write_bytes(content("y", "z"))
    model = refreshing(Model(onnx=OnnxModel(uri=str(path))))
    model.expect(ExpectedInterface([Field("x", "FP32")], {"z": Field("z", "FP32")}))
    rename(path, content("y"))
    look(model)
    assert model.take_counts() == (0, 1)
    assert "expected 'z' among them" in caplog.text


def test_a_shape_that_the_configuration_declares_may_stay_open_in_the_model(path, adder):
    path.write_bytes(adder(1, shape=["size"]))
    vector = Field("x", "FP32", (-1,))
    planned = ExpectedInterface([vector], {"y": Field("y", "FP32", (3,))}, frozenset(["y"]))
    model = refreshing(Model(onnx=OnnxModel(uri=str(path))), planned)
    assert answer(model, width=3) == [[1, 1, 1]]
    rename(path, adder(2, shape=["size"]))
    look(model)
    assert answer(model, width=3) == [[2, 2, 2]]


def test_a_first_model_that_is_not_what_was_planned_fails_with_the_reason(path, adder):
    path.write_bytes(adder(1, output="z"))
    with pytest.raises(SystemicError, match="expected 'y' among them, as planned"):
        refreshing(Model(onnx=OnnxModel(uri=str(path))))


def test_a_file_that_is_gone_keeps_the_model_and_is_logged_once(model, path, adder, caplog):
    path.unlink()
    look(model, 5)
    assert (answer(model), model.take_counts()) == ([1], (0, 0))
    assert caplog.text.count("there is no such file") + caplog.text.count("No such file") == 1
    path.write_bytes(adder(2))
    look(model)
    assert answer(model) == [2]


def test_of_a_format_that_says_nothing_a_model_that_fails_on_a_row_of_before_is_refused(tmp_path, caplog):
    from sklearn.linear_model import LinearRegression

    def content(features):
        return pickle.dumps(LinearRegression().fit(np.eye(features), np.ones(features)))

    path = tmp_path / "model.pickle"
    path.write_bytes(content(2))
    planned = ExpectedInterface([Field("X", "", (-1,))], {"predict": Field("predict", "FP64")}, frozenset(["predict"]))
    model = refreshing(Model(sklearn=SklearnModel(uri=str(path), format="pickle")), planned)
    arguments = {"width": 2, "name": "X", "output": "predict", "dtype": np.float64}
    assert answer(model, **arguments) == [1]
    rename(path, content(3))
    look(model)
    assert (model.take_counts(), answer(model, **arguments)) == ((0, 1), [1])
    assert "it fails on a row that the model before it takes: BadRows: row 0: shape [2] does not fit" in caplog.text
    rename(path, content(2))
    look(model)
    assert model.take_counts() == (1, 0)


class FromText:
    """A model of a user's own that adds the number in a text file."""

    def __init__(self, uri):
        self.uri = uri

    def load(self):
        with open(self.uri) as file:
            self.number = float(file.read())

    def predict(self, inputs):
        return inputs["x"] + self.number if self.number < 10 else np.zeros((len(inputs["x"]), 2))


def test_a_class_of_the_users_own_is_made_anew_and_one_that_returns_something_else_is_refused(tmp_path, caplog):
    path = tmp_path / "number"
    path.write_text("1")
    declared = {"datatype": "FP64"}
    custom = CustomModel(
        model_class=f"{__name__}.FromText",
        uri=str(path),
        inputs=[FieldMessage(name="x", **declared)],
        outputs=[FieldMessage(name="y", **declared)],
    )
    model = refreshing(
        Model(custom=custom), ExpectedInterface([Field("x", "FP64")], {"y": Field("y", "FP64")}, frozenset())
    )
    for text, expected, counts in (("2", [2], (1, 0)), ("10", [2], (0, 1)), ("x", [2], (0, 1)), ("3", [3], (1, 0))):
        path.write_text(text)
        look(model)
        assert (answer(model, dtype=np.float64), model.take_counts()) == (expected, counts)
    assert "output 'y' is" in caplog.text
    assert "did not load: ValueError: could not convert string to float: 'x'" in caplog.text


def test_a_batch_that_keeps_its_version_never_mixes_two_and_none_is_answered_by_a_model_that_never_was(path, adder):
    model = refreshing(Model(onnx=OnnxModel(uri=str(path))), interval_secs=0.1)
    number_of, ended = {model.version: 1}, threading.Event()

    def run():
        seen = set()
        while not ended.is_set():
            version = model.current
            seen |= {(str(version.version), *answer(version, 2), *answer(version)) for _ in range(3)}
        return seen

    with ThreadPoolExecutor(4) as threads:
        runs = [threads.submit(run) for _ in range(4)]
        for number in range(2, 7):
            before = model.version
            rename(path, adder(number))
            until(lambda: model.version != before)  # noqa: B023
            number_of[model.version] = number
        ended.set()
        seen = set().union(*(each.result() for each in runs))
    assert len(number_of) == 6
    assert len(seen) >= 5
    assert all(set(answers) == {number_of[version]} for version, *answers in seen)
    assert model.take_counts() == (5, 0)


def test_the_thread_ends_when_the_model_is_dropped(path):
    def threads():
        return [thread for thread in threading.enumerate() if thread.name == "model refresh"]

    gc.collect()
    until(lambda: not threads())
    model = refreshing(Model(onnx=OnnxModel(uri=str(path))))  # which would look in eleven days
    assert len(threads()) == 1
    assert threads()[0].daemon
    del model
    until(lambda: not threads())


def until(condition):
    """Waits until a condition holds."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited for 10 s in vain")

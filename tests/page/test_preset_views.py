# Licensed under the Apache License, Version 2.0; see LICENSE.
import threading

import pytest

from expansion.contract._gen.server_pb2 import Preset
from expansion.contract.fields import Field
from expansion.page.preset_views import PresetViews
from expansion.page.transform_view import View, view_of_preset

PRESETS = [Preset(name="one"), Preset(name="two")]
WAIT_SECS = 60.0


def test_presets_are_read_once():
    read = []

    def view(preset):
        read.append(preset.name)
        return View()

    views = PresetViews(PRESETS, view)
    assert set(views.get(WAIT_SECS)) == set(views.get(WAIT_SECS)) == {"one", "two"}
    assert read == ["one", "two"]


def test_a_model_that_takes_long_to_read_keeps_nobody_waiting_for_the_others():
    goes_on = threading.Event()

    def view(preset):
        if preset.name == "two":
            goes_on.wait(WAIT_SECS)
        return View()

    views = PresetViews(PRESETS, view)
    while set(views.get(0.01)) != {"one"}:  # the first may not have been read yet
        pass
    goes_on.set()
    assert set(views.get(WAIT_SECS)) == {"one", "two"}


def test_presets_with_a_problem_are_read_again_and_only_they():
    read = []

    def view(preset):
        read.append(preset.name)
        return View(problem="" if preset.name == "one" or read.count("two") > 1 else "not there yet")

    views = PresetViews(PRESETS, view, again_secs=0)
    while views.get(WAIT_SECS)["two"].problem:
        pass
    assert read == ["one", "two", "two"]
    views.get(WAIT_SECS)
    assert read == ["one", "two", "two"]


def test_a_problem_is_not_looked_at_again_at_once():
    read = []

    def view(preset):
        read.append(preset.name)
        return View(problem="no such file")

    views = PresetViews(PRESETS, view, again_secs=3600)
    assert views.get(WAIT_SECS) == views.get(WAIT_SECS)
    assert read == ["one", "two"]


def test_an_error_of_ours_is_logged_and_costs_that_preset_only(caplog):
    def view(preset):
        if preset.name == "one":
            raise KeyError("x")
        return View()

    views = PresetViews(PRESETS, view).get(WAIT_SECS)
    assert views["one"].problem == "could not be read; the log of the service says why"
    assert views["two"] == View()
    assert "could not read preset one" in caplog.text


def test_what_a_preset_takes_and_returns_is_read_from_its_model(adder, tmp_path):
    (tmp_path / "a.onnx").write_bytes(adder(1, shape=(3,)))
    preset = Preset(name="adder", run_inference={"model": {"onnx": {"uri": str(tmp_path / "a.onnx")}}})
    view = view_of_preset(preset)
    assert view.problem == ""
    assert list(view.inputs.values()) == [Field("x", "FP32", (3,))]
    outputs = [Field("x", "FP32", (3,)), Field("y", "FP32", (3,)), Field("model_id", "STRING")]
    assert list(view.outputs.values()) == outputs
    assert [(code.language, code.is_code, bool(code.build)) for code in view.codes] == [
        ("java", True, True),
        ("python", True, False),
        ("yaml", True, False),
        ("go", True, False),
    ]


@pytest.mark.parametrize("routing", ["split", "ensemble", "per_key", "model_uris"])
def test_of_several_models_it_is_read_from_the_one_that_says_what_all_take(adder, tmp_path, routing):
    (tmp_path / "a.onnx").write_bytes(adder(1))
    model = {"onnx": {"uri": str(tmp_path / "a.onnx")}}
    config = {
        "split": {"split": {"column": "by", "arms": [{"name": "old", "weight": 1, "model": model}]}},
        "ensemble": {"ensemble": {"models": [model, model]}},
        "per_key": {
            "per_key": {"column": "by", "signature_key": "a"},
            "model": {"onnx": {"uri": str(tmp_path / "{key}.onnx")}},
        },
        "model_uris": {"model_uris": {}, "model": model},
    }[routing]
    view = view_of_preset(Preset(name="several", run_inference=config))
    assert view.problem == ""
    assert view.inputs["x"] == Field("x", "FP32")
    assert view.outputs["y"] == Field("y", "FP32")
    assert ("by" in view.inputs) == (routing in ("split", "per_key"))


def test_of_a_model_that_is_not_there_it_is_said_what_is_wrong():
    view = view_of_preset(Preset(name="lost", run_inference={"model": {"onnx": {"uri": "/nowhere/a.onnx"}}}))
    assert view.problem == "model.onnx.uri: can't read '/nowhere/a.onnx': there is no such file"
    assert view.outputs == {}
    assert [code.is_code for code in view.codes if code.language == "java"] == [True]

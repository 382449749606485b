# Licensed under the Apache License, Version 2.0; see LICENSE.
import pytest

from expansion.page.diagram import stages_of, without_secrets


def names(stages):
    return [(stage.title, stage.choice, [(box.kind, box.name, box.label) for box in stage.boxes]) for stage in stages]


def test_hooks_and_model_of_a_preset_are_in_the_order_in_which_rows_meet_them():
    config = {
        "model": {"onnx": {"uri": "a.onnx"}, "device": "cpu"},
        "inputs": [{"name": "x", "columns": ["a", "b"]}],
        "outputs": [{"source": "y", "name": "score"}, {"source": "z"}],
        "pre_hooks": [{"scale": {"columns": ["a"], "affine": {"factor": 0.5}}}],
        "post_hooks": [{"argmax": {"column": "score"}}],
    }
    stages = stages_of({"run_inference": config})
    assert names(stages) == [
        ("pre hook", "", [("hook", "scale", "")]),
        ("model", "", [("framework", "onnx", "")]),
        ("post hook", "", [("hook", "argmax", "")]),
    ]
    assert [stage.boxes[0].settings for stage in stages] == [
        ("columns: a", "affine: factor 0.5"),
        ("uri: a.onnx", "device: cpu", "x ← a, b", "y → score"),
        ("column: score",),
    ]


def test_later_models_of_a_chain_follow_with_hooks_of_their_own():
    step = {"model": {"sklearn": {"uri": "b.skops"}}, "pre_hooks": [{"cast": {}}], "post_hooks": [{"select": {}}]}
    stages = stages_of({"run_inference": {"model": {"onnx": {"uri": "a.onnx"}}, "then": [step]}})
    assert [(stage.title, stage.boxes[0].name) for stage in stages] == [
        ("model", "onnx"),
        ("pre hook", "cast"),
        ("then model", "sklearn"),
        ("post hook", "select"),
    ]


def onnx(uri):
    return {"onnx": {"uri": uri}}


@pytest.mark.parametrize(
    ("routing", "choice", "labels", "uris"),
    [
        (
            {
                "split": {
                    "column": "user",
                    "arms": [
                        {"name": "old", "weight": 3, "model": onnx("a")},
                        {"name": "new", "weight": 1, "model": onnx("b")},
                    ],
                }
            },
            "one of them, by user",
            ["old: 75 %", "new: 25 %"],
            ["a", "b"],
        ),
        (
            {"ensemble": {"models": [onnx("a"), onnx("b")]}},
            "all of them, averaged",
            ["weight 1", "weight 1"],
            ["a", "b"],
        ),
        (
            {"ensemble": {"models": [onnx("a"), onnx("b")], "weights": [2.0, 0.5]}},
            "all of them, averaged",
            ["weight 2", "weight 0.5"],
            ["a", "b"],
        ),
        (
            {"model": onnx("-"), "per_key": {"column": "country", "uris": {"de": "a", "fr": "b"}}},
            "one of them, by country",
            ["de", "fr"],
            ["a", "b"],
        ),
        (
            {"model": onnx("{key}"), "per_key": {"column": "country", "signature_key": "de"}},
            "one of them, by country",
            ["for each key"],
            ["{key}"],
        ),
        ({"model": onnx("a"), "model_uris": {}}, "the newest of a second input", [""], ["a"]),
    ],
)
def test_several_models_stand_beside_each_other_with_what_chooses_among_them(routing, choice, labels, uris):
    (stage,) = stages_of({"run_inference": routing})
    assert (stage.choice, [box.label for box in stage.boxes]) == (choice, labels)
    assert [box.settings[0] for box in stage.boxes] == [f"uri: {uri}" for uri in uris]


def test_operations_follow_what_was_learned_before():
    config = {"read_artifact_location": "gs://features", "operations": [{"scale_to_01": {"columns": ["age"]}}]}
    assert names(stages_of({"ml_transform": config})) == [
        ("learned before", "", [("transform", "MLTransform", "")]),
        ("operation", "", [("operation", "scale_to_01", "")]),
    ]


def test_long_settings_are_cut():
    (stage,) = stages_of({"ml_transform": {"operations": [{"one_hot": {"columns": ["c" * 50] * 9}}]}})
    (setting,) = stage.boxes[0].settings
    assert (len(setting), setting[-1]) == (len("columns: ") + 90, "…")


def test_neither_values_of_environment_variables_nor_what_looks_like_a_secret_are_shown():
    config = {
        "model": {**onnx("https://a.com/m?sig=abcdefgh"), "env_vars": {"OMP_NUM_THREADS": "2"}},
        "list": [{"n": 1}],
    }
    assert without_secrets({"run_inference": config}) == {
        "run_inference": {
            "model": {"onnx": {"uri": "https://a.com/m?sig=***"}, "env_vars": {"OMP_NUM_THREADS": "***"}},
            "list": [{"n": 1}],
        }
    }

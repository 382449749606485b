# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Models one after another: what each reads and adds, what is refused, and which models rows say they went to."""

import numpy as np
import pytest

from expansion.contract.fields import Field
from expansion.errors import ConfigError
from expansion.service.policy import Policy
from expansion.tensors.columns import Columns, Dense
from expansion.transforms.batch import Batch
from expansion.transforms.config import read_config
from expansion.transforms.handler import ColumnarModelHandler
from expansion.transforms.plan import make_plan
from expansion.transforms.steps import ApplyHooks, BeginStep

X, EXTRA = Field("x", "FP32"), Field("extra", "FP32")


def plan(config, *fields, taken=()):
    return make_plan(read_config(config), {field.name: field for field in fields or (X, EXTRA)}, taken)


def problems(config, *fields, taken=()):
    with pytest.raises(ConfigError) as error:
        plan(config, *fields, taken=taken)
    return {problem.path: problem.message for problem in error.value.problems}


@pytest.fixture
def model(models):
    def model(name, **more):
        return {"onnx": {"uri": str(models / f"{name}.onnx")}, "model_id": name, **more}

    return model


@pytest.fixture
def chain(model):
    """x → double → y; y and the input's column extra → sum and difference."""

    def chain(second=(), **more):
        feeds = [{"name": "a", "columns": ["y"]}, {"name": "b", "columns": ["extra"]}]
        step = {"model": model("sum_and_difference"), "inputs": feeds, **dict(second)}
        return {"model": model("double_scalar"), "then": [step], **more}

    return chain


def run(config, **features):
    """Runs a chain on columns without a pipeline; returns the batch at its end."""
    made = plan(config)
    count = len(next(iter(features.values())))
    columns = {name: Dense(np.array(values, np.float32)) for name, values in features.items()}
    carried = Columns({"row": Dense(np.arange(count))}, count)
    batch = Batch(carried, Columns(columns, count), constants=made.constants)
    for index, step in enumerate(made.steps):
        handler = ColumnarModelHandler(step)
        hooks = [ApplyHooks(step.config.pre_hooks, "preprocess"), ApplyHooks(step.config.post_hooks, "postprocess")]
        for each in hooks:
            each.setup()
        [batch] = BeginStep(step, None if index else made.kept).process(batch)
        [batch] = hooks[0].process(batch)
        [batch] = handler.run_inference(batch, handler.load_model())
        [batch] = hooks[1].process(batch)
    return batch


def test_a_model_reads_predictions_before_it_and_columns_of_the_input_and_adds_to_the_predictions(chain):
    batch = run(chain(), x=[1, 2], extra=[10, 20])
    got = {name: column.to_rows() for name, column in batch.predictions.items()}
    assert got == {"y": [2, 4], "sum": [12, 24], "difference": [-8, -16]}
    assert batch.constants == {"model_id": "double_scalar, sum_and_difference"}
    assert list(plan(chain()).predictions) == ["y", "sum", "difference"]


def test_pre_hooks_of_one_model_change_nothing_of_what_the_next_one_reads(chain, model):
    hook = {"scale": {"columns": ["extra", "x"], "affine": {"factor": 100}}}
    batch = run(chain(pre_hooks=[hook]), x=[1], extra=[10])
    assert batch.predictions["sum"].to_rows() == [210]


def test_post_hooks_work_on_all_predictions_so_far_and_select_says_which_go_on(chain):
    second = {"post_hooks": [{"scale": {"columns": ["y"], "affine": {"factor": -1}}}, {"select": {"columns": ["y"]}}]}
    assert {name: c.to_rows() for name, c in run(chain(second), x=[1], extra=[0]).predictions.items()} == {"y": [-2]}


def test_a_model_with_one_input_takes_what_the_one_before_it_has_added(model):
    config = {"model": model("double_scalar"), "outputs": [{"source": "y", "name": "z"}]}
    config["then"] = [{"model": model("double_scalar")}]
    assert run(config, x=[3]).predictions["y"].to_rows() == [6]  # an input of the name x is there: that it takes
    config["then"][0]["inputs"] = [{"name": "x", "columns": ["z"]}]
    assert run(config, x=[3]).predictions["y"].to_rows() == [12]
    config["inputs"] = [{"name": "x", "columns": ["other"]}]
    del config["then"][0]["inputs"]
    assert plan(config, Field("other", "FP32")).steps[1].inputs[0].columns == ("z",)


def test_features_that_only_later_models_read_are_kept_and_no_others(chain):
    made = plan(chain(), X, EXTRA, Field("unread", "FP32"))
    assert (list(made.features), made.kept) == (["x", "extra"], ("extra",))


def test_a_row_that_fails_at_a_later_model_names_the_models_up_to_it(chain):
    second = {"pre_hooks": [{"cast": {"columns": ["extra"], "datatype": "UINT8"}}]}
    batch = run(chain(second, error_handling={"output": "errors"}), x=[1, 2], extra=[1, -1])
    [failures] = batch.failures
    assert (failures.stage, failures.carried["row"].to_rows()) == ("preprocess", [1])
    assert failures.constants == {"model_id": "double_scalar, sum_and_difference"}


def test_problems_of_a_later_model_have_its_path(chain):
    second = {"pre_hooks": [{"scale": {"columns": ["zz"], "affine": {}}}], "inputs": [{"name": "nothing"}]}
    found = problems(chain(second), X, EXTRA)
    assert set(found) >= {"then[0].pre_hooks[0].scale.columns[0]"}
    found = problems({**chain(), "then": [{"model": {}}, {"model": {"onnx": {"uri": ""}}}]})
    assert set(found) == {"then[0].model", "then[1].model.onnx.uri"}


def test_two_models_that_add_a_prediction_of_one_name_are_refused(model):
    twice = {"model": model("double_scalar"), "then": [{"model": model("double_scalar")}]}
    assert problems(twice) == {
        "then[0].outputs": "a model before it has made a prediction 'y'; give it another name with outputs: "
        "[{source: y, name: …}]"
    }


def test_a_later_models_hooks_and_formats_need_the_operators_leave(chain):
    second = {"model": {"sklearn": {"uri": "m.pickle", "format": "pickle"}}}
    found = [problem.path for problem in Policy(installed=()).check(read_config(chain(second)))]
    assert found == ["then[0].model.sklearn.format"]


def test_versions_of_all_refreshed_models_are_named_in_their_order(chain, model):
    second = {"model": model("sum_and_difference", refresh_interval_secs=60)}
    config = chain(second)
    batch = run(config, x=[1], extra=[1])
    first_version = batch.constants["model_version"]
    assert first_version.count("Z-") == 1
    config["model"]["refresh_interval_secs"] = 60
    assert run(config, x=[1], extra=[1]).constants["model_version"].endswith(f", {first_version}")

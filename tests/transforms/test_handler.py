# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the handler makes of what a model does, and what it writes into the pipeline."""

import pickle
import sys
import time
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import Hook
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.fields import Field
from expansion.errors import SystemicError
from expansion.models.pool import ModelPool
from expansion.tensors.columns import Columns, Dense, Ragged
from expansion.transforms.batch import Batch
from expansion.transforms.config import read_config
from expansion.transforms.handler import RETRY_SECS, ColumnarModelHandler
from expansion.transforms.plan import make_plan
from expansion.transforms.steps import ApplyHooks

X = Field("x", "FP64", (-1,))


def make_handler(fields=(), **more):
    declared = [{"name": "x", "datatype": "FP64", "shape": [-1]}]
    custom = {"model_class": "package.Model", "inputs": declared, "outputs": [{**declared[0], "name": "y"}]}
    config = {"model": {"custom": custom}, "error_handling": {"output": "errors"}, **more}
    return ColumnarModelHandler(make_plan(read_config(config), {"x": X, **dict(fields)}, []).steps[0])


class Model:
    """Doubles rows; what else it does is the test's business."""

    def __init__(self, before=lambda values: None):
        self.before, self.shapes = before, []

    def run(self, inputs, outputs):
        values = inputs["x"]["x"].values
        self.shapes.append(values.shape)
        self.before(values)
        return {"y": Dense(values * 2)}


def batch(*lengths):
    ragged = Ragged.of_rows([np.full(length, float(length)) for length in lengths], np.float64, 1)
    count = len(lengths)
    return Batch(Columns({"row": Dense(np.arange(count))}, count), Columns({"x": ragged}, count))


def test_a_row_that_is_alone_of_its_shape_and_does_not_fit_in_memory_costs_no_other():
    def need_memory(values):
        if values.shape[1] == 1:
            raise MemoryError("no room")

    [result] = make_handler().run_inference(batch(2, 1, 3, 2), Model(need_memory))
    assert result.carried["row"].values.tolist() == [0, 2, 3]
    assert [len(row) for row in result.predictions["y"].to_rows()] == [2, 3, 2]
    [failures] = result.failures
    assert failures.carried["row"].values.tolist() == [1]
    assert failures.errors[0].message == "out of memory with this row alone: no room"


def test_a_call_that_takes_too_long_is_systemic_and_the_next_one_is_made():
    handler = make_handler(error_handling={"output": "errors", "timeout_secs": 0.2})
    model = Model(lambda values: time.sleep(0 if len(values) == 1 else 1))
    with pytest.raises(SystemicError, match=r"took longer than 0.2 s for 2 rows; allow more with error_handling"):
        handler.run_inference(batch(3, 3), model)
    [result] = handler.run_inference(batch(3), model)
    assert (len(result), result.failures) == (1, ())
    assert model.shapes == [(2, 3), (1, 3)]


def test_a_time_out_of_the_models_own_is_raised_as_it_is():
    def fail(values):
        raise TimeoutError("the model's own")

    handler = make_handler(error_handling={"output": "errors", "timeout_secs": 5})
    with pytest.raises(TimeoutError, match="the model's own"):
        handler.run_inference(batch(3), Model(fail))


@pytest.fixture
def by_key():
    """Returns a handler of models by key, and the pool of those that are given."""

    def by_key(models, **more):
        key = {"column": "key", "uris": dict.fromkeys(models, "m")}
        handler = make_handler(per_key=key, fields={"key": Field("key", "STRING")}, **more)
        return handler, ModelPool(models.__getitem__, 2, RETRY_SECS)

    return by_key


def test_a_model_of_a_key_that_returns_something_else_costs_the_rows_of_its_key_and_is_run_once(by_key):
    class Other(Model):
        def run(self, inputs, outputs):
            return {"y": Dense(super().run(inputs, outputs)["y"].values.astype(np.float32))}

    other = Other()
    handler, pool = by_key({"k1": other, "k2": Model()})
    for _ in range(2):
        [result] = handler.run_inference(replace(batch(3, 3), route="k1"), pool)
        [failures] = result.failures
        assert (len(result), failures.stage) == (0, "inference")
        assert (
            failures.errors == (("ModelUnavailable", "model m: output 'y' is FP32[3], not FP64[-1] as declared"),) * 2
        )
    assert len(other.shapes) == 1
    [result] = handler.run_inference(replace(batch(3), route="k2"), pool)
    assert (len(result), result.failures) == (1, ())


def test_a_row_that_makes_a_keys_model_raise_costs_itself_only(by_key):
    def refuse(values):
        if values.shape[1] == 1:
            raise ValueError("too short")

    handler, pool = by_key({"k1": Model(refuse)})
    [result] = handler.run_inference(replace(batch(2, 1, 2), route="k1"), pool)
    assert (len(result), result.failures[0].errors) == (2, (("ValueError", "too short"),))


def test_an_arm_whose_model_does_not_load_fails_the_bundle():
    custom = make_handler()._plan.config.model
    config = RunInferenceConfig(split={"column": "x", "arms": [{"name": "a", "weight": 1, "model": custom}]})
    handler = ColumnarModelHandler(replace(make_handler()._plan, config=config))
    with pytest.raises(SystemicError, match="package"):
        handler.run_inference(replace(batch(3), route="a"), handler.load_model())


def test_a_framework_that_another_thread_is_about_to_import_does_no_harm(monkeypatch):
    for name, attributes in (("no cuda yet", {}), ("cuda half there", {"cuda": ModuleType("torch.cuda")})):
        torch = ModuleType("torch", name)
        vars(torch).update(attributes)
        monkeypatch.setitem(sys.modules, "torch", torch)
        assert len(make_handler().run_inference(batch(3), Model())[0]) == 1


def test_the_same_configuration_is_written_into_the_pipeline_as_the_same_bytes():
    def written(names):
        model = {"custom": {"model_class": "package.Model", "inputs": [], "outputs": []}}
        declared = [{"name": "x", "datatype": "FP64", "shape": [-1]}]
        model["custom"].update(inputs=declared, outputs=declared, class_arguments=dict.fromkeys(names, "1"))
        config = read_config({"model": {**model, "env_vars": dict.fromkeys(names, "1")}})
        hook = Hook()
        hook.custom.arguments.update(dict.fromkeys(names, "1"))
        steps = ColumnarModelHandler(make_plan(config, {"x": X}, []).steps[0]), ApplyHooks([hook], "preprocess")
        return pickle.dumps(steps)

    names = [f"NAME_{index}" for index in range(100)]
    assert written(names) == written(names[::-1])
    handler, _ = pickle.loads(written(names))
    assert repr(handler) == "ColumnarModelHandler(package.Model)"


def test_a_hook_that_runs_out_of_memory_gets_smaller_batches(monkeypatch):
    sizes = []

    def operation(columns):
        sizes.append(columns.row_count)
        if columns.row_count > 2:
            raise MemoryError("no room")
        return columns

    monkeypatch.setattr("expansion.hooks.build", lambda hook: operation)
    step = ApplyHooks([Hook()], "preprocess")
    step.setup()
    [result] = step.process(batch(1, 1, 1, 1, 1))
    assert (len(result), result.failures, sizes) == (5, (), [5, 2, 2, 1])

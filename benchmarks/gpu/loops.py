# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The loops that are compared: each makes predictions of one batch after another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu.cases import Array, Case, model_config
from benchmarks.gpu.raw import RAW
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.fields import Field
from expansion.tensors import tensor_batch
from expansion.tensors.columns import Columns, Dense
from expansion.transforms.batch import Batch
from expansion.transforms.config import read_config
from expansion.transforms.handler import ColumnarModelHandler
from expansion.transforms.plan import Plan, make_plan
from expansion.transforms.wire_ends import DecodeTensorBatch, EncodeTensorBatch

Loop = Callable[[int], Array]  # from the number of a batch to its predictions
LOOPS = ("raw", "handler", "step", "large_model")
_BATCHES = 4  # different ones, in turn


def make_loops(framework: str, case: Case, device: str, folder: Path) -> tuple[dict[str, Loop], dict[str, Array]]:
    """Returns the loops by name, each run for a while, and what each of them predicts of the first batch.

    Args:
        framework: Its name in a configuration.
        case: The model and the size of batches.
        device: "cpu" or "cuda".
        folder: Where the model's file goes.
    """
    random = np.random.default_rng(0)
    arrays = [random.normal(size=(case.rows, *case.shape)).astype(np.float32) for _ in range(_BATCHES)]
    batches = [Columns({"x": Dense(array)}, case.rows) for array in arrays]
    config = {**model_config(framework, case, folder), "device": device}
    plan = _plan(config, case)
    handler, shared = (
        ColumnarModelHandler(each.steps[0]) for each in (plan, _plan({**config, "large_model": True}, case))
    )
    model, in_process = handler.load_model(), shared.load_model()
    raw = RAW[framework](model, case)
    loops: dict[str, Loop] = {
        "raw": lambda number: raw(arrays[number % _BATCHES]),
        "handler": lambda number: _infer(handler, model, batches[number % _BATCHES]),
        "step": _step(plan, handler, model, [tensor_batch.encode(batch) for batch in batches]),
        "large_model": lambda number: _infer(shared, in_process, batches[number % _BATCHES]),
    }
    first = {name: np.array(loop(0)) for name, loop in loops.items()}
    for loop in loops.values():
        for number in range(20):  # what sets itself up at the first calls is set up
            loop(number)
    return loops, first


def _infer(handler: ColumnarModelHandler, model: Any, features: Columns) -> Array:
    [result] = handler.run_inference(Batch(Columns({}, features.row_count), features), model)
    predicted: Array = result.predictions["y"].values
    return predicted


def _step(plan: Plan, handler: ColumnarModelHandler, model: Any, wire: list[bytes]) -> Loop:
    decode, encode = DecodeTensorBatch(plan), EncodeTensorBatch(plan)
    encode.start_bundle()

    def step(number: int) -> Array:
        [batch] = decode.process(wire[number % _BATCHES])
        [result] = handler.run_inference(batch, model)
        [encoded] = encode.process(result)
        predicted: Array = tensor_batch.decode(encoded).columns["y"].values
        return predicted

    return step


def _plan(model: dict[str, Any], case: Case) -> Plan:
    """Plans a step for TensorBatches that carry nothing but x."""
    wire = {"columns": [{"name": "x", "datatype": "FP32", "shape": list(case.shape)}]}
    config: RunInferenceConfig = read_config(
        {"model": model, "tensor_batch": wire, "error_handling": {"output": "errors"}}
    )
    return make_plan(config, {"x": Field("x", "FP32", case.shape)}, [])

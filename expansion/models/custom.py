# Licensed under the Apache License, Version 2.0; see LICENSE.
"""custom: models of the user's own, as a Beam ModelHandler or as a class with load and predict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy.typing as npt

from expansion.contract._gen import model_pb2
from expansion.contract.declared import check_fields
from expansion.contract.fields import Field
from expansion.contract.permissions import Permission
from expansion.errors import Problem, SystemicError, first_line
from expansion.imports import check_arguments, check_name, construct
from expansion.models.runtime import Runtime
from expansion.models.signature import Model, Signature
from expansion.tensors.arrays import stack
from expansion.tensors.columns import Column, Columns
from expansion.tensors.results import declared_column

_Arrays = dict[str, npt.NDArray[Any]]


def check(config: model_pb2.CustomModel) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from check_name("model_class", config.model_class)
    yield from check_arguments("class_arguments", config.class_arguments)
    yield from check_fields("inputs", config.inputs, "what the model takes")
    yield from check_fields("outputs", config.outputs, "what the model returns")


def permissions(config: model_pb2.CustomModel) -> Iterator[Permission]:
    """Yields the class: workers run it."""
    yield Permission(
        "model_class", "--allow-import", config.model_class, "is imported and run by workers", "another kind of model"
    )


def signature(config: model_pb2.CustomModel) -> Signature:
    """Returns the inputs and outputs as they are declared; nothing is imported."""
    inputs = {field.name: Field.from_proto(field) for field in config.inputs}
    return Signature(inputs, {field.name: Field.from_proto(field) for field in config.outputs})


def build(config: model_pb2.CustomModel, runtime: Runtime = Runtime()) -> Model:
    """Makes an instance of the class and has it load.

    Device and threads are the class's own business; ``runtime`` is not used.

    Raises:
        SystemicError: It can't be imported, made or loaded, or is neither kind of class.
    """
    further = {"uri": config.uri} if config.uri else {}
    made = construct(config.model_class, config.class_arguments, **further)
    try:
        # By its methods, not its class: importing Beam's ModelHandler imports every framework that is installed.
        if hasattr(made, "load_model") and hasattr(made, "run_inference"):
            return BeamHandlerModel(config, made, made.load_model())
        if hasattr(made, "predict"):
            if hasattr(made, "load"):
                made.load()
            return PlainModel(config, made)
    except Exception as error:  # code of the user's own may raise anything
        raise SystemicError(
            f"{config.model_class} did not load: {type(error).__name__}: {first_line(error)}"
        ) from error
    raise SystemicError(
        f"{config.model_class} is no model; expected a Beam ModelHandler (load_model, run_inference), or a class with "
        "predict(self, inputs), and load(self) where it has something to load"
    )


class PlainModel:
    """A class whose ``predict`` gets all rows at once. It must bear being called by several threads."""

    def __init__(self, config: model_pb2.CustomModel, made: Any):
        self._config = config
        self._made = made

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Calls predict with arrays [rows, *shape]; texts are of dtype object."""
        row_count = next(iter(inputs.values())).row_count
        results = self._made.predict(_stacked(self._config, inputs))
        if not isinstance(results, Mapping):
            results = _only(self._config, results)
        return _columns(self._config, results, outputs, row_count)


class BeamHandlerModel:
    """A Beam ModelHandler, which gets a list of rows."""

    def __init__(self, config: model_pb2.CustomModel, handler: Any, model: Any):
        self._config = config
        self._handler = handler
        self._model = model

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Calls run_inference with one dict of arrays [*shape] a row, and puts together what comes back."""
        arrays = _stacked(self._config, inputs)
        row_count = len(next(iter(arrays.values())))
        examples = [{name: array[row] for name, array in arrays.items()} for row in range(row_count)]
        # A PredictionResult, or the prediction itself: handlers may return either.
        results = [
            getattr(result, "inference", result) for result in self._handler.run_inference(examples, self._model)
        ]
        if len(results) != row_count:
            raise SystemicError(f"{self._config.model_class} returned {len(results)} results for {row_count} rows")
        rows = [result if isinstance(result, Mapping) else _only(self._config, result) for result in results]
        missing = [name for name in outputs if any(name not in row for row in rows)]
        if missing:
            raise SystemicError(f"{self._config.model_class} returned no {missing[0]!r}, which it is declared to")
        return _columns(self._config, {name: [row[name] for row in rows] for name in outputs}, outputs, row_count)


def _stacked(config: model_pb2.CustomModel, inputs: Mapping[str, Columns]) -> _Arrays:
    return {field.name: stack(inputs[field.name], Field.from_proto(field)) for field in config.inputs}


def _only(config: model_pb2.CustomModel, result: Any) -> dict[str, Any]:
    """Names the result of a model that returns one output without its name."""
    if len(config.outputs) != 1:
        names = [field.name for field in config.outputs]
        raise SystemicError(f"{config.model_class} returned {type(result).__name__}; expected a dict with {names}")
    return {config.outputs[0].name: result}


def _columns(
    config: model_pb2.CustomModel, results: Mapping[str, Any], outputs: Sequence[str], row_count: int
) -> dict[str, Column]:
    columns: dict[str, Column] = {}
    fields = {field.name: Field.from_proto(field) for field in config.outputs}
    for name in outputs:
        if name not in results:
            raise SystemicError(f"{config.model_class} returned no {name!r}, which it is declared to")
        columns[name] = declared_column(fields[name], results[name], row_count)
    return columns

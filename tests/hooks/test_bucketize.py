# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import Bucketize
from expansion.contract.fields import Field
from expansion.errors import BadRows
from expansion.tensors.columns import Ragged


@pytest.mark.parametrize("dtype", ["i1", "u2", "i8", "f2", "f4", "f8"])
def test_a_number_becomes_how_many_boundaries_are_not_above_it(apply, dtype):
    after = apply(Bucketize(columns=["x"], boundaries=[18, 65]), x=np.array([[0, 17, 18], [64, 65, 99]], dtype))
    assert after["x"].to_rows() == [[0, 0, 1], [1, 2, 2]]
    assert after["x"].datatype == "INT64"


def test_boundaries_between_whole_numbers_are_exact_for_integers(apply):
    config = Bucketize(columns=["x"], boundaries=[-1e30, -0.5, 0.5, 2.0**53, 1.7e18, 1e30])
    x = np.array([np.iinfo(np.int64).min, -1, 0, 1, 2**53 - 1, 2**53, 1_700_000_000_000_000_000 - 1, 2**63 - 1])
    assert apply(config, x=x)["x"].to_rows() == [1, 1, 2, 3, 3, 4, 4, 5]


def test_boundaries_are_compared_with_small_floats_exactly(apply):
    x = np.array([0.1], np.float32)  # a little more than 0.1
    assert apply(Bucketize(columns=["x"], boundaries=[0.1]), x=x)["x"].to_rows() == [1]
    assert apply(Bucketize(columns=["x"], boundaries=[float(x[0]) + 1e-12]), x=x)["x"].to_rows() == [0]


def test_infinities_and_booleans_have_their_buckets(apply):
    config = Bucketize(columns=["x", "b"], boundaries=[0.5])
    after = apply(config, x=np.array([-np.inf, np.inf]), b=np.array([False, True]))
    assert (after["x"].to_rows(), after["b"].to_rows()) == ([0, 1], [0, 1])


def test_ragged_rows_keep_their_shapes(apply):
    x = Ragged.of_rows([np.array([1]), np.array([5, 0])], np.int64, 1)
    assert apply(Bucketize(columns=["x"], boundaries=[1, 2]), x=x)["x"].to_rows() == [[1], [2, 0]]


def test_rows_with_a_nan_in_any_column_are_bad(apply):
    with pytest.raises(BadRows) as raised:
        apply(
            Bucketize(columns=["x", "y"], boundaries=[1]),
            x=np.array([0, np.nan, 1, 2]),
            y=np.array([[0, 1], [0, 1], [np.nan, np.nan], [0, 1]], np.float32),
        )
    assert raised.value.messages == {
        1: "column 'x' has a NaN, which lies in no interval; fill it in with an impute hook before",
        2: "column 'y' has a NaN, which lies in no interval; fill it in with an impute hook before",
    }


def test_impossible_messages_are_problems(problems):
    assert problems(Bucketize()) == [
        "columns: missing; expected the names of one or more columns",
        "boundaries: missing; expected ascending numbers, such as [18, 65]",
    ]
    assert problems(Bucketize(columns=["x"], boundaries=[1, 1, 0, float("inf"), float("nan")])) == [
        "boundaries[1]: got 1 after 1; expected ascending numbers",
        "boundaries[2]: got 0 after 1; expected ascending numbers",
        "boundaries[3]: got inf; expected a finite number",
        "boundaries[4]: got nan; expected a finite number",
    ]
    assert problems(Bucketize(columns=["x"], boundaries=[1]), x=Field("x", "STRING")) == [
        "columns[0]: column 'x' is STRING; expected a number"
    ]

# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.operation_pb2 import LearnedImpute
from expansion.contract.fields import Field
from expansion.errors import BadRows
from expansion.tensors.columns import Blobs, Columns
from expansion.tensors.nulls import nulls_of


def config(strategy, **values):
    return LearnedImpute(columns=["x"], strategy=strategy, **values)


def with_nulls(column, *rows):
    is_null = np.zeros(len(column), np.bool_)
    is_null[list(rows)] = True
    return {"x": column, nulls_of("x"): is_null}


@pytest.mark.parametrize(
    ("strategy", "values", "fill"),
    [
        ("mean", [1.0, 2.0, 6.0], 3.0),
        ("median", [1.0, 2.0, 6.0, 6.0], 4.0),
        ("most_frequent", [1.0, 6.0, 6.0], 6.0),
    ],
)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_nan_and_nulls_become_what_the_others_say(apply, strategy, values, fill, dtype):
    x = np.array([*values, np.nan, 1000.0], dtype)
    after = apply(config(strategy), **with_nulls(x, len(x) - 1))
    assert list(after) == ["x"]
    assert after["x"].to_rows() == [*values, fill, fill]
    assert after["x"].values.dtype == x.dtype


@pytest.mark.parametrize(
    ("strategy", "values", "fill"),
    [
        ("mean", [1, 2], 2),
        ("mean", [2, 3], 2),
        ("median", [3, 4], 4),
        ("median", [1, 5, 9], 5),
        ("most_frequent", [9, 10], 10),
    ],
)
def test_of_integers_means_are_rounded_half_to_even(apply, strategy, values, fill):
    x = np.array([*values, 0], np.int16)
    assert apply(config(strategy), **with_nulls(x, len(values)))["x"].to_rows() == [*values, fill]


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent"])
@pytest.mark.parametrize(("dtype", "largest"), [(np.int64, 2**63 - 1), (np.uint64, 2**64 - 1), (np.int8, -128)])
def test_the_limits_of_integers_are_kept(apply, strategy, dtype, largest):
    x = np.array([largest, largest, 0], dtype)
    assert apply(config(strategy), **with_nulls(x, 2))["x"].to_rows()[2] == largest


def test_of_texts_the_most_frequent_one_is_taken_and_of_equals_the_greatest(apply):
    x = Blobs.of("STRING", ["b", "é", "b", "é", ""], 5)
    assert apply(config("most_frequent"), **with_nulls(x, 4))["x"].to_rows() == ["b", "é", "b", "é", "é"]
    x = Blobs.of("BYTES", [b"\xff\n", b"?"], 2)
    assert apply(config("most_frequent"), **with_nulls(x, 1))["x"].to_rows() == [b"\xff\n"] * 2
    x = Blobs.of("STRING", ["", "", "a", "?"], 4)
    assert apply(config("most_frequent"), **with_nulls(x, 3))["x"].to_rows() == ["", "", "a", ""]


def test_booleans_have_a_most_frequent_value_only(apply, problems):
    x = np.array([True, True, False, False, False])
    assert apply(config("most_frequent"), **with_nulls(x, 3, 4))["x"].to_rows() == [True, True, False, True, True]
    assert problems(config("mean"), x=Field("x", "BOOL")) == [
        "columns[0]: column 'x' is BOOL; expected a number other than BOOL"
    ]


def test_placeholders_of_nulls_are_not_learned_from(apply, learned):
    columns = with_nulls(np.array([5, 0, 0]), 1, 2)
    assert learned(config("median"), **columns) == {"x.median": {"median": 5}}
    assert apply(config("median"), **columns)["x"].to_rows() == [5, 5, 5]


def test_a_result_of_another_name_leaves_the_column_and_its_nulls(apply):
    after = apply(config("mean", outputs=["y"]), **with_nulls(np.array([4.0, 0.0]), 1))
    assert list(after) == ["x", nulls_of("x"), "y"]
    assert after["y"].to_rows() == [4.0, 4.0]


def test_columns_without_anything_missing_stay_as_they_are(apply):
    x = np.array([1.0, 2.0])
    assert apply(config("mean"), x=x)["x"].values is x


def test_where_nothing_was_learned_nan_stays_and_nulls_are_bad_rows(apply):
    x = np.array([np.nan, np.inf])
    np.testing.assert_equal(apply(config("mean"), x=x)["x"].to_rows(), [np.nan, np.inf])
    with pytest.raises(BadRows) as raised:
        apply(config("mean"), **with_nulls(x, 0))
    assert raised.value.messages == {0: "column 'x' is null, and no row that was learned from has a value to put there"}
    nothing = [Columns({"x": Blobs.of("STRING", [], 0)}, 0)]
    with pytest.raises(BadRows):
        apply(config("most_frequent"), nothing, **with_nulls(Blobs.of("STRING", ["", "a"], 2), 0))


def test_what_is_learned_is_readable(learned):
    x = np.array([1.0, 2.0, 2.0, np.nan])
    assert learned(config("mean"), x=x)["x.moments"]["mean"] == pytest.approx(5 / 3)
    assert learned(config("most_frequent"), x=x) == {"x.most_frequent": {"value": 2.0, "count": 2}}


def test_impossible_messages_are_problems(problems):
    assert problems(config("")) == ["strategy: missing; expected one of 'mean', 'median', 'most_frequent'"]
    assert problems(config("medain")) == ["strategy: got 'medain'; did you mean 'median'?"]
    assert problems(config("mean"), x=Field("x", "STRING", (2,))) == [
        "columns[0]: column 'x' is STRING[2]; expected one value a row",
        "columns[0]: column 'x' is STRING[2]; expected a number other than BOOL",
    ]

# Licensed under the Apache License, Version 2.0; see LICENSE.
import json

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from expansion.contract._gen.hook_pb2 import Standardize
from expansion.contract.fields import Field
from expansion.errors import BadRows, SystemicError
from expansion.hooks import standardize
from expansion.tensors.columns import Ragged


def test_the_mean_is_subtracted_and_the_deviation_divides(apply):
    config = Standardize(columns=["x", "y"], mean=[2], standard_deviation=[4])
    after = apply(config, x=np.array([2.0, 6.0, -2.0]), y=np.array([[2, 4]] * 3, np.int16))
    assert after["x"].to_rows() == [0, 1, -1]
    assert after["y"].to_rows() == [[0, 0.5]] * 3
    assert (after["x"].datatype, after["y"].datatype) == ("FP64", "FP32")


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 3)])
def test_lists_hold_a_number_for_each_element_along_the_last_axis(apply, shape):
    x = np.random.default_rng(0).normal(7, 3, shape)
    scaler = StandardScaler().fit(x.reshape(-1, 3))
    config = Standardize(columns=["x"], mean=scaler.mean_, standard_deviation=scaler.scale_)
    expected = scaler.transform(x.reshape(-1, 3)).reshape(shape)
    np.testing.assert_allclose(apply(config, x=x)["x"].values, expected)
    np.testing.assert_allclose(apply(config, x=np.asfortranarray(x))["x"].values, expected)


def test_one_mean_goes_with_a_list_of_deviations(apply):
    config = Standardize(columns=["x"], mean=[1], standard_deviation=[1, 2])
    assert apply(config, x=np.array([[2.0, 3.0]]))["x"].to_rows() == [[1, 1]]


def test_a_deviation_of_zero_makes_zero_of_the_mean(apply):
    config = Standardize(columns=["x"], mean=[5, 5], standard_deviation=[0, 1e-300])
    after = apply(config, x=np.array([[5, 5], [6, 5]], np.float32))
    assert after["x"].to_rows() == [[0, 0], [1, 0]]


def test_nan_stays_and_the_input_is_not_changed(apply):
    x = np.array([np.nan, 3.0])
    np.testing.assert_array_equal(
        apply(Standardize(columns=["x"], mean=[1], standard_deviation=[2]), x=x)["x"].values, [np.nan, 1]
    )
    assert x[1] == 3


def test_large_integers_are_not_rounded_before(apply):
    config = Standardize(columns=["x"], mean=[1.7e9], standard_deviation=[1], datatype="FP16")
    after = apply(config, x=np.array([1_700_000_001], np.int64))
    assert (after["x"].to_rows(), after["x"].datatype) == ([1], "FP16")


def test_ragged_rows_keep_their_shapes(apply):
    x = Ragged.of_rows([np.array([3.0]), np.array([1.0, 5.0])], np.float64, 1)
    assert apply(Standardize(columns=["x"], mean=[1], standard_deviation=[2]), x=x)["x"].to_rows() == [[1], [0, 2]]


def test_rows_of_another_size_than_the_statistics_are_bad(apply):
    config = Standardize(columns=["x"], mean=[1, 2], standard_deviation=[1])
    x = Ragged.of_rows([np.ones((1, 2)), np.ones((1, 3)), np.ones((3, 2))], np.float64, 2)
    with pytest.raises(BadRows) as raised:
        apply(config, x=x)
    assert raised.value.messages == {1: "column 'x' has 3 elements along its last axis; its statistics have 2"}
    assert apply(config, x=x.take(np.array([0, 2])))["x"].to_rows() == [[[0, -1]], [[0, -1]] * 3]


@pytest.fixture
def file(tmp_path):
    """Writes a file of statistics and returns its path."""

    def file(content):
        path = tmp_path / "statistics.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    return file


def test_statistics_are_read_from_a_file_by_column(apply, file):
    uri = file(
        {
            "x": {"mean": 1, "standard_deviation": 2},
            "y": {"mean": [0, 1], "standard_deviation": [1, 2], "count": 7},
            "z": "of another step",
        }
    )
    after = apply(Standardize(columns=["x", "y"], uri=uri), x=np.array([5.0]), y=np.array([[1.0, 5.0]]))
    assert (after["x"].to_rows(), after["y"].to_rows()) == ([2], [[1, 2]])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON; it looks like text: Expecting"),
        ("", "is not JSON; it is empty: Expecting"),
        ("[1]", r"holds \[1\]; expected an object of columns"),
        ({}, "has no column 'x'; there is none to choose from"),
        ({"xx": {}}, "has no column 'x'; did you mean 'xx'?"),
        ({"x": 3}, "has 3 for column 'x'; expected finite numbers or lists of them, such as"),
        ({"x": {"mean": 1}}, "has {'mean': 1} for column 'x'; expected finite numbers"),
        ({"x": {"mean": [], "standard_deviation": []}}, "expected finite numbers"),
        ({"x": {"mean": float("nan"), "standard_deviation": 1}}, "expected finite numbers"),
        ({"x": {"mean": True, "standard_deviation": 1}}, "expected finite numbers"),
        ({"x": {"mean": "1", "standard_deviation": 1}}, "expected finite numbers"),
        ({"x": {"mean": 1, "standard_deviation": [1, -2]}}, "expected a standard deviation of 0 or more"),
        ({"x": {"mean": [1, 2, 3], "standard_deviation": [1, 2]}}, "expected lists of one size"),
    ],
)
def test_a_file_that_is_damaged_or_lacks_a_column_fails_on_the_worker(file, content, message):
    config = Standardize(columns=["x"], uri=file(content))
    assert list(standardize.check(config)) == []
    with pytest.raises(SystemicError, match=message):
        standardize.build(config)


def test_a_list_of_statistics_for_a_column_of_single_numbers_fails_on_the_worker(apply, file):
    uri = file({"x": {"mean": [1, 2], "standard_deviation": [1, 2]}})
    with pytest.raises(SystemicError, match="column 'x' has one number a row, and its statistics have 2"):
        apply(Standardize(columns=["x"], uri=uri), x=np.zeros(3))


def test_every_problem_of_the_message_is_reported(problems):
    assert problems(Standardize(datatype="INT8")) == [
        "columns: missing; expected the names of one or more columns",
        "datatype: 'INT8' is not a datatype that fits here; expected one of 'FP16', 'FP32', 'FP64'",
        "mean: missing; give numbers here, or set uri to a file of statistics",
        "standard_deviation: missing; give numbers here, or set uri to a file of statistics",
    ]
    assert problems(Standardize(columns=["x"], uri="u", mean=[1])) == ["mean: uri is set too; set one of them"]
    assert problems(Standardize(columns=["x"], mean=[1, float("inf")], standard_deviation=[1, -2])) == [
        "mean[1]: got inf; expected a finite number",
        "standard_deviation[1]: got -2; expected 0 or more",
    ]
    assert problems(Standardize(columns=["x"], mean=[1, 2], standard_deviation=[1, 2, 3])) == [
        "standard_deviation: got 3 numbers; expected one, or 2 as in mean"
    ]


def test_a_column_of_another_size_or_of_strings_is_a_problem(problems):
    config = Standardize(columns=["x"], mean=[1, 2], standard_deviation=[1])
    size = "expected 2 elements along the last axis, as mean and standard_deviation have"
    assert problems(config, x=Field("x", "FP32")) == [f"columns[0]: column 'x' is FP32; {size}"]
    assert problems(config, x=Field("x", "FP32", (2, 3))) == [f"columns[0]: column 'x' is FP32[2, 3]; {size}"]
    assert problems(config, x=Field("x", "FP32", (-1,))) == []
    assert problems(config, x=Field("x", "STRING", (2,))) == ["columns[0]: column 'x' is STRING[2]; expected a number"]

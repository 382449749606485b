# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import Scale
from expansion.contract.fields import Field
from expansion.tensors.columns import Ragged


def test_affine_multiplies_and_adds(apply):
    after = apply(Scale(columns=["x"], affine={"factor": 0.5, "offset": -1}), x=np.array([[0, 2], [4, 255]], np.uint8))
    assert after["x"].values.dtype == np.float32
    assert after["x"].to_rows() == [[-1, 0], [1, 126.5]]


def test_an_unset_factor_is_one_and_an_unset_offset_is_zero(apply):
    assert apply(Scale(columns=["x"], affine={}), x=np.array([1.5]))["x"].to_rows() == [1.5]


def test_a_factor_of_zero_is_not_taken_for_unset(apply):
    assert apply(Scale(columns=["x"], affine={"factor": 0}), x=np.array([1.5]))["x"].to_rows() == [0]


def test_min_max_maps_the_ends_exactly(apply):
    x = np.array([0, 255, 51], np.uint8)
    assert apply(Scale(columns=["x"], min_max={"max": 255}), x=x)["x"].to_rows() == [0, 1, np.float32(0.2)]
    mapped = apply(Scale(columns=["x"], min_max={"max": 255, "output_min": -1, "output_max": 1}), x=x)
    assert mapped["x"].to_rows()[:2] == [-1, 1]


def test_values_outside_the_range_are_not_clipped(apply):
    assert apply(Scale(columns=["x"], min_max={"min": 1, "max": 2}), x=np.array([0.0, 4.0]))["x"].to_rows() == [-1, 3]


def test_nan_is_data_and_stays_nan(apply):
    after = apply(Scale(columns=["x"], affine={"factor": 2}), x=np.array([np.nan, np.inf, 1]))
    np.testing.assert_array_equal(after["x"].values, [np.nan, np.inf, 2])


@pytest.mark.parametrize(
    ("dtype", "datatype", "expected"),
    [("f2", "", "FP16"), ("f8", "", "FP64"), ("i8", "", "FP32"), ("?", "", "FP32"), ("f8", "FP32", "FP32")],
)
def test_a_floating_column_keeps_its_datatype_and_others_become_fp32(apply, dtype, datatype, expected):
    config = Scale(columns=["x"], affine={}, datatype=datatype)
    assert apply(config, x=np.zeros(2, dtype))["x"].datatype == expected


def test_large_integers_are_not_rounded_before_they_are_scaled(apply):
    x = np.array([1_700_000_001, 1_700_000_000], np.int64)
    after = apply(Scale(columns=["x"], min_max={"min": 1.7e9, "max": 1.7e9 + 2}), x=x)
    assert after["x"].to_rows() == [0.5, 0]


def test_the_input_is_not_changed(apply):
    x = np.array([1.0, 2.0])
    apply(Scale(columns=["x"], affine={"factor": 3}), x=x)
    assert x.tolist() == [1, 2]


def test_ragged_rows_keep_their_shapes(apply):
    x = Ragged.of_rows([np.array([1, 2]), np.array([3])], np.int64, 1)
    assert apply(Scale(columns=["x"], affine={"factor": 2}), x=x)["x"].to_rows() == [[2, 4], [6]]


def test_every_problem_of_the_message_is_reported(problems):
    assert problems(Scale(datatype="INT8")) == [
        "columns: missing; expected the names of one or more columns",
        "datatype: 'INT8' is not a datatype that fits here; expected one of 'FP16', 'FP32', 'FP64'",
        "neither affine nor min_max is set; set one of them",
    ]
    assert problems(Scale(columns=["x"], min_max={"min": 3, "max": 3})) == [
        "min_max.max: got 3.0; expected more than min, 3.0"
    ]
    assert problems(Scale(columns=["x"], min_max={})) == [
        "min_max.max: missing; expected the upper end of the input range, such as 255"
    ]
    assert problems(Scale(columns=["x"], affine={"factor": float("nan")})) == [
        "affine.factor: got nan; expected a finite number"
    ]


def test_a_column_of_strings_is_a_problem(problems):
    assert problems(Scale(columns=["x", "y"], affine={}), x=Field("x", "STRING"), y=Field("y", "BYTES", (2,))) == [
        "columns[0]: column 'x' is STRING; expected a number",
        "columns[1]: column 'y' is BYTES[2]; expected a number",
    ]

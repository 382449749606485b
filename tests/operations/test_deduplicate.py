# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np

from expansion.contract._gen.operation_pb2 import Deduplicate
from expansion.contract.fields import Field
from expansion.tensors.columns import Blobs, Ragged, RaggedBlobs


def apply_to(apply, column):
    return apply(Deduplicate(columns=["x"]), x=column)["x"].to_rows()


def test_elements_that_were_in_the_row_before_are_dropped(apply):
    assert apply_to(apply, RaggedBlobs.of_rows("STRING", [["b", "a", "b"], [], ["a", "a"]], 1)) == [
        ["b", "a"],
        [],
        ["a"],
    ]
    assert apply_to(apply, Ragged.of_rows([np.array([3, 1, 3]), np.array([1])], np.int32, 1)) == [[3, 1], [1]]
    assert apply_to(apply, Blobs.of("BYTES", [b"x", b"x", b"", b"\xff"], 2, (2,))) == [[b"x"], [b"", b"\xff"]]
    assert apply_to(apply, np.array([[True, True], [False, True]])) == [[True], [False, True]]


def test_the_same_element_stays_in_another_row(apply):
    assert apply_to(apply, np.array([[1, 1], [1, 1]])) == [[1], [1]]


def test_nan_is_one_value(apply):
    np.testing.assert_equal(apply_to(apply, np.array([[np.nan, 1.0, np.nan]])), [[np.nan, 1.0]])


def test_rows_without_elements_stay_so(apply):
    assert apply_to(apply, np.zeros((2, 0))) == [[], []]


def test_other_than_arrays_with_one_axis_are_problems(problems):
    fields = {"x": Field("x", "INT64"), "y": Field("y", "STRING", (2, 2)), "z": Field("z", "FP32", (-1,))}
    assert problems(Deduplicate(columns=["x", "y", "z"]), **fields) == [
        "columns[0]: column 'x' is INT64; expected arrays with one axis",
        "columns[1]: column 'y' is STRING[2, 2]; expected arrays with one axis",
    ]

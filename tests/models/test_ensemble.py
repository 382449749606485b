# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Several models as one."""

import numpy as np
import pytest

from expansion.errors import BadRows, SystemicError
from expansion.models.ensemble import Ensemble
from expansion.tensors.columns import Blobs, Columns, Dense, Ragged

INPUTS = {"x": Columns({"x": Dense(np.zeros(2))}, 2)}


class Constant:
    """Returns the same for whatever input."""

    def __init__(self, column):
        self.column = column

    def run(self, inputs, outputs):
        return dict.fromkeys(outputs, self.column)


def average(*columns, weights=()):
    return Ensemble(list(map(Constant, columns)), weights).run(INPUTS, ["y"])["y"]


def test_outputs_are_averaged_in_double_precision_and_keep_their_datatype():
    one, two = (Dense(np.array([[value], [0]], np.float32)) for value in (2**24, 2**24 + 2))
    result = average(one, two, one, two)
    assert (result.datatype, result.shape) == ("FP32", (1,))
    assert result.to_rows() == [[2**24], [0]]  # 2**24 + 1 is none of FP32's numbers; its even neighbour is


def test_weights_say_how_much_each_model_counts():
    one, four = Dense(np.array([1.0, 1.0])), Dense(np.array([4.0, 8.0]))
    assert average(one, four, weights=[2, 1]).to_rows() == [2, pytest.approx(10 / 3)]


def test_rows_of_unequal_size_are_averaged_one_by_one_and_cost_themselves_where_models_disagree():
    def ragged(*sizes):
        return Ragged.of_rows([np.full(size, float(size)) for size in sizes], np.float64, 1)

    assert average(ragged(1, 2), ragged(1, 2)).to_rows() == [[1], [2, 2]]
    with pytest.raises(BadRows, match="not the same shape in all models") as error:
        average(ragged(1, 2), ragged(1, 3))
    assert list(error.value.messages) == [1]


def test_what_has_no_average_is_an_error_of_the_models():
    with pytest.raises(SystemicError, match="expected the same of all"):
        average(Blobs.of("STRING", ["a", "b"], 2), Blobs.of("STRING", ["a", "b"], 2))
    with pytest.raises(SystemicError, match=r"FP64\[\], FP64\[1\]"):
        average(Dense(np.zeros(2)), Dense(np.zeros((2, 1))))

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""One bad row never costs its batch."""

import errno
import io
import math
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from expansion.errors import BadRows, SystemicError
from expansion.tensors.columns import Blobs, Columns, Dense
from expansion.transforms.isolation import isolate


def columns(values):
    return Columns({"x": Dense(np.asarray(values))}, len(values))


class RaisesOn:
    """An operation that doubles, and raises if there is a poisonous row among its rows."""

    def __init__(self, poison, error=ValueError):
        self.poison, self.error, self.calls = set(poison), error, 0

    def __call__(self, batch):
        self.calls += 1
        values = batch["x"].values
        if self.poison.intersection(values.tolist()):
            raise self.error("poison")
        return Columns({"y": Dense(values * 2)}, len(values))


def test_good_rows_come_out_in_order_and_bad_ones_are_named():
    result = isolate(RaisesOn({3, 7}), columns(range(10)))
    assert result.columns["y"].values.tolist() == [0, 2, 4, 8, 10, 12, 16, 18]
    assert {row: error.message for row, error in result.errors.items()} == {3: "poison", 7: "poison"}


@pytest.mark.parametrize("bad", [1, 2, 5, 40, 256])
def test_the_number_of_calls_stays_within_the_bound(bad):
    n = 256
    operation = RaisesOn(np.random.default_rng(0).choice(n, bad, replace=False).tolist())
    assert len(isolate(operation, columns(range(n))).errors) == bad
    assert operation.calls <= 2 * bad * (math.log2(n / bad) + 2)


def test_rows_that_an_operation_names_cost_one_more_call():
    calls = []

    def refuse_negative(batch):
        calls.append(batch.row_count)
        negative = np.flatnonzero(batch["x"].values < 0)
        if len(negative):
            raise BadRows(dict.fromkeys(negative.tolist(), "negative"))
        return batch

    result = isolate(refuse_negative, columns([1, -2, 3, -4]))
    assert result.columns["x"].values.tolist() == [1, 3]
    assert sorted(result.errors) == [1, 3]
    assert calls == [4, 2]


def test_rows_named_by_one_half_of_a_bisected_batch_keep_their_indices():
    def operation(batch):
        values = batch["x"].values
        if 0 in values:
            raise ValueError("zero")
        if 9 in values:
            raise BadRows({int(np.flatnonzero(values == 9)[0]): "nine"})
        return batch

    result = isolate(operation, columns([5, 0, 6, 7, 9, 8]))
    assert {row: error.message for row, error in result.errors.items()} == {1: "zero", 4: "nine"}
    assert result.columns["x"].values.tolist() == [5, 6, 7, 8]


def test_all_rows_bad_leaves_no_columns():
    result = isolate(RaisesOn(range(4)), columns(range(4)))
    assert result.columns.row_count == 0
    assert len(result.errors) == 4


class PeculiarError(Exception):
    """As a user's own code raises."""


@pytest.mark.parametrize("error", [RuntimeError, PeculiarError])
def test_an_error_of_an_unknown_class_may_be_about_single_rows(error):
    result = isolate(RaisesOn({3, 7, 8, 9}, error), columns(range(10)))
    assert result.columns["y"].values.tolist() == [0, 2, 4, 8, 10, 12]
    assert [result.errors[row].error_type for row in (3, 7, 8, 9)] == [error.__name__] * 4


def test_three_rows_that_fail_alike_before_any_succeeds_are_a_systemic_error_of_an_unknown_class():
    operation = RaisesOn(range(256), RuntimeError)
    with pytest.raises(RuntimeError):
        isolate(operation, columns(range(256)))
    assert operation.calls <= math.log2(256) + 5


@pytest.mark.parametrize(
    "error", [MemoryError, FileNotFoundError, TimeoutError, ConnectionError, ImportError, SystemicError]
)
def test_an_error_that_is_not_about_rows_is_not_bisected(error):
    operation = RaisesOn({3}, error)
    with pytest.raises(error):
        isolate(operation, columns(range(10)))
    assert operation.calls == 1


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC])
def test_an_error_of_the_system_is_not_bisected(number):
    operation = RaisesOn({3}, partial(OSError, number))
    with pytest.raises(OSError, match="poison"):
        isolate(operation, columns(range(10)))
    assert operation.calls == 1


def test_what_pillow_raises_over_a_damaged_image_costs_its_row():
    Image = pytest.importorskip("PIL.Image")  # noqa: N806

    def pictures(images):
        sizes = [Image.open(io.BytesIO(data)).convert("RGB").size[0] for data in images["x"].to_list()]
        return Columns({"y": Dense(np.array(sizes))}, len(sizes))

    whole = io.BytesIO()
    Image.effect_noise((40, 40), 50).save(whole, "PNG")
    data = [whole.getvalue()] * 8
    data[2], data[5] = whole.getvalue()[:600], b"no image"
    result = isolate(pictures, Columns({"x": Blobs("BYTES", pa.array(data, pa.binary()), (), 8)}, 8))
    assert result.columns["y"].values.tolist() == [40] * 6
    assert {row: error.error_type for row, error in result.errors.items()} == {
        2: "OSError",
        5: "UnidentifiedImageError",
    }


def test_an_empty_batch_is_not_passed_to_the_operation():
    operation = RaisesOn(())
    assert isolate(operation, columns([])).columns.row_count == 0
    assert operation.calls == 0


def test_rows_that_an_operation_names_one_at_a_time_are_all_found():
    def refuse_first_negative(batch):
        negative = np.flatnonzero(batch["x"].values < 0)
        if len(negative):
            raise BadRows({int(negative[0]): "negative"})
        return batch

    assert len(isolate(refuse_first_negative, columns([-1] * 2000 + [1])).errors) == 2000


def test_an_operation_that_names_no_row_is_broken_and_not_asked_again():
    def refuse(batch):
        raise BadRows({})

    with pytest.raises(SystemicError, match="none was named"):
        isolate(refuse, columns([1, 2]))


def test_twenty_thousand_bad_rows_are_all_found():
    assert len(isolate(RaisesOn(range(20_000)), columns(range(20_000))).errors) == 20_000

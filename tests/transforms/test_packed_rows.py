# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Rows that wait between steps: whatever they are and wherever they are, they come back as they were."""

import subprocess
import sys
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.transforms.window import GlobalWindow, IntervalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP, Timestamp
from apache_beam.utils.windowed_value import PANE_INFO_UNKNOWN, PaneInfo, PaneInfoTiming, WindowedValue

from expansion.tensors.columns import Blobs, Columns, Dense, RaggedBlobs
from expansion.transforms import packed_rows
from expansion.transforms.batch import Batch
from expansion.transforms.batch_coder import BatchCoder


class Visit(NamedTuple):
    age: float
    city: str


EVERYWHERE = (GlobalWindow(),)
LATE = PaneInfo(False, True, PaneInfoTiming.LATE, 2, 1)


def row(value, micros=0, windows=EVERYWHERE, pane=PANE_INFO_UNKNOWN):
    return WindowedValue(value, Timestamp(micros=micros), windows, pane)


def there_and_back(rows):
    carried = np.empty(len(rows), object)
    carried[:] = rows
    coder = BatchCoder()
    batch = Batch(Columns({"row": Dense(carried)}, len(rows)), Columns({}, len(rows)))
    return list(coder.decode(coder.encode(batch)).carried["row"].values)


@pytest.mark.parametrize(
    "values",
    [
        [Visit(1.5, "a"), Visit(2.5, "b")],
        [beam.Row(age=1, tags=["x"]), beam.Row(age=None, tags=[])],
        [beam.Row(age=1), beam.Row(city="a")],
        [beam.Row(age=1, city="a"), beam.Row(city="b", age=2)],
        [Visit(1.5, "a"), beam.Row(age=2.5, city="b"), 7],
    ],
    ids=["named tuples", "rows", "rows of other fields", "rows of another order", "of several classes"],
)
def test_rows_come_back_as_what_they_were(values):
    got = [each.value for each in there_and_back(list(map(row, values)))]
    assert got == values
    assert list(map(type, got)) == list(map(type, values))
    assert list(map(repr, got)) == list(map(repr, values))


def test_timestamps_windows_and_panes_come_back():
    first, second = IntervalWindow(0, 10), IntervalWindow(5, 15)
    rows = [
        row(Visit(1, "a"), MIN_TIMESTAMP.micros),
        row(Visit(2, "b"), 7, (first, second)),
        row(Visit(3, "c"), 8, (second,), LATE),
        row(Visit(4, "d"), 9, (first, second), LATE),
    ]
    got = there_and_back(rows)
    assert got == rows
    assert [each.pane_info for each in got] == [each.pane_info for each in rows]


def test_windows_in_lists_as_beam_decodes_them_are_windows_too():
    first, second = IntervalWindow(0, 10), IntervalWindow(5, 15)
    got = there_and_back([row(Visit(1, "a"), 1, [first]), row(Visit(2, "b"), 2, [first, second])])
    assert [each.windows for each in got] == [(first,), (first, second)]


def test_no_rows_are_no_rows():
    assert packed_rows.unpack(*packed_rows.pack([])) == []
    assert there_and_back([]) == []


DECODE = """
import sys
from expansion.transforms.batch_coder import BatchCoder
[row] = BatchCoder().decode(sys.stdin.buffer.read()).carried["row"].values
print(type(row.value).__module__, row.value)
"""


def test_rows_of_a_class_of_a_script_come_out_in_another_process():
    """As elements do whose class is in ``__main__``: workers have another one."""

    class OfScript(NamedTuple):
        age: float

    OfScript.__module__, OfScript.__qualname__ = "__main__", "OfScript"
    carried = np.empty(1, object)
    carried[:] = [row(OfScript(1.5))]
    encoded = BatchCoder().encode(Batch(Columns({"row": Dense(carried)}, 1), Columns({}, 1)))
    done = subprocess.run([sys.executable, "-c", DECODE], input=encoded, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "__main__ OfScript(age=1.5)"
    assert isinstance(BatchCoder().decode(encoded).carried["row"].values[0].value, OfScript)


def test_of_a_part_of_a_batch_only_that_part_is_written():
    texts = Blobs.of("STRING", [f"{number}" * 1000 for number in range(4000)], 4000, ())
    parts = RaggedBlobs("STRING", texts.array, np.ones((4000, 1), np.int32))
    batch = Batch(Columns({"row": texts}, 4000), Columns({"text": texts, "parts": parts}, 4000))
    part = batch.slice(100, 110)
    written = BatchCoder().encode(part)
    assert len(written) < 3 * part.nbytes
    there = BatchCoder().decode(written)
    assert there.carried["row"].to_rows() == part.carried["row"].to_rows()
    assert there.features["text"].to_rows() == part.features["text"].to_rows()
    assert there.features["parts"].to_rows() == part.features["parts"].to_rows()

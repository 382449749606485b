# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A batch that does not fit in memory is run in parts."""

import math
import subprocess
import sys

import numpy as np
import pytest

from expansion.errors import BadRows
from expansion.tensors.columns import Columns, Dense
from expansion.transforms import memory
from expansion.transforms.memory import Received, WithinMemory


class FitsRows:
    """Doubles rows; runs out of memory with more than ``limit`` of them, or with one of the ``heavy`` ones."""

    def __init__(self, limit, heavy=()):
        self.limit, self.heavy, self.sizes = limit, heavy, []

    def __call__(self, batch):
        values = batch["x"].values
        self.sizes.append(len(values))
        if len(values) > self.limit or set(self.heavy).intersection(values.tolist()):
            raise MemoryError("no room")
        return Columns({"y": Dense(values * 2)}, len(values))


def columns(count):
    return Columns({"x": Dense(np.arange(count))}, count)


def test_a_batch_that_fits_is_run_once():
    operation = FitsRows(8)
    assert WithinMemory().run(operation, columns(8))["y"].values.tolist() == list(range(0, 16, 2))
    assert operation.sizes == [8]


def test_a_batch_that_does_not_fit_is_run_in_halves_and_gives_every_row_in_order():
    operation = FitsRows(3)
    assert WithinMemory().run(operation, columns(10))["y"].values.tolist() == list(range(0, 20, 2))
    assert operation.sizes == [10, 5, 2, 2, 2, 2, 2]


def test_later_batches_are_no_larger_than_what_fitted():
    memory, operation = WithinMemory(), FitsRows(5)
    memory.run(operation, columns(10))
    operation.sizes.clear()
    memory.run(operation, columns(10))
    assert operation.sizes == [5, 5]


def test_a_row_that_does_not_fit_by_itself_is_named_and_the_others_are_not_lost():
    with pytest.raises(BadRows) as raised:
        WithinMemory().run(FitsRows(4, heavy=[5]), columns(8))
    assert raised.value.messages == {5: "out of memory with this row alone: no room"}


def test_when_no_row_fits_it_is_no_rows_fault():
    with pytest.raises(MemoryError):
        WithinMemory().run(FitsRows(0), columns(4))


def test_rows_that_the_operation_names_keep_their_indices_in_the_whole_batch():
    memory = WithinMemory()
    memory.run(FitsRows(2), columns(4))

    def refuses_three(batch):
        bad = np.flatnonzero(batch["x"].values == 3)
        if len(bad):
            raise BadRows({int(bad[0]): "three"})
        return batch

    with pytest.raises(BadRows) as raised:
        memory.run(refuses_three, columns(4))
    assert raised.value.messages == {3: "three"}


def test_a_row_that_does_not_fit_by_itself_does_not_make_later_batches_smaller():
    memory, operation = WithinMemory(), FitsRows(1000, heavy=[5])
    with pytest.raises(BadRows):
        memory.run(operation, columns(1000))
    assert len(operation.sizes) <= 2 * math.log2(1000) + 5
    operation.heavy = ()
    operation.sizes.clear()
    memory.run(operation, columns(1000))
    assert operation.sizes == [1000]


def test_a_row_alone_in_its_batch_that_does_not_fit_is_named_once_others_have_fitted():
    memory, operation = WithinMemory(), FitsRows(8, heavy=[0])
    with pytest.raises(MemoryError):
        memory.run(operation, columns(1))
    memory.run(FitsRows(8), columns(8))
    with pytest.raises(BadRows) as raised:
        memory.run(operation, columns(1))
    assert list(raised.value.messages) == [0]


def test_memory_is_given_back_after_the_first_of_a_message_and_then_after_every_8_mebibytes(monkeypatch):
    counted, given = [], []
    monkeypatch.setattr(memory, "give_back", lambda: given.append(len(counted)))
    received = Received()
    for _ in range(20):
        received.add(1 << 20)
        counted.append(1 << 20)
    assert given == [0, 9, 18]


LARGE = """
from pathlib import Path
from expansion.transforms.memory import give_back_large_blocks

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

give_back_large_blocks()
before = resident_bytes()
blocks = [b"a" * (6 << 20) for _ in range(20)]
kept = [b"b" * 100 for _ in range(1000)]  # behind them, so that they are not at the end of an arena
assert resident_bytes() > before + (100 << 20)
blocks.clear()
print(resident_bytes() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_blocks_are_given_back_as_soon_as_they_are_freed():
    ran = subprocess.run([sys.executable, "-c", LARGE], capture_output=True, text=True, check=True)
    assert int(ran.stdout) < 20 << 20

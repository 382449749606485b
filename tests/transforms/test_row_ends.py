# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Rows of a schema become batches of bounded size, whatever is in their columns."""

from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.timestamp import MIN_TIMESTAMP
from apache_beam.utils.windowed_value import WindowedValue

from expansion.contract._gen.run_inference_pb2 import Batching
from expansion.contract.fields import Field
from expansion.transforms import row_ends, steps
from expansion.transforms.batch import Batch
from expansion.transforms.config import read_config
from expansion.transforms.plan import make_plan


class Photo(NamedTuple):
    x: float
    jpeg: bytes | None
    tags: list[str]


def photo(kind, size):
    values = {"x": 1.0, "jpeg": bytes(size) if size else None, "tags": ["a" * 10] * 3}
    return Photo(**values) if kind is Photo else beam.Row(**values)


@pytest.fixture
def plan():
    config = {
        "model": {
            "custom": {
                "model_class": "models.Linear",
                "inputs": [{"name": "x", "datatype": "FP32"}],
                "outputs": [{"name": "y", "datatype": "FP32"}],
            }
        }
    }
    return make_plan(read_config(config), {"x": Field("x", "FP32")}, ())


def packed(step, rows):
    step.start_bundle()
    batches = [batch.value for row in rows for batch in step.process(row.value, row)]
    return [*batches, *(batch.value for batch in step.finish_bundle())]


def windowed(rows):
    return [WindowedValue(row, MIN_TIMESTAMP, (GlobalWindow(),)) for row in rows]


@pytest.mark.parametrize("kind", [Photo, beam.Row])
def test_large_rows_do_not_wait_for_as_many_as_small_ones_do(plan, kind, monkeypatch):
    monkeypatch.setattr(row_ends, "MAX_PACKED_BYTES", 10_000)
    rows = windowed([photo(kind, size) for size in [0] * 3 + [4000] * 7 + [50_000] + [0] * 5])
    batches = packed(row_ends.PackRows(plan), rows)
    assert list(map(len, batches)) == [6, 3, 2, 5]
    assert [row for batch in batches for row in batch.carried["row"].values] == rows


def test_of_rows_that_only_teach_the_features_count(plan, monkeypatch):
    monkeypatch.setattr(row_ends, "MAX_PACKED_BYTES", 10_000)
    step = row_ends.PackFeatures(plan)
    step.start_bundle()
    assert [batch for _ in range(100) for batch in step.process(photo(Photo, 4000))] == []
    assert [len(batch.value) for batch in step.finish_bundle()] == [100]


def test_a_batch_knows_what_its_rows_take_also_in_columns_that_nobody_reads(plan):
    [batch] = packed(row_ends.PackRows(plan), windowed([photo(Photo, 20_000)] * 100))
    assert 2_000_000 < batch.nbytes < 2_200_000
    [small] = packed(row_ends.PackRows(plan), windowed([photo(Photo, 0)] * 100))
    assert small.nbytes < 100_000
    both = Batch.concat([batch, small])
    assert both.nbytes == pytest.approx(batch.nbytes + small.nbytes, rel=0.01)
    assert batch.slice(0, 50).nbytes == batch.nbytes // 2


def test_rows_wait_for_others_no_longer_when_they_take_too_much_memory(plan, monkeypatch):
    monkeypatch.setattr(steps, "MAX_WAITING_BYTES", 1_000_000)
    step = steps.Rebatch(Batching(min_batch_size=10_000, max_batch_size=10_000))
    step.start_bundle()
    [batch] = packed(row_ends.PackRows(plan), windowed([photo(Photo, 20_000)] * 30))
    assert list(step.process(batch, MIN_TIMESTAMP)) == []
    [full] = step.process(batch, MIN_TIMESTAMP)
    assert len(full.value) == 60
    np.testing.assert_array_equal(full.value.features["x"].values, np.ones(60, np.float32))

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What has to hold on every device: each test runs on the CPU, and on a GPU where there is one (make test-gpu)."""

import resource
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to

from expansion import RunInference
from expansion.contract.fields import Field
from expansion.tensors.columns import Columns, Dense
from expansion.transforms.batch import Batch
from expansion.transforms.config import read_config
from expansion.transforms.handler import ColumnarModelHandler
from expansion.transforms.plan import make_plan

WIDTH = 16


@pytest.fixture
def address_space():
    """Has this process get no more than so many bytes of memory from the system, beside what it has."""

    @contextmanager
    def address_space(count):
        has = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (has + count, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

    return address_space


class Watched:
    """A model, and the sizes of the batches that it was given."""

    def __init__(self, model):
        self._model = model
        self._sizes = []

    def run(self, inputs, outputs):
        self._sizes.append(next(iter(inputs.values())).row_count)
        return self._model.run(inputs, outputs)

    def take_sizes(self):
        sizes, self._sizes = self._sizes, []
        return sizes


@pytest.fixture
def check_halving():
    """Checks that a batch that does not fit is run in smaller parts, that no row is lost, and that the size is kept."""

    def check_halving(model, limit, row_count=1024, parts=(4, 8)):
        """Checks with a model that makes y = x of x FP32[16], x > 0, and needs memory for each row on the way.

        Args:
            model: Its configuration.
            limit: Makes a context in which half of the rows do not fit.
            row_count: Rows of a batch.
            parts: Into how many parts it may be divided. Default: a quarter fits; an eighth will do.
        """
        # Two threads, as each takes something of what is limited.
        config = read_config({"model": {**model, "threads": 2}, "error_handling": {"output": "errors"}})
        handler = ColumnarModelHandler(make_plan(config, {"x": Field("x", "FP32", (WIDTH,))}, []).steps[0])
        watched = Watched(handler.load_model())
        x = np.random.default_rng(0).random((row_count, WIDTH), np.float32)

        def sizes_of(rows):
            columns = Columns({"x": Dense(rows)}, len(rows))
            [result] = handler.run_inference(Batch(columns, columns), watched)
            assert result.failures == ()
            np.testing.assert_allclose(result.predictions["y"].values, rows, rtol=1e-3)
            return watched.take_sizes()

        assert sizes_of(x[:4]) == [4]  # what a framework sets up at its first calls is there
        with limit():
            first, second = sizes_of(x), sizes_of(x)
        assert first[:2] == [row_count, row_count // 2], "all of it fits"
        kept = first[-1]
        assert row_count // kept in parts, "it is divided more often than it has to be"
        assert second == [kept] * (row_count // kept), "what was learned is not kept"

    return check_halving


class Readings(NamedTuple):
    key: int
    x: Sequence[float]


beam.coders.registry.register_coder(Readings, beam.coders.RowCoder)

# Lengths of 1 to 40, not in order.
UNEQUAL = [Readings(key, [float(value) for value in range(key, key + 1 + 7 * key % 40)]) for key in range(100)]


@pytest.fixture
def check_unequal():
    """Checks that rows of unequal size, through a pipeline, give what they are to give."""

    def check_unequal(config):
        """Checks with a model that makes y FP32, the sum of the squares, of x FP32[n]; padding does not change it.

        Args:
            config: The configuration.
        """
        with beam.Pipeline() as pipeline:
            rows = pipeline | beam.Create(UNEQUAL, reshuffle=False).with_output_types(Readings)
            results = rows | RunInference(config)
            sums = results["output"] | beam.Map(lambda row: (row.key, pytest.approx(row.y, rel=1e-5)))
            assert_that(sums, equal_to([(row.key, sum(value**2 for value in row.x)) for row in UNEQUAL]))

    return check_unequal

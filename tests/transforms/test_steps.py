# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Batches within a bundle: which wait for more rows, and which do not."""

import numpy as np
from apache_beam.utils.timestamp import Timestamp

from expansion.contract._gen.run_inference_pb2 import Batching
from expansion.tensors.columns import Columns, Dense
from expansion.transforms.batch import Batch
from expansion.transforms.steps import Rebatch


def batch(*weights):
    column = Columns({"w": Dense(np.array(weights, np.float64))}, len(weights))
    return Batch(column, column)


def rows(values):
    return [tuple(value.value.carried["w"].to_rows()) for value in values]


def test_rows_wait_until_there_are_enough_and_what_is_left_goes_on_with_the_bundle():
    step = Rebatch(Batching(min_batch_size=3, max_batch_size=3))
    step.start_bundle()
    assert rows(step.process(batch(1, 2), Timestamp(5))) == []
    (full,) = step.process(batch(3, 4), Timestamp(7))
    assert (rows([full]), full.timestamp) == ([(1, 2, 3)], Timestamp(5))
    (rest,) = step.finish_bundle()
    assert (rows([rest]), rest.timestamp) == ([(4,)], Timestamp(5))
    assert step._waiting_bytes == 0


def test_rows_that_weigh_enough_do_not_wait_for_more():
    step = Rebatch(Batching(min_batch_size=100, max_batch_size=100, max_batch_weight=10, weight_column="w"))
    step.start_bundle()
    assert rows(step.process(batch(4, 4), Timestamp(0))) == []
    assert rows(step.process(batch(4, 99), Timestamp(0))) == [(4, 4), (4,), (99,)]
    assert rows(step.finish_bundle()) == []

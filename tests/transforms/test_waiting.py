# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Batching across bundles: what waits, for how long, and at which timestamp it goes on."""

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing import test_stream, util
from apache_beam.transforms.window import TimestampedValue

from expansion.contract._gen.run_inference_pb2 import Batching
from expansion.tensors.columns import Blobs, Columns, Dense
from expansion.transforms.batch import Batch
from expansion.transforms.batch_coder import BatchCoder
from expansion.transforms.waiting import Wait

# Later than every timer: the stream's clock begins at 0, and the worker's is the real one.
_LATER = 10**10


def batch(*weights):
    count = len(weights)
    return Batch(Columns({}, count), Columns({"w": Dense(np.array(weights, float))}, count))


def stream(*elements):
    """Makes a stream: of (timestamp, weights of rows), and of None where the time is up, as it is in the end."""
    made = test_stream.TestStream(coder=beam.coders.TupleCoder([beam.coders.BytesCoder(), BatchCoder()]))
    for element in (*elements, None):  # at the end of its input, this runner holds no watermark for what waits
        if element is None:
            made = made.advance_processing_time(_LATER)
        else:
            timestamp, *weights = element
            made = made.add_elements([TimestampedValue((b"key", batch(*weights)), timestamp)])
    return made.advance_watermark_to_infinity()


class Seen(beam.DoFn):
    def process(self, batch, timestamp=beam.DoFn.TimestampParam):
        yield float(timestamp), *batch.features["w"].values.tolist()


def check(elements, expected, **batching):
    """Asserts which batches come out: their timestamp, and the weights of their rows."""
    with beam.Pipeline(options=PipelineOptions(["--streaming"])) as pipeline:
        keyed = pipeline | stream(*elements).with_output_types(tuple[bytes, Batch])
        seen = keyed | beam.ParDo(Wait(Batching(max_batch_duration_secs=600, **batching))) | beam.ParDo(Seen())
        util.assert_that(seen, util.equal_to(expected))


def test_rows_of_several_bundles_go_on_together_at_the_earliest_timestamp_of_them():
    check([(5, 1, 2, 3), (3, 4)], [(3, 1, 2, 3, 4)], max_batch_size=4)


def test_what_is_too_much_for_a_full_batch_waits_on_at_its_own_timestamp():
    check([(5, 1, 2, 3), (7, 4, 5, 6), (9, 7)], [(5, 1, 2, 3, 4), (7, 5, 6, 7)], max_batch_size=4)


def test_what_waits_goes_on_when_the_time_is_up():
    check([(5, 1), (6, 2), None, (7, 3)], [(5, 1, 2), (7, 3)], max_batch_size=4)


def test_a_batch_that_weighs_enough_does_not_wait_for_more_rows():
    check(
        [(1, 4, 4), (2, 2), None, (3, 99), (4, 1), (5, 10), (6, 2)],
        [(1, 4, 4, 2), (3, 99), (4, 1), (5, 10), (6, 2)],
        max_batch_weight=10,
        weight_column="w",
    )


def test_of_a_part_of_a_batch_only_that_part_is_kept():
    texts = Blobs.of("STRING", ["x" * 1000] * 1000, 1000)
    whole = Batch(Columns({"text": texts}, 1000), Columns({"w": Dense(np.zeros(1000))}, 1000))
    part = whole.slice(5, 7).compact()
    assert part.carried["text"].to_rows() == ["x" * 1000] * 2
    assert part.carried["text"].array.get_total_buffer_size() < 10_000 < texts.array.get_total_buffer_size()

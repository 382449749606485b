# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.tensors.columns import Blobs, Columns, Dense
from expansion.transforms.batch import Batch
from expansion.transforms.compressed import Compress, DecompressAfter, compress, decompress


@pytest.mark.parametrize("data", [b"", b"a", b"many of a kind" * 1000, np.random.default_rng(1).bytes(100_000)])
def test_data_comes_out_as_it_went_in(data):
    assert decompress(compress(data)) == data


def test_what_repeats_itself_takes_less():
    assert len(compress(b"many of a kind" * 1000)) < 1000


def test_a_batch_is_the_same_after_it_has_waited():
    columns = Columns({"x": Dense(np.arange(3.0)), "s": Blobs.of("STRING", ["a", "", "\u00fc"], 3)}, 3)
    before, after = Compress(), DecompressAfter()
    before.setup()
    after.setup()
    [compressed] = before.process(Batch(Columns({}, 3), columns))
    [batch] = after.process(compressed, {})
    assert len(batch) == 3
    assert {name: column.to_rows() for name, column in batch.features.items()} == {
        "x": [0.0, 1.0, 2.0],
        "s": ["a", "", "\u00fc"],
    }

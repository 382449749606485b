# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import Hash, Hook
from expansion.contract._gen.operation_pb2 import HashStrings
from expansion.hooks import build
from expansion.tensors.columns import Blobs, Columns, Dense


@pytest.mark.parametrize(
    "column",
    [Blobs.of("STRING", ["a", "ä", "", "b"], 2, (2,)), Dense(np.array([1, -7, 2**62]))],
    ids=["texts", "integers"],
)
def test_values_are_in_the_buckets_of_the_hook(apply, column):
    hooked = build(Hook(hash=Hash(columns=["x"], buckets=1000)))(Columns({"x": column}, len(column)))["x"]
    after = apply(HashStrings(columns=["x"], outputs=["y"], buckets=1000), x=column)
    assert after["y"].to_rows() == hooked.to_rows()


def test_a_bucket_is_needed(problems):
    assert problems(HashStrings(columns=["x"])) == ["buckets: got 0; expected 1 or more"]

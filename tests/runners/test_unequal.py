# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Rows of unequal size, which PyTorch does not stack ("stack expects each tensor to be equal size"): every way out."""

from collections.abc import Sequence
from typing import NamedTuple

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from expansion import RunInference

pytestmark = pytest.mark.runner


class Tokens(NamedTuple):
    key: int
    x: Sequence[float]


beam.coders.registry.register_coder(Tokens, beam.coders.RowCoder)

ROWS = [Tokens(key, [float(value) for value in range(1, key % 5 + 2)]) for key in range(20)]

WAYS = {
    "nothing: rows of one shape are run together": {},
    "padding": {"pre_hooks": [{"pad": {"columns": ["x"], "longest": True}}]},
    "padding to a fixed length": {"pre_hooks": [{"pad": {"columns": ["x"], "length": 8}}]},
    "buckets of similar length": {
        "batching": {"length_column": "x", "length_boundaries": [3, 5], "min_batch_size": 100},
        "pre_hooks": [{"pad": {"columns": ["x"], "longest": True}}],
    },
    "batches of limited weight": {"batching": {"max_batch_weight": 64}},
    "batches of one row": {"batching": {"max_batch_size": 1}},
}


@pytest.fixture(scope="module")
def summing(tmp_path_factory):
    """A TorchScript model: x FP32[n] → the sum of a row."""
    import torch

    class Sum(torch.nn.Module):
        def forward(self, x):
            return x.sum(dim=1)

    path = tmp_path_factory.mktemp("models") / "sum.pt"
    torch.jit.trace(Sum(), torch.zeros(2, 3)).save(str(path))
    return str(path)


def test_beams_own_handler_does_not_take_them():
    import torch
    from apache_beam.ml.inference.pytorch_inference import PytorchModelHandlerTensor

    handler = PytorchModelHandlerTensor("none", torch.nn.Identity, {})
    with pytest.raises(RuntimeError, match="stack expects each tensor to be equal size"):
        handler.run_inference([torch.tensor(row.x) for row in ROWS], torch.nn.Identity())


@pytest.mark.parametrize("way", WAYS)
def test_every_way_gives_every_row_its_own_prediction(summing, way):
    field = {"datatype": "FP32"}
    model = {"uri": summing, "inputs": [{"name": "x", "shape": [-1], **field}], "outputs": [{"name": "sum", **field}]}
    with beam.Pipeline() as pipeline:
        results = (
            pipeline
            | beam.Create(ROWS, reshuffle=False).with_output_types(Tokens)
            | RunInference({"model": {"pytorch": model}, **WAYS[way]})
        )
        sums = results["output"] | beam.Map(lambda row: (row.key, list(row.x), row.sum))
        assert_that(sums, equal_to([(row.key, row.x, sum(row.x)) for row in ROWS]))

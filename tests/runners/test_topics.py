# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Topics sample in Java, a chain of two models, beside the one in Python and beside both models called by hand."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.runner

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/topics"
DATA = ROOT / "build/topics"

# Sentences that few expect: an empty one, one of symbols and of what CSV takes for its own, one too long for MiniLM.
UNUSUAL = ["", "\"Wow\", she said; '\U0001f600\u200d\U0001f525'\u00a0\x07\\ zażółć!", "the goalkeeper " * 500]

# In a process of its own, as whatever imports PyTorch.
BY_HAND = """
import csv, sys
import skops.io, torch
from pathlib import Path
from tokenizers import Tokenizer

data, lines, output = map(Path, sys.argv[1:])
topics, sentences = zip(*(line.split("\\t") for line in lines.read_text().removesuffix("\\n").split("\\n")))
tokenizer = Tokenizer.from_file(str(data / "tokenizer.json"))
tokenizer.enable_padding()
encodings = tokenizer.encode_batch(sentences)
program = torch.export.load(data / "minilm.pt2").module()
inputs = [torch.tensor([getattr(encoding, name) for encoding in encodings]) for name in ("ids", "attention_mask")]
embeddings = program(*inputs)["embedding"].detach().numpy()
classifier = skops.io.load(data / "topics.skops")
predicted, scores = classifier.predict(embeddings), classifier.predict_proba(embeddings).max(1)
with output.open("w", newline="") as file:
    csv.writer(file).writerows([["sentence"], *zip(sentences, topics, predicted, scores)])
"""


@pytest.fixture(scope="module")
def lines(tmp_path_factory):
    """A file of labelled sentences, the test half and a few unusual ones; makes the models first."""
    made = DATA / "topics.skops"  # written last
    sources = [EXAMPLE / "prepare.py", EXAMPLE / "sentences.tsv"]
    if not made.exists() or made.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        subprocess.run([sys.executable, str(EXAMPLE / "prepare.py"), str(DATA)], check=True)
    path = tmp_path_factory.mktemp("topics") / "lines.tsv"
    path.write_text((DATA / "test.tsv").read_text() + "".join(f"sport\t{sentence}\n" for sentence in UNUSUAL))
    return path


@pytest.fixture(scope="module")
def java(lines, run_sample, tmp_path_factory):
    """Runs the Java sample; returns where it wrote, and what it printed."""
    output = tmp_path_factory.mktemp("java")
    return output, run_sample("Topics", f"--input={lines}", f"--output={output}")


def rows_of(path):
    with path.open(newline="") as file:
        return sorted(list(csv.reader(file))[1:])


def same(rows, others):
    """Whether sentences, topics and predictions are the same, and scores but for rounding: batches may differ."""
    return [row[:3] for row in rows] == [row[:3] for row in others] and [
        float(row[3]) for row in rows
    ] == pytest.approx([float(row[3]) for row in others], abs=1e-5)


def test_java_predicts_what_tokenizer_network_and_classifier_by_hand_do_row_by_row(java, lines, tmp_path):
    subprocess.run([sys.executable, "-c", BY_HAND, str(DATA), str(lines), str(tmp_path / "by_hand.csv")], check=True)
    rows = rows_of(java[0] / "predictions.csv")
    assert len(rows) == 96 + len(UNUSUAL)
    assert {sentence for sentence, *_ in rows}.issuperset(UNUSUAL)
    assert same(rows, rows_of(tmp_path / "by_hand.csv"))
    assert rows_of(java[0] / "errors.csv") == []


def test_the_python_sample_predicts_the_same_row_by_row(java, lines, tmp_path):
    command = [sys.executable, "examples/topics/pipeline.py", f"--input={lines}", f"--output={tmp_path}/rows.csv"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    assert same(rows_of(java[0] / "predictions.csv"), rows_of(tmp_path / "rows.csv"))
    assert rows_of(tmp_path / "errors_python.csv") == []


def test_four_of_five_topics_are_recognized(java):
    rows = rows_of(java[0] / "predictions.csv")
    assert {topic for _, topic, _, _ in rows} == {predicted for _, _, predicted, _ in rows}
    accuracy = sum(topic == predicted for _, topic, predicted, _ in rows) / len(rows)
    assert accuracy >= 0.8
    assert f"accuracy {accuracy:.4f}" in java[1]

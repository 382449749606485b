# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Writes the Hugging Face model that the conformance cases name, small and exact enough to check by hand."""

import shutil
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "good", "bad")


def write(directory: Path) -> None:
    """Writes a classifier of texts of at most 6 words, and a copy of it that ends in the middle of its weights.

    A text is "positive" if it has more words good than bad, and else "negative". The hidden state of a word is (−1, 1),
    (1, −1) or, of any other, (0, 0). The one layer adds the mean of all of them to it, and LayerNorm makes (−1, 1) or
    (1, −1) of what is not (0, 0). The classifier sees tanh of the first token's, so the score is
    1 ÷ (1 + exp(−2 tanh(1))) = 0.821008, and 0.5 where good and bad are as many.
    """
    whole, truncated = directory / "sentiment", directory / "sentiment_truncated"
    _tokenizer().save_pretrained(whole)
    _classifier().save_pretrained(whole)
    shutil.copytree(whole, truncated, dirs_exist_ok=True)
    weights = (whole / "model.safetensors").read_bytes()
    (truncated / "model.safetensors").write_bytes(weights[: len(weights) - 8])


def _tokenizer() -> transformers.PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, WORDS[1]))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    special = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token"), WORDS, strict=False))
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=8, **special)


def _classifier() -> transformers.BertForSequenceClassification:
    config = transformers.BertConfig(
        vocab_size=len(WORDS),
        hidden_size=2,
        num_hidden_layers=1,
        num_attention_heads=1,
        intermediate_size=2,
        max_position_embeddings=8,
        id2label={0: "negative", 1: "positive"},
    )
    model = transformers.BertForSequenceClassification(config)
    layer = model.bert.encoder.layer[0]
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1 if name.endswith("LayerNorm.weight") else 0)
        model.bert.embeddings.word_embeddings.weight[4:] = torch.tensor([[-1.0, 1.0], [1.0, -1.0]])
        for linear in (layer.attention.self.value, layer.attention.output.dense, model.bert.pooler.dense):
            linear.weight.copy_(torch.eye(2))
        model.classifier.weight.copy_(torch.eye(2))
    return model

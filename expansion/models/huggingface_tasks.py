# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The tasks of huggingface models. Imported by workers only: it imports PyTorch and transformers.

The pipelines of transformers tokenize, and make a result of, one element at a time; here a batch goes through at once. The
results are theirs, which the tests check.
"""

from __future__ import annotations

import copy
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers
from PIL import Image, ImageOps

from expansion.contract._gen import model_pb2
from expansion.contract.fields import Field
from expansion.errors import BadRows, SystemicError, first_line
from expansion.models.huggingface_files import ModelFiles
from expansion.models.huggingface_pooling import pool
from expansion.models.huggingface_texts import Texts, Tokens, inference
from expansion.models.signature import Model, column_of
from expansion.tensors.arrays import stack
from expansion.tensors.columns import Column, Columns

_IMAGE_FORMATS = ("JPEG", "PNG", "WEBP")
_NEW_TOKENS = 50


def load(config: model_pb2.HuggingFaceModel, path: Path, files: ModelFiles, device: str) -> Model:
    """Loads a model from a local directory.

    Raises:
        SystemicError: The files are not those of a model for the task.
        Exception: Whatever transformers raises for damaged files.
    """
    transformers.utils.logging.disable_progress_bar()
    automatic, task = _TASKS[config.task]
    model, loading = automatic.from_pretrained(
        path, local_files_only=True, trust_remote_code=False, use_safetensors=True, output_loading_info=True
    )
    # A pooler is for next sentences, which no task here uses.
    missing = sorted(name for name in loading["missing_keys"] if "pooler." not in name)
    if missing:  # transformers would make them up at random
        raise SystemicError(f"{config.uri!r} lacks {len(missing)} of the model's weights, such as {missing[0]}")
    loaded: Model = task(config, path, files, model.to(device).eval())
    return loaded


class SentenceEmbedding:
    """Token embeddings, pooled as sentence-transformers does."""

    def __init__(self, config: model_pb2.HuggingFaceModel, path: Path, files: ModelFiles, model: Any):
        self._model = model
        self._files = files
        self._texts = Texts(path, config.max_tokens or files.max_tokens, files.max_positions)

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Embeds a batch of texts."""
        texts = [self._files.prompt + text for text in _rows(inputs, "text", "STRING")]
        if self._files.lower_case:
            texts = [text.lower() for text in texts]
        embeddings: npt.NDArray[np.float32] | None = None
        for rows, encoded in self._texts.batches(self._texts.tokens(texts), self._model.device):
            with inference():
                part = self._embed(encoded).cpu().numpy()
            embeddings = np.empty((len(texts), part.shape[1]), np.float32) if embeddings is None else embeddings
            embeddings[rows] = part
        return {"embedding": column_of("embedding", np.asarray(embeddings), len(texts))}

    def _embed(self, encoded: Any) -> Any:
        tokens = self._model(**encoded).last_hidden_state
        embeddings = pool(tokens, encoded["attention_mask"], self._files.pooling)
        return torch.nn.functional.normalize(embeddings) if self._files.normalize else embeddings


class TextClassification:
    """The best label of a text, and its score. Texts that are too long for the model are cut."""

    def __init__(self, config: model_pb2.HuggingFaceModel, path: Path, files: ModelFiles, model: Any):
        self._model = model
        self._texts = Texts(path, 0, files.max_positions)

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Classifies a batch of texts."""
        texts = _rows(inputs, "text", "STRING")
        scores = np.empty((len(texts), self._model.config.num_labels), np.float32)
        for rows, encoded in self._texts.batches(self._texts.tokens(texts), self._model.device):
            with inference():
                scores[rows] = _scores(self._model.config, self._model(**encoded).logits).cpu().numpy()
        return _best(self._model.config, scores, outputs)


class ImageClassification:
    """The best label of an image, and its score."""

    def __init__(self, config: model_pb2.HuggingFaceModel, path: Path, files: ModelFiles, model: Any):
        self._model = model
        self._processor = transformers.AutoImageProcessor.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Classifies a batch of encoded images.

        Raises:
            BadRows: Some are no images.
        """
        images = _decoded(_rows(inputs, "image", "BYTES"))
        with inference():
            pixels = self._processor(images=images, return_tensors="pt").to(self._model.device, self._model.dtype)
            scores = _scores(self._model.config, self._model(**pixels).logits).cpu().numpy()
        return _best(self._model.config, scores, outputs)


class TextGeneration:
    """A text and what follows it by greedy search, as generated_text of the pipeline. No chat template is applied."""

    def __init__(self, config: model_pb2.HuggingFaceModel, path: Path, files: ModelFiles, model: Any):
        self._model = model
        self._texts = Texts(path, 0, 0, is_prompt=True)
        tokenizer = self._texts.tokenizer
        self._new_tokens = config.max_new_tokens or _NEW_TOKENS
        self._settings = copy.deepcopy(model.generation_config)
        sampling = dict.fromkeys(("temperature", "top_p", "top_k", "max_length"))
        self._settings.update(do_sample=False, num_beams=1, num_return_sequences=1, **sampling)
        self._settings.update(max_new_tokens=self._new_tokens, pad_token_id=tokenizer.pad_token_id)
        starts = (self._settings.bos_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
        self._start = next((start for start in starts if start is not None), None)
        self._max_prompt = files.max_positions - self._new_tokens if files.max_positions else None
        if self._max_prompt is not None and self._max_prompt < 1:
            reason = f"the model has positions for {files.max_positions} tokens in all"
            raise SystemicError(f"max_new_tokens is {self._new_tokens}, and {reason}; make it smaller")

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Continues a batch of texts.

        Raises:
            BadRows: Some leave no room for the new tokens.
        """
        texts = _rows(inputs, "text", "STRING")
        results = np.array(texts, object)
        for rows, encoded in self._texts.batches(self._prompts(texts), self._model.device):
            with inference():
                tokens = self._model.generate(**encoded, generation_config=self._settings)
            new = tokens[:, encoded["input_ids"].shape[1] :].cpu()
            results[rows] += np.array(self._texts.tokenizer.batch_decode(new, skip_special_tokens=True), object)
        return {"generated_text": column_of("generated_text", results, len(texts))}

    def _prompts(self, texts: Sequence[str]) -> Tokens:
        ids = self._texts.tokens(texts)["input_ids"]
        if self._start is not None:  # of an empty text, generation starts where any text does
            ids = [row or [self._start] for row in ids]
        bad = {
            row: "the text has no tokens, and the model has none to start with" for row, x in enumerate(ids) if not x
        }
        if self._max_prompt is not None:
            room = f"the model has room for {self._max_prompt} before {self._new_tokens} new ones; shorten it"
            bad |= {
                row: f"the text has {len(x)} tokens; {room}" for row, x in enumerate(ids) if len(x) > self._max_prompt
            }
        if bad:
            raise BadRows(bad)
        return {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}


def _rows(inputs: Mapping[str, Columns], name: str, datatype: str) -> list[Any]:
    rows: list[Any] = stack(inputs[name], Field(name, datatype)).tolist()
    return rows


def _decoded(files: Sequence[bytes]) -> list[Image.Image]:
    """Decodes images as pipelines do: upright, and in RGB."""
    images, bad = [], {}
    for row, content in enumerate(files):
        try:
            with Image.open(io.BytesIO(content), formats=_IMAGE_FORMATS) as image:
                images.append(ImageOps.exif_transpose(image).convert("RGB"))
        except MemoryError:
            raise
        except Exception as error:  # damaged files may raise anything
            reason = (
                "it is no JPEG, PNG or WebP" if isinstance(error, Image.UnidentifiedImageError) else first_line(error)
            )
            bad[row] = f"can't decode the image of {len(content)} bytes: {reason}"
    if bad:
        raise BadRows(bad)
    return images


def _scores(config: Any, logits: Any) -> Any:
    """Returns the scores [rows, labels] as FP32, by the rule of the pipelines for classification."""
    logits = logits.float()
    if config.problem_type == "regression":
        return logits
    if config.problem_type == "multi_label_classification" or config.num_labels == 1:
        return torch.sigmoid(logits)
    return torch.softmax(logits, dim=-1)


def _best(config: Any, scores: npt.NDArray[np.float32], outputs: Sequence[str]) -> dict[str, Column]:
    best = scores.argmax(axis=1)
    results = {
        "label": np.array([config.id2label[index] for index in best.tolist()], object),
        "score": np.take_along_axis(scores, best[:, None], axis=1)[:, 0],
    }
    return {name: column_of(name, results[name], len(scores)) for name in outputs}


_TASKS = {
    "sentence-embedding": (transformers.AutoModel, SentenceEmbedding),
    "text-classification": (transformers.AutoModelForSequenceClassification, TextClassification),
    "image-classification": (transformers.AutoModelForImageClassification, ImageClassification),
    "text-generation": (transformers.AutoModelForCausalLM, TextGeneration),
}

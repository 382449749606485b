# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The tasks of huggingface models. Imported by workers only: it imports PyTorch and transformers.

The pipelines of transformers tokenize, and make a result of, one element at a time; here a batch goes through at once.
The results are theirs, which the tests check.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import transformers

from expansion.contract._gen import model_pb2
from expansion.contract.fields import Field
from expansion.errors import BadRows, SystemicError
from expansion.models.huggingface_files import ModelFiles
from expansion.models.huggingface_pooling import pool
from expansion.models.huggingface_texts import Texts, Tokens, inference
from expansion.models.signature import Model
from expansion.tensors import images
from expansion.tensors.arrays import stack
from expansion.tensors.columns import Column, Columns
from expansion.tensors.results import column_of

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
    missing = sorted(loading["missing_keys"])
    if config.task == "sentence-embedding":  # which takes the tokens' embeddings, and so needs no pooler
        missing = [name for name in missing if not name.startswith("pooler.")]
    if missing:  # transformers has made them up at random
        raise SystemicError(
            f"{config.uri!r} lacks {len(missing)} of the model's weights, such as {missing[0]}; "
            f"expected one that was trained for {config.task}"
        )
    return task(config, path, files, model.to(device).eval())


class SentenceEmbedding:
    """Token embeddings, pooled as sentence-transformers does. Texts that are too long for the model are cut."""

    def __init__(self, config: model_pb2.HuggingFaceModel, path: Path, files: ModelFiles, model: Any):
        self._model = model
        self._files = files
        self._texts = Texts(path, config.max_tokens or files.max_tokens, files.max_positions)

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Embeds a batch of texts.

        Raises:
            BadRows: Some have no tokens.
        """
        texts = [self._files.prompt + text for text in _rows(inputs, "text", "STRING")]
        if self._files.lower_case:
            texts = [text.lower() for text in texts]
        embeddings = self._texts.compute(self._texts.tokens(texts), self._model, self._embed)
        return {"embedding": column_of("embedding", embeddings, len(texts))}

    def _embed(self, encoded: Any) -> npt.NDArray[np.float32]:
        tokens = self._model(**encoded).last_hidden_state
        embeddings = pool(tokens, encoded["attention_mask"], self._files.pooling)
        return _array(torch.nn.functional.normalize(embeddings) if self._files.normalize else embeddings)


class TextClassification:
    """The best label of a text, and its score. Texts that are too long for the model are cut."""

    def __init__(self, config: model_pb2.HuggingFaceModel, path: Path, files: ModelFiles, model: Any):
        self._model = model
        self._labels = _labels(model.config)
        self._texts = Texts(path, 0, files.max_positions)
        if getattr(model.config, "pad_token_id", None) is None:  # by which models like GPT-2 find the last token
            model.config.pad_token_id = self._texts.tokenizer.pad_token_id

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Classifies a batch of texts.

        Raises:
            BadRows: Some have no tokens.
        """
        texts = _rows(inputs, "text", "STRING")
        scores = self._texts.compute(
            self._texts.tokens(texts), self._model, lambda encoded: _scores(self._model, encoded)
        )
        return _best(self._labels, scores, outputs)


class ImageClassification:
    """The best label of an image, and its score."""

    def __init__(self, config: model_pb2.HuggingFaceModel, path: Path, files: ModelFiles, model: Any):
        self._model = model
        self._labels = _labels(model.config)
        self._processor = transformers.AutoImageProcessor.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Classifies a batch of encoded images.

        Raises:
            BadRows: Some are no images.
        """
        prepared = images.decode(_rows(inputs, "image", "BYTES"), "RGB", self._prepare)
        tensors = {name: torch.cat([image[name] for image in prepared]) for name in prepared[0]}
        encoded = transformers.BatchFeature(tensors).to(self._model.device, self._model.dtype)
        with inference():
            scores = _scores(self._model, encoded)
        return _best(self._labels, scores, outputs)

    def _prepare(self, image: Any) -> Any:
        """Makes of an image what the model takes, by name: tensors [1, …]."""
        return self._processor(images=image, return_tensors="pt")


class TextGeneration:
    """A text and what follows it by greedy search, as generated_text of the pipeline. No chat template is applied."""

    def __init__(self, config: model_pb2.HuggingFaceModel, path: Path, files: ModelFiles, model: Any):
        self._model = model
        self._new_tokens = config.max_new_tokens or _NEW_TOKENS
        self._texts = Texts(path, 0, 0, self._new_tokens)
        tokenizer = self._texts.tokenizer
        self._settings = copy.deepcopy(model.generation_config)
        self._settings.update(do_sample=False, num_beams=1, num_return_sequences=1, return_dict_in_generate=False)
        self._settings.update(max_new_tokens=self._new_tokens, pad_token_id=tokenizer.pad_token_id)
        self._settings.update(**dict.fromkeys(("temperature", "top_p", "top_k", "max_length")))
        starts = (self._settings.bos_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id)
        self._start = next((start for start in starts if start is not None), None)
        self._max_prompt = files.max_positions - self._new_tokens if files.max_positions else None
        if self._max_prompt is not None and self._max_prompt < 1:
            reason = f"the model has positions for {files.max_positions} tokens in all"
            raise SystemicError(f"max_new_tokens is {self._new_tokens}, and {reason}; make it smaller")

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Continues a batch of texts.

        Raises:
            BadRows: Some leave no room for the new tokens, or have no tokens.
        """
        texts = _rows(inputs, "text", "STRING")
        continuations = self._texts.compute(self._prompts(texts), self._model, self._continue)
        return {"generated_text": column_of("generated_text", np.array(texts, object) + continuations, len(texts))}

    def _prompts(self, texts: Sequence[str]) -> Tokens:
        tokens = self._texts.tokens(texts, self._start)
        if self._max_prompt is not None:
            room = f"the model has room for {self._max_prompt} before {self._new_tokens} new ones; shorten it"
            lengths = enumerate(map(len, tokens["input_ids"]))
            bad = {row: f"the text has {length} tokens; {room}" for row, length in lengths if length > self._max_prompt}
            if bad:
                raise BadRows(bad)
        return {name: tokens[name] for name in ("input_ids", "attention_mask")}

    def _continue(self, encoded: Any) -> npt.NDArray[Any]:
        """Returns what follows each prompt.

        It is what the whole has more than the prompt: decoded by itself, as by the pipeline of transformers 5, it would
        lose the space that it begins with in tokenizers like Llama's.
        """
        tokens = self._model.generate(**encoded, generation_config=self._settings)
        decode = self._texts.tokenizer.batch_decode
        prompts = decode(encoded["input_ids"], skip_special_tokens=True)
        wholes = decode(tokens, skip_special_tokens=True)
        return np.array([whole[len(prompt) :] for prompt, whole in zip(prompts, wholes, strict=True)], object)


def _rows(inputs: Mapping[str, Columns], name: str, datatype: str) -> list[Any]:
    rows: list[Any] = stack(inputs[name], Field(name, datatype)).tolist()
    return rows


def _array(tensor: Any) -> npt.NDArray[np.float32]:
    array: npt.NDArray[np.float32] = tensor.float().cpu().numpy()
    return array


def _labels(config: Any) -> npt.NDArray[Any]:
    """Returns the names of the labels, dtype object."""
    return np.array([str(config.id2label[index]) for index in range(config.num_labels)], object)


def _scores(model: Any, encoded: Any) -> npt.NDArray[np.float32]:
    """Returns the scores [rows, labels], by the rule of the pipelines for classification."""
    config, logits = model.config, model(**encoded).logits.float()
    if config.problem_type == "regression":
        return _array(logits)
    if config.problem_type == "multi_label_classification" or config.num_labels == 1:
        return _array(torch.sigmoid(logits))
    return _array(torch.softmax(logits, dim=-1))


def _best(labels: npt.NDArray[Any], scores: npt.NDArray[np.float32], outputs: Sequence[str]) -> dict[str, Column]:
    results = {"label": labels[scores.argmax(axis=1)], "score": scores.max(axis=1)}
    return {name: column_of(name, results[name], len(scores)) for name in outputs}


_TASKS: dict[str, tuple[Any, Callable[..., Model]]] = {
    "sentence-embedding": (transformers.AutoModel, SentenceEmbedding),
    "text-classification": (transformers.AutoModelForSequenceClassification, TextClassification),
    "image-classification": (transformers.AutoModelForImageClassification, ImageClassification),
    "text-generation": (transformers.AutoModelForCausalLM, TextGeneration),
}

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a directory of a Hugging Face model says of itself, read as data.

config.json and its neighbours are those of ``save_pretrained`` of transformers; modules.json and the folders that it
names are those of sentence-transformers (https://sbert.net/docs/sentence_transformer/usage/custom_models.html).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from expansion.errors import ConfigError, Problem
from expansion.files import open_on_host
from expansion.models.safetensors_file import damage

_MAX_JSON_BYTES = 4 << 20  # the names of 21,000 classes are 1 MiB
_WEIGHTS = "model.safetensors"  # or several files that model.safetensors.index.json names
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json")
_SAVE_SAFELY = "load the model with transformers and save it with save_pretrained, which writes safetensors"

# What ends the name of a class that can do the task.
_HEADS = {
    "text-classification": ("ForSequenceClassification",),
    "image-classification": ("ForImageClassification", "ForImageClassificationWithTeacher"),
    "text-generation": ("ForCausalLM", "LMHeadModel"),
}

# Models whose positions begin after the index of the padding token, as in RobertaEmbeddings of transformers.
_PADDED_POSITIONS = (
    "camembert", "data2vec-text", "esm", "ibert", "lilt", "longformer", "luke", "mpnet", "roberta",
    "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
)  # fmt: skip

# Pooling modes by the field that older versions of sentence-transformers write for each.
_POOLING_FIELDS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "lasttoken")

# sentence-transformers names the file after the architecture, and now always after BERT.
_LENGTH_FILES = tuple(
    f"sentence_{name}_config.json"
    for name in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)


@dataclass(frozen=True)
class ModelFiles:
    """What is known of a model.

    Attributes:
        embedding_size: Elements of a sentence embedding; -1 where the files do not say.
        pooling: How token embeddings become one, each of ``POOLING_MODES``; several are joined, in this order.
        normalize: Whether sentence embeddings are scaled to length 1.
        lower_case: Whether texts are put in lower case before anything else.
        prompt: What is put before every text.
        max_tokens: Tokens after which texts are cut; 0 where the tokenizer has to say.
        max_positions: Tokens that the model has positions for; 0 where it does not say.
    """

    embedding_size: int = -1
    pooling: tuple[str, ...] = ("mean",)
    normalize: bool = False
    lower_case: bool = False
    prompt: str = ""
    max_tokens: int = 0
    max_positions: int = 0


def read_files(uri: str, task: str) -> ModelFiles:
    """Reads the directory of a model that is to do a task.

    Args:
        uri: Path or URI of the directory.
        task: As in HuggingFaceModel.

    Raises:
        ConfigError: It does not have what the task needs; every problem, with the path "uri".
    """
    reader = _Reader(uri.rstrip("/"))
    config = reader.json_object("config.json")
    problems = [reader.problem(message) for message in (*_missing(reader, task), *_misfits(config, task))]
    files = ModelFiles(max_positions=_positions(config))
    if task == "sentence-embedding":
        try:
            files = _sentence_embedding(reader, config, files.max_positions)
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return files


class _Reader:
    """Reads small files of a directory."""

    def __init__(self, uri: str):
        self._uri = uri

    def problem(self, message: str) -> Problem:
        return Problem("uri", f"{self._uri!r}: {message}")

    def has(self, name: str) -> bool:
        """Whether there is such a file that can be opened."""
        try:
            with open_on_host(f"{self._uri}/{name}"):
                return True
        except ConfigError:
            return False

    def weights_damage(self) -> str:
        """Returns what is wrong with the weights' file; empty if nothing is."""
        with open_on_host(f"{self._uri}/{_WEIGHTS}") as file:
            return damage(file)

    def json_object(self, name: str) -> Mapping[str, Any]:
        """Returns the object in a JSON file.

        Raises:
            ConfigError: There is no such file, or it holds anything else.
        """
        content = self.json(name)
        if not isinstance(content, dict):
            raise ConfigError([self.problem(f"{name} is no JSON object")])
        return content

    def json(self, name: str) -> Any:
        """Returns what a JSON file holds, of any type."""
        try:
            with open_on_host(f"{self._uri}/{name}") as file:
                content = file.read(_MAX_JSON_BYTES + 1)
        except ConfigError as error:
            reason = error.problems[0].message.rsplit(": ", 1)[-1]
            expected = "expected the directory that save_pretrained writes, or hf://ORGANISATION/NAME"
            raise ConfigError([self.problem(f"can't read {name}: {reason}; {expected}")]) from error
        if len(content) > _MAX_JSON_BYTES:
            raise ConfigError([self.problem(f"{name} has more than {_MAX_JSON_BYTES} bytes")])
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ConfigError([self.problem(f"{name} is no JSON, or only a part of it")]) from error


def _missing(reader: _Reader, task: str) -> Iterator[str]:
    """Yields which files are missing, or damaged as far as that shows without loading them."""
    if reader.has(_WEIGHTS):
        if reader.weights_damage():
            yield f"{_WEIGHTS}: {reader.weights_damage()}; copy it again"
    elif not reader.has(f"{_WEIGHTS}.index.json"):
        if any(reader.has(name) for name in _PICKLED):
            yield f"its weights are a Python pickle (.bin), which can run code; {_SAVE_SAFELY}"
        else:
            yield f"it has no weights in {_WEIGHTS}; {_SAVE_SAFELY}"
    if task == "image-classification":
        if not reader.has("preprocessor_config.json"):
            yield (
                "it has no preprocessor_config.json, which says how images are scaled; save its image processor, "
                "AutoImageProcessor.from_pretrained(…), beside the model"
            )
    elif not reader.has("tokenizer.json"):
        yield "it has no tokenizer.json; save its tokenizer, AutoTokenizer.from_pretrained(…), beside the model"


def _misfits(config: Mapping[str, Any], task: str) -> Iterator[str]:
    """Yields why config.json does not fit the task."""
    if "auto_map" in config:
        yield (
            "it needs Python code of its own (auto_map in config.json), which is never run; use a model of an "
            "architecture that transformers has, or a custom model"
        )
    kernel = _kernel(config)
    if kernel:
        yield f"config.json names code of the hub, {kernel[:200]!r}, which is never run; take it out"
    if not isinstance(config.get("model_type"), str):
        yield "config.json names no model_type; expected a model of transformers"
    names = config.get("architectures") or []
    names = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    heads = _HEADS.get(task, ())
    if heads and not any(name.endswith(heads) for name in names):
        got = f"it is a {', '.join(names)[:200]}" if names else "config.json names no architecture"
        yield f"{got}; {task} needs a class whose name ends in {' or '.join(heads[:2])}"
    if task == "sentence-embedding" and config.get("is_encoder_decoder"):
        yield "it is an encoder with a decoder; sentence-embedding needs a model of one part"


def _kernel(config: Mapping[str, Any]) -> str:
    """Returns the repository of the hub whose code transformers would run as this config's attention; empty if none.

    It is named as attn_implementation or the like, of the model or of a part of it:
    https://huggingface.co/docs/transformers/attention_interface
    """
    values: list[tuple[str, Any]] = [("", config)]
    while values:
        name, value = values.pop()
        if isinstance(value, str) and "_implementation" in name and "/" in value:
            return value
        if isinstance(value, dict):  # a part of the model, or a name for each part
            values += [(f"{name}.{key}", part) for key, part in value.items()]
    return ""


def _positions(config: Mapping[str, Any]) -> int:
    """Returns the number of tokens that a model has positions for; 0 where it does not say."""
    count = _size(config, "max_position_embeddings", "n_positions")
    padding = config.get("pad_token_id")
    if config.get("model_type") in _PADDED_POSITIONS and count:
        return max(1, count - (padding if type(padding) is int else 1) - 1)
    return count


def _sentence_embedding(reader: _Reader, config: Mapping[str, Any], max_positions: int) -> ModelFiles:
    """Reads what sentence-transformers has written; without it, token embeddings are averaged, as it does itself."""
    about_file = "config_sentence_transformers.json"
    about = reader.json_object(about_file) if reader.has(about_file) else {}
    if about.get("truncate_dim"):
        raise ConfigError([reader.problem("its embeddings are cut (truncate_dim), which is not supported")])
    pooling, normalize = _modules(reader) if reader.has("modules.json") else ({}, False)
    modes = _pooling_modes(pooling)
    unknown = [mode for mode in modes if mode not in POOLING_MODES]
    prompt = _prompt(about)
    if unknown or not modes:
        expected = ", ".join(POOLING_MODES)
        raise ConfigError([reader.problem(f"its pooling is {unknown}; expected one of {expected}")])
    if prompt and pooling.get("include_prompt") is False:
        raise ConfigError([reader.problem("its pooling leaves out the prompt, which is not supported")])
    length_file = next(filter(reader.has, _LENGTH_FILES), None)
    lengths = reader.json_object(length_file) if length_file else {}
    size = _size(pooling, "embedding_dimension", "word_embedding_dimension")
    size = size or _size(config, "hidden_size", "dim", "d_model", "n_embd")
    return ModelFiles(
        embedding_size=size * len(modes) or -1,
        pooling=modes,
        normalize=normalize,
        lower_case=lengths.get("do_lower_case") is True,
        prompt=prompt,
        max_tokens=_size(lengths, "max_seq_length"),
        max_positions=max_positions,
    )


def _modules(reader: _Reader) -> tuple[Mapping[str, Any], bool]:
    """Returns the configuration of the pooling, and whether embeddings are normalized after it.

    Raises:
        ConfigError: There are other modules, or in another order.
    """
    listed = reader.json("modules.json")
    modules = [module for module in listed if isinstance(module, dict)] if isinstance(listed, list) else []
    names = [str(module.get("type")).rsplit(".", 1)[-1] for module in modules]
    if names not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        got = ", ".join(names)[:200] or "no list of modules"
        raise ConfigError(
            [reader.problem(f"modules.json has {got}; expected Transformer, Pooling and, at will, Normalize")]
        )
    if modules[0].get("path"):
        raise ConfigError(
            [reader.problem("its Transformer lies in a folder; save it again with sentence-transformers ≥ 2")]
        )
    folder = str(modules[1].get("path"))
    if "/" in folder or folder.startswith("."):
        raise ConfigError([reader.problem("modules.json names a folder that is not beside it")])
    return reader.json_object(f"{folder}/config.json"), len(names) == 3


def _pooling_modes(pooling: Mapping[str, Any]) -> tuple[str, ...]:
    mode = pooling.get("pooling_mode")
    if isinstance(mode, str):
        return (mode,)
    if isinstance(mode, list):
        return tuple(str(each) for each in mode)
    return tuple(name for field, name in _POOLING_FIELDS.items() if pooling.get(field)) or ("mean",)


def _prompt(about: Mapping[str, Any]) -> str:
    """Returns the prompt that sentence-transformers puts before texts unless told otherwise."""
    prompts, name = about.get("prompts"), about.get("default_prompt_name")
    prompt = prompts.get(name) if isinstance(prompts, dict) and isinstance(name, str) else ""
    return prompt if isinstance(prompt, str) else ""


def _size(config: Mapping[str, Any], *names: str) -> int:
    """Returns the first of these that is a positive int; 0 if none is."""
    for name in names:
        value = config.get(name)
        if type(value) is int and 0 < value < 1 << 31:
            return value
    return 0

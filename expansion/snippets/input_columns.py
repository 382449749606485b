# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The columns that a configuration reads, as far as it and the model's signature say what they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from expansion import hooks, models, operations
from expansion.contract._gen.hook_pb2 import Hook
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.column_names import columns_read
from expansion.contract.fields import Field, Fields
from expansion.errors import ConfigError
from expansion.models.signature import Signature
from expansion.operations.artifact import read_on_host
from expansion.transforms import routing
from expansion.transforms.chain import steps_of

# What hooks and operations take that do not take numbers.
_OF_HOOKS = {
    "tokenize": "STRING",
    "decode_image": "BYTES",
    "hash": "STRING",
    "labels": "INT64",
    "decode_tokens": "INT64",
}
_OF_OPERATIONS = dict.fromkeys(
    ("compute_and_apply_vocabulary", "tfidf", "ngrams", "bag_of_words", "hash_strings", "one_hot", "embed"), "STRING"
)
# Numbers of a vector whose size nobody says.
_SIZE = 4


def columns_of(config: RunInferenceConfig | MLTransformConfig) -> dict[str, Field]:
    """Returns the input's columns that a checked configuration reads, in order; what they hold is in part a guess.

    Models and artifacts are read as data; of one that can't be read it is known what the configuration declares.
    """
    guess = _Guess()
    if isinstance(config, RunInferenceConfig):
        _of_inference(config, guess)
    else:
        _of_preparation(config, guess)
    return guess.columns


class _Guess:
    """Columns that are read, and were not made by a step before."""

    def __init__(self) -> None:
        self.columns: dict[str, Field] = {}
        self._made: set[str] = set()

    def read(self, field: Field) -> None:
        if field.name not in self._made:
            self.columns.setdefault(field.name, field)

    def make(self, names: Iterable[str]) -> None:
        self._made.update(names)

    def through(self, chain: Iterable[Hook], fed: Fields) -> None:
        """Goes through hooks.

        Args:
            chain: The hooks.
            fed: What feeds the model: such a column is of the type that the model takes, if no hook says otherwise.
        """
        for hook in chain:
            for field in _read_by(hook, fed):
                self.read(field)
            self.make(_made_by(hook))


def _of_inference(config: RunInferenceConfig, guess: _Guess) -> None:
    for number, (_, step) in enumerate(steps_of(config)):
        signature = _signature(step)
        fed = _fed(step, signature)
        guess.through(step.pre_hooks, {field.name: field for field in fed})
        if not number or len(fed) > 1:  # a later model's only input takes what the one before it has made
            for field in fed:
                guess.read(field)
        guess.make([output.name or output.source for output in step.outputs] or signature.outputs)
        for hook in step.post_hooks:  # which read predictions alone
            guess.make(_made_by(hook))
    for name in (routing.column_of(config), config.batching.weight_column, config.batching.length_column):
        if name:
            guess.read(Field(name, "FP64" if name == config.batching.weight_column else "STRING"))


def _fed(step: RunInferenceConfig, signature: Signature) -> list[Field]:
    """Returns the columns that feed the model's inputs."""
    named = {feature.name: list(feature.columns) for feature in step.inputs}
    fed = []
    for name, field in signature.inputs.items():
        known = Field(name, field.datatype or "FP64", tuple(_SIZE if size < 0 else size for size in field.shape))
        columns = named.get(name) or [name]
        fed += [known.with_name(columns[0])] if len(columns) == 1 else [Field(each, known.datatype) for each in columns]
    return fed


def _signature(step: RunInferenceConfig) -> Signature:
    model, *_ = routing.models_of(step, routing.signature_route(step))  # of all the others it is the same
    try:
        _, message = models.framework(model)
        return models.module_of(model).signature(message)
    except ConfigError:
        named = [feature.name for feature in step.inputs]
        return Signature({name: Field(name, "FP64", (_SIZE,)) for name in named}, {})


def _of_preparation(config: MLTransformConfig, guess: _Guess) -> None:
    guess.through(config.pre_hooks, {})
    for name, message in map(operations.operation, config.operations):
        is_text = name == "impute" and message.strategy == "most_frequent"
        datatype = "STRING" if is_text else _OF_OPERATIONS.get(name, "FP64")
        shape = (-1,) if name == "deduplicate" else ()
        for column in columns_read(message):
            guess.read(Field(column, datatype, shape))
        guess.make(getattr(message, "outputs", ()))
    if config.read_artifact_location and not config.operations:
        _of_artifact(config.read_artifact_location, guess)
    guess.through(config.post_hooks, {})


def _of_artifact(location: str, guess: _Guess) -> None:
    try:
        manifest = read_on_host(location).manifest
    except ConfigError:
        return
    for field in manifest.before:
        guess.read(field)
    guess.make(field.name for field in manifest.after)


def _read_by(hook: Hook, fed: Fields) -> Iterable[Field]:
    name, message = hooks.operation(hook)
    if name == "ml_transform":
        try:
            yield from read_on_host(message.read_artifact_location).manifest.before
        except ConfigError:
            return
        return
    columns = list(message.columns) if name == "rename" else hooks.columns_read(hook)
    of_text = (name == "impute" and message.text) or (name == "one_hot" and message.categories)
    datatype = "STRING" if of_text or name == "select" else _OF_HOOKS.get(name)
    for column in columns:
        if datatype is None and column in fed:
            yield fed[column]
        else:
            yield Field(column, datatype or "FP64", (_SIZE,) if name in ("decode_tokens", "softmax", "argmax") else ())


def _made_by(hook: Hook) -> Iterable[str]:
    name, message = hooks.operation(hook)
    if name == "ml_transform":
        try:
            yield from (field.name for field in read_on_host(message.read_artifact_location).manifest.after)
        except ConfigError:
            return
    elif name == "rename":
        yield from message.columns.values()
    elif name == "tokenize":
        yield message.ids_output or "input_ids"
        yield message.mask_output or "attention_mask"
    for field in message.DESCRIPTOR.fields:
        if field.name == "output" or field.name.endswith("_output"):
            yield getattr(message, field.name)
        elif field.name == "outputs":
            yield from (getattr(output, "name", output) for output in message.outputs)


def example_of(field: Field, nested: Mapping[str, str], number: str, whole: str) -> str:
    """Returns an example of a column's value in some language.

    Args:
        field: The column.
        nested: "STRING", "BYTES", "BOOL" → an example of one; "many": several of one, with {count} and {of}.
        number: A floating number.
        whole: An integer.
    """
    value = nested.get(field.datatype) or (number if field.datatype.startswith("FP") else whole)
    for size in reversed(field.shape):
        value = nested["many"].format(count=_SIZE if size < 0 else size, of=value)
    return value

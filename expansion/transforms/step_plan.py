# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What one model of a RunInference reads, keeps and adds, worked out at expansion."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from expansion import hooks, models
from expansion.contract._gen.hook_pb2 import Hook
from expansion.contract._gen.model_pb2 import Model
from expansion.contract._gen.run_inference_pb2 import OutputColumn, RunInferenceConfig
from expansion.contract.fields import NUMPY_DTYPES, Field, Fields, is_floating, is_numeric
from expansion.contract.places import Places
from expansion.contract.problems import at, did_you_mean
from expansion.errors import ConfigError, Problem
from expansion.models.signature import Signature
from expansion.tensors.arrays import fits
from expansion.transforms import routing
from expansion.transforms.signatures import signature_of

MODEL_ID = "model_id"
MODEL_VERSION = "model_version"


@dataclass(frozen=True)
class ModelInput:
    """One input of the model: what it takes, and which columns feed it, in order."""

    field: Field
    columns: tuple[str, ...]


class WithConfig:
    """Pickles ``config`` alike each time: a message writes its maps in any order, and graphs are to be stable."""

    config: RunInferenceConfig

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "config": self.config.SerializeToString(deterministic=True)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, config=RunInferenceConfig.FromString(state["config"]))


@dataclass(frozen=True)
class StepPlan(WithConfig):
    """Everything that workers need to know of one model, or of several of which one runs on a row.

    Attributes:
        config: The model's part of the configuration.
        reads: Names of the columns that its hooks and it read, of the input and of predictions before it.
        inputs: The model's inputs.
        outputs: The model's outputs that are kept, by their name in the model, as prediction columns.
        predictions: All prediction columns after its post hooks, in order.
        signature: What every model takes and returns, where keys or uris that come with the data say which one it is.
        places: Where the operator of a service lets models be whose uris come with the data. Default: anywhere.
    """

    config: RunInferenceConfig
    reads: tuple[str, ...]
    inputs: tuple[ModelInput, ...]
    outputs: dict[str, Field]
    predictions: dict[str, Field]
    signature: Signature | None = None
    places: Places | None = None

    def model_of(self, route: str) -> Model:
        """Returns the model that runs on rows of a route."""
        return routing.model_of(self.config, route)

    def model_id_of(self, route: str) -> str:
        """Returns what rows of a route say as ``model_id``; empty where no model was chosen for them."""
        if not route and routing.has_routes(self.config):
            return ""
        return ", ".join(map(_model_id, routing.models_of(self.config, route)))

    @property
    def is_refreshed(self) -> bool:
        """Whether some model of it is replaced when its files are."""
        return any(model.refresh_interval_secs for _, model in routing.named_models(self.config))

    @property
    def model_tag(self) -> str:
        """A name for the loaded model, the same for the same model configuration, so that two steps share one model.

        Steps of services with other places have others, as who loads a model holds its uri against them.
        """
        parts = RunInferenceConfig(model=self.config.model)
        several = self.config.WhichOneof("routing")
        if not several:
            return hashlib.sha256(parts.model.SerializeToString(deterministic=True)).hexdigest()
        getattr(parts, several).CopyFrom(getattr(self.config, several))
        limits = repr(self.places) if self.places else ""
        return hashlib.sha256(parts.SerializeToString(deterministic=True) + limits.encode()).hexdigest()


def plan_step(
    config: RunInferenceConfig,
    inputs: Fields,
    before: Fields,
    of_one_input: Sequence[str],
    problems: list[Problem],
) -> StepPlan | None:
    """Works out what one model does.

    Args:
        config: The model's part of a checked configuration.
        inputs: The columns that its pre hooks and it can read.
        before: The prediction columns that there are before it.
        of_one_input: What a model with one input of another name than any column takes. Default: nothing.
        problems: Where what is wrong goes.

    Returns:
        The plan, for what it is worth if there are problems; None if the model's signature can't be read.
    """
    features = after_hooks("pre_hooks", config.pre_hooks, inputs, problems)
    signature = signature_of(config, problems)
    if signature is None:
        return None
    fed = () if features is None else tuple(_resolve_inputs(config, signature, features, of_one_input, problems))
    found = len(problems)
    outputs = dict(_resolve_outputs(config.outputs, signature, problems))
    problems += _check_outputs(config, outputs, before)
    made = {**before, **{field.name: field for field in outputs.values()}}
    # What the post hooks get is known only if all outputs are.
    predictions = after_hooks("post_hooks", config.post_hooks, made, problems) if len(problems) == found else None
    read = {name for hook in config.pre_hooks for name in hooks.columns_read(hook)}
    read |= {name for model_input in fed for name in model_input.columns}
    # Only of plain dicts: a set would be pickled in any order.
    of_data = config.WhichOneof("routing") in ("per_key", "model_uris")
    of_all = Signature(dict(signature.inputs), dict(signature.outputs)) if of_data else None
    return StepPlan(config, tuple(sorted(read)), fed, outputs, dict(predictions or {}), of_all)


def after_hooks(path: str, chain: Iterable[Hook], fields: Fields, problems: list[Problem]) -> Fields | None:
    """Returns the fields after a chain of hooks; None if one of them can't work on what it gets."""
    for index, hook in enumerate(chain):
        name, message = hooks.operation(hook)
        try:
            fields = hooks.module_of(hook).fields(message, fields)
        except ConfigError as error:
            problems += at(f"{path}[{index}].{name}", error.problems)
            return None  # what the later hooks get is unknown
    return fields


def _model_id(model: Model) -> str:
    _, message = models.framework(model)
    return str(model.model_id or message.uri or message.model_class)


def _resolve_inputs(
    config: RunInferenceConfig,
    signature: Signature,
    features: Fields,
    of_one_input: Sequence[str],
    problems: list[Problem],
) -> Iterator[ModelInput]:
    named = {feature.name: (index, list(feature.columns)) for index, feature in enumerate(config.inputs)}
    for name, (position, _) in named.items():
        if name not in signature.inputs:
            problems.append(
                Problem(f"inputs[{position}].name", f"no model input {name!r}; {did_you_mean(name, signature.inputs)}")
            )
    for name, field in signature.inputs.items():
        index, columns = named.get(name, (None, []))
        path = "inputs" if index is None else f"inputs[{index}].columns"
        columns = columns or [name]
        if index is None and name not in features and len(signature.inputs) == 1 and of_one_input:
            columns = list(of_one_input)
        missing = [column for column in columns if column not in features]
        reason = f"model input {name!r}: no column"
        fix = f"say which columns feed it in inputs: [{{name: {name}, columns: [...]}}]"
        problems += (
            Problem(path, f"{reason} {column!r}; {did_you_mean(column, features)}; {fix}") for column in missing
        )
        if not missing:
            fed = [features[column] for column in columns]
            problems += at(path, _misfits(field, fed, name in signature.numeric_only))
            yield ModelInput(field, tuple(columns))


def _misfits(wanted: Field, columns: list[Field], numeric_only: bool) -> Iterator[Problem]:
    for column in columns:
        if wanted.datatype and not _converts(column.datatype, wanted.datatype):
            reason = f"column {column.name!r} is {column}; model input {wanted.name!r} takes {wanted}"
            yield Problem("", f"{reason}; convert it with a cast pre hook")
        elif numeric_only and not is_numeric(column.datatype):
            reason = f"column {column.name!r} is {column}; model input {wanted.name!r} takes numbers"
            yield Problem("", f"{reason}; leave it out, or turn it into numbers with a cast or one_hot pre hook")
    shape = _joined_shape(columns, len(wanted.shape))
    if shape is not None and not fits(shape, wanted.shape):
        reason = f"got shape {list(shape)}; model input {wanted.name!r} takes {list(wanted.shape)}"
        yield Problem("", f"{reason}; list other columns, or reshape or pad them in a pre hook")


def _converts(source: str, target: str) -> bool:
    """Whether a datatype may be converted without being asked: what loses no value, and any number to a float."""
    if not (is_numeric(source) and is_numeric(target)):
        return source == target or (source, target) == ("STRING", "BYTES")  # its UTF-8
    return is_floating(target) or np.can_cast(NUMPY_DTYPES[source], NUMPY_DTYPES[target], "safe")


def _joined_shape(columns: list[Field], rank: int) -> tuple[int, ...] | None:
    """The row shape of columns joined along the first axis; None if it can't be known."""
    if len(columns) == 1 and (columns[0].shape or rank != 1):
        return columns[0].shape
    firsts = [column.shape[0] if column.shape else 1 for column in columns]
    rest = max((column.shape[1:] for column in columns), key=len)
    return (-1 if -1 in firsts else sum(firsts), *rest)


def _resolve_outputs(
    declared: Iterable[OutputColumn], signature: Signature, problems: list[Problem]
) -> Iterator[tuple[str, Field]]:
    listed = list(declared) or [OutputColumn(source=name) for name in signature.outputs]
    for index, output in enumerate(listed):
        path = f"outputs[{index}]"
        known = signature.outputs.get(output.source)
        if known is None:
            reason = f"no model output {output.source!r}; {did_you_mean(output.source, signature.outputs)}"
            problems.append(Problem(f"{path}.source", reason))
            continue
        field = Field(output.name or output.source, output.datatype, tuple(output.shape))
        if not field.datatype:
            field = known.with_name(field.name)
        elif known.datatype and (field.datatype != known.datatype or not fits(field.shape, known.shape)):
            problems.append(Problem(f"{path}.datatype", f"got {field}; the model's own signature says {known}"))
        if field.datatype:
            yield output.source, field
        else:
            reason = signature.notes.get(output.source, f"the model does not say what {output.source!r} is")
            example = f"{{source: {output.source}, datatype: FP32, shape: [10]}}"
            problems.append(Problem(f"{path}.datatype", f"{reason}; declare datatype and shape, such as {example}"))


def _check_outputs(config: RunInferenceConfig, outputs: Mapping[str, Field], before: Fields) -> Iterator[Problem]:
    for source, field in outputs.items():
        if field.name in before:
            reason = f"a model before it has made a prediction {field.name!r}"
            fix = f"give it another name with outputs: [{{source: {source}, name: …}}]"
            yield Problem("outputs", f"{reason}; {fix}")
        if config.HasField("ensemble") and not is_floating(field.datatype):
            reason = f"{source!r} is {field}, of which an average says nothing"
            yield Problem("outputs", f"{reason}; list in outputs what is of a floating datatype")

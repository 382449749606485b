# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What RunInference will do, worked out at expansion from configuration, input fields and the model's signature."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from expansion import hooks, models
from expansion.contract._gen.hook_pb2 import Hook
from expansion.contract._gen.model_pb2 import Model
from expansion.contract._gen.run_inference_pb2 import Batching, OutputColumn, RunInferenceConfig
from expansion.contract.fields import NUMPY_DTYPES, Field, Fields, is_floating, is_numeric
from expansion.contract.problems import at, did_you_mean
from expansion.errors import ConfigError, Problem
from expansion.models.signature import Signature
from expansion.tensors.arrays import fits
from expansion.tensors.nulls import Fill
from expansion.transforms import routing
from expansion.transforms.signatures import signature_of

MODEL_ID = "model_id"
MODEL_VERSION = "model_version"


@dataclass(frozen=True)
class ModelInput:
    """One input of the model: what it takes, and which columns feed it, in order."""

    field: Field
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """Everything the workers need to know.

    Attributes:
        config: The configuration.
        features: The input's columns that hooks or the model read, as they come in.
        fills: What a null of the input becomes, by the feature; nulls of other features are errors.
        inputs: The model's inputs.
        outputs: The model's outputs that are kept, by their name in the model, as prediction columns.
        predictions: The prediction columns after the post hooks, in order.
        signature: What every key's model takes and returns, where there is one for each key.
    """

    config: RunInferenceConfig
    features: dict[str, Field]
    fills: dict[str, Fill]
    inputs: tuple[ModelInput, ...]
    outputs: dict[str, Field]
    predictions: dict[str, Field]
    signature: Signature | None = None

    def __getstate__(self) -> dict[str, Any]:
        # A message writes its maps in any order, and two expansions of one configuration are to be the same graph.
        return {**self.__dict__, "config": self.config.SerializeToString(deterministic=True)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, config=RunInferenceConfig.FromString(state["config"]))

    @property
    def model_id(self) -> str:
        """What output rows say as ``model_id`` where there is one model; empty where there are several."""
        return self.model_id_of("")

    def model_of(self, route: str) -> Model:
        """Returns the model that runs on rows of a route."""
        return routing.model_of(self.config, route)

    def model_id_of(self, route: str) -> str:
        """Returns what rows of a route say as ``model_id``; empty where no model was chosen for them."""
        if not route and routing.column_of(self.config):
            return ""
        model = self.model_of(route)
        _, message = models.framework(model)
        return str(model.model_id or message.uri or message.model_class)

    def same_in_all_rows(self, route: str, version: str) -> dict[str, str]:
        """Returns the columns that output rows of a route have after the predictions, and what they say in each."""
        arm = routing.arm_field(self.config)
        return {**({arm.name: route} if arm else {}), **self.model_columns(route, version)}

    @property
    def results(self) -> dict[str, Field]:
        """The columns of output rows that neither are the input's nor say which model it was, in order."""
        arm = routing.arm_field(self.config)
        return {**self.predictions, **({arm.name: arm} if arm else {})}

    def model_columns(self, route: str = "", version: str = "") -> dict[str, str]:
        """Returns what rows say of the model behind the predictions: its id and, where it is refreshed, its version."""
        says = {MODEL_ID: self.model_id_of(route), MODEL_VERSION: version}
        return {name: says[name] for name in model_columns(self.config)}

    @property
    def model_tag(self) -> str:
        """A name for the loaded model, the same for the same model configuration, so that two steps share one model."""
        parts = RunInferenceConfig(model=self.config.model)
        several = self.config.WhichOneof("routing")
        if not several:
            return hashlib.sha256(parts.model.SerializeToString(deterministic=True)).hexdigest()
        getattr(parts, several).CopyFrom(getattr(self.config, several))
        return hashlib.sha256(parts.SerializeToString(deterministic=True)).hexdigest()


def model_columns(config: RunInferenceConfig) -> tuple[str, ...]:
    """Returns the names of the columns that say which model it was, in order."""
    return (MODEL_ID, MODEL_VERSION) if config.model.refresh_interval_secs else (MODEL_ID,)


def make_plan(config: RunInferenceConfig, input_fields: Fields, taken: Collection[str]) -> Plan:
    """Works out what to do.

    Args:
        config: A checked configuration.
        input_fields: The input's columns that can be features.
        taken: Names of the columns that output rows have besides predictions.

    Raises:
        ConfigError: With every problem found.
    """
    problems: list[Problem] = []
    features = _after_hooks("pre_hooks", config.pre_hooks, input_fields, problems)
    signature = signature_of(config, problems)
    if signature is None:
        raise ConfigError(problems)
    inputs = tuple(_resolve_inputs(config, signature, features, problems)) if features is not None else ()
    found = len(problems)
    outputs = dict(_resolve_outputs(config.outputs, signature, problems))
    made = {field.name: field for field in outputs.values()}
    # What the post hooks get is known only if all outputs are.
    predictions = _after_hooks("post_hooks", config.post_hooks, made, problems) if len(problems) == found else None
    added = list(model_columns(config))
    problems += _collisions(predictions or {}, taken, added)
    problems += _arm_collisions(config, predictions or {}, [*taken, *added])
    problems += routing.check_column(config, input_fields)
    problems += at("batching", _check_batching(config.batching, input_fields))
    if problems:
        raise ConfigError(problems)
    read = {name for hook in config.pre_hooks for name in hooks.columns_read(hook)}
    read |= {name for model_input in inputs for name in model_input.columns}
    read |= {config.batching.weight_column, config.batching.length_column, routing.column_of(config)}
    used = {name: field for name, field in input_fields.items() if name in read}
    fills = dict(_fills(config.pre_hooks, input_fields))
    # Only of plain dicts: a set would be pickled in any order.
    of_all = Signature(dict(signature.inputs), dict(signature.outputs)) if config.HasField("per_key") else None
    return Plan(config, used, fills, inputs, outputs, dict(predictions or {}), of_all)


def _check_batching(batching: Batching, fields: Fields) -> Iterator[Problem]:
    for path, name in (("weight_column", batching.weight_column), ("length_column", batching.length_column)):
        field = fields.get(name)
        if name and field is None:
            yield Problem(path, f"no column {name!r}; {did_you_mean(name, fields)}")
        elif field is None:
            continue
        elif path == "weight_column" and not (is_numeric(field.datatype) and not field.shape):
            yield Problem(path, f"column {name!r} is {field}; expected one number a row")
        elif path == "length_column" and is_numeric(field.datatype) and not field.shape:
            yield Problem(path, f"column {name!r} is {field}, which has no length; expected arrays or texts")


def _after_hooks(path: str, chain: Iterable[Hook], fields: Fields, problems: list[Problem]) -> Fields | None:
    for index, hook in enumerate(chain):
        name, message = hooks.operation(hook)
        try:
            fields = hooks.module_of(hook).fields(message, fields)
        except ConfigError as error:
            problems += at(f"{path}[{index}].{name}", error.problems)
            return None  # what the later hooks get is unknown
    return fields


def _fills(chain: Iterable[Hook], input_fields: Fields) -> Iterator[tuple[str, Fill]]:
    """Yields what nulls of the input become in each column that is first touched by a hook that fills them in."""
    fields, untouched = input_fields, dict(input_fields)
    for hook in chain:
        _, message = hooks.operation(hook)
        for name in hooks.columns_read(hook):
            field = untouched.pop(name, None)
            fill = hooks.null_fill(hook, field) if field else None
            if fill is not None:
                yield name, fill
        fields = hooks.module_of(hook).fields(message, fields)
        untouched = {name: field for name, field in untouched.items() if fields.get(name) == field}


def _resolve_inputs(
    config: RunInferenceConfig, signature: Signature, features: Fields, problems: list[Problem]
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
        if index is None and name not in features and len(signature.inputs) == 1 and config.HasField("tensor_batch"):
            columns = [column for column in features if column != routing.column_of(config)]
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


def _arm_collisions(config: RunInferenceConfig, predictions: Fields, taken: Collection[str]) -> Iterator[Problem]:
    arm = routing.arm_field(config)
    if arm and arm.name in {*predictions, *taken}:
        where = "the predictions have" if arm.name in predictions else "output rows have"
        yield Problem("split.output", f"{where} a column {arm.name!r} already; give the arms' column another name")


def _collisions(predictions: Fields, taken: Collection[str], added: Collection[str]) -> Iterator[Problem]:
    for name in filter(taken.__contains__, added):
        reason = f"the input has a column {name!r}, where output rows say which model it was"
        yield Problem("", f"{reason}; rename or drop it before, such as when one RunInference follows another")
    for name, field in predictions.items():
        if field.datatype == "UINT64":
            yield Problem("post_hooks", f"prediction {name!r} is {field}, which no Beam schema has; cast it to INT64")
        if name in taken or name in added:
            where = "the input has a column" if name in taken else "every output row has a column"
            yield Problem("post_hooks", f"{where} {name!r} already; give the prediction another name with rename")

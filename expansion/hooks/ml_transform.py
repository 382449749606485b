# Licensed under the Apache License, Version 2.0; see LICENSE.
"""ml_transform: apply an artifact of MLTransform's, so that training and serving share what goes before a model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from expansion.contract._gen import hook_pb2
from expansion.contract.column_names import columns_written as written_by
from expansion.contract.fields import Field
from expansion.contract.problems import at
from expansion.errors import ConfigError, Problem
from expansion.operations.artifact import Saved, check_columns, load, read_on_host
from expansion.operations.chain import first_readers, steps_of
from expansion.tensors.columns import Columns

TAKES_RAGGED = True
_LOCATION = "read_artifact_location"


def check(config: hook_pb2.MLTransformArtifact) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    if not config.read_artifact_location:
        yield Problem(_LOCATION, "missing; expected the directory of an artifact that MLTransform has written")


def fields(config: hook_pb2.MLTransformArtifact, inputs: Mapping[str, Field]) -> dict[str, Field]:
    """Returns the fields after the artifact's operations; its manifest is read for it."""
    saved = _saved(config)
    problems = [*_check_operations(saved), *check_columns(saved, inputs)]
    if problems:
        raise ConfigError(at(_LOCATION, problems))
    try:
        steps = steps_of(saved.manifest.messages, inputs)
    except ConfigError as error:
        raise ConfigError(at(_LOCATION, error.problems)) from error
    return dict(steps[-1].outputs if steps else inputs)


def _check_operations(saved: Saved) -> Iterator[Problem]:
    for index, message in enumerate(saved.manifest.messages):
        if message.HasField("embed"):
            reason = f"the artifact's operations[{index}] is embed, which runs a model, as a hook can't"
            yield Problem("", f"{reason}; apply the artifact with MLTransform before")


def columns_read(config: hook_pb2.MLTransformArtifact) -> list[str]:
    """Returns the columns that the operations read, as they come in; none where ``fields`` has a problem."""
    saved = _saved_or_none(config)
    return [field.name for field in saved.manifest.before] if saved else []


def columns_written(
    config: hook_pb2.MLTransformArtifact, before: Mapping[str, Field], after: Mapping[str, Field]
) -> set[str]:
    """Returns the columns after the operations that may hold something else than before them."""
    steps = steps_of(_saved(config).manifest.messages, before)
    written = {name for step in steps for name in written_by(step.config, step.inputs, step.outputs)}
    return written & set(after)


def nulls_taken(config: hook_pb2.MLTransformArtifact) -> set[str]:
    """Returns the columns whose first operation works on nulls; none where ``fields`` has a problem."""
    saved = _saved_or_none(config)
    if saved is None:
        return set()
    steps = steps_of(saved.manifest.messages, {field.name: field for field in saved.manifest.before})
    return {name for name, step in first_readers(steps).items() if step.takes_nulls}


def build(config: hook_pb2.MLTransformArtifact) -> Callable[[Columns], Columns]:
    """Returns all operations as one.

    Raises:
        SystemicError: The artifact can't be read, or is not as it was written.
    """
    loaded = load(config.read_artifact_location)

    def ml_transform(columns: Columns) -> Columns:
        for operation in loaded.operations:
            columns = operation(columns)
        return columns

    return ml_transform


def _saved(config: hook_pb2.MLTransformArtifact) -> Saved:
    try:
        return read_on_host(config.read_artifact_location)
    except ConfigError as error:
        raise ConfigError(at(_LOCATION, error.problems)) from error


def _saved_or_none(config: hook_pb2.MLTransformArtifact) -> Saved | None:
    try:
        return _saved(config)
    except ConfigError:
        return None

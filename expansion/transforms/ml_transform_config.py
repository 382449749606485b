# Licensed under the Apache License, Version 2.0; see LICENSE.
"""MLTransform's configuration: read it from any form, check all of it, report every problem at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from expansion import operations
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.operation_pb2 import Operation
from expansion.contract.permissions import Permission
from expansion.contract.problems import at, did_you_mean
from expansion.errors import Problem
from expansion.tft import config as tft_config
from expansion.transforms import counts, embedding_config, resource_hints
from expansion.transforms.config import check_ends, check_hooks, no_presets_here, not_negative, read_checked

DEFAULT_MAX_BATCH_SIZE = 4096
NATIVE, TFT = "native", "TFT"


def read_config(source: MLTransformConfig | bytes | str | Mapping[str, Any]) -> MLTransformConfig:
    """Reads and checks a configuration.

    Args:
        source: The message; its serialized bytes; YAML or JSON text; or nested mappings and lists, keyed as the proto's
            fields are named.

    Returns:
        The message.

    Raises:
        ConfigError: With every problem, each with its field path.
    """
    return read_checked(MLTransformConfig, source, check)


def check(config: MLTransformConfig) -> Iterator[Problem]:
    """Yields what is wrong with a configuration by itself, before anything is known of its input."""
    if config.preset:
        yield no_presets_here(config.preset)
        return
    too_many = list(counts.check(config))
    if too_many:
        yield from too_many
        return
    if not config.operations and not config.read_artifact_location:
        yield Problem("operations", "missing; expected one or more, or read_artifact_location")
    for index, operation in enumerate(config.operations):
        yield from at(f"operations[{index}]", _check_operation(operation))
    yield from _check_artifact(config)
    yield from _check_engine(config)
    yield from check_hooks(config)
    yield from not_negative("max_batch_size", config.max_batch_size)
    yield from at("resource_hints", _check_resource_hints(config))
    yield from check_ends(config)


def permissions(config: MLTransformConfig) -> Iterator[Permission]:
    """Yields what the operator must allow, hooks aside: where a graph is read that workers run."""
    if config.engine == TFT:
        yield from tft_config.permissions(config)


def _check_operation(message: Operation) -> Iterator[Problem]:
    yield from operations.check(message)
    if message.HasField("embed"):
        yield from at("embed", embedding_config.check(message.embed))


def _check_artifact(config: MLTransformConfig) -> Iterator[Problem]:
    if config.write_artifact_location and config.read_artifact_location:
        reason = "write_artifact_location is set too; set one of them: what is read is not learned again"
        yield Problem("read_artifact_location", reason)
    if config.overwrite and not config.write_artifact_location:
        yield Problem("overwrite", "is set without write_artifact_location; set both, or neither")
    if not config.per_window:
        return
    for name in ("write_artifact_location", "read_artifact_location"):
        if getattr(config, name):
            yield Problem(name, "is set together with per_window, which keeps nothing; leave one of them out")
    if config.HasField("tensor_batch"):
        reason = (
            "is set, and TensorBatches carry their elements' windows unseen; leave it out, or send rows of a schema"
        )
        yield Problem("per_window", reason)


def _check_resource_hints(config: MLTransformConfig) -> Iterator[Problem]:
    runs_models = any(embedding_config.embeds_of(config.operations)) or not config.operations
    if config.HasField("resource_hints") and not runs_models:
        yield Problem("", "is set, and no operation runs a model; leave it out, or add an operation embed")
    yield from resource_hints.check(config.resource_hints)


def _check_engine(config: MLTransformConfig) -> Iterator[Problem]:
    engine = config.engine
    if engine == TFT:
        yield from tft_config.check(config)
    elif engine and engine != NATIVE:
        yield Problem("engine", f"got {engine[:60]!r}; {did_you_mean(engine, [NATIVE, TFT])}")

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What ``engine: TFT`` does of a configuration, and what an operator must allow."""

from __future__ import annotations

from collections.abc import Iterator

from expansion import operations
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.operation_pb2 import Operation
from expansion.contract.permissions import Permission
from expansion.contract.problems import at
from expansion.errors import ConfigError, Problem

# The operations that tensorflow-transform has.
NAMES = (
    "scale_to_01",
    "scale_by_min_max",
    "scale_to_z_score",
    "scale_to_gaussian",
    "compute_and_apply_vocabulary",
    "bucketize",
    "apply_buckets",
    "apply_buckets_with_interpolation",
    "tfidf",
    "ngrams",
    "bag_of_words",
    "hash_strings",
    "deduplicate",
)


def check(config: MLTransformConfig) -> Iterator[Problem]:
    """Yields what the engine can't do of a configuration."""
    for index, message in enumerate(config.operations):
        yield from at(f"operations[{index}]", _check_operation(message))
    if config.per_window:
        reason = "engine TFT learns from the whole data set only"
        yield Problem("per_window", f"{reason}; leave it out, or set engine to 'native'")
    elif not config.write_artifact_location and not config.read_artifact_location:
        reason = "missing; engine TFT applies a graph of TensorFlow's, which it writes to where this says"
        yield Problem("write_artifact_location", f"{reason}; or set read_artifact_location to where there is one")


def permissions(config: MLTransformConfig) -> Iterator[Permission]:
    """Yields where an artifact is read: it holds a graph that workers run."""
    if config.read_artifact_location:
        reason = "has workers run the TensorFlow graph that is there"
        instead = "an artifact of engine 'native', which is data"
        location = config.read_artifact_location
        yield Permission("read_artifact_location", "--trust-artifact-root", location, reason, instead)


def _check_operation(message: Operation) -> Iterator[Problem]:
    try:
        name, config = operations.operation(message)
    except ConfigError:
        return  # which is said where all operations are checked
    if name not in NAMES:
        reason = "tensorflow-transform has no such operation"
        yield Problem(name, f"{reason}; leave it out, use a hook in its place, or set engine to 'native'")
    elif not getattr(config, "delimiters", "").isascii():
        reason = f"got {config.delimiters!r}; tensorflow-transform splits texts at bytes, not at characters"
        yield Problem(f"{name}.delimiters", f"{reason}; expected ASCII, or set engine to 'native'")

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What MLTransform with ``engine: TFT`` will do, worked out at expansion: which graph, and what it takes and makes."""

from __future__ import annotations

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract.fields import Fields
from expansion.contract.problems import at
from expansion.errors import ConfigError, Problem, SystemicError
from expansion.files import list_directory
from expansion.operations import artifact, manifest
from expansion.operations.artifact import check_columns, differences
from expansion.tft import beam_artifact
from expansion.tft.graph import Graph, graph_of, taken

_LOCATION = "read_artifact_location"


def plan_graph(config: MLTransformConfig, before: Fields) -> tuple[Graph, str]:
    """Works out what the graph takes and makes. It looks at the artifact's directory, and writes nothing.

    Args:
        config: A checked configuration, with engine TFT.
        before: The fields of the columns before the operations.

    Returns:
        The graph, and the SHA-256 of the artifact that is read; empty if none is.

    Raises:
        ConfigError: The operations or the artifact can't work on these columns.
    """
    if config.write_artifact_location:
        return graph_of(config.operations, before), ""
    try:
        is_ours = manifest.NAME in list_directory(config.read_artifact_location)
    except SystemicError as error:
        raise ConfigError([Problem(_LOCATION, str(error))]) from error
    return (_of_this_package if is_ours else _of_beams)(config, before)


def _of_this_package(config: MLTransformConfig, before: Fields) -> tuple[Graph, str]:
    try:
        saved = artifact.read(config.read_artifact_location)
    except SystemicError as error:
        raise ConfigError([Problem(_LOCATION, str(error))]) from error
    if not saved.manifest.transform_fn:
        reason = "the artifact that is read is of engine 'native'; leave engine out"
        raise ConfigError([Problem("engine", reason)])
    operations = saved.manifest.messages
    problems = list(differences(config.operations, operations)) if config.operations else []
    problems += at(_LOCATION, check_columns(saved, taken(before)))
    if problems:
        raise ConfigError(problems)
    return graph_of(operations, before), saved.sha256


def _of_beams(config: MLTransformConfig, before: Fields) -> tuple[Graph, str]:
    try:
        found = beam_artifact.read_on_host(config.read_artifact_location)
    except ConfigError as error:
        raise ConfigError(at(_LOCATION, error.problems)) from error
    return beam_artifact.graph_in(found, config.operations, before), found.sha256

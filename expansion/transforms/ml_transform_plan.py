# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What MLTransform will do, worked out at expansion from configuration, input fields and the artifact that it reads."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.operation_pb2 import Operation
from expansion.contract.fields import Field, Fields
from expansion.contract.problems import at
from expansion.errors import ConfigError, Problem
from expansion.operations.artifact import Saved, check_columns, differences, read_on_host
from expansion.operations.chain import Step, steps_of
from expansion.tensors.nulls import Fill
from expansion.tft.graph import Graph
from expansion.transforms import embedding
from expansion.transforms.artifact import require_none
from expansion.transforms.column_flow import ColumnFlow
from expansion.transforms.embedding import EmbeddingPlan
from expansion.transforms.embedding_config import embeds_of
from expansion.transforms.ml_transform_config import DEFAULT_MAX_BATCH_SIZE, TFT
from expansion.transforms.tft_plan import plan_graph


@dataclass(frozen=True)
class MLTransformPlan:
    """Everything that the workers need to know.

    Attributes:
        config: The configuration.
        operations: The operations: those of the configuration, or of the artifact.
        features: The input's columns that hooks and operations read, as they come in.
        fills: What a null of the input becomes, by the feature; nulls of other features are errors.
        noted: Features whose nulls are noted for the operation that first reads them.
        before: The fields of the columns before the operations.
        results: The columns of output rows that are not the input's own as they came in: transformed ones and added
            ones, in order.
        dropped: Names of the input's columns that output rows do not have.
        read_sha256: That of the artifact that is read; empty if none is.
        embeddings: How the operations that run a model do it, by their places.
        graph: What takes the place of the operations with engine TFT.
    """

    config: MLTransformConfig
    operations: tuple[Operation, ...]
    features: dict[str, Field]
    fills: dict[str, Fill]
    noted: tuple[str, ...]
    before: dict[str, Field]
    results: dict[str, Field]
    dropped: tuple[str, ...]
    read_sha256: str
    embeddings: dict[int, EmbeddingPlan]
    graph: Graph | None = None

    @property
    def predictions(self) -> dict[str, Field]:
        """The columns of Batch.predictions that output rows have."""
        return self.results

    @property
    def constants(self) -> dict[str, str]:
        """None: there is no model to name."""
        return {}

    @property
    def arm(self) -> str:
        """None: rows all go one way."""
        return ""

    @property
    def max_rows(self) -> int:
        """Rows to pack into a batch, at most."""
        return self.config.max_batch_size or DEFAULT_MAX_BATCH_SIZE

    @property
    def max_element_bytes(self) -> int:
        """0: what a row may hold is not limited."""
        return 0

    @property
    def steps(self) -> list[Step]:
        """What each operation works on."""
        return steps_of(self.operations, self.before)


def make_plan(config: MLTransformConfig, input_fields: Fields, taken: Collection[str]) -> MLTransformPlan:
    """Works out what to do. It looks at the artifact's directory, and writes nothing.

    Args:
        config: A checked configuration.
        input_fields: The input's columns that hooks and operations can work on.
        taken: Names of the columns that output rows have besides.

    Raises:
        ConfigError: With every problem found.
    """
    problems: list[Problem] = []
    operations, embeddings = _with_models(config, problems)
    saved = _saved(config, operations, problems)
    if saved and not config.operations:
        operations = saved.manifest.messages
    flow = ColumnFlow(input_fields)
    before, steps, graph, sha256 = dict(input_fields), [], None, saved.sha256 if saved else ""
    try:
        flow.through_hooks("pre_hooks", config.pre_hooks)
        before = dict(flow.fields)
        if config.engine == TFT:
            graph, sha256 = plan_graph(config, before)
            flow.through_graph(graph)
        else:
            if saved:
                problems += at("read_artifact_location", check_columns(saved, before))
            steps = [] if problems else steps_of(operations, before)
            flow.through_operations(steps)
        if not problems:
            flow.through_hooks("post_hooks", config.post_hooks)
    except ConfigError as error:
        problems += error.problems
    problems += _check_location(config, steps)
    results = _results(flow, input_fields)
    problems += _collisions(results, taken)
    if problems:
        raise ConfigError(problems)
    dropped = tuple(name for name in input_fields if name not in flow.fields)
    noted = tuple(name for name in flow.read if name in flow.noted)
    return MLTransformPlan(
        config, tuple(operations), flow.read, flow.fills, noted, before, results, dropped, sha256, embeddings, graph
    )


def _with_models(
    config: MLTransformConfig, problems: list[Problem]
) -> tuple[list[Operation], dict[int, EmbeddingPlan]]:
    """Returns the configuration's operations, with what their models say of themselves; and how those are run."""
    operations = [Operation.FromString(each.SerializeToString()) for each in config.operations]
    embeddings = {}
    for index, embed in embeds_of(operations):
        found: list[Problem] = []
        planned = embedding.plan(embed, config.error_handling, found)
        problems += at(f"operations[{index}].embed", found)
        if planned:
            embeddings[index] = planned
            embed.size = max(0, *planned.result.shape)
    return operations, embeddings


def _saved(config: MLTransformConfig, operations: Sequence[Operation], problems: list[Problem]) -> Saved | None:
    """Reads the artifact's manifest, if one is to be read that is data; it must be of the same operations, if any."""
    if not config.read_artifact_location or config.engine == TFT:
        return None
    try:
        saved = read_on_host(config.read_artifact_location)
    except ConfigError as error:
        problems += at("read_artifact_location", error.problems)
        return None
    if operations:
        problems += differences(operations, saved.manifest.messages)
        return saved
    for index, _ in embeds_of(saved.manifest.messages):
        reason = f"the artifact's operations[{index}] is embed, and no artifact decides which model is run"
        problems.append(Problem("operations", f"{reason}; say the operations here as well"))
    return saved


def _check_location(config: MLTransformConfig, steps: Iterable[Step]) -> Iterator[Problem]:
    """Yields what is wrong with where what is learned goes or comes from."""
    if config.write_artifact_location:
        if not config.overwrite:
            try:
                require_none(config.write_artifact_location)
            except ConfigError as error:
                yield from at("write_artifact_location", error.problems)
        return
    learns = next((f"operations[{index}].{step.name}" for index, step in enumerate(steps) if step.statistics), "")
    if learns and not config.read_artifact_location and not config.per_window:
        reason = "learns from the data; set write_artifact_location to where what it learns is to go"
        yield Problem(learns, f"{reason}, or read_artifact_location to where a job before has left it")


def _results(flow: ColumnFlow, inputs: Fields) -> dict[str, Field]:
    """Returns the columns of output rows that are not the input's own: first those in their places, then the others."""
    of_inputs = [name for name in inputs if name in flow.written and name in flow.fields]
    return {name: flow.fields[name] for name in [*of_inputs, *(name for name in flow.fields if name not in inputs)]}


def _collisions(results: Fields, taken: Collection[str]) -> Iterator[Problem]:
    for name, field in results.items():
        if field.datatype == "UINT64":
            yield Problem("post_hooks", f"column {name!r} is {field}, which no Beam schema has; cast it to INT64")
        if name in taken:
            reason = f"the input has a column {name!r} already, of a type that operations don't work on"
            yield Problem("post_hooks", f"{reason}; give the new one another name with rename")

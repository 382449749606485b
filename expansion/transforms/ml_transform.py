# Licensed under the Apache License, Version 2.0; see LICENSE.
"""MLTransform: rows → pre hooks → operations → post hooks → rows; operations learn from all rows, then are applied."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.portability.api import schema_pb2
from apache_beam.transforms.window import GlobalWindows

from expansion.contract import urns
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig, MLTransformResult
from expansion.contract._gen.run_inference_pb2 import Batching, RunInferenceConfig
from expansion.contract.fields import Fields
from expansion.errors import ConfigError, Problem
from expansion.tft.graph import Graph
from expansion.transforms.batch import Batch
from expansion.transforms.composite import Composite, packed
from expansion.transforms.embedding import Embedding
from expansion.transforms.learning import known_of, learn
from expansion.transforms.lessons import Lessons
from expansion.transforms.ml_transform_config import TFT, read_config
from expansion.transforms.ml_transform_plan import MLTransformPlan, make_plan
from expansion.transforms.ml_transform_stages import Stage, last_to_learn, stages_of
from expansion.transforms.operation_steps import ApplyArtifact, ApplyOperations, WriteArtifact
from expansion.transforms.placement import NOWHERE, Placement, frameworks_of
from expansion.transforms.resource_hints import keywords
from expansion.transforms.steps import ApplyHooks, Rebatch
from expansion.transforms.tft_steps import ApplyGraph, LearnGraph


class MLTransform(Composite[MLTransformPlan]):
    """Prepares a PCollection of rows for a model, with operations that may learn from all of it first.

    An output row holds the input row's columns, those that were transformed in their places, then the ones that were
    added. With ``error_handling.output`` set, rows that fail come out of a second output of that name as rows of
    ``element, stage, error_type, message``; otherwise the first one fails the job.

    What operations learn is written to ``write_artifact_location`` while the pipeline runs, never before, and read from
    there, as a later job does that names it in ``read_artifact_location``.

    Example::

        results = rows | MLTransform(
            {"operations": [{"scale_to_01": {"columns": ["age"]}}], "write_artifact_location": "gs://features/visits"}
        )
        results["output"]

    Args:
        config: The configuration as message, serialized message, YAML or JSON text, or mapping; its fields are
            described in proto/beamml/expansion/v1/ml_transform.proto.
        input_schema: Schema of the rows, for callers that set the outputs' coders themselves. Default: the schema of
            the input PCollection's element type.
        placement: What a service says of where steps run. Default: there is none.

    Raises:
        ConfigError: The configuration is wrong; here, or in ``expand`` where it does not suit the input.
    """

    def __init__(
        self,
        config: MLTransformConfig | bytes | str | Mapping[str, Any],
        *,
        input_schema: schema_pb2.Schema | None = None,
        placement: Placement = NOWHERE,
    ):
        self._config = read_config(config)
        super().__init__(self._config, input_schema, placement)
        frameworks = {"tensorflow"} if self._config.engine == TFT else set()
        self.with_resource_hints(**placement.hints(frameworks, self._config.environment))

    def annotations(self) -> dict[str, bytes]:
        """Returns what a client needs to know of the result, for the pipeline proto; nothing before ``expand``."""
        if self._plan is None:
            return {}
        columns = [field.to_proto() for field in self._plan.results.values()]
        result = MLTransformResult(columns=columns, dropped=self._plan.dropped)
        return {urns.ML_TRANSFORM_RESULT: result.SerializeToString()}

    def _make_plan(self, fields: Fields, names: Collection[str]) -> MLTransformPlan:
        return make_plan(self._config, fields, [name for name in names if name not in fields])

    def _results(self, pcoll: beam.PCollection, plan: MLTransformPlan) -> beam.PCollection:
        _check_input(self._config, pcoll)
        if plan.graph:
            return _with_graph(pcoll, plan, plan.graph)
        config, stages = self._config, stages_of(plan)
        location = config.read_artifact_location or config.write_artifact_location
        sha256: Any = plan.read_sha256
        known: list[Any] = []
        batches = None
        for number, stage in enumerate(stages):
            known.append(_known(pcoll, batches, plan, stage.lessons, number))
            if config.write_artifact_location and number == last_to_learn(stages):
                sha256 = _write(pcoll.pipeline, config, stages, known)
            # Before all is learned there is no artifact.
            step = (ApplyArtifact(location, stage), sha256) if sha256 else (ApplyOperations(stage), known[-1])
            if batches is None:
                batches = _batches(pcoll, plan, step[1])
            label = f"Operations{number + 1}" if number else "Operations"
            batches = batches | label >> beam.ParDo(*step).with_output_types(Batch)
            if stage.embedding:
                hints = self._hints_of_model(stage.embedding.step.config)
                batches = batches | f"Embed{number + 1}" >> Embedding(stage.embedding, hints)
        return _with_hooks(batches, "PostHooks", plan)

    def _hints_of_model(self, step: RunInferenceConfig) -> dict[str, str]:
        """Returns what an operation that runs a model asks of its workers."""
        config = self._config
        return {**self._placement.hints(frameworks_of(step), config.environment), **keywords(config.resource_hints)}


def _with_graph(pcoll: beam.PCollection, plan: MLTransformPlan, graph: Graph) -> beam.PCollection:
    """Applies everything but the encoding at the end, where a graph takes the place of the operations."""
    config = plan.config
    sha256: Any = plan.read_sha256
    if config.write_artifact_location:
        learn = LearnGraph(config, graph, lambda pcoll: _batches_to_learn(pcoll, plan))
        sha256 = beam.pvalue.AsSingleton(pcoll | "Learn" >> learn)
    apply = ApplyGraph(config.read_artifact_location or config.write_artifact_location, graph)
    batches = _batches(pcoll, plan, sha256)
    return _with_hooks(batches | "Operations" >> beam.ParDo(apply, sha256).with_output_types(Batch), "PostHooks", plan)


def _batches(pcoll: beam.PCollection, plan: MLTransformPlan, argument: Any) -> beam.PCollection:
    """Returns the Batches before the operations; rows wait for the argument of the first step that is a side input."""
    after = argument if isinstance(argument, beam.pvalue.AsSideInput) else None
    batches = packed(pcoll, plan, by_window=plan.config.per_window, after=after)
    if plan.config.HasField("tensor_batch"):  # rows are packed into batches of the right size
        rebatch = Rebatch(Batching(max_batch_size=plan.max_rows))
        batches = batches | "Rebatch" >> beam.ParDo(rebatch).with_output_types(Batch)
    return _with_hooks(batches, "PreHooks", plan)


def _known(
    pcoll: beam.PCollection, batches: beam.PCollection | None, plan: MLTransformPlan, lessons: Lessons, number: int
) -> Any:
    """Returns what a stage learns, as a side input; nothing if it learns nothing.

    Args:
        pcoll: The input: the first stage learns from its rows, before they are packed for good.
        batches: What a later stage learns from: a model has worked on it, which is not to do it twice.
        plan: The plan.
        lessons: What to learn.
        number: The stage's, from 0.
    """
    if plan.config.read_artifact_location or not lessons.phases:
        return {}
    if batches is not None:
        return beam.pvalue.AsDict(batches | f"LearnAfterEmbed{number}" >> _LearnFromBatches(lessons))
    return known_of(learn(pcoll, lambda pcoll, after: _batches_to_learn(pcoll, plan, after), lessons))


def _batches_to_learn(pcoll: beam.PCollection, plan: MLTransformPlan, after: Any = None) -> beam.PCollection:
    """Returns Batches to learn from, as they are before the operations; ``after`` is a side input to wait for."""
    batches = packed(pcoll, plan, carries=False, by_window=plan.config.per_window, after=after)
    return _with_hooks(batches, "PreHooks", plan)


class _LearnFromBatches(beam.PTransform):  # type: ignore[misc]
    """Learns everything of what a step before has made; returns what ``learn`` does as one collection."""

    def __init__(self, lessons: Lessons):
        super().__init__()
        self._lessons = lessons

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Returns what is learned."""
        learned = learn(batches, lambda batches, _: batches, self._lessons)
        return learned | "Learned" >> beam.Flatten() if len(learned) > 1 else learned[0]


def _write(
    pipeline: beam.Pipeline, config: MLTransformConfig, stages: Sequence[Stage], known: Sequence[Any]
) -> beam.pvalue.AsSideInput:
    """Writes the artifact; returns the SHA-256 of its manifest."""
    write = WriteArtifact([stage.lessons for stage in stages], config.overwrite)
    nothing: list[Any] = [{}] * (len(stages) - len(known))  # what stages after the last one that learns have learned
    start = pipeline | "Start" >> beam.Impulse()
    written = start | "WriteArtifact" >> beam.ParDo(write, *known, *nothing).with_output_types(str)
    return beam.pvalue.AsSingleton(written)


def _with_hooks(batches: beam.PCollection, label: str, plan: MLTransformPlan) -> beam.PCollection:
    """Applies "PreHooks" or "PostHooks", if there are any."""
    config = plan.config
    chain, stage = (config.pre_hooks, "preprocess") if label == "PreHooks" else (config.post_hooks, "postprocess")
    hooked = beam.ParDo(ApplyHooks(chain, stage, config.environment)).with_output_types(Batch)
    return batches | label >> hooked if chain else batches


def _check_input(config: MLTransformConfig, pcoll: beam.PCollection) -> None:
    """Makes sure that the data from which is learned has an end.

    Raises:
        ConfigError: It has none.
    """
    window_fn = pcoll.windowing.windowfn
    problems = []
    if config.write_artifact_location and not pcoll.is_bounded:
        reason = "the input is unbounded, so that there is never all of it to learn from"
        fix = "learn from bounded data in a job before and set read_artifact_location here, or set per_window"
        problems.append(Problem("write_artifact_location", f"{reason}; {fix}"))
    if config.per_window and window_fn.is_merging():
        reason = "the input's windows merge, as sessions do, so that nobody knows what belongs to one before it ends"
        problems.append(Problem("per_window", f"{reason}; expected fixed or sliding windows"))
    elif config.per_window and not pcoll.is_bounded and isinstance(window_fn, GlobalWindows):
        reason = "the input is unbounded and in the global window, which never ends"
        problems.append(Problem("per_window", f"{reason}; give it windows, or set read_artifact_location"))
    if problems:
        raise ConfigError(problems)

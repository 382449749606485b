# Licensed under the Apache License, Version 2.0; see LICENSE.
"""MLTransform on some rows: learns from them and applies what it has learned, in this process. It writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.errors import ConfigError, Problem
from expansion.transforms.output_fields import output_fields
from expansion.trial.inference import hooked, packed, unpacked
from expansion.trial.sample import Sample
from expansion.trial.trial import Stopwatch, Trial

if TYPE_CHECKING:
    from expansion.transforms.batch import Batch
    from expansion.transforms.lessons import Known, Lessons


def try_preparation(config: MLTransformConfig, sample: Sample) -> Trial:
    """Learns from some rows, or reads an artifact, and applies it to them.

    Args:
        config: A checked configuration. Rows that fail are listed, whatever it says of them.
        sample: The rows.

    Raises:
        ConfigError: The configuration does not suit the columns, or needs a pipeline.
        SystemicError: The artifact can't be read.
    """
    from expansion.transforms import operation_steps, row_ends, steps
    from expansion.transforms.ml_transform_plan import make_plan
    from expansion.transforms.ml_transform_stages import stages_of

    config = _for_trial(config)
    plan = make_plan(config, sample.fields, [name for name in sample.names if name not in sample.fields])
    [stage] = stages_of(plan)
    watch = Stopwatch()
    with watch.stage("read rows"):
        batches = packed(row_ends.PackRows(plan), sample)
    if config.pre_hooks:
        with watch.stage("pre hooks"):
            batches = hooked(steps.ApplyHooks(config.pre_hooks, "preprocess"), batches)
    apply: Any
    if config.read_artifact_location:
        apply = operation_steps.ApplyArtifact(config.read_artifact_location, stage)
        argument: tuple[Any, ...] = (plan.read_sha256,)
    else:
        apply = operation_steps.ApplyOperations(stage)
        with watch.stage("learn"):
            argument = (_learned(stage.lessons, batches), _window())
    with watch.stage("apply"):
        apply.setup()
        batches = [after for batch in batches for after in apply.process(batch, *argument)]
    if config.post_hooks:
        with watch.stage("post hooks"):
            batches = hooked(steps.ApplyHooks(config.post_hooks, "postprocess"), batches)
    with watch.stage("write rows"):
        rows, errors = unpacked(row_ends.UnpackRows(plan, sample.names), batches)
    return Trial(output_fields(plan, sample.fields), rows, errors, watch.secs)


def _for_trial(config: MLTransformConfig) -> MLTransformConfig:
    changed = MLTransformConfig.FromString(config.SerializeToString())
    reason = "can be tried in a pipeline only"
    if changed.engine not in ("", "native"):
        raise ConfigError([Problem("engine", f"got {changed.engine!r}, which {reason}")])
    embeds = [index for index, operation in enumerate(changed.operations) if operation.HasField("embed")]
    if embeds:
        raise ConfigError(
            [
                Problem(f"operations[{index}].embed", f"{reason}; try its model by itself, as RunInference")
                for index in embeds
            ]
        )
    # What is learned stays in memory: as each window of a pipeline learns for itself, and all rows are in one.
    for name in ("write_artifact_location", "overwrite", "tensor_batch"):
        changed.ClearField(name)
    changed.per_window = not changed.read_artifact_location
    changed.error_handling.output = changed.error_handling.output or "errors"
    changed.error_handling.ClearField("max_error_rate")
    return changed


def _learned(lessons: Lessons, batches: Iterable[Batch]) -> Known:
    """Goes through the rows once for each phase, as the pipeline does."""
    from expansion.transforms import learning

    known: dict[int, bytes] = {}
    for phase in range(lessons.phases):
        observe = learning.Observe(lessons, phase)
        observe.setup()
        observe.start_bundle()
        noted = [note for batch in batches for note in observe.process(batch, known, _window(), _earliest())]
        noted += observe.finish_bundle()
        merge, join = learning.Merge(lessons), learning.JoinShards(lessons)
        merge.setup()
        join.setup()
        merged = [pair for group in _grouped(note.value for note in noted) for pair in merge.process(group)]
        known.update(pair for group in _grouped(merged) for pair in join.process(group))
    return known


def _grouped(pairs: Iterable[tuple[int, bytes]]) -> Iterable[tuple[int, list[bytes]]]:
    groups: Mapping[int, list[bytes]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups.items()


def _window() -> Any:
    from apache_beam.transforms.window import GlobalWindow

    return GlobalWindow()


def _earliest() -> Any:
    from apache_beam.utils.timestamp import MIN_TIMESTAMP

    return MIN_TIMESTAMP

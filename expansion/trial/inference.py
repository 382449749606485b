# Licensed under the Apache License, Version 2.0; see LICENSE.
"""RunInference on some rows: the steps of the pipeline, one after another, in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.transforms import routing
from expansion.transforms.output_fields import output_fields
from expansion.transforms.plan import make_plan
from expansion.transforms.step_plan import StepPlan
from expansion.trial.sample import Sample
from expansion.trial.trial import Stopwatch, Trial

if TYPE_CHECKING:
    from expansion.transforms.batch import Batch


def try_inference(config: RunInferenceConfig, sample: Sample) -> Trial:
    """Runs a checked configuration on some rows.

    Args:
        config: The configuration. Rows that fail are listed, whatever it says of them.
        sample: The rows.

    Raises:
        ConfigError: The configuration does not suit the columns.
        SystemicError: A model does not load, or fails.
    """
    config = _with_errors(config)
    plan = make_plan(config, sample.fields, sample.names)
    from expansion.transforms import handler, routes, row_ends, steps  # import Beam, which takes seconds

    watch = Stopwatch()
    with watch.stage("read rows"):
        batches = packed(row_ends.PackRows(plan), sample)
        rebatch = steps.Rebatch(config.batching, routes.router_of(config))
        batches = _elements(_whole_bundle(rebatch, batches))
    for number, step in enumerate(plan.steps):
        if config.HasField("model_uris"):  # the second input, which is not there: its only uri is the configured one
            batches = [replace(batch, uris=(routing.signature_route(config),)) for batch in batches]
        if number or config.WhichOneof("routing") or len(plan.steps) > 1:
            begin = steps.BeginStep(step, None if number else plan.kept)
            batches = [after for batch in batches for after in begin.process(batch)]
        title = f" {number + 1}" if len(plan.steps) > 1 else ""
        batches = _run_step(step, batches, title, watch, steps.ApplyHooks, handler.ColumnarModelHandler)
    with watch.stage("write rows"):
        rows, errors = unpacked(row_ends.UnpackRows(plan, sample.names), batches)
    return Trial(output_fields(plan, sample.fields), rows, errors, watch.secs)


def packed(pack: Any, sample: Sample) -> list[Batch]:
    """Returns Batches of the rows."""
    from apache_beam.transforms.window import GlobalWindow
    from apache_beam.utils.timestamp import MIN_TIMESTAMP
    from apache_beam.utils.windowed_value import WindowedValue

    pack.setup()
    pack.start_bundle()
    rows = [WindowedValue(row, MIN_TIMESTAMP, (GlobalWindow(),)) for row in sample.rows()]
    full = [each for row in rows for each in pack.process(row.value, row)]
    return [value.value for value in (*full, *pack.finish_bundle())]


def unpacked(unpack: Any, batches: Iterable[Batch]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Returns the output rows and the error rows of Batches."""
    from apache_beam.pvalue import TaggedOutput

    rows, errors = [], []
    unpack.setup()
    unpack.start_bundle()
    for batch in batches:
        for made in unpack.process(batch):
            if isinstance(made, TaggedOutput):
                error = made.value.value.as_dict()
                errors.append({**error, "element": vars(error["element"])})
            else:
                rows.append(made.value.as_dict())
    return rows, errors


def hooked(hooks: Any, batches: Iterable[Batch]) -> list[Batch]:
    """Returns Batches after a chain of hooks."""
    hooks.setup()
    return [after for batch in batches for after in hooks.process(batch)]


def _run_step(
    step: StepPlan, batches: list[Batch], title: str, watch: Stopwatch, apply_hooks: Any, handler_of: Any
) -> list[Batch]:
    handler = handler_of(step)
    with watch.stage(f"load model{title}"):
        model = handler.load_model()
    if step.config.pre_hooks:
        with watch.stage(f"pre hooks{title}"):
            batches = hooked(apply_hooks(step.config.pre_hooks, "preprocess"), batches)
    with watch.stage(f"model{title}"):
        batches = [after for batch in batches for after in handler.run_inference(batch, model)]
    if step.config.post_hooks:
        with watch.stage(f"post hooks{title}"):
            batches = hooked(apply_hooks(step.config.post_hooks, "postprocess"), batches)
    return batches


def _whole_bundle(fn: Any, batches: Iterable[Batch]) -> Iterator[Any]:
    from apache_beam.utils.timestamp import MIN_TIMESTAMP

    fn.setup()
    fn.start_bundle()
    for batch in batches:
        yield from fn.process(batch, MIN_TIMESTAMP)
    yield from fn.finish_bundle()


def _elements(values: Iterable[Any]) -> list[Batch]:
    return [value.value for value in values]  # of a TimestampedValue or a WindowedValue


def _with_errors(config: RunInferenceConfig) -> RunInferenceConfig:
    changed = RunInferenceConfig.FromString(config.SerializeToString())
    changed.error_handling.output = changed.error_handling.output or "errors"
    changed.error_handling.ClearField("max_error_rate")
    changed.ClearField("tensor_batch")
    return changed

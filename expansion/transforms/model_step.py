# Licensed under the Apache License, Version 2.0; see LICENSE.
"""One model with its hooks, as a part of a graph: Beam's own RunInference between them."""

from __future__ import annotations

from collections.abc import Mapping

import apache_beam as beam

from expansion.transforms import beam_inference
from expansion.transforms.batch import Batch
from expansion.transforms.handler import ColumnarModelHandler
from expansion.transforms.step_plan import StepPlan
from expansion.transforms.steps import ApplyHooks


class ModelStep(beam.PTransform):  # type: ignore[misc]
    """A later model of a chain, or that of an operation.

    Args:
        step: What is known of the model.
        hints: What it asks of its workers, as arguments of ``with_resource_hints``.
    """

    def __init__(self, step: StepPlan, hints: Mapping[str, str]):
        super().__init__()
        self._step = step
        self._hints = hints

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Returns the Batches after it."""
        return apply_model(batches, self._step, self._hints)


def apply_model(batches: beam.PCollection, step: StepPlan, hints: Mapping[str, str]) -> beam.PCollection:
    """Applies one model, with its hooks: runners fuse them, as all have the same hints."""
    config = step.config
    if config.pre_hooks:
        hooks = ApplyHooks(config.pre_hooks, "preprocess", config.environment)
        batches = batches | "PreHooks" >> batch_step(hooks, hints)
    inference = beam_inference.RunInference(ColumnarModelHandler(step), model_identifier=step.model_tag)
    batches = batches | "Inference" >> inference.with_output_types(Batch).with_resource_hints(**hints)
    _share_model_by_tag(batches, step.model_tag)
    if config.post_hooks:
        hooks = ApplyHooks(config.post_hooks, "postprocess", config.environment)
        batches = batches | "PostHooks" >> batch_step(hooks, hints)
    return batches


def batch_step(fn: beam.DoFn, hints: Mapping[str, str]) -> beam.PTransform:
    """Returns a step from Batch to Batch that asks something of its workers."""
    return beam.ParDo(fn).with_output_types(Batch).with_resource_hints(**hints)


def _share_model_by_tag(inferred: beam.PCollection, model_tag: str) -> None:
    """Makes steps of one worker process share a model that has the same configuration.

    Beam shares by tag only across processes. Within one, each RunInference has a random key (``utils/shared.py``), so
    that two steps would load one model twice, and two expansions of one configuration would not be the same graph.
    """
    inferred.producer.transform.fn._shared_model_handle._key = model_tag

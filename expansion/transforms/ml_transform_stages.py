# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The stages of MLTransform: operations on columns up to one that runs a model, and so on after it."""

from __future__ import annotations

from dataclasses import dataclass

from expansion.transforms.embedding import EmbeddingPlan
from expansion.transforms.lessons import Lessons
from expansion.transforms.ml_transform_plan import MLTransformPlan


@dataclass(frozen=True)
class Stage:
    """Operations that are applied one after another, and the model that is run after them.

    Attributes:
        first: Place of its first operation in the chain.
        count: Number of its operations on columns.
        lessons: Its operations, the one that runs the model included, and what they learn.
        embedding: What runs the model; None in the last stage.
    """

    first: int
    count: int
    lessons: Lessons
    embedding: EmbeddingPlan | None


def stages_of(plan: MLTransformPlan) -> list[Stage]:
    """Returns the stages of a chain: one more than there are operations that run a model."""
    steps, location = plan.steps, plan.config.write_artifact_location
    stages = []
    first = 0
    for place, embedding in [*sorted(plan.embeddings.items()), (len(steps), None)]:
        before = steps[first].inputs if first < len(steps) else steps[-1].outputs if steps else plan.before
        lessons = Lessons.of(plan.operations[first : place + 1], before, location)
        stages.append(Stage(first, place - first, lessons, embedding))
        first = place + 1
    return stages


def last_to_learn(stages: list[Stage]) -> int:
    """Returns the number of the last stage that learns something; 0 if none does."""
    return max((number for number, stage in enumerate(stages) if stage.lessons.phases), default=0)

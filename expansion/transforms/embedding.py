# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The operation embed: its model is a step of RunInference's, with one column as all that it gets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import apache_beam as beam

from expansion.contract._gen.operation_pb2 import Embed
from expansion.contract._gen.run_inference_pb2 import Batching, ErrorHandling
from expansion.contract.fields import Field
from expansion.errors import Problem, SystemicError
from expansion.operations.results import outputs_of
from expansion.tensors.arrays import fits
from expansion.tensors.columns import Columns
from expansion.transforms.batch import Batch
from expansion.transforms.batching import BatchBounds
from expansion.transforms.embedding_config import of_embed, part_of
from expansion.transforms.step_plan import StepPlan, plan_step

# What the column is called within the operation.
_TEXT = Field("text", "STRING")


@dataclass(frozen=True)
class EmbeddingPlan:
    """What workers need to know of an operation.

    Attributes:
        outputs: Names of the results, by the column's.
        step: The model with its hooks.
        result: The vectors, under the name that they have after the post hooks.
        max_rows: Texts that the model gets together, at most.
    """

    outputs: dict[str, str]
    step: StepPlan
    result: Field
    max_rows: int


def plan(config: Embed, handling: ErrorHandling, problems: list[Problem]) -> EmbeddingPlan | None:
    """Works out what the model does; reads its signature.

    Args:
        config: A checked message.
        handling: What becomes of rows that fail.
        problems: Where what is wrong goes.

    Returns:
        The plan; None if there are problems.
    """
    found: list[Problem] = []
    step = plan_step(part_of(config, handling), {_TEXT.name: _TEXT}, {}, [_TEXT.name], found)
    made = list(step.predictions.values()) if step and not found else []
    if step and not found:
        found += _check_result(config, made)
    problems += of_embed(found)
    if step is None or found:
        return None
    result = replace(made[0], shape=(config.size,)) if config.size else made[0]
    return EmbeddingPlan(outputs_of(config), step, result, config.max_batch_size)


def _check_result(config: Embed, made: list[Field]) -> Iterator[Problem]:
    if len(made) != 1:
        names = ", ".join(field.name for field in made) or "none"
        fix = "keep one with model_outputs, or with a select post hook"
        yield Problem("post_hooks", f"after them there are {len(made)} columns: {names}; {fix}")
    elif made[0].datatype != "FP32" or len(made[0].shape) != 1:
        got = f"{made[0].name!r} is {made[0]}"
        yield Problem("post_hooks", f"{got}; expected a vector of FP32; cast or reshape it in a post hook")
    elif config.size and not fits(made[0].shape, (config.size,)):
        yield Problem("size", f"got {config.size}; {made[0].name!r} is {made[0]}; leave it out")


class Embedding(beam.PTransform):  # type: ignore[misc]
    """Runs the model of one operation: over its columns, one after another.

    Args:
        plan: What is known of it.
        hints: What the model asks of its workers, as arguments of ``with_resource_hints``.
    """

    def __init__(self, plan: EmbeddingPlan, hints: Mapping[str, str]):
        super().__init__()
        self._plan = plan
        self._hints = hints

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Returns the Batches with the vectors among their features."""
        # Imported where it is needed, as Beam's RunInference imports PyTorch wherever it is installed.
        from expansion.transforms.model_step import ModelStep

        plan = self._plan
        for number, (column, output) in enumerate(plan.outputs.items(), 1):
            begin = beam.ParDo(_Begin(column, plan.max_rows)).with_output_types(Batch)
            end = beam.ParDo(_End(output, plan.result)).with_output_types(Batch)
            batches = batches | f"Begin{number}" >> begin | f"Model{number}" >> ModelStep(plan.step, self._hints)
            batches = batches | f"End{number}" >> end
        return batches


class _Begin(beam.DoFn):  # type: ignore[misc]
    """Gives the model one column alone, and sets the others aside."""

    def __init__(self, column: str, max_rows: int):
        self._column = column
        self._max_rows = max_rows

    def setup(self) -> None:
        """Learns how to split."""
        self._bounds = BatchBounds(Batching(max_batch_size=self._max_rows))

    def process(self, batch: Batch) -> Iterator[Batch]:
        """Yields the batch in parts that are small enough."""
        for part in self._bounds.split(batch):
            text = Columns({_TEXT.name: part.features[self._column]}, len(part))
            yield replace(part, kept=part.features, features=text)


class _End(beam.DoFn):  # type: ignore[misc]
    """Puts the vectors among the columns that were set aside."""

    def __init__(self, output: str, result: Field):
        self._output = output
        self._result = result

    def process(self, batch: Batch) -> Iterator[Batch]:
        """Yields the batch as the next operation gets it.

        Raises:
            SystemicError: The vectors are of another size than the operation says.
        """
        features = batch.kept
        if len(batch):
            vectors = batch.predictions[self._result.name]
            if not fits(vectors.shape, self._result.shape):
                got = f"a vector has {vectors.shape[-1]} numbers"
                raise SystemicError(f"{got}; embed says size {self._result.shape[-1]}; set size to what the model says")
            features = features.with_column(self._output, vectors)
        nothing = Columns({}, len(batch))
        yield replace(batch, features=features, predictions=nothing, kept=nothing)

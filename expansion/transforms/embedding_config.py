# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The operation embed as a configuration of RunInference, and what is wrong with it by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from expansion.contract._gen.operation_pb2 import Embed, Operation
from expansion.contract._gen.run_inference_pb2 import ErrorHandling, RunInferenceConfig
from expansion.errors import Problem
from expansion.transforms.config import check_step


def embeds_of(operations: Iterable[Operation]) -> Iterator[tuple[int, Embed]]:
    """Yields the operations that run a model, each with its place."""
    yield from ((index, each.embed) for index, each in enumerate(operations) if each.HasField("embed"))


def check(config: Embed) -> Iterator[Problem]:
    """Yields what is wrong with the model and the hooks by themselves."""
    yield from of_embed(check_step(part_of(config, ErrorHandling())))


def part_of(config: Embed, handling: ErrorHandling) -> RunInferenceConfig:
    """Returns the operation as a configuration of RunInference."""
    return RunInferenceConfig(
        model=config.model,
        inputs=config.inputs,
        outputs=config.model_outputs,
        pre_hooks=config.pre_hooks,
        post_hooks=config.post_hooks,
        error_handling=handling,
    )


def of_embed(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Yields problems of ``_part_of`` with the paths of the operation."""
    for problem in problems:
        is_of_outputs = problem.path.startswith("outputs")
        yield Problem(f"model_{problem.path}" if is_of_outputs else problem.path, problem.message)

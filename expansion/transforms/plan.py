# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What RunInference will do, worked out at expansion from configuration, input fields and the models' signatures."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from expansion.contract._gen.run_inference_pb2 import Batching, RunInferenceConfig
from expansion.contract.fields import Field, Fields, is_numeric
from expansion.contract.places import Places
from expansion.contract.problems import at, did_you_mean
from expansion.errors import ConfigError, Problem
from expansion.tensors.nulls import Fill
from expansion.transforms import routing
from expansion.transforms.chain import steps_of
from expansion.transforms.column_flow import ColumnFlow
from expansion.transforms.config import DEFAULT_MAX_BATCH_SIZE, DEFAULT_MAX_ELEMENT_BYTES
from expansion.transforms.step_plan import MODEL_ID, MODEL_VERSION, StepPlan, WithConfig, plan_step


@dataclass(frozen=True)
class Plan(WithConfig):
    """Everything that the workers need to know.

    Attributes:
        config: The configuration.
        features: The input's columns that hooks or models read, as they come in.
        fills: What a null of the input becomes, by the feature.
        noted: Features whose nulls are noted for the hook that first reads them; nulls of all others are errors.
        steps: The model, and those that follow it in a chain.
        kept: Names of the features that later models of a chain read.
    """

    config: RunInferenceConfig
    features: dict[str, Field]
    fills: dict[str, Fill]
    noted: tuple[str, ...]
    steps: tuple[StepPlan, ...]
    kept: tuple[str, ...] = ()

    @property
    def dropped(self) -> tuple[str, ...]:
        """None: output rows have all of the input's columns."""
        return ()

    @property
    def max_rows(self) -> int:
        """Rows to pack into a batch, at most."""
        return self.config.batching.max_batch_size or DEFAULT_MAX_BATCH_SIZE

    @property
    def max_element_bytes(self) -> int:
        """Bytes of a row's features, at most."""
        return self.config.batching.max_element_bytes or DEFAULT_MAX_ELEMENT_BYTES

    @property
    def predictions(self) -> dict[str, Field]:
        """The prediction columns at the end, in order."""
        return self.steps[-1].predictions

    @property
    def arm(self) -> str:
        """Name of the column that says which arm of a split a row went to; empty where there is none."""
        field = routing.arm_field(self.config)
        return field.name if field else ""

    @property
    def results(self) -> dict[str, Field]:
        """The columns of output rows that neither are the input's nor say which model it was, in order."""
        return {**self.predictions, **({self.arm: Field(self.arm, "STRING")} if self.arm else {})}

    @property
    def constants(self) -> dict[str, str]:
        """The columns that say which models it was, in order, and what rows say before any has run."""
        first = self.steps[0].model_id_of("")
        return {MODEL_ID: first, **({MODEL_VERSION: ""} if any(step.is_refreshed for step in self.steps) else {})}


def make_plan(
    config: RunInferenceConfig, input_fields: Fields, taken: Collection[str], of_data: Places | None = None
) -> Plan:
    """Works out what to do.

    Args:
        config: A checked configuration.
        input_fields: The input's columns that can be features.
        taken: Names of the columns that output rows have besides predictions.
        of_data: Where models may be that data names. Default: anywhere.

    Raises:
        ConfigError: With every problem found.
    """
    problems: list[Problem] = []
    steps = _plan_steps(config, input_fields, of_data, problems)
    problems += routing.check_column(config, input_fields)
    problems += at("batching", _check_batching(config.batching, input_fields))
    if not steps:
        raise ConfigError(problems)
    later = itertools.pairwise(steps)
    kept = {name for before, step in later for name in step.reads if name not in before.predictions}
    read = {*steps[0].reads, *kept}
    read |= {config.batching.weight_column, config.batching.length_column, routing.column_of(config)}
    used = {name: field for name, field in input_fields.items() if name in read}
    flow = ColumnFlow(input_fields)
    flow.through_hooks("pre_hooks", () if problems else config.pre_hooks)
    plan = Plan(config, used, flow.fills, tuple(flow.noted), steps, tuple(sorted(kept.intersection(used))))
    problems += _collisions(plan, taken)
    if problems:
        raise ConfigError(problems)
    return plan


def _plan_steps(
    config: RunInferenceConfig, input_fields: Fields, of_data: Places | None, problems: list[Problem]
) -> tuple[StepPlan, ...]:
    """Plans the models one after another, until there is a problem with one: what the next gets is unknown."""
    steps: list[StepPlan] = []
    of_one_input = []
    if config.HasField("tensor_batch"):  # whose clients say which columns are features
        of_one_input = [name for name in input_fields if name != routing.column_of(config)]
    before: Fields = {}
    for path, part in steps_of(config):
        found: list[Problem] = []
        step = plan_step(part, {**input_fields, **before}, before, of_one_input, found)
        if step is not None and routing.has_uris_of_data(part):
            step = replace(step, places=of_data)
        problems += at(path, found)
        if step is not None:
            steps.append(step)
        if step is None or found:
            break
        of_one_input = [name for name in step.predictions if name not in before]
        before = step.predictions
    return tuple(steps)


def _check_batching(batching: Batching, fields: Fields) -> Iterator[Problem]:
    for path, name in (("weight_column", batching.weight_column), ("length_column", batching.length_column)):
        field = fields.get(name)
        if name and field is None:
            yield Problem(path, f"no column {name!r}; {did_you_mean(name, fields)}")
        elif field is None:
            continue
        elif path == "weight_column" and not (is_numeric(field.datatype) and not field.shape):
            yield Problem(path, f"column {name!r} is {field}; expected one number a row")
        elif path == "length_column" and is_numeric(field.datatype) and not field.shape:
            yield Problem(path, f"column {name!r} is {field}, which has no length; expected arrays or texts")


def _collisions(plan: Plan, taken: Collection[str]) -> Iterator[Problem]:
    """Yields what keeps the columns of output rows from having names of their own and types of Beam schemas."""
    added, predictions = plan.constants, plan.predictions
    last = list(steps_of(plan.config))[-1][0]
    hooks_path = f"{last}.post_hooks" if last else "post_hooks"
    for name in filter(taken.__contains__, added):
        reason = f"the input has a column {name!r}, where output rows say which model it was"
        yield Problem("", f"{reason}; rename or drop it before, such as when one RunInference follows another")
    for name, field in predictions.items():
        if field.datatype == "UINT64":
            yield Problem(hooks_path, f"prediction {name!r} is {field}, which no Beam schema has; cast it to INT64")
        if name in taken or name in added:
            where = "the input has a column" if name in taken else "every output row has a column"
            yield Problem(hooks_path, f"{where} {name!r} already; give the prediction another name with rename")
    if plan.arm and plan.arm in {*predictions, *taken, *added}:
        where = "the predictions have" if plan.arm in predictions else "output rows have"
        yield Problem("split.output", f"{where} a column {plan.arm!r} already; give the arms' column another name")

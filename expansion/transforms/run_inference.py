# Licensed under the Apache License, Version 2.0; see LICENSE.
"""RunInference: rows → pre hooks → model → post hooks → rows, on columns from one end to the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.portability.api import schema_pb2

from expansion.contract import urns
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig, RunInferenceResult
from expansion.contract.fields import Fields
from expansion.transforms.composite import Composite, packed
from expansion.transforms.config import read_config
from expansion.transforms.model_step import ModelStep, apply_model, batch_step
from expansion.transforms.model_uris import WithModelUris, rows_and_uris
from expansion.transforms.placement import NOWHERE, Placement
from expansion.transforms.plan import Plan, make_plan
from expansion.transforms.resource_hints import keywords
from expansion.transforms.routes import router_of
from expansion.transforms.steps import BeginStep, Rebatch
from expansion.transforms.waiting import RebatchAcrossBundles


class RunInference(Composite[Plan]):
    """Runs a model over a PCollection of rows.

    An output row holds the input row's columns, then the prediction columns, then ``model_id`` and, where
    ``model.refresh_interval_secs`` is set, ``model_version``; the latter two end error rows as well. With
    ``error_handling.output`` set, rows that fail come out of a second output of that name as rows of
    ``element, stage, error_type, message, model_id``; otherwise the first one fails the job.

    Example::

        results = rows | RunInference(Path("digits.yaml").read_text())
        results["output"], results["errors"]
        # with model_uris in the configuration:
        results = {"input": rows, "model_uris": uris} | RunInference(…)

    Args:
        config: The configuration as message, serialized message, YAML or JSON text, or mapping; its fields are
            described in proto/beamml/expansion/v1/run_inference.proto.
        input_schema: Schema of the rows, for callers that set the outputs' coders themselves. Default: the schema of
            the input PCollection's element type.
        placement: What a service says of where steps run and models may be. Default: there is none.

    Raises:
        ConfigError: The configuration is wrong; here, or in ``expand`` where it does not suit the input.
    """

    def __init__(
        self,
        config: RunInferenceConfig | bytes | str | Mapping[str, Any],
        *,
        input_schema: schema_pb2.Schema | None = None,
        placement: Placement = NOWHERE,
    ):
        self._config = read_config(config)
        super().__init__(self._config, input_schema, placement)

    def _make_plan(self, fields: Fields, names: Collection[str]) -> Plan:
        return make_plan(self._config, fields, names, self._placement.of_data)

    def expand(self, inputs: beam.PCollection | Mapping[str, beam.PCollection]) -> dict[str, beam.PCollection]:
        """Returns the outputs by name: "output", and the one for errors where it is asked for.

        Args:
            inputs: The rows; or, where the configuration has ``model_uris``, both inputs by name.

        Raises:
            ConfigError: The configuration does not suit the input.
        """
        pcoll, self._uris = rows_and_uris(self._config, inputs)
        return super().expand(pcoll)

    def _results(self, pcoll: beam.PCollection, plan: Plan) -> beam.PCollection:
        hints = [self._hints_of(step.config) for step in plan.steps]
        return _infer(packed(pcoll, plan, hints=self._at_end(plan.steps[0].config)), plan, self._uris, hints)

    def _hints_at_end(self, plan: Plan) -> dict[str, str]:
        return self._at_end(plan.steps[-1].config)

    def _hints_of(self, step: RunInferenceConfig) -> dict[str, str]:
        """Returns what a model and all that works on batches around it asks of its workers."""
        return {**self._placement.of_step(step), **keywords(step.resource_hints)}

    def _at_end(self, nearest: RunInferenceConfig) -> dict[str, str]:
        """Returns what a step at either end of the batches asks: no GPU waits while single rows are worked on."""
        return self._placement.of_step(nearest) if self._is_of_rows else self._hints_of(nearest)

    def annotations(self) -> dict[str, bytes]:
        """Returns what a client needs to know of the result, for the pipeline proto; nothing before ``expand``."""
        if self._plan is None:
            return {}
        predictions = [field.to_proto() for field in self._plan.results.values()]
        result = RunInferenceResult(predictions=predictions, model_columns=self._plan.constants)
        return {urns.RUN_INFERENCE_RESULT: result.SerializeToString()}


def _infer(
    batches: beam.PCollection, plan: Plan, uris: beam.PCollection | None, hints: Sequence[Mapping[str, str]]
) -> beam.PCollection:
    """Applies everything between the two ends.

    Args:
        batches: The input.
        plan: The plan.
        uris: The second input, if there is one.
        hints: What each model asks of its workers. The names of steps must not depend on it.
    """
    first, *later = plan.steps
    batches = _rebatch(batches, plan.config, hints[0])
    if later or plan.config.WhichOneof("routing"):
        batches = batches | "Begin" >> batch_step(BeginStep(first, plan.kept), hints[0])
    if uris is not None:
        batches = batches | "ModelUris" >> WithModelUris(uris).with_resource_hints(**hints[0])
    batches = apply_model(batches, first, hints[0])
    for number, (step, of_step) in enumerate(zip(later, hints[1:], strict=True), 2):
        batches = batches | f"Begin{number}" >> batch_step(BeginStep(step, None), of_step)
        batches = batches | f"Step{number}" >> ModelStep(step, of_step)
    return batches


def _rebatch(batches: beam.PCollection, config: RunInferenceConfig, hints: Mapping[str, str]) -> beam.PCollection:
    batching, router = config.batching, router_of(config)
    if batching.max_batch_duration_secs:
        return batches | "Rebatch" >> RebatchAcrossBundles(batching, router).with_resource_hints(**hints)
    return batches | "Rebatch" >> batch_step(Rebatch(batching, router), hints)

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""RunInference: rows → pre hooks → model → post hooks → rows, on columns from one end to the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import apache_beam as beam
from apache_beam.ml.inference.base import RunInference as BeamRunInference
from apache_beam.portability.api import schema_pb2
from apache_beam.transforms.core import Windowing
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints import schemas as schemas_of_beam
from apache_beam.typehints.row_type import RowTypeConstraint

from expansion.contract import urns
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig, RunInferenceResult
from expansion.contract.fields import Field
from expansion.tensors import schemas
from expansion.transforms import batch_coder  # noqa: F401 - registers the coder of Batch
from expansion.transforms.batch import Batch
from expansion.transforms.config import read_config
from expansion.transforms.handler import ColumnarModelHandler
from expansion.transforms.plan import Plan, make_plan
from expansion.transforms.routes import router_of
from expansion.transforms.row_ends import PackRows, UnpackRows
from expansion.transforms.steps import ApplyHooks, Rebatch
from expansion.transforms.waiting import RebatchAcrossBundles
from expansion.transforms.wire_ends import DecodeTensorBatch, EncodeTensorBatch


class RunInference(beam.PTransform):  # type: ignore[misc]
    """Runs a model over a PCollection of rows.

    An output row holds the input row's columns, then the prediction columns, then ``model_id`` and, where
    ``model.refresh_interval_secs`` is set, ``model_version``; the latter two end error rows as well. With
    ``error_handling.output`` set, rows that fail come out of a second output of that name as rows of
    ``element, stage, error_type, message, model_id``; otherwise the first one fails the job.

    Example::

        results = rows | RunInference(Path("digits.yaml").read_text())
        results["output"], results["errors"]

    Args:
        config: The configuration as message, serialized message, YAML or JSON text, or mapping; its fields are
            described in proto/beamml/expansion/v1/run_inference.proto.
        input_schema: Schema of the rows, for callers that set the outputs' coders themselves. Default: the schema of
            the input PCollection's element type.

    Raises:
        ConfigError: The configuration is wrong; here, or in ``expand`` where it does not suit the input.
    """

    def __init__(
        self,
        config: RunInferenceConfig | bytes | str | Mapping[str, Any],
        *,
        input_schema: schema_pb2.Schema | None = None,
    ):
        super().__init__()
        self._config = read_config(config)
        self._input_schema = input_schema
        self._plan: Plan | None = None
        self.schemas: dict[str, schema_pb2.Schema] = {}

    def prepare(self) -> None:
        """Reads the model's signature and settles what to do; ``expand`` does it otherwise. It may wait for a file.

        Raises:
            ConfigError: The configuration does not suit the input.
        """
        if self._plan is not None:
            return
        if self._config.HasField("tensor_batch"):
            wire = self._config.tensor_batch
            fields = {field.name: Field.from_proto(field) for field in wire.columns}
            self._plan = make_plan(self._config, fields, [*wire.opaque_columns, *wire.return_columns])
        elif self._input_schema is not None:
            schema = self._input_schema
            self._plan = plan = make_plan(
                self._config, schemas.fields_of(schema), [field.name for field in schema.fields]
            )
            model_columns = {name: Field(name, "STRING") for name in plan.model_columns()}
            self.schemas[urns.OUTPUT] = schemas.schema_with(schema, {**plan.results, **model_columns})
            if self._config.error_handling.output:
                self.schemas[self._config.error_handling.output] = schemas.error_schema(schema, [*model_columns])

    def expand(self, pcoll: beam.PCollection) -> dict[str, beam.PCollection]:
        """Returns the outputs by name: "output", and the one for errors where it is asked for."""
        if self._config.HasField("tensor_batch"):
            return self._expand_tensor_batches(pcoll)
        return self._expand_rows(pcoll)

    def annotations(self) -> dict[str, bytes]:
        """Returns what a client needs to know of the result, for the pipeline proto; nothing before ``expand``."""
        if self._plan is None:
            return {}
        predictions = [field.to_proto() for field in self._plan.results.values()]
        return {urns.RUN_INFERENCE_RESULT: RunInferenceResult(predictions=predictions).SerializeToString()}

    def _expand_tensor_batches(self, pcoll: beam.PCollection) -> dict[str, beam.PCollection]:
        plan = self._prepared()
        batches = pcoll | "Decode" >> beam.ParDo(DecodeTensorBatch(plan)).with_output_types(Batch)
        encode = beam.ParDo(EncodeTensorBatch(plan)).with_output_types(bytes)
        return self._outputs(_infer(batches, plan), encode)

    def _expand_rows(self, pcoll: beam.PCollection) -> dict[str, beam.PCollection]:
        sets_types = self._input_schema is None
        if self._input_schema is None:
            self._input_schema = schemas_of_beam.schema_from_element_type(pcoll.element_type)
        plan = self._prepared()
        batches = pcoll | "Pack" >> beam.ParDo(PackRows(plan)).with_output_types(Batch)
        batches._windowing = Windowing(GlobalWindows())
        names = [field.name for field in self._input_schema.fields]
        outputs = self._outputs(_infer(batches, plan), beam.ParDo(UnpackRows(plan, names)))
        for tag, output in outputs.items():
            output._windowing = pcoll.windowing
            if sets_types:
                output.element_type = _element_type(self.schemas[tag])
        return outputs

    def _prepared(self) -> Plan:
        self.prepare()
        assert self._plan is not None  # noqa: S101 - it has a schema or is for TensorBatches
        return self._plan

    def _outputs(self, batches: beam.PCollection, encode: beam.ParDo) -> dict[str, beam.PCollection]:
        errors = self._config.error_handling.output
        if not errors:
            return {urns.OUTPUT: batches | "Encode" >> encode}
        encoded = batches | "Encode" >> encode.with_outputs(errors, main=urns.OUTPUT)
        return {urns.OUTPUT: encoded[urns.OUTPUT], errors: encoded[errors]}


def _infer(batches: beam.PCollection, plan: Plan) -> beam.PCollection:
    """Applies everything between the two ends."""
    config = plan.config
    batches = _rebatch(batches, config)
    if config.pre_hooks:
        hooks = ApplyHooks(config.pre_hooks, "preprocess")
        batches = batches | "PreHooks" >> beam.ParDo(hooks).with_output_types(Batch)
    inference = BeamRunInference(ColumnarModelHandler(plan), model_identifier=plan.model_tag)
    batches = batches | "Inference" >> inference.with_output_types(Batch)
    _share_model_by_tag(batches, plan.model_tag)
    if config.post_hooks:
        hooks = ApplyHooks(config.post_hooks, "postprocess")
        batches = batches | "PostHooks" >> beam.ParDo(hooks).with_output_types(Batch)
    return batches


def _share_model_by_tag(inferred: beam.PCollection, model_tag: str) -> None:
    """Makes steps of one worker process share a model that has the same configuration.

    Beam shares by tag only across processes. Within one, each RunInference has a random key (``utils/shared.py``), so
    that two steps would load one model twice, and two expansions of one configuration would not be the same graph.
    """
    inferred.producer.transform.fn._shared_model_handle._key = model_tag


def _rebatch(batches: beam.PCollection, config: RunInferenceConfig) -> beam.PCollection:
    batching, router = config.batching, router_of(config)
    if batching.max_batch_duration_secs:
        return batches | "Rebatch" >> RebatchAcrossBundles(batching, router)
    return batches | "Rebatch" >> beam.ParDo(Rebatch(batching, router)).with_output_types(Batch)


def _element_type(schema: schema_pb2.Schema) -> Any:
    fields = [(field.name, schemas_of_beam.typing_from_runner_api(field.type)) for field in schema.fields]
    return RowTypeConstraint.from_fields(fields)

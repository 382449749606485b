# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What RunInference and MLTransform are alike in: rows or TensorBatches in, "output" and errors out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, Generic, Optional, TypeAlias, TypeVar

import apache_beam as beam
from apache_beam.portability.api import schema_pb2
from apache_beam.transforms.core import Windowing
from apache_beam.transforms.trigger import AccumulationMode
from apache_beam.transforms.window import GlobalWindows
from apache_beam.typehints import schemas as schemas_of_beam
from apache_beam.typehints.row_type import RowTypeConstraint

from expansion.contract import urns
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.fields import Field, Fields
from expansion.errors import ConfigError
from expansion.tensors import schemas
from expansion.transforms import batch_coder  # noqa: F401 - registers the coder of Batch
from expansion.transforms.batch import Batch
from expansion.transforms.compressed import Compress, DecompressAfter
from expansion.transforms.ends import EndsPlan
from expansion.transforms.placement import Placement
from expansion.transforms.row_ends import PackFeatures, PackRows, UnpackRows
from expansion.transforms.wire_ends import DecodeTensorBatch, DecodeTensorBatchAfter, EncodeTensorBatch

AnyConfig: TypeAlias = RunInferenceConfig | MLTransformConfig
_Plan = TypeVar("_Plan", bound=EndsPlan)


class Composite(beam.PTransform, Generic[_Plan]):  # type: ignore[misc]
    """A transform of rows or TensorBatches that is planned when its input is known.

    Args:
        config: A checked configuration.
        input_schema: Schema of the rows. Default: that of the input's elements.
        placement: What a service says of where steps run.

    Attributes:
        schemas: After ``prepare``, the schema of each output of rows, by its name.

    Raises:
        ConfigError: The configuration names an environment that the placement has not.
    """

    def __init__(self, config: AnyConfig, input_schema: schema_pb2.Schema | None, placement: Placement):
        super().__init__()
        problems = list(placement.check(config))
        if problems:
            raise ConfigError(problems)
        self._placement = placement
        self._handling, self._wire = config.error_handling, config.tensor_batch
        self._is_of_rows = not config.HasField("tensor_batch")
        self._input_schema = input_schema
        self._plan: _Plan | None = None
        self.schemas: dict[str, schema_pb2.Schema] = {}

    @abstractmethod
    def _make_plan(self, fields: Fields, names: Collection[str]) -> _Plan:
        """Settles what to do.

        Args:
            fields: The input's columns that can be features.
            names: The columns of the input that output rows have, of any type.

        Raises:
            ConfigError: The configuration does not suit the input.
        """

    @abstractmethod
    def _results(self, pcoll: beam.PCollection, plan: _Plan) -> beam.PCollection:
        """Applies everything but the encoding at the end; returns Batches."""

    def _hints_at_end(self, plan: _Plan) -> dict[str, str]:
        """Returns what the encoding asks of its workers, as arguments of ``with_resource_hints``."""
        return {}

    @abstractmethod
    def annotations(self) -> dict[str, bytes]:
        """Returns what a client needs to know of the result, for the pipeline proto; nothing before ``expand``."""

    def prepare(self) -> None:
        """Settles what to do; ``expand`` does it otherwise. It may wait for a file.

        Raises:
            ConfigError: The configuration does not suit the input.
        """
        if self._plan is not None:
            return
        if not self._is_of_rows:
            fields = {field.name: Field.from_proto(field) for field in self._wire.columns}
            self._plan = self._make_plan(fields, [*self._wire.opaque_columns, *self._wire.return_columns])
        elif self._input_schema is not None:
            schema = self._input_schema
            self._plan = plan = self._make_plan(schemas.fields_of(schema), [field.name for field in schema.fields])
            constants = {name: Field(name, "STRING") for name in plan.constants}
            results = {**plan.predictions, **({plan.arm: Field(plan.arm, "STRING")} if plan.arm else {}), **constants}
            self.schemas[urns.OUTPUT] = schemas.schema_with(schema, results, plan.dropped)
            if self._handling.output:
                self.schemas[self._handling.output] = schemas.error_schema(schema, [*constants])

    def expand(self, pcoll: beam.PCollection) -> dict[str, beam.PCollection]:
        """Returns the outputs by name: "output", and the one for errors where it is asked for."""
        sets_types = self._is_of_rows and self._input_schema is None
        if sets_types:
            self._input_schema = schemas_of_beam.schema_from_element_type(pcoll.element_type)
        self.prepare()
        assert self._plan is not None  # noqa: S101 - it has a schema or is for TensorBatches
        outputs = self._encoded(self._results(pcoll, self._plan), self._plan)
        for tag, output in outputs.items():
            if self._is_of_rows:
                output._windowing = pcoll.windowing
            if sets_types:
                output.element_type = _element_type(self.schemas[tag])
        return outputs

    def _encoded(self, batches: beam.PCollection, plan: _Plan) -> dict[str, beam.PCollection]:
        if self._input_schema is None:
            encode = beam.ParDo(EncodeTensorBatch(plan)).with_output_types(bytes)
        else:
            encode = beam.ParDo(UnpackRows(plan, [field.name for field in self._input_schema.fields]))
        encode = encode.with_resource_hints(**self._hints_at_end(plan))
        errors = self._handling.output
        if not errors:
            return {urns.OUTPUT: batches | "Encode" >> encode}
        encoded = batches | "Encode" >> encode.with_outputs(errors, main=urns.OUTPUT)
        return {urns.OUTPUT: encoded[urns.OUTPUT], errors: encoded[errors]}


def packed(
    pcoll: beam.PCollection,
    plan: EndsPlan,
    carries: bool = True,
    by_window: bool = False,
    after: Any = None,
    hints: Mapping[str, str] | None = None,
) -> beam.PCollection:
    """Returns the Batches of a collection of rows or TensorBatches.

    Args:
        pcoll: The collection.
        plan: What to do with it.
        carries: Whether they carry what goes back; without it they can't be encoded.
        by_window: Whether each is of rows of one window, and in it. Default: they are in the global window.
        after: A side input that a later step waits for. TensorBatches wait as they came in, rows as Batches, which
            runners keep and pass on in less time than so many rows; both compressed. Default: none.
        hints: What the step asks of its workers, as arguments of ``with_resource_hints``. Default: nothing.
    """
    asked = hints or {}
    compress = beam.ParDo(Compress()).with_output_types(bytes)
    if plan.config.HasField("tensor_batch"):
        if after is None:
            decode = beam.ParDo(DecodeTensorBatch(plan, carries)).with_output_types(Batch)
            return pcoll | "Decode" >> decode.with_resource_hints(**asked)
        decode = beam.ParDo(DecodeTensorBatchAfter(plan, carries), after).with_output_types(Batch)
        return pcoll | "Compress" >> compress | "Decode" >> decode
    pack = PackRows(plan, by_window) if carries or by_window else PackFeatures(plan)
    batches = pcoll | "Pack" >> beam.ParDo(pack).with_output_types(Batch).with_resource_hints(**asked)
    # Without the input's triggers: what is learned of a window is learned when it has ended. Late rows are learned from
    # with all that came before; and by its mode this strategy is another one than the input's, whatever that is.
    mode = AccumulationMode.ACCUMULATING if by_window else None
    batches._windowing = Windowing(pcoll.windowing.windowfn if by_window else GlobalWindows(), accumulation_mode=mode)
    if after is None:
        return batches
    decompress = beam.ParDo(DecompressAfter(), after).with_output_types(Batch)
    return batches | "Compress" >> compress | "Decompress" >> decompress


def _element_type(schema: schema_pb2.Schema) -> Any:
    return RowTypeConstraint.from_fields([(field.name, _type_of(field.type)) for field in schema.fields])


def _type_of(field_type: schema_pb2.FieldType) -> Any:
    """Returns a field's Python type. Beam says numpy's for what its coder, as ours, makes Python's own of."""
    known = {schema_pb2.DOUBLE: float, schema_pb2.INT64: int}.get(field_type.atomic_type)
    if known is None:
        return schemas_of_beam.typing_from_runner_api(field_type)
    return Optional[known] if field_type.nullable else known  # noqa: UP045 - Beam does not read the other spelling

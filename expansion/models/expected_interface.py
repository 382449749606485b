# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Whether another model can take the place of the one that a pipeline was planned for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from expansion import models
from expansion.contract._gen import model_pb2
from expansion.contract.fields import Field
from expansion.errors import ConfigError, SystemicError, first_line
from expansion.models.signature import Model, Signature
from expansion.models.warm_up import zeros
from expansion.tensors.arrays import fits
from expansion.tensors.columns import Column, Columns


@dataclass(frozen=True)
class ExpectedInterface:
    """What a pipeline was planned for.

    Attributes:
        inputs: The model's inputs.
        outputs: The outputs that are kept, by their name in the model.
        declared: Names in the model of the outputs that the configuration says more of than the model may itself.
    """

    inputs: Sequence[Field]
    outputs: Mapping[str, Field]
    declared: frozenset[str] = frozenset()

    def check_signature(self, model: model_pb2.Model) -> None:
        """Reads a model's signature as data and compares it.

        Raises:
            SystemicError: It can't be read, or the model has other inputs or outputs.
        """
        try:
            signature = models.module_of(model).signature(models.framework(model)[1])
        except ConfigError as error:
            raise SystemicError(error.reason) from error
        problems = list(self._differences(signature))
        if problems:
            raise SystemicError("; ".join(problems))

    def try_out(self, model: Model, sample: Mapping[str, Columns] | None) -> None:
        """Runs a model on one row and compares what comes out: some files do not say what they hold.

        Args:
            model: The loaded model.
            sample: Inputs that another model has run on. Default: zeros; that a model does not like those says nothing.

        Raises:
            SystemicError: The model fails, or returns something else.
        """
        try:
            results = model.run(sample or zeros(self.inputs, 1), list(self.outputs))
        except SystemicError:
            raise
        except Exception as error:  # whatever the model raises
            if sample is None:
                return
            reason = f"it fails on a row that the model before it takes: {type(error).__name__}: {first_line(error)}"
            raise SystemicError(reason) from error
        for source, field in self.outputs.items():
            column: Column = results[source]
            if column.datatype != field.datatype or not fits(column.shape, field.shape):
                got = f"{column.datatype}{list(column.shape)}"
                raise SystemicError(f"its output {source!r} is {got}; expected {field}, as planned")

    def _differences(self, signature: Signature) -> Iterator[str]:
        expected = {field.name: field for field in self.inputs}
        if dict(signature.inputs) != expected:
            yield f"its inputs are {_listed(signature.inputs)}; expected {_listed(expected)}, as planned"
        for source, field in self.outputs.items():
            known = signature.outputs.get(source)
            if known is None:
                yield f"its outputs are {_listed(signature.outputs)}; expected {source!r} among them, as planned"
            elif known.datatype and not self._agree(source, known, field):
                yield f"its output {source!r} is {known}; expected {field}, as planned"

    def _agree(self, source: str, known: Field, field: Field) -> bool:
        if source in self.declared:  # where only the shape may say more
            return known.datatype == field.datatype and fits(known.shape, field.shape)
        return known.with_name(field.name) == field


def _listed(fields: Mapping[str, Field]) -> str:
    return ", ".join(f"{name} {field}" for name, field in fields.items()) or "none"

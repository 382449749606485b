# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What every model has: a signature, and a way to run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from expansion.contract.fields import Field
from expansion.tensors.columns import Column, Columns


@dataclass(frozen=True)
class Signature:
    """What goes into a model and what comes out of it, by name and in the model's order.

    Shapes are those of one row: the batch dimension is left out, and -1 is a size that the model does not fix.

    Attributes:
        inputs: Inputs. An empty datatype takes what numpy's promotion rules make of the columns.
        outputs: Outputs. An empty datatype means that the model does not say; ``notes`` says why.
        notes: By name of an output with an empty datatype: why it is empty and what to do, for messages.
        numeric_only: Names of the inputs with an empty datatype that take numbers and BOOL, and no texts.
    """

    inputs: Mapping[str, Field]
    outputs: Mapping[str, Field]
    notes: Mapping[str, str] = field(default_factory=dict)
    numeric_only: frozenset[str] = frozenset()

    def __str__(self) -> str:
        inputs, outputs = (
            ", ".join(f"{name}: {field}" for name, field in fields.items()) for fields in (self.inputs, self.outputs)
        )
        return f"({inputs}) -> ({outputs})"

    def is_like(self, other: Signature) -> bool:
        """Whether names, datatypes and shapes are the same, so that one model can take the other's place."""
        return dict(self.inputs) == dict(other.inputs) and dict(self.outputs) == dict(other.outputs)


class Model(Protocol):
    """A loaded model. Used by several threads at once."""

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Runs the model on a batch.

        Args:
            inputs: The columns that feed each input, in order; at least one row, the same number for each; no Ragged.
            outputs: Names of the model's outputs to return.

        Returns:
            The outputs, with as many rows as the inputs.

        Raises:
            BadRows: Some rows have a shape that the model does not take.
            ValueError, TypeError, ArithmeticError, LookupError: Some row makes the model raise; which one is unknown.
            MemoryError: The batch is too large.
            SystemicError: The model can't do what it is asked, whatever the rows.
        """

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What every model has: a signature, and a way to run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy.typing as npt
import pyarrow as pa

from expansion.contract.fields import Field, datatype_of
from expansion.errors import SystemicError
from expansion.tensors.columns import Blobs, Column, Columns, Dense


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


def column_of(output: str, array: npt.NDArray[Any], row_count: int) -> Column:
    """Makes a column of what a model returned for one output.

    Args:
        output: Name of the output, for messages.
        array: Array [row_count, *shape] of numbers, or of str (dtype object or U).
        row_count: Number of rows that went in.

    Returns:
        The column; Dense is a view of the array.

    Raises:
        SystemicError: The array has another number of rows, or holds something that is no datatype.
    """
    if array.shape[:1] != (row_count,):
        raise SystemicError(
            f"output {output!r} has shape {list(array.shape)} for {row_count} rows; expected rows along its first axis"
        )
    if datatype_of(array.dtype):
        return Dense(array)
    return Blobs("STRING", _texts(output, array), array.shape[1:], row_count)


def _texts(output: str, array: npt.NDArray[Any]) -> pa.Array:
    """Returns the elements of an array of str, in row-major order, as a binary array of UTF-8."""
    no_datatype = SystemicError(f"output {output!r} holds {array.dtype}, which is no datatype")
    if array.dtype.kind not in "OU":
        raise no_datatype
    try:
        # From objects, as pyarrow ends the texts of a U array at the first NUL.
        elements = pa.array(array.ravel().astype(object, copy=False), from_pandas=False)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:  # of several types, or of none
        raise no_datatype from error
    if elements.null_count or not (pa.types.is_string(elements.type) or array.size == 0):
        raise no_datatype
    return elements.cast(pa.binary())

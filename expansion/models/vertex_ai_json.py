# Licensed under the Apache License, Version 2.0; see LICENSE.
"""From columns to instances of Vertex AI, and from its predictions to columns.

https://cloud.google.com/vertex-ai/docs/reference/rest/v1/projects.locations.endpoints/predict. An instance is a
google.protobuf.Value: its numbers are doubles, and NaN and infinity are none of them. Bytes are written as TensorFlow
Serving does: https://www.tensorflow.org/tfx/serving/api_rest, "Encoding binary values".
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from expansion.contract.fields import Field, is_integer
from expansion.contract.problems import shown
from expansion.errors import BadRows, SystemicError
from expansion.tensors.columns import Blobs, Column, Dense
from expansion.tensors.results import declared_column

_LARGEST_INTEGER = 2**53  # up to which a double holds every one


def check_numbers(name: str, column: Dense | Blobs) -> None:
    """Refuses rows with numbers that an instance can't have.

    Raises:
        BadRows: Rows with NaN, with infinity, or with an integer that a double does not hold.
    """
    if isinstance(column, Blobs) or column.values.size == 0:
        return
    rows = column.values.reshape(len(column), -1)
    if rows.dtype.kind == "f":
        is_bad = ~np.isfinite(rows)
        reason = f"input {name!r} has NaN or infinity, which JSON has not; fill it in with an impute pre hook"
    elif rows.dtype.kind in "iu" and rows.dtype.itemsize > 4:
        is_bad = (rows > _LARGEST_INTEGER) | (rows < -_LARGEST_INTEGER)
        reason = f"input {name!r} has an integer beyond 2^53, which Vertex AI would round; pass it as STRING"
    else:
        return
    bad = np.flatnonzero(is_bad.any(axis=1))
    if len(bad):
        raise BadRows(dict.fromkeys(bad.tolist(), reason))


def instances(inputs: Mapping[str, Dense | Blobs], instance_format: str) -> list[Any]:
    """Returns an instance for each row.

    Args:
        inputs: The inputs, by name.
        instance_format: "object", or "value" for one input.
    """
    values = {name: _values(column) for name, column in inputs.items()}
    if instance_format == "value":
        (only,) = values.values()
        return only
    return [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]


def predictions(response: Any, outputs: Sequence[Field], names: Collection[str], row_count: int) -> dict[str, Column]:
    """Returns the outputs of a response.

    Args:
        response: The response's JSON.
        outputs: The outputs to return, as they are declared.
        names: The names of all that are declared.
        row_count: Rows of the request.

    Raises:
        SystemicError: There are not as many predictions as rows, or they are not what they are declared to be.
        ValueError: A row's prediction is null, or does not fit into the declared datatype.
    """
    found = response.get("predictions") if isinstance(response, dict) else None
    if not isinstance(found, list) or len(found) != row_count:
        got = f"{len(found)} predictions" if isinstance(found, list) else shown(response)
        raise SystemicError(f"Vertex AI returned {got} for {row_count} rows; expected one prediction for each")
    return {field.name: _column(field, [_member(field, each, names) for each in found]) for field in outputs}


def _values(column: Dense | Blobs) -> list[Any]:
    """Returns one JSON value a row."""
    if column.datatype != "BYTES":
        return column.to_rows()
    assert isinstance(column, Blobs)  # noqa: S101 - what BYTES are in
    elements = np.empty(len(column.array), object)
    elements[:] = [{"b64": base64.b64encode(element).decode()} for element in column.to_list()]
    values: list[Any] = elements.reshape(len(column), *column.shape).tolist()
    return values


def _member(field: Field, prediction: Any, names: Collection[str]) -> Any:
    """Returns one output of one prediction."""
    if isinstance(prediction, dict) and field.name in prediction:
        return prediction[field.name]
    is_bytes = field.datatype == "BYTES" and isinstance(prediction, dict) and list(prediction) == ["b64"]
    if len(names) == 1 and (is_bytes or not isinstance(prediction, dict)):
        return prediction
    expected = f"expected an object with {', '.join(names)}"
    raise SystemicError(f"a prediction has no {field.name!r}: got {shown(prediction)}; {expected}")


def _column(field: Field, values: list[Any]) -> Column:
    if field.datatype == "BYTES":
        return declared_column(field, _decoded(field, values), len(values))
    if is_integer(field.datatype):
        array = _array(values)
        # Every number of the response may be written as a double.
        if array is not None and array.dtype.kind == "f" and (array == np.round(array)).all():
            return declared_column(field, array.astype(np.int64), len(values))
    return declared_column(field, values, len(values))


def _array(values: list[Any]) -> np.ndarray[Any, Any] | None:
    """Returns values as an array; None where rows differ in shape."""
    try:
        return np.asarray(values)
    except ValueError:
        return None


def _decoded(field: Field, value: Any) -> Any:
    """Returns a value with its elements as bytes."""
    if isinstance(value, list):
        return [_decoded(field, element) for element in value]
    encoded = value.get("b64") if isinstance(value, dict) else value
    if encoded is None:
        return None
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise SystemicError(
            f"output {field.name!r} is {shown(value)}; it is declared as {field}; expected base64"
        ) from error

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A TensorFlow function that is loaded: a signature of a SavedModel, or a Keras model."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from expansion.contract.fields import VARIABLE_LENGTH
from expansion.errors import BadRows, SystemicError, first_line
from expansion.models.resource_errors import resource_error
from expansion.models.saved_model_file import Interface
from expansion.tensors.arrays import stack
from expansion.tensors.columns import Blobs, Column, Columns
from expansion.tensors.results import column_of, declared_column


class TensorFlowFunction:
    """A signature of a SavedModel, or a Keras model.

    Args:
        call: From tensors by input to tensors by output.
        interface: What it takes and returns.
        device: TensorFlow's name of the device to run on.
        owner: What holds the variables; a function does not keep them alive.
    """

    def __init__(
        self, call: Callable[[Mapping[str, Any]], Mapping[str, Any]], interface: Interface, device: str, owner: Any
    ):
        self._call = call
        self._interface = interface
        self._device = device
        self._owner = owner

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Runs the function on a batch; row by row if it takes one row at a time."""
        row_count = next(iter(inputs.values())).row_count
        fields = self._interface.signature.inputs
        feed = {name: stack(columns, fields[name]) for name, columns in inputs.items()}
        if self._interface.row_by_row:
            rows = [self._arrays({n: a[row : row + 1] for n, a in feed.items()}, outputs) for row in range(row_count)]
            arrays = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
        else:
            arrays = self._arrays(feed, outputs)
        return {name: self._column(name, array, row_count) for name, array in zip(outputs, arrays, strict=True)}

    def _arrays(self, feed: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> list[npt.NDArray[Any]]:
        import tensorflow as tf

        with errors_of_tensorflow():
            with tf.device("/CPU:0"):  # where texts have to be; what runs on a GPU copies the others
                tensors = {name: tf.constant(array) for name, array in feed.items()}
            with tf.device(self._device):
                results = self._call(tensors)
            for name in outputs:
                if not isinstance(results[name], tf.Tensor):
                    raise SystemicError(f"output {name!r} is {type(results[name]).__name__}; expected a dense tensor")
            return [results[name].numpy() for name in outputs]  # GPUs may fail as late as here

    def _column(self, name: str, array: npt.NDArray[Any], row_count: int) -> Column:
        field = self._interface.signature.outputs[name]
        if array.dtype != object or array.shape[:1] != (row_count,):
            return declared_column(field, array, row_count) if field.datatype else column_of(name, array, row_count)
        elements = pa.array(array.ravel(), pa.binary())
        datatype = field.datatype if field.datatype in VARIABLE_LENGTH else "STRING"
        if datatype == "STRING":
            fix = f"if it holds bytes, declare it in the model's outputs: [{{name: {name}, datatype: BYTES}}]"
            rows = np.repeat(np.arange(row_count), len(elements) // row_count)
            check_texts(elements, rows, f"output {name!r} is not UTF-8 text; {fix}")
        return Blobs(datatype, elements, array.shape[1:], row_count)


def find_gpus() -> int:
    """Returns the number of GPUs, and has TensorFlow take their memory as it needs it."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    # It has computed something in this process, and keeps its settings; or somebody has set how much it may take.
    with suppress(RuntimeError, ValueError):
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    return len(gpus)


@contextmanager
def errors_of_tensorflow() -> Iterator[None]:
    """Raises what TensorFlow raises as what this package makes of it: about the memory, the rows, or all of them."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError(reason_of(error)) from error
    except (tf.errors.InvalidArgumentError, tf.errors.OutOfRangeError, tf.errors.DataLossError) as error:
        raise ValueError(reason_of(error)) from error
    except tf.errors.OpError as error:
        found = resource_error(str(error), reason_of(error))
        raise found or SystemicError(f"TensorFlow failed: {reason_of(error)}") from error


def check_texts(elements: pa.Array, rows: npt.NDArray[np.integer[Any]], message: str) -> None:
    """Makes sure that texts are UTF-8.

    Args:
        elements: Binary array [elements].
        rows: Array [elements], the row of each.
        message: What to say of a row that has another.

    Raises:
        BadRows: Some have.
    """
    try:
        elements.cast(pa.string())
    except pa.ArrowInvalid:
        wrong = [index for index, element in enumerate(elements.to_pylist()) if not _is_text(element)]
        raise BadRows(dict.fromkeys(np.unique(rows[wrong]).tolist(), message)) from None


def _is_text(element: bytes) -> bool:
    try:
        element.decode()
    except UnicodeDecodeError:
        return False
    return True


def reason_of(error: Exception) -> str:
    """Returns what happened, of a message that also says where in the graph."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    for line, after in itertools.pairwise(lines):
        if after.startswith("[[{{node"):
            return line
    return first_line(error)

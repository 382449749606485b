# Licensed under the Apache License, Version 2.0; see LICENSE.
"""An engine of TensorRT, loaded."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorrt

from expansion.contract.fields import NUMPY_DTYPES, Field
from expansion.errors import SystemicError
from expansion.models.signature import Signature
from expansion.models.tensorrt_build import Log
from expansion.models.tensorrt_gpu import Gpu
from expansion.models.tensorrt_parts import Limits, parts, without_padding
from expansion.models.tensorrt_settings import DATATYPES
from expansion.tensors.arrays import fits, stack
from expansion.tensors.columns import Column, Columns
from expansion.tensors.results import column_of

_DATATYPES = {getattr(tensorrt.DataType, name): datatype for datatype, name in DATATYPES.items()}


class TensorRtEngine:
    """An engine with one execution context, which only one thread may use at a time: others wait for the lock.

    A context takes its first optimization profile by itself; an engine that has several is run with that one.
    """

    def __init__(self, content: bytes, signature: Signature, gpu: Gpu, log: Log):
        """Loads the engine.

        Raises:
            SystemicError: It is damaged, is for another GPU or version, or is not what the signature says.
            MemoryError: The GPU is out of memory.
        """
        gpu.use()
        self._signature = signature
        self._gpu = gpu
        self._log = log
        self._lock = threading.Lock()
        self._runtime = tensorrt.Runtime(log)  # must live as long as the engine
        self._engine = self._runtime.deserialize_cuda_engine(content)
        if self._engine is None:
            raise log.failure(f"TensorRT {tensorrt.__version__} can't load the engine")
        tensors = [_Tensor(self._engine, index) for index in range(self._engine.num_io_tensors)]
        inputs = {tensor.name: tensor for tensor in tensors if tensor.is_input}
        self._outputs = {tensor.name: tensor for tensor in tensors if not tensor.is_input}
        problems = [
            *_mismatches("input", inputs, signature.inputs),
            *_mismatches("output", self._outputs, signature.outputs),
        ]
        problems += [f"it takes {name!r}, which is not declared" for name in inputs if name not in signature.inputs]
        if problems:
            raise SystemicError(f"the engine is not as declared: {'; '.join(problems)}")
        self._limits = Limits({name: tensor.limits() for name, tensor in inputs.items()})
        if not 1 <= self._limits.min_rows <= self._limits.max_rows:
            raise SystemicError("the engine's inputs have no batch size in common")
        self._context = self._engine.create_execution_context()
        if self._context is None:
            raise log.failure("TensorRT can't prepare to run the engine")

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Runs the engine on a batch, in parts where it takes fewer rows."""
        row_count = next(iter(inputs.values())).row_count
        arrays = {name: stack(columns, self._signature.inputs[name]) for name, columns in inputs.items()}
        self._limits.check(arrays)
        results: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in outputs}
        with self._lock:
            self._gpu.use()
            try:
                for count, feed in parts(arrays, self._limits.min_rows, self._limits.max_rows):
                    given = len(next(iter(feed.values())))
                    for name, result in self._execute(feed, outputs).items():
                        results[name].append(without_padding(name, result, given, count))
            except MemoryError:
                self._gpu.release()
                raise
        return {
            name: column_of(name, found[0] if len(found) == 1 else np.concatenate(found), row_count)
            for name, found in results.items()
        }

    def _execute(self, feed: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
        for name, array in feed.items():
            address = self._gpu.buffer(name, array.nbytes)
            self._gpu.upload(address, array)
            if not (
                self._context.set_input_shape(name, array.shape) and self._context.set_tensor_address(name, address)
            ):
                raise self._log.failure(f"TensorRT does not take {name!r} of shape {list(array.shape)}")
        shapes = {name: self._output_shape(name) for name in self._outputs}
        addresses = {}
        for name, tensor in self._outputs.items():  # also those that nobody asked for: the engine writes them
            addresses[name] = self._gpu.buffer(name, tensor.size(shapes[name]))
            if not self._context.set_tensor_address(name, addresses[name]):
                raise self._log.failure(f"TensorRT does not write {name!r}")
        if not self._context.execute_async_v3(self._gpu.stream):
            raise self._log.failure("TensorRT can't run the batch")
        results = {
            name: self._gpu.download(addresses[name], shapes[name], self._outputs[name].dtype) for name in outputs
        }
        self._gpu.synchronize()
        return results

    def _output_shape(self, name: str) -> tuple[int, ...]:
        shape = tuple(self._context.get_tensor_shape(name))
        if any(size < 0 for size in shape):
            reason = f"the shape of output {name!r} depends on the values of the input, which is not supported"
            raise SystemicError(f"{reason}; change the model, or run it with onnx")
        return shape


class _Tensor:
    """An input or output of an engine."""

    def __init__(self, engine: Any, index: int):
        self._engine = engine
        self.name = str(engine.get_tensor_name(index))
        self.is_input = engine.get_tensor_mode(self.name) == tensorrt.TensorIOMode.INPUT
        self.shape = tuple(engine.get_tensor_shape(self.name))
        self._type = engine.get_tensor_dtype(self.name)

    @property
    def dtype(self) -> np.dtype[Any]:
        """What it is in numpy.

        Raises:
            SystemicError: Nothing, as BF16.
        """
        if self._type not in _DATATYPES:
            raise SystemicError(f"{self.name!r} is of {self._type}, which is not supported; leave it out")
        return NUMPY_DTYPES[_DATATYPES[self._type]]

    def size(self, shape: tuple[int, ...]) -> int:
        """Returns the bytes that it takes in a shape."""
        size: float = math.prod(shape) * self._type.itemsize  # a fraction, of types below a byte
        return math.ceil(size)

    def limits(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Returns the smallest and the largest shape of an input."""
        if -1 not in self.shape:
            return self.shape, self.shape
        smallest, _, largest = self._engine.get_tensor_profile_shape(self.name, 0)
        return tuple(smallest), tuple(largest)

    def problems(self, declared: Field | None) -> Iterator[str]:
        """Yields why it can't be served; an output of which nothing is declared is not, and may be anything.

        Args:
            declared: What is declared of it.
        """
        if self._engine.get_tensor_location(self.name) != tensorrt.TensorLocation.DEVICE:
            yield f"{self.name!r} is a shape tensor, which is not supported"
        if declared is None or not declared.datatype:
            return
        found = Field(self.name, _DATATYPES.get(self._type, str(self._type)), self.shape[1:])
        if not self.shape:
            yield f"{self.name!r} is a scalar, without a batch dimension"
        elif found.datatype != declared.datatype or not fits(found.shape, declared.shape):
            yield f"{self.name!r} is {found}; declared is {declared}"
        if self._engine.get_tensor_format(self.name) != tensorrt.TensorFormat.LINEAR:
            yield f"{self.name!r} has format {self._engine.get_tensor_format(self.name)}; only LINEAR is supported"


def _mismatches(what: str, tensors: Mapping[str, _Tensor], declared: Mapping[str, Field]) -> Iterator[str]:
    """Yields in what the inputs or outputs of an engine differ from those that are declared."""
    for tensor in tensors.values():
        yield from (f"{what} {problem}" for problem in tensor.problems(declared.get(tensor.name)))
    for name in declared:
        if name not in tensors:
            yield f"it has no {what} {name!r}, only {sorted(tensors)}"

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A GPU: memory for a model's inputs and outputs, and a stream to run it on. By cuda-bindings."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.errors import DeviceFailed


class Gpu:
    """One GPU, with a stream and buffers of its own. Used by one thread at a time, which must call ``use`` first."""

    def __init__(self, index: int):
        import cuda.bindings.runtime as cuda

        self._cuda = cuda
        self._index = index
        self._buffers: dict[str, tuple[int, int]] = {}  # address and bytes
        self.use()
        self._stream = checked(cuda.cudaStreamCreate())
        weakref.finalize(self, _free, self._stream, self._buffers)

    @property
    def stream(self) -> int:
        """The handle of the stream."""
        return int(self._stream)

    def use(self) -> None:
        """Makes it the GPU of the calling thread, as CUDA keeps one for each."""
        checked(self._cuda.cudaSetDevice(self._index))

    def description(self) -> str:
        """Returns name and compute capability, such as "NVIDIA L4, compute capability 8.9"."""
        properties = checked(self._cuda.cudaGetDeviceProperties(self._index))
        name = bytes(properties.name).partition(b"\0")[0].decode()
        return f"{name}, compute capability {properties.major}.{properties.minor}"

    def buffer(self, name: str, size: int) -> int:
        """Returns the address of at least ``size`` bytes, which are that tensor's until the next call for it.

        Raises:
            MemoryError: The GPU has no such memory left.
        """
        address, capacity = self._buffers.pop(name, (0, 0))
        if capacity < size or not address:
            if address:
                checked(self._cuda.cudaFree(address))
            capacity = max(size, 1)  # TensorRT takes no null address, not even for nothing
            address = int(checked(self._cuda.cudaMalloc(capacity)))
        self._buffers[name] = (address, capacity)
        return address

    def upload(self, address: int, array: npt.NDArray[Any]) -> None:
        """Copies a C-contiguous array to the GPU, in the stream; it must live until ``synchronize`` has returned."""
        self._copy(address, array.ctypes.data, array.nbytes, self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice)

    def download(self, address: int, shape: tuple[int, ...], dtype: npt.DTypeLike) -> npt.NDArray[Any]:
        """Copies an array from the GPU, in the stream; it is complete when ``synchronize`` has returned."""
        array = np.empty(shape, dtype)
        self._copy(array.ctypes.data, address, array.nbytes, self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost)
        return array

    def release(self) -> None:
        """Gives all buffers back, after a batch that did not fit: they may be larger than those of the next one."""
        self._cuda.cudaStreamSynchronize(self._stream)  # what it has to say has been said
        while self._buffers:
            _, (address, _) = self._buffers.popitem()
            self._cuda.cudaFree(address)

    def synchronize(self) -> None:
        """Waits for all that was asked for."""
        checked(self._cuda.cudaStreamSynchronize(self._stream))

    def _copy(self, target: int, source: int, size: int, kind: Any) -> None:
        if size:
            checked(self._cuda.cudaMemcpyAsync(target, source, size, kind, self._stream))


def checked(result: tuple[Any, ...]) -> Any:
    """Returns what a call of CUDA returned, without the error code before it.

    Raises:
        MemoryError: The GPU is out of memory.
        DeviceFailed: Anything else went wrong.
    """
    import cuda.bindings.runtime as cuda

    error, *values = result
    if error == cuda.cudaError_t.cudaSuccess:
        return values[0] if values else None
    name, text = (call(error)[1].decode() for call in (cuda.cudaGetErrorName, cuda.cudaGetErrorString))
    if error == cuda.cudaError_t.cudaErrorMemoryAllocation:
        raise MemoryError(f"the GPU is {text}")
    raise DeviceFailed(f"the GPU failed: {name}: {text}")


def _free(stream: Any, buffers: dict[str, tuple[int, int]]) -> None:
    """Gives back what a Gpu held; at the end of a process CUDA may have done so already, and says so in vain."""
    import cuda.bindings.runtime as cuda

    for address, _ in buffers.values():
        cuda.cudaFree(address)
    cuda.cudaStreamDestroy(stream)

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What libraries say of the machine and not of the rows, in a text alone: most have one exception for everything."""

from __future__ import annotations

from expansion.errors import DeviceFailed

# In lower case. Of allocators and arenas on the CPU and on GPUs, and of CUDA, cuBLAS and cuDNN.
_NO_MEMORY = (
    "allocate memory",
    "not enough memory",
    "out of memory",
    "out_of_memory",
    "outofmemory",
    "memory allocation error",
    "bad_alloc",
    "bad allocation",
    "alloc_failed",
    "allocation_failed",
    "smaller than requested bytes",  # of ONNX Runtime's arena where its memory is limited
    "dst tensor is not initialized",  # of TensorFlow: there was no room to copy it to
)
# Statuses of cuDNN by which it does not support something are not among these: they may be about the rows.
_GPU_FAILED = (
    "cuda error",
    "cuda failure",
    "cuda driver error",
    "cudaerror",
    "cublas failure",
    "device-side assert",
    "cudnn_status_not_initialized",
    "cudnn_status_internal_error",
    "cudnn_status_execution_failed",
)


def resource_error(text: str, reason: str) -> MemoryError | DeviceFailed | None:
    """Returns what to raise in place of an exception that is not about the rows; None if it may be.

    Args:
        text: All that the exception says.
        reason: What to say of it.
    """
    lower = text.lower()
    if any(sign in lower for sign in _NO_MEMORY):
        return MemoryError(reason)
    if any(sign in lower for sign in _GPU_FAILED):
        return DeviceFailed(f"the GPU failed: {reason}")
    return None

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What PyTorch raises that is not about the rows: it has one class, RuntimeError, for nearly everything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from expansion.errors import SystemicError, first_line

# Of the CPU's allocator on Linux and elsewhere, of the GPU's, and of cuBLAS and cuDNN.
_NO_MEMORY = ("allocate memory", "not enough memory", "out of memory", "_ALLOC_FAILED")
_GPU_FAILED = ("CUDA error", "device-side assert")


@contextmanager
def resource_errors() -> Iterator[None]:
    """Runs a block of PyTorch's; any other RuntimeError of it is left as it is.

    Raises:
        MemoryError: There is too little of it, on the CPU or a GPU.
        SystemicError: The GPU fails.
    """
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise MemoryError(first_line(error)) from error
    except RuntimeError as error:
        text = str(error)
        if any(sign in text for sign in _NO_MEMORY):
            raise MemoryError(first_line(error)) from error
        if any(sign in text for sign in _GPU_FAILED):
            raise SystemicError(f"the GPU failed: {first_line(error)}") from error
        raise

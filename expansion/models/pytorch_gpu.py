# Licensed under the Apache License, Version 2.0; see LICENSE.
"""PyTorch and GPUs: the device that a model gets, and what goes wrong there that is not about the rows."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from expansion.errors import first_line
from expansion.models.resource_errors import resource_error
from expansion.models.runtime import Runtime


def pick_device(runtime: Runtime) -> str:
    """Returns the device to use, "cpu" or "cuda:i".

    Raises:
        SystemicError: A GPU is configured that is not there.
    """
    import torch

    # device_count() by itself asks the driver, and counts GPUs that this PyTorch has no CUDA for.
    return runtime.pick_device(torch.cuda.device_count() if torch.cuda.is_available() else 0)


def on(device: str) -> AbstractContextManager[object]:
    """Has this thread use a device in a block: modules make tensors on "cuda", and mean the one that they are on."""
    import torch

    return torch.cuda.device(device) if device.startswith("cuda") else nullcontext()


@contextmanager
def errors_of_pytorch() -> Iterator[None]:
    """Runs a block of PyTorch's; a RuntimeError that may be about the rows is left as it is.

    Raises:
        MemoryError: There is too little of it, on the CPU or a GPU. What the block held there is given back.
        DeviceFailed: The GPU fails.
    """
    try:
        yield
    except RuntimeError as error:
        found = resource_error(str(error), first_line(error))
        if found is None:
            raise
        if isinstance(found, MemoryError):
            _give_back(error)
        raise found from error


def _give_back(error: RuntimeError) -> None:
    """Gives the memory of a failed call back to the GPU, for smaller batches and for other processes.

    Its tensors are still there, as the traceback holds the functions that were called, with their variables.
    """
    import torch

    traceback.clear_frames(error.__traceback__)
    torch.cuda.empty_cache()

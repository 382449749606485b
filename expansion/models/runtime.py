# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a worker lets a model use: device and threads."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from expansion.errors import SystemicError

_LOG = logging.getLogger(__name__)
_NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE, also where CUDA_VISIBLE_DEVICES hides all of them
GET_A_GPU = (
    "run it where there are GPUs and their drivers: in another environment, or with resource_hints.accelerator on "
    "runners that can give one, such as Dataflow"
)


@dataclass(frozen=True)
class Runtime:
    """What a model may use on the worker that loads it.

    Attributes:
        device: "auto", "cpu", "cuda" or "cuda:i", as configured.
        threads: Threads of one call, as configured; 0 is unset.
        fair_threads: What ``threads`` should be where it is unset: the cores, divided among those who use them.
        files_change: Whether the model's files may be overwritten while they are read, and after.
    """

    device: str = "auto"
    threads: int = 0
    fair_threads: int = 1
    files_change: bool = False

    def thread_count(self) -> int:
        """Returns the threads that one call of the model may use."""
        return self.threads or self.fair_threads

    def pick_device(self, gpu_count: int) -> str:
        """Returns the device to use, "cpu" or "cuda:i".

        Args:
            gpu_count: GPUs that the framework can use on this worker.

        Raises:
            SystemicError: A GPU is configured that is not there.
        """
        if self.device == "cpu" or (self.device in ("", "auto") and gpu_count == 0):
            return "cpu"
        index = int(self.device.partition(":")[2] or 0)
        if index >= gpu_count:
            raise SystemicError(
                f"device is {self.device!r}, and this worker has {_gpus(gpu_count)}; set device to 'auto' or 'cpu', or "
                f"{GET_A_GPU}"
            )
        return f"cuda:{index}"


def _gpus(usable: int) -> str:
    """Returns which GPUs there are, of which a model's framework can use so many."""
    if usable:
        return f"{usable} GPU(s) that the model's framework can use"
    seen = cuda_gpu_count()
    if not seen:
        return "no GPU that the model's framework can use (NVIDIA's driver is not there, or shows none)"
    return (
        f"no GPU that the model's framework can use, though {seen} that NVIDIA's driver shows: install its CUDA build"
    )


def cuda_gpu_count() -> int:
    """Returns the number of GPUs that CUDA's driver lets this process use, for frameworks that do not say it.

    It obeys CUDA_VISIBLE_DEVICES. Whether the framework itself can use CUDA is for the caller to know.
    """
    driver = nvidia_driver()
    if driver is None:
        return 0
    error, count = driver.cuInit(0), ctypes.c_int(0)
    if error in (0, _NO_DEVICE):
        return 0 if error or driver.cuDeviceGetCount(ctypes.byref(count)) else count.value
    _LOG.warning(
        "GPUs are not used: NVIDIA's driver is here and does not start (CUresult %d); see what nvidia-smi says", error
    )
    return 0


def nvidia_driver() -> ctypes.CDLL | None:
    """Returns CUDA's driver, of which nothing is used yet; None where none is installed."""
    try:
        return ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None


def cores() -> int:
    """Returns the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_processes() -> int:
    """Returns the number of processes of this machine or container that run the same program: Beam's workers.

    Beam starts one a core, and none knows of the others. Where there is no /proc it is taken to be one.
    """
    mine = _program(Path("/proc/self"))
    return max(1, sum(program == mine for program in _programs())) if mine else 1


def _programs() -> Iterator[list[bytes]]:
    for process in Path("/proc").glob("[0-9]*"):
        yield _program(process)


def _program(process: Path) -> list[bytes]:
    """Returns the interpreter and the module or script of a process, without its arguments; empty if it is gone."""
    try:
        return (process / "cmdline").read_bytes().split(b"\0")[:3]
    except OSError:
        return []

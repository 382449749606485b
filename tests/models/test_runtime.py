# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The device that a worker lets a model use, and what it says where there is none."""

import ctypes
from types import SimpleNamespace

import pytest

from expansion.errors import SystemicError
from expansion.models import runtime
from expansion.models.runtime import GET_A_GPU, Runtime, cuda_gpu_count


@pytest.mark.parametrize(
    ("device", "gpus", "picked"),
    [
        ("auto", 0, "cpu"),
        ("", 0, "cpu"),
        ("cpu", 2, "cpu"),
        ("auto", 2, "cuda:0"),
        ("cuda", 2, "cuda:0"),
        ("cuda:1", 2, "cuda:1"),
    ],
)
def test_a_gpu_is_taken_where_there_is_one_and_the_one_that_is_named(device, gpus, picked):
    assert Runtime(device).pick_device(gpus) == picked


@pytest.mark.parametrize(
    ("device", "usable", "seen", "there_is"),
    [
        ("cuda", 0, 0, "no GPU that the model's framework can use (NVIDIA's driver is not there, or shows none)"),
        (
            "cuda:0",
            0,
            1,
            "no GPU that the model's framework can use, though 1 that NVIDIA's driver shows: install its CUDA build",
        ),
        ("cuda:2", 2, 2, "2 GPU(s) that the model's framework can use"),
    ],
)
def test_a_gpu_that_is_not_there_says_what_was_asked_for_what_there_is_and_what_to_do(
    device, usable, seen, there_is, monkeypatch
):
    monkeypatch.setattr(runtime, "cuda_gpu_count", lambda: seen)
    with pytest.raises(SystemicError) as raised:
        Runtime(device).pick_device(usable)
    said = f"device is {device!r}, and this worker has {there_is}; set device to 'auto' or 'cpu', or {GET_A_GPU}"
    assert str(raised.value) == said
    assert "resource_hints.accelerator" in said


@pytest.fixture
def driver(monkeypatch):
    """Puts a library in the place of NVIDIA's driver."""

    def driver(init, count):
        def get_count(pointer):
            pointer._obj.value = count
            return 0

        library = SimpleNamespace(cuInit=lambda flags: init, cuDeviceGetCount=get_count)
        monkeypatch.setattr(runtime.ctypes, "CDLL", lambda name: library)

    return driver


def test_gpus_are_counted_as_the_driver_counts_them(driver, caplog):
    driver(0, 3)
    assert cuda_gpu_count() == 3
    driver(100, 3)  # CUDA_ERROR_NO_DEVICE
    assert cuda_gpu_count() == 0
    assert caplog.text == ""


def test_a_driver_that_does_not_start_is_warned_of_as_models_run_on_the_cpu_then(driver, caplog):
    driver(803, 3)  # CUDA_ERROR_SYSTEM_DRIVER_MISMATCH
    assert cuda_gpu_count() == 0
    assert "NVIDIA's driver is here and does not start (CUresult 803); see what nvidia-smi says" in caplog.text


def test_without_a_driver_there_is_no_gpu(monkeypatch):
    def missing(name):
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert cuda_gpu_count() == 0

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""PyTorch: the device that a model gets, batches that do not fit, and rows of unequal size."""

from contextlib import contextmanager
from functools import partial

import numpy as np
import pytest
import torch

from expansion.contract._gen.model_pb2 import PyTorchModel
from expansion.models import pytorch
from expansion.models.runtime import Runtime
from expansion.tensors.columns import Columns, Dense

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu(torch.cuda.is_available, "PyTorch can't use the GPU"))]
pytestmark = [pytest.mark.framework, pytest.mark.parametrize("device", DEVICES)]

MIB = 1 << 20


@pytest.fixture
def export(tmp_path):
    """Writes an exported program y = module(x), and returns its path; dimensions that are named vary."""

    def export(module, example, *dynamic):
        shapes = ({index: torch.export.Dim(name) for index, name in enumerate(dynamic)},)
        torch.export.save(torch.export.export(module, (example,), dynamic_shapes=shapes), tmp_path / "model.pt2")
        return str(tmp_path / "model.pt2")

    return export


class Positions(torch.nn.Module):
    """Adds to each element its position, of a tensor that is made on the device of the input."""

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x):
        return {"y": self.scale * x + torch.arange(x.shape[1], device=x.device).to(x.dtype)}


def test_a_worker_takes_the_gpu_where_there_is_one_and_the_cpu_where_it_is_told_to(export, device):
    config = PyTorchModel(uri=export(Positions(), torch.zeros(2, 3), "batch"))
    model = pytorch.build(config, Runtime("auto" if device == "cuda" else device))
    assert {tensor.device.type for tensor in model._module.buffers()} == {device}


def test_an_exported_program_runs_where_the_worker_runs_it_and_not_where_it_was_exported(export, device):
    model = pytorch.build(PyTorchModel(uri=export(Positions(), torch.zeros(2, 3), "batch")), Runtime(device))
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    result = model.run({"x": Columns({"x": Dense(x)}, 2)}, ["y"])
    np.testing.assert_array_equal(result["y"].values, 2 * x + np.arange(3))


class Wide(torch.nn.Module):
    """x → x, by way of 16,384 numbers for each: a row needs 1 MiB, and once it has it 1 MiB more."""

    def __init__(self):
        super().__init__()
        self.register_buffer("factors", torch.linspace(0.5, 1.5, 16384))

    def forward(self, x):
        return {"y": torch.relu(x[:, :, None] * self.factors).mean(dim=2)}


@contextmanager
def memory_of_the_gpu(count):
    """Has this process get no more than so many bytes of the GPU's memory, beside what it has."""
    torch.cuda.empty_cache()
    has = torch.cuda.memory_reserved()
    torch.cuda.set_per_process_memory_fraction((has + count) / torch.cuda.get_device_properties(0).total_memory)
    try:
        yield
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


def test_a_batch_that_does_not_fit_is_run_in_parts_and_the_smaller_size_is_kept(
    export, device, check_halving, address_space
):
    model = {"pytorch": {"uri": export(Wide(), torch.zeros(2, 16), "batch")}, "device": device}
    check_halving(model, partial(address_space if device == "cpu" else memory_of_the_gpu, 800 * MIB))


class SumOfSquares(torch.nn.Module):
    def forward(self, x):
        return {"y": (x * x).sum(dim=1)}


@pytest.mark.parametrize("pre_hooks", [[], [{"pad": {"columns": ["x"], "longest": True}}]], ids=["by shape", "padded"])
def test_rows_of_unequal_size_give_what_each_gives_by_itself(export, device, check_unequal, pre_hooks):
    model = {"pytorch": {"uri": export(SumOfSquares(), torch.zeros(2, 3), "batch", "length")}, "device": device}
    check_unequal({"model": model, "pre_hooks": pre_hooks})

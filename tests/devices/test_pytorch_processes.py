# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Several worker processes and one device: a copy of the model in each, one for all, or two for all."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pytest
import torch
from apache_beam.metrics import MetricsFilter
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.testing.util import assert_that, equal_to

from expansion import RunInference
from expansion.contract._gen.model_pb2 import Model
from expansion.errors import SystemicError
from expansion.models import processes
from expansion.models.process_main import GRACE_VARIABLE
from expansion.tensors.columns import Columns, Dense

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from model_processes import running

GPU = pytest.mark.gpu(torch.cuda.is_available, "PyTorch can't use the GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=GPU)]
pytestmark = pytest.mark.framework

MODES = {"default": {}, "large_model": {"large_model": True}, "model_copies": {"model_copies": 2}}
WORKERS = {"cpu": 2, "cuda": 4}
ROWS = {"cpu": 1 << 20, "cuda": 1 << 24}  # of the table, 64 bytes each: 64 MiB; 1 GiB

# A worker: loads the model as a Beam worker does, says so, runs a batch of each of its numbers when all have loaded it,
# says what it saw, and stays until it is told to go.
WORKER = """
import json, sys, numpy as np
from expansion.contract.fields import Field
from expansion.tensors.columns import Columns, Dense
from expansion.transforms import metrics
from expansion.transforms.batch import Batch
from expansion.transforms.config import read_config
from expansion.transforms.handler import ColumnarModelHandler
from expansion.transforms.plan import make_plan

class Seen(list):
    update = list.append

metrics.device_memory = seen = Seen()
config, numbers = map(json.loads, sys.argv[1:])
handler = ColumnarModelHandler(make_plan(read_config(config), {"number": Field("number", "INT64")}, []).steps[0])
model = handler.load_model()
print(json.dumps("loaded"), flush=True)
sys.stdin.readline()
right = 0
for number in numbers:
    columns = Columns({"number": Dense(np.arange(number, number + 1000))}, 1000)
    [result] = handler.run_inference(Batch(columns, columns), model)
    expected = columns["number"].values[:, None] + np.arange(16)
    right += int((result.predictions["row"].values == expected).all())
print(json.dumps([right, max(seen, default=0)]), flush=True)
sys.stdin.readline()
"""


class Table(torch.nn.Module):
    """number INT64 → row FP32[16]: number + 0 … number + 15, from a table of so many rows."""

    def __init__(self, rows: int):
        super().__init__()
        self.register_buffer("table", (torch.arange(rows)[:, None] + torch.arange(16)).to(torch.float32))

    def forward(self, number):
        return self.table[number]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Writes the model for a device once, and returns its configuration."""
    made = {}

    def tables(device):
        if device not in made:
            made[device] = tmp_path_factory.mktemp("models") / "table.pt"
            torch.jit.script(Table(ROWS[device])).save(str(made[device]))
        number = {"name": "number", "datatype": "INT64"}
        row = {"name": "row", "datatype": "FP32", "shape": [16]}
        return {"pytorch": {"uri": str(made[device]), "inputs": [number], "outputs": [row]}, "device": device}

    return tables


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path_factory):
    """A short directory for temporary files, in which no process of a model is left after the test."""
    tmp_path_factory.getbasetemp()  # pytest's own stays where it is
    with tempfile.TemporaryDirectory(prefix="bml", dir="/tmp") as path:
        monkeypatch.setattr(tempfile, "tempdir", path)
        monkeypatch.setenv("TMPDIR", path)
        monkeypatch.setenv(GRACE_VARIABLE, "0.5")
        yield Path(path)
        deadline = time.monotonic() + 120
        while running(path) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not running(path)


@contextlib.contextmanager
def workers(config, count):
    """Starts workers; they are killed at the end, if they are still there."""
    command = [sys.executable, "-c", WORKER, json.dumps({"model": config})]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with contextlib.ExitStack() as stack:
        started = []
        for index in range(count):
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environment}
            numbers = [1000 * (index + count * batch) for batch in range(20)]
            process = stack.enter_context(subprocess.Popen([*command, json.dumps(numbers)], **pipes))
            stack.callback(process.kill)
            started.append(process)
        yield started


def tell(process):
    process.stdin.write("\n")
    process.stdin.flush()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("mode", MODES)
def test_workers_that_run_at_once_get_right_answers_of_as_many_copies_as_are_configured(
    tables, folder, mode, device, record_property
):
    config = {**tables(device), **MODES[mode]}
    before = torch.cuda.mem_get_info()[0] if device == "cuda" else 0
    with workers(config, WORKERS[device]) as started:
        assert [json.loads(worker.stdout.readline()) for worker in started] == ["loaded"] * len(started)
        for worker in started:
            tell(worker)
        answers = [json.loads(worker.stdout.readline()) for worker in started]
        assert len(running(folder)) == {"default": 0, "large_model": 1, "model_copies": 2}[mode]
        in_use = before - torch.cuda.mem_get_info()[0] if device == "cuda" else 0
        for worker in started:
            tell(worker)
        assert [worker.wait() for worker in started] == [0] * len(started)
    assert [right for right, _ in answers] == [20] * len(started)
    check_memory(device, mode, [memory for _, memory in answers], in_use)
    record_property("gpu_memory_mib", in_use >> 20)


def check_memory(device, mode, noted, in_use):
    """Checks that workers note the memory of the process that has the model, and that the GPU holds no more copies."""
    size = 64 * ROWS[device]
    if device == "cpu":
        assert noted == [0] * WORKERS[device]
        return
    assert all(size <= memory < 1.1 * size for memory in noted)
    copies = {"default": WORKERS[device], "large_model": 1, "model_copies": 2}[mode]
    assert copies * size <= in_use < copies * size + (copies + 1) * size  # CUDA itself needs half a GiB a process


class Number(NamedTuple):
    number: int


beam.coders.registry.register_coder(Number, beam.coders.RowCoder)


@pytest.mark.parametrize(
    ("mode", "device"),
    [("large_model", "cpu"), *(pytest.param(mode, "cuda", marks=GPU) for mode in ("default", "large_model"))],
)
def test_worker_processes_of_beam_say_how_much_memory_of_the_gpu_is_in_use(tables, mode, device):
    config = {"model": {**tables(device), **MODES[mode]}, "batching": {"max_batch_size": 500}}
    options = PipelineOptions(direct_running_mode="multi_processing", direct_num_workers=WORKERS[device])
    pipeline = beam.Pipeline(options=options)
    numbers = pipeline | beam.Create([Number(number) for number in range(5000)]).with_output_types(Number)
    found = (numbers | RunInference(config))["output"] | beam.Map(lambda row: (row.number, row.row[15]))
    assert_that(found, equal_to([(number, number + 15.0) for number in range(5000)]))
    result = pipeline.run()
    result.wait_until_finish()
    [batches] = result.metrics().query(MetricsFilter().with_name("num_batches"))["counters"]
    memory = result.metrics().query(MetricsFilter().with_name("device_memory_bytes"))["distributions"]
    assert batches.result >= 10
    if device == "cpu":
        assert memory == []
    else:
        assert 64 * ROWS[device] <= memory[0].result.max < 1.1 * 64 * ROWS[device]


@GPU
def test_a_gpu_that_a_row_has_made_fail_serves_the_next_batch_from_a_new_process(tables, folder):
    config = Model(**tables("cuda"), large_model=True)
    model = processes.connect(config, 1)

    def row_of(number):
        columns = Columns({"number": Dense(np.array([number]))}, 1)
        return model.run({"number": columns}, ["row"])["row"].values[0].tolist()

    assert row_of(3) == list(range(3, 19))
    [first] = running(folder)
    with pytest.raises(SystemicError, match="the GPU failed"):
        row_of(ROWS["cuda"] + 1)
    assert row_of(4) == list(range(4, 20))
    assert first not in running(folder)

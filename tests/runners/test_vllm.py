# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Prompts in a pipeline on Beam's embedded runner; a package named vllm stands for the real one, which needs a GPU."""

import gc
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to

from expansion import RunInference
from expansion.models.process_main import GRACE_VARIABLE

pytestmark = pytest.mark.runner

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
from vllm_api_server import install, starts  # noqa: E402


class Question(NamedTuple):
    key: int
    question: str


beam.coders.registry.register_coder(Question, beam.coders.RowCoder)


@pytest.fixture
def folder(monkeypatch, tmp_path_factory):
    """A short directory for temporary files, with the package."""
    tmp_path_factory.getbasetemp()
    path = Path(tempfile.mkdtemp(prefix="bml", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setenv(GRACE_VARIABLE, "0.3")
    install(path)
    monkeypatch.syspath_prepend(str(path))
    yield path
    gc.collect()
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.parametrize("timeout_secs", [0, 60])
def test_answers_stand_beside_their_rows_and_every_request_is_counted_whichever_thread_made_it(folder, timeout_secs):
    configuration = {
        "model": {"vllm": {"uri": "hf://a/b", "task": "chat", "system": "Answer in capitals."}},
        "inputs": [{"name": "prompt", "columns": ["question"]}],
        "batching": {"max_batch_size": 20},
        "error_handling": {"output": "errors", "timeout_secs": timeout_secs},
    }
    rows = [Question(key, "" if key == 13 else f"why {key}") for key in range(60)]
    pipeline = beam.Pipeline()
    results = pipeline | beam.Create(rows, reshuffle=False) | RunInference(configuration)
    answers = results["output"] | beam.Map(lambda row: (row.key, row.text, row.finish_reason, row.prompt_tokens))
    assert_that(answers, equal_to([(key, f"WHY {key}", "stop", 5) for key in range(60) if key != 13]), "answers")
    bad = results["errors"] | beam.Map(lambda row: (row.element.key, row.stage, row.error_type))
    assert_that(bad, equal_to([(13, "inference", "ValueError")]), "errors")
    result = pipeline.run()
    result.wait_until_finish()
    queried = result.metrics().query()
    metrics = {each.key.metric.name: each.committed for kind in ("counters", "distributions") for each in queried[kind]}
    assert metrics["num_remote_requests"] == 60
    assert metrics["remote_request_milli_secs"].count == 60
    assert len(starts(folder)) == 1

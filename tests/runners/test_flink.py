# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Java sample on a Flink cluster of two task managers, its Python steps in a worker pool of ours."""

import os
import signal
import time
from pathlib import Path

import pytest
import yaml
from java_processes import end_of

pytestmark = pytest.mark.runner

ROOT = Path(__file__).parents[2]

# Runs three batches and then waits: until it is killed or, in the other worker, until that has happened.
HELD = """
import os, time
from pathlib import Path

class Held:
    def __init__(self, folder):
        self.folder, self.calls = Path(folder), 0

    def __call__(self, columns):
        self.calls += 1
        if self.calls > 3 and not (self.folder / "released").exists():
            (self.folder / f"{os.getpid()}.held").touch()
            while not (self.folder / "released").exists():
                time.sleep(0.05)
        return columns
"""


@pytest.mark.parametrize("streaming", [False, True])
def test_a_cluster_predicts_what_the_embedded_runner_does_row_by_row(
    flink, start_digits, embedded, rows_of, demo, tmp_path, streaming
):
    options = [f"--modelUri={demo}/digits.onnx", f"--input={demo}/digits_test.csv", f"--output={tmp_path}/flink"]
    end_of(start_digits(flink.job_endpoint, *options, f"--streaming={str(streaming).lower()}"))
    predictions = rows_of(tmp_path / "flink/predictions.csv")
    assert len(predictions) == 898
    assert predictions == embedded
    assert rows_of(tmp_path / "flink/errors.csv") == []
    job = flink.newest_job()
    assert job["state"] == "FINISHED"
    assert len(flink.task_managers_of(job)) == 2
    assert flink.restarted_tasks(job) == []


def test_a_job_whose_worker_is_killed_in_the_middle_of_a_bundle_finishes_and_counts_every_row_once(
    flink, start_digits, rows_of, demo, make_wheel, tmp_path
):
    (tmp_path / "many.csv").write_text(_many_digits(demo, 10_000, every_bad=100))
    configuration = yaml.safe_load((ROOT / "examples/digits/sklearn.yaml").read_text())
    configuration["batching"] = {"max_batch_size": 256}
    held = {"function": "held.Held", "arguments": {"folder": f'"{tmp_path}"'}, "columns": ["pixels"]}
    held["outputs"] = [{"name": "pixels", "datatype": "FP32", "shape": [64]}]
    configuration["pre_hooks"].insert(0, {"custom": held})
    (tmp_path / "held.yaml").write_text(yaml.safe_dump(configuration))
    sample = start_digits(
        flink.job_endpoint,
        *(f"--config={tmp_path}/held.yaml", f"--modelUri={demo}/digits.skops"),
        *(f"--input={tmp_path}/many.csv", f"--output={tmp_path}"),
        serve=["--allow-import=held", f"--worker-package={make_wheel({'held.py': HELD})}"],
    )
    process_id = _process_that_is_held(tmp_path, sample)
    os.kill(process_id, signal.SIGKILL)
    (tmp_path / "released").touch()
    end_of(sample)
    good, bad = rows_of(tmp_path / "predictions.csv"), rows_of(tmp_path / "errors.csv")
    assert sorted(int(row[0]) for row in bad) == list(range(0, 10_000, 100))
    assert sorted(int(row[0]) for row in good) == sorted(set(range(10_000)) - set(range(0, 10_000, 100)))
    job = flink.newest_job()
    assert job["state"] == "FINISHED"
    assert flink.restarted_tasks(job) != []


def test_a_cluster_whose_task_managers_find_no_worker_pool_says_what_the_documentation_says(
    flink, failed_digits, nowhere
):
    alarm = failed_digits(f"external:{nowhere}", flink.job_endpoint)
    message = "finishConnect(..) failed: Connection refused"
    assert message in alarm
    assert message in (ROOT / "docs/environments.md").read_text()
    logs = [path.read_text() for path in flink.folder.glob("task-manager-*.log")]
    assert any(f"Connection refused: /{nowhere}" in log for log in logs)


def _many_digits(demo, count, every_bad):
    """Returns a CSV file of digits, numbered; of every so many one can't be classified."""
    header, *digits = (demo / "digits_test.csv").read_text().splitlines()
    lines = [header]
    for row in range(count):
        _, label, first, *others = digits[row % len(digits)].split(",")
        lines.append(",".join([str(row), label, "NaN" if row % every_bad == 0 else first, *others]))
    return "\n".join(lines) + "\n"


def _process_that_is_held(folder, sample):
    """Waits for a worker that is in the middle of a bundle; returns the id of its process."""
    while not (found := list(folder.glob("*.held"))):
        assert sample.poll() is None, sample.communicate()[1][-4000:]
        time.sleep(0.1)
    return int(found[0].stem)

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Environments that a runner can't start: what a user of Java then sees is what docs/environments.md says it is."""

import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.runner

DOCS = (Path(__file__).parents[2] / "docs/environments.md").read_text()
ABSENT = "/opt/no/boot"


def documented(text):
    """Returns a text that is in the documentation as it is."""
    assert text in DOCS
    return text


def test_the_local_runner_says_which_worker_pool_does_not_answer_and_how_to_start_one(failed_digits, nowhere):
    alarm = failed_digits(f"external:{nowhere}", "", "--local-runner")
    assert documented("no worker pool answers at HOST:PORT").replace("HOST:PORT", nowhere) in alarm
    assert f"beam-ml-expansion worker-pool --port {nowhere.rpartition(':')[2]}, or correct the environment" in alarm


def test_prism_ends_over_a_worker_pool_that_does_not_answer_and_says_so_in_its_log(failed_digits, own_prism, nowhere):
    alarm = failed_digits(f"external:{nowhere}", own_prism.address)
    assert own_prism.process.wait() != 0
    assert documented("panic: unable to start sdk worker") + f" {nowhere}" in own_prism.log.read_text()
    assert "UNAVAILABLE" in alarm


def test_prism_says_in_its_log_which_command_is_not_there(start_sample, running, own_prism, demo, tmp_path):
    with running("serve", "--port=0", f"--environment=process:{ABSENT}") as addresses:
        where = [f"--expansionService={addresses['expansion']}", f"--jobEndpoint={own_prism.address}"]
        files = [f"--modelUri={demo}/digits.onnx", f"--input={demo}/digits_test.csv", f"--output={tmp_path}/failed"]
        sample = start_sample("Digits", *where, *files)
        for _ in range(1200):  # it may end, or wait for ever
            if ABSENT in (log := own_prism.log.read_text()) or sample.poll() is not None:
                break
            time.sleep(0.1)
        sample.kill()
        sample.communicate()
    assert documented("process failed to start") in log
    assert documented("fork/exec") + f" {ABSENT}" in log

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Java sample on a Spark cluster of two workers, its Python steps in a worker pool of ours."""

import pytest
from java_processes import end_of

pytestmark = pytest.mark.runner


def test_a_cluster_predicts_what_the_embedded_runner_does_row_by_row(
    spark, start_digits, embedded, rows_of, demo, tmp_path
):
    options = [f"--modelUri={demo}/digits.onnx", f"--input={demo}/digits_test.csv", f"--output={tmp_path}/spark"]
    end_of(start_digits(spark.job_endpoint, *options))
    predictions = rows_of(tmp_path / "spark/predictions.csv")
    assert len(predictions) == 898
    assert predictions == embedded
    assert rows_of(tmp_path / "spark/errors.csv") == []
    events = spark.events_of_job()
    jobs = [event["Job Result"]["Result"] for event in events if event["Event"] == "SparkListenerJobEnd"]
    assert set(jobs) == {"JobSucceeded"}
    tasks = [event["Task Info"] for event in events if event["Event"] == "SparkListenerTaskEnd"]
    assert {task["Executor ID"] for task in tasks} == {"0", "1"}
    assert not any(task["Failed"] for task in tasks)

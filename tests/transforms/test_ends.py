# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How many rows may fail."""

import numpy as np
import pytest

from expansion.contract._gen.run_inference_pb2 import ErrorHandling
from expansion.errors import ExpansionError
from expansion.tensors.columns import Columns, Dense
from expansion.transforms.batch import Batch, Failures
from expansion.transforms.ends import ErrorBudget
from expansion.transforms.isolation import RowError


def batch(good, bad=0):
    failures = Failures(Columns({}, bad), "inference", (RowError("ValueError", "the reason"),) * bad)
    return Batch(Columns({}, good), Columns({"x": Dense(np.zeros(good))}, good), failures=(failures,) if bad else ())


@pytest.fixture
def budget():
    return ErrorBudget(ErrorHandling(output="errors", max_error_rate=0.1, min_rows=100))


def test_too_many_failures_are_found_in_a_batch_without_any(budget):
    budget.count(batch(30, 20))
    with pytest.raises(ExpansionError, match=r"^20 of 110 rows of a bundle failed; .* ValueError: the reason"):
        budget.count(batch(60))


def test_a_bundle_begins_with_no_failures(budget):
    budget.count(batch(30, 20))
    budget.start()
    budget.count(batch(100, 5))


def test_the_first_failure_fails_the_job_where_there_is_no_output_for_errors():
    with pytest.raises(
        ExpansionError, match=r"1 row\(s\) failed in inference; the first: ValueError: the reason\. To go"
    ):
        ErrorBudget(ErrorHandling()).count(batch(3, 1))

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Workers of other versions than the job's say so, in one line, once: of this package, of Beam, and of Python."""

import logging
import pickle
import sys
from importlib import metadata

import pytest

from expansion.contract.fields import Field
from expansion.errors import SystemicError
from expansion.transforms import made_by
from expansion.transforms.config import read_config
from expansion.transforms.handler import ColumnarModelHandler
from expansion.transforms.loading import where
from expansion.transforms.plan import make_plan
from expansion.transforms.row_ends import PackRows
from expansion.transforms.wire_ends import DecodeTensorBatch

OURS, BEAM = "beam-ml-expansion", "Apache Beam"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture
def plan(models):
    config = {
        "model": {"onnx": {"uri": str(models / "double_scalar.onnx")}},
        "tensor_batch": {"columns": [{"name": "x", "datatype": "FP32"}]},
    }
    return make_plan(read_config(config), {"x": Field("x", "FP32")}, ())


@pytest.fixture
def worker_has(monkeypatch):
    """Has what is unpickled find other versions here."""

    def worker_has(**versions):
        made_by._warn.cache_clear()
        installed = {**made_by.installed(), **versions}
        monkeypatch.setattr(made_by, "installed", lambda: installed)

    return worker_has


def test_each_step_that_comes_first_or_loads_a_model_says_it_and_a_process_says_it_once(plan, caplog, worker_has):
    steps = [DecodeTensorBatch(plan), PackRows(plan), ColumnarModelHandler(plan.steps[0])]
    pickled = [pickle.dumps(step) for step in steps]
    version = made_by.installed()[OURS]
    for step in pickled:
        worker_has(**{OURS: "0.0.9"})
        caplog.clear()
        for _ in range(2):
            pickle.loads(step)
        [record] = caplog.records
        assert record.levelno == logging.WARNING
        assert record.getMessage() == (
            f"this job was made by beam-ml-expansion {version}, and this worker ({where()}) has beam-ml-expansion "
            "0.0.9: steps may fail or differ; install the service's versions on the workers, or name an environment "
            "that has them"
        )


def test_another_version_of_beam_is_named_too(plan, caplog, worker_has):
    pickled = pickle.dumps(DecodeTensorBatch(plan))
    worker_has(**{OURS: "0.0.9", BEAM: "2.75.0"})
    pickle.loads(pickled)
    [record] = caplog.records
    assert record.getMessage().startswith(
        f"this job was made by beam-ml-expansion {metadata.version(OURS)} and Apache Beam "
        f"{metadata.version('apache-beam')}, and this worker ({where()}) has beam-ml-expansion 0.0.9 and Apache Beam "
        "2.75.0: steps may fail or differ; install the service's versions"
    )


def test_another_version_of_python_is_refused_as_functions_are_pickled_as_its_byte_code(plan, worker_has):
    steps = [DecodeTensorBatch(plan), PackRows(plan), ColumnarModelHandler(plan.steps[0])]
    pickled = [pickle.dumps(step) for step in steps]
    worker_has(Python="3.99")
    for step in pickled:
        with pytest.raises(SystemicError) as raised:
            pickle.loads(step)
        assert str(raised.value) == (
            f"this job was made by Python {PYTHON}, and this worker ({where()}) has Python 3.99: steps can't be read; "
            "install the service's versions on the workers, or name an environment that has them"
        )


def test_it_is_said_before_a_state_that_does_not_fit(plan, caplog, monkeypatch, worker_has):
    pickled = pickle.dumps(ColumnarModelHandler(plan.steps[0]))
    worker_has(**{OURS: "0.0.9"})

    def refuse(self, state):
        raise AttributeError("a field of another version")

    monkeypatch.setattr("expansion.transforms.step_plan.WithConfig.__setstate__", refuse)
    with pytest.raises(AttributeError):
        pickle.loads(pickled)
    assert len(caplog.records) == 1


def test_the_same_versions_say_nothing(plan, caplog):
    pickle.loads(pickle.dumps(DecodeTensorBatch(plan)))
    assert caplog.records == []

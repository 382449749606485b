# Licensed under the Apache License, Version 2.0; see LICENSE.
"""ml_transform: an artifact of MLTransform's as a hook."""

import numpy as np
import pytest

from expansion import hooks
from expansion.contract._gen.hook_pb2 import Hook
from expansion.contract.fields import Field
from expansion.errors import BadRows, ConfigError, SystemicError
from expansion.operations.manifest import LearnedByOne, Manifest
from expansion.tensors.columns import Blobs, Columns, Dense
from expansion.transforms.artifact import write_manifest

INPUTS = {"age": Field("age", "FP64"), "city": Field("city", "STRING"), "other": Field("other", "BOOL")}


def hook_of(location):
    return Hook(ml_transform={"read_artifact_location": str(location)})


def problems(check):
    with pytest.raises(ConfigError) as raised:
        check()
    return [str(problem) for problem in raised.value.problems]


@pytest.fixture
def hook(tmp_path, write_artifact):
    write_artifact(str(tmp_path))
    return hook_of(tmp_path)


def test_a_location_is_required():
    [problem] = hooks.module_of(hook_of("")).check(hook_of("").ml_transform)
    assert problem.path == "read_artifact_location"


def test_the_fields_are_those_after_the_operations(hook):
    after = hooks.module_of(hook).fields(hook.ml_transform, INPUTS)
    assert after == {**INPUTS, "index": Field("index", "INT64")}


def test_it_reads_and_writes_what_the_operations_do(hook):
    after = hooks.module_of(hook).fields(hook.ml_transform, INPUTS)
    assert hooks.columns_read(hook) == ["age", "city"]
    assert hooks.columns_written(hook, INPUTS, after) == {"age", "index"}
    assert hooks.nulls_taken(hook) == set()


def test_it_takes_the_nulls_that_its_first_operation_takes(tmp_path):
    age = (INPUTS["age"],)
    learned = {"age.moments": {"mean": 2.0, "standard_deviation": 0.0}}
    impute = LearnedByOne({"impute": {"columns": ["age"], "strategy": "mean"}}, learned, {})
    write_manifest(str(tmp_path), Manifest(age, (impute,), age), overwrite=False)
    assert hooks.nulls_taken(hook_of(tmp_path)) == {"age"}


def test_columns_must_be_as_they_were(hook):
    fields = hooks.module_of(hook).fields
    [problem] = problems(lambda: fields(hook.ml_transform, {**INPUTS, "age": Field("age", "INT64")}))
    assert problem.startswith("read_artifact_location: column 'age' is INT64; the artifact's operations have learned")
    [problem] = problems(lambda: fields(hook.ml_transform, {"age": INPUTS["age"]}))
    assert problem.startswith(
        "read_artifact_location: the artifact's operations read column 'city', which there is not"
    )


def test_an_artifact_that_is_not_there_is_a_problem_at_expansion_and_stops_a_worker(tmp_path):
    hook = hook_of(tmp_path)
    [problem] = problems(lambda: hooks.module_of(hook).fields(hook.ml_transform, INPUTS))
    assert problem.startswith("read_artifact_location: there is no artifact in")
    assert (hooks.columns_read(hook), hooks.nulls_taken(hook)) == ([], set())
    with pytest.raises(SystemicError, match="there is no artifact in"):
        hooks.build(hook)


def test_it_does_what_the_operations_do(hook):
    columns = Columns({"age": Dense(np.array([5.0, 10.0])), "city": Blobs.of("STRING", ["b", "x"], 2)}, 2)
    result = hooks.build(hook)(columns)
    assert {name: column.to_rows() for name, column in result.items()} == {
        "age": [0.5, 1.0],
        "city": ["b", "x"],
        "index": [0, -1],
    }


def test_bad_rows_of_an_operation_are_named(tmp_path):
    age, learned = (INPUTS["age"],), {"age.moments": {"mean": None, "standard_deviation": None}}
    impute = LearnedByOne({"impute": {"columns": ["age"], "strategy": "mean"}}, learned, {})
    write_manifest(str(tmp_path), Manifest(age, (impute,), age), overwrite=False)
    columns = Columns(
        {"age": Dense(np.array([5.0, 0.0])), "\0nulls of age": Dense(np.array([False, True]))},
        2,
    )
    with pytest.raises(BadRows) as raised:
        hooks.build(hook_of(tmp_path))(columns)
    assert list(raised.value.messages) == [1]

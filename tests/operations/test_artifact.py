# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Reading artifacts: whole ones give what was learned, and whatever else is there is refused with the reason."""

import gc
import json
import threading

import numpy as np
import pytest

from expansion.contract.fields import Field
from expansion.errors import ConfigError, SystemicError
from expansion.operations import manifest
from expansion.operations.artifact import check_columns, load, read_on_host
from expansion.tensors.columns import Blobs, Columns, Dense

AGE, CITY = Field("age", "FP64"), Field("city", "STRING")


def applied(loaded, ages=(0.0, 5.0), cities=("a", "zz")):
    columns = Columns({"age": Dense(np.array(ages)), "city": Blobs.of("STRING", cities, len(cities))}, len(ages))
    for operation in loaded.operations:
        columns = operation(columns)
    return {name: column.to_rows() for name, column in columns.items()}


def change(path, **changes):
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def refusals(location):
    """Returns why an artifact is refused at expansion, and on a worker."""
    with pytest.raises(ConfigError) as host:
        read_on_host(str(location))
    with pytest.raises(SystemicError) as worker:
        load(str(location))
    [problem] = host.value.problems
    assert problem.path == ""
    return {problem.message, str(worker.value)}


def test_an_artifact_is_applied_as_it_was_written(tmp_path, write_artifact):
    sha256 = write_artifact(str(tmp_path))
    assert applied(load(str(tmp_path), sha256)) == {"age": [0.0, 0.5], "city": ["a", "zz"], "index": [1, -1]}


@pytest.mark.parametrize("form", ["{0}", "{0}/", "file://{0}", "objects://bucket/features"])
def test_an_artifact_is_at_any_place_that_a_filesystem_reaches(tmp_path, write_artifact, object_store, form):
    location = form.format(tmp_path / "features")
    sha256 = write_artifact(location)
    saved = read_on_host(location)
    assert (saved.sha256, saved.manifest.before) == (sha256, (AGE, CITY))
    assert applied(load(location))["index"] == [1, -1]


def test_the_manifest_is_json_that_says_what_was_learned(tmp_path, write_artifact):
    write_artifact(str(tmp_path))
    manifest = json.loads((tmp_path / "artifact.json").read_text())
    vocabulary = manifest["operations"][1].pop("vocabularies")["city.vocabulary"]
    assert (tmp_path / vocabulary["file"]).read_text() == "b\t2\na\t1\n"
    assert manifest == {
        "format": "beam-ml-expansion artifact",
        "format_version": 1,
        "package_version": "0.1.0",
        "columns_before": [{"name": "age", "datatype": "FP64"}, {"name": "city", "datatype": "STRING"}],
        "operations": [
            {"operation": {"scale_to_01": {"columns": ["age"]}}, "learned": {"age.range": {"min": 0.0, "max": 10.0}}},
            {"operation": {"compute_and_apply_vocabulary": {"columns": ["city"], "outputs": ["index"]}}},
        ],
        "columns_after": [
            {"name": "age", "datatype": "FP64"},
            {"name": "city", "datatype": "STRING"},
            {"name": "index", "datatype": "INT64"},
        ],
    }


def test_a_directory_without_an_artifact_is_refused(tmp_path):
    [reason] = refusals(tmp_path / "none")
    assert reason.startswith(f"there is no artifact in '{tmp_path}/none': it has no artifact.json; write one")


def test_half_an_artifact_is_none(tmp_path, write_artifact):
    write_artifact(str(tmp_path))
    (tmp_path / "artifact.json").unlink()
    [reason] = refusals(tmp_path)
    assert "only parts; the job that was to write it was killed, or goes on still" in reason


def test_an_artifact_whose_vocabulary_is_gone_is_refused(tmp_path, write_artifact):
    write_artifact(str(tmp_path))
    next(tmp_path.glob("vocabulary-*")).unlink()
    [reason] = refusals(tmp_path)
    assert ".txt' is missing, which artifact.json names; write the artifact again" in reason


def test_an_artifact_whose_vocabulary_has_another_size_is_refused(tmp_path, write_artifact):
    write_artifact(str(tmp_path))
    next(tmp_path.glob("vocabulary-*")).write_text("b\t2\n")
    [reason] = refusals(tmp_path)
    assert "has 4 bytes; artifact.json says 8: somebody has changed it" in reason


def test_a_vocabulary_that_was_changed_and_has_its_size_is_refused_on_workers_which_read_it(tmp_path, write_artifact):
    write_artifact(str(tmp_path))
    next(tmp_path.glob("vocabulary-*")).write_text("x\t2\na\t1\n")
    assert read_on_host(str(tmp_path)).manifest.before == (AGE, CITY)
    with pytest.raises(SystemicError, match="is not as it was written: its SHA-256 is another"):
        load(str(tmp_path))


@pytest.mark.parametrize("content", ['{"format": "transform_fn"}', "[1]", '"beam-ml-expansion artifact"'])
def test_a_manifest_of_another_program_is_refused(tmp_path, content):
    (tmp_path / "artifact.json").write_text(content)
    [reason] = refusals(tmp_path)
    assert reason.startswith(f"in '{tmp_path}', artifact.json is of another program")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04zip", b"\xff\xfe", b'{"format": '])
def test_a_manifest_that_is_no_json_is_refused(tmp_path, content):
    (tmp_path / "artifact.json").write_bytes(content)
    [reason] = refusals(tmp_path)
    assert "artifact.json is not JSON" in reason


def test_an_artifact_of_a_later_format_is_refused_with_the_version_that_reads_it(tmp_path, write_artifact):
    write_artifact(str(tmp_path))
    change(tmp_path / "artifact.json", format_version=2, package_version="9.1")
    [reason] = refusals(tmp_path)
    assert "artifact.json is of format 2, of beam-ml-expansion '9.1'; this version reads format 1" in reason


def test_an_operation_that_only_a_later_version_knows_is_refused(tmp_path, write_artifact):
    write_artifact(str(tmp_path))
    change(
        tmp_path / "artifact.json",
        package_version="9.1",
        operations=[{"operation": {"scale_to_2": {"columns": ["a"]}}}],
    )
    [reason] = refusals(tmp_path)
    assert "what only beam-ml-expansion 9.1 knows: operations[0].scale_to_2: unknown field" in reason


@pytest.mark.parametrize(
    "changes",
    [
        {"operations": None},
        {"operations": [{"operation": 1}, {}]},
        {"columns_before": [{"name": "age"}]},
        {"columns_before": [{"name": "age", "datatype": "FLOAT"}]},
        {"operations": [{"operation": {}, "vocabularies": {"x": {"file": "../secret", "words": 1}}}]},
        {
            "operations": [
                {
                    "operation": {},
                    "vocabularies": {"x": {"file": "../secret", "words": 1, "bytes": 2, "sha256": ""}},
                }
            ]
        },
    ],
)
def test_a_manifest_that_lacks_something_is_refused_in_one_line(tmp_path, write_artifact, changes):
    write_artifact(str(tmp_path))
    change(tmp_path / "artifact.json", **changes)
    [reason] = refusals(tmp_path)
    assert "artifact.json" in reason
    assert "\n" not in reason


@pytest.mark.parametrize(
    ("operation", "said"),
    [
        ({"scale_to_01": {"columns": ["age"], "outputs": ["a", "b"]}}, "scale_to_01.outputs: got 2, for columns 1"),
        ({"one_hot": {"columns": ["city"], "size": -3}}, "one_hot.size: got -3; expected 1 or more"),
        ({"bucketize": {"columns": ["age"], "buckets": 0}}, "bucketize.buckets: got 0; expected 2 or more"),
        ({"bucketize": {"columns": ["age"], "buckets": -3}}, "bucketize.buckets: got -3; expected 2 or more"),
        ({}, "the operation is empty"),
    ],
)
def test_an_artifact_whose_operation_is_wrong_by_itself_is_refused(tmp_path, write_artifact, operation, said):
    write_artifact(str(tmp_path))
    change(tmp_path / "artifact.json", operations=[{"operation": operation}])
    [reason] = refusals(tmp_path)
    assert "artifact.json has an operation that is wrong: operations[0]" in reason
    assert said in reason


def test_an_artifact_that_contradicts_itself_is_refused_on_workers(tmp_path, write_artifact):
    write_artifact(str(tmp_path))
    change(tmp_path / "artifact.json", columns_before=[{"name": "age", "datatype": "STRING"}])
    with pytest.raises(SystemicError, match=r"artifact.json contradicts itself: column 'age' is STRING"):
        load(str(tmp_path))


def test_an_artifact_that_lacks_what_an_operation_learns_is_refused_on_workers(tmp_path, write_artifact):
    write_artifact(str(tmp_path))
    manifest = json.loads((tmp_path / "artifact.json").read_text())
    del manifest["operations"][0]["learned"]
    (tmp_path / "artifact.json").write_text(json.dumps(manifest))
    with pytest.raises(SystemicError, match=r"artifact.json lacks 'age.range', which scale_to_01 learns"):
        load(str(tmp_path))


def test_a_pipeline_gets_the_artifact_that_it_was_built_for_or_none(tmp_path, write_artifact):
    first = write_artifact(str(tmp_path))
    second = write_artifact(str(tmp_path), largest=20.0, overwrite=True)
    assert first != second
    with pytest.raises(SystemicError, match="is not the one that this pipeline was built for"):
        load(str(tmp_path), first)
    assert applied(load(str(tmp_path), second))["age"] == [0.0, 0.25]


def test_threads_share_an_artifact_for_as_long_as_one_uses_it(tmp_path, write_artifact):
    sha256 = write_artifact(str(tmp_path))
    found = []
    threads = [threading.Thread(target=lambda: found.append(load(str(tmp_path), sha256))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == 1
    assert load(str(tmp_path)) is found[0]
    write_artifact(str(tmp_path), largest=20.0, overwrite=True)
    assert load(str(tmp_path), sha256) is found[0]  # in use, though another one is there now
    found.clear()
    gc.collect()
    with pytest.raises(SystemicError):
        load(str(tmp_path), sha256)


def test_columns_must_be_as_they_were_when_operations_learned(tmp_path, write_artifact):
    write_artifact(str(tmp_path))
    saved = read_on_host(str(tmp_path))
    assert check_columns(saved, {"age": AGE, "city": CITY, "other": Field("other", "BOOL")}) == []
    [missing, wrong] = check_columns(saved, {"age": Field("age", "FP32"), "town": CITY.with_name("town")})
    assert missing.message.startswith("column 'age' is FP32; the artifact's operations have learned from FP64")
    assert wrong.message.startswith("the artifact's operations read column 'city', which there is not")


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"9" * 10_000, b"\xff"])
def test_a_manifest_that_is_no_json_that_can_be_read_is_systemic(content):
    with pytest.raises(SystemicError, match=r"artifact\.json is not JSON"):
        manifest.parse(content)


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ({"scale_by_min_max": {"columns": ["age"], "max_value": 10**400}}, "operations[0].scale_by_min_max.max_value"),
        ({"scale_to_01": {"columns": ["\ud800"]}}, "operations[0].scale_to_01.columns[0]"),
        ({"\ud800": {}}, r"operations[0].'\ud800'"),
    ],
)
def test_a_manifest_with_values_that_no_message_holds_is_refused(tmp_path, write_artifact, operation, path):
    write_artifact(str(tmp_path))
    change(tmp_path / "artifact.json", operations=[{"operation": operation}])
    [reason] = refusals(tmp_path)
    assert path in reason
    assert reason.encode()

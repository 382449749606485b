# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Writing artifacts: once, whole or not at all, whatever is killed on the way."""

import os
import random
import subprocess
import sys
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from expansion.errors import ConfigError, SystemicError
from expansion.files import list_directory
from expansion.operations.artifact import load
from expansion.operations.manifest import LearnedByOne, Manifest
from expansion.operations.statistic import Vocabulary
from expansion.output_files import UNFINISHED
from expansion.transforms.artifact import require_none, write_graph, write_manifest, write_vocabulary, written_by


def names(folder):
    return sorted(os.listdir(folder))


@pytest.fixture(params=["local", "objects"])
def location(request, tmp_path, object_store):
    object_store.clear()
    return str(tmp_path / "features") if request.param == "local" else "objects://bucket/features"


def test_writing_the_same_again_as_a_retried_bundle_does_changes_nothing(location, write_artifact):
    assert write_artifact(location) == write_artifact(location)


def test_another_artifact_is_not_written_over(location, write_artifact):
    sha256 = write_artifact(location)
    with pytest.raises(SystemicError, match=r"there is an artifact in '.*' already; choose another"):
        write_artifact(location, words=(b"c",))
    load(location, sha256)


def test_another_artifact_is_written_over_when_that_is_asked_for(location, write_artifact):
    write_artifact(location)
    sha256 = write_artifact(location, words=(b"c", b"d"), overwrite=True)
    load(location, sha256)


def test_what_killed_jobs_have_left_is_removed_and_what_others_have_written_is_not(tmp_path, write_artifact):
    for name in (f"vocabulary-{'0' * 64}.txt", UNFINISHED + "x", "notes.txt", "vocabulary.txt"):
        (tmp_path / name).write_text("x")
    write_artifact(str(tmp_path))
    before = names(tmp_path)
    assert [name for name in before if "vocabulary-" not in name] == ["artifact.json", "notes.txt", "vocabulary.txt"]
    write_artifact(str(tmp_path), words=(b"c",), overwrite=True)
    after = names(tmp_path)
    assert len(after) == len(before)
    assert after != before  # with the vocabulary of the new artifact in place of the old one


def test_what_can_not_be_removed_does_no_harm(tmp_path, write_artifact, caplog):
    folder = tmp_path / (UNFINISHED + "folder")
    folder.mkdir()
    sha256 = write_artifact(str(tmp_path))
    assert folder.exists()
    load(str(tmp_path), sha256)


def test_a_manifest_is_not_written_without_its_vocabularies(tmp_path):
    """Another job that writes to the directory may have taken it for left over."""
    vocabulary = write_vocabulary(str(tmp_path), [Vocabulary(pa.array([b"a"], pa.binary()), np.array([1]))])
    (tmp_path / vocabulary.file).unlink()
    operation = {"compute_and_apply_vocabulary": {"columns": ["city"]}}
    manifest = Manifest((), (LearnedByOne(operation, {}, {"city.vocabulary": vocabulary}),), ())
    with pytest.raises(SystemicError, match="is not there any more, or has changed; let no other job write"):
        write_manifest(str(tmp_path), manifest, overwrite=False)
    assert names(tmp_path) == []


def test_a_directory_that_can_not_be_written_is_said_to_be_so(tmp_path, write_artifact):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemicError, match=r"can't write '.*/file/features/vocabulary-"):
        write_artifact(f"{tmp_path}/file/features")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_directory_is_said_to_be_so(tmp_path, write_artifact):
    tmp_path.chmod(0o500)
    with pytest.raises(SystemicError, match="permission denied"):
        write_artifact(str(tmp_path))


def test_what_json_does_not_have_is_not_written(tmp_path):
    learned = {"age.range": {"min": float("nan")}}
    manifest = Manifest((), (LearnedByOne({"scale_to_01": {"columns": ["age"]}}, learned, {}),), ())
    with pytest.raises(SystemicError, match="an operation has learned what can't be written"):
        write_manifest(str(tmp_path), manifest, overwrite=False)
    assert names(tmp_path) == []


def test_at_expansion_an_artifact_that_is_there_is_refused_and_nothing_is_written(location, write_artifact):
    require_none(location)
    write_artifact(location)
    with pytest.raises(ConfigError, match="there is an artifact in"):
        require_none(location)


def test_the_same_artifact_has_the_same_bytes(tmp_path, write_artifact):
    assert write_artifact(f"{tmp_path}/a") == write_artifact(f"{tmp_path}/b")


# Reads lines of seconds and a directory: writes an artifact there in a process of its own, kills it after so many
# seconds, if they are not 0, and says how many it took.
_WRITER = """
import os, signal, sys, time
import apache_beam.io.filesystems
import numpy as np, pyarrow as pa
from expansion.contract.fields import Field
from expansion.operations.manifest import LearnedByOne, Manifest
from expansion.operations.statistic import Vocabulary
from expansion.transforms.artifact import write_manifest, write_vocabulary

def write(location, seed):
    fields = [Field(f"c{number}", "STRING") for number in range(8)]
    written = []
    for number, field in enumerate(fields):
        words = pa.array([b"%d %d %d" % (number, word, seed) for word in range(20_000)], pa.binary())
        file = write_vocabulary(location, [Vocabulary(words, np.ones(len(words), np.int64))])
        operation = {"compute_and_apply_vocabulary": {"columns": [field.name]}}
        written.append(LearnedByOne(operation, {}, {f"{field.name}.vocabulary": file}))
    write_manifest(location, Manifest(tuple(fields), tuple(written), tuple(fields)), overwrite=True)

for seed, line in enumerate(sys.stdin):
    seconds, location = line.split()
    start = time.monotonic()
    child = os.fork()
    if child == 0:
        write(location, seed)
        os._exit(0)
    if float(seconds):
        time.sleep(float(seconds))
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(time.monotonic() - start, flush=True)
"""


@pytest.mark.runner
def test_whoever_is_killed_while_writing_leaves_no_artifact_or_a_whole_one(tmp_path):
    """Twenty times at a random moment, each over what the one before has left: as workers write, without a pipeline."""
    moments = random.Random(0)  # noqa: S311
    seen = Counter()
    unharmed, killed = tmp_path / "unharmed", tmp_path / "killed"
    writer = subprocess.Popen([sys.executable, "-c", _WRITER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def write(location, killed_after=0):
        writer.stdin.write(f"{killed_after} {location}\n")
        writer.stdin.flush()
        return float(writer.stdout.readline())

    try:
        seconds = min(write(unharmed) for _ in range(3))
        for _ in range(20):
            write(killed, moments.uniform(0.1 * seconds, 1.5 * seconds))
            if (killed / "artifact.json").exists():
                assert len(load(str(killed)).operations) == 8
                seen["whole"] += 1
            else:
                with pytest.raises(SystemicError, match="there is no artifact"):
                    load(str(killed))
                seen["none"] += 1
        write(killed)
    finally:
        writer.kill()
        writer.communicate()
    assert seen["whole"]
    assert len(names(killed)) == len(names(unharmed)) == 9  # of what was left over before, nothing is there any more


def test_a_graph_is_a_part_of_an_artifact_that_the_run_which_wrote_it_knows(location, write_artifact, tmp_path):
    (tmp_path / "graph").write_bytes(b"a graph")
    graph = write_graph(location, tmp_path / "graph", "this run")
    assert graph == write_graph(location, tmp_path / "graph", "this run")
    sha256 = write_manifest(location, Manifest((), (), (), transform_fn=graph), overwrite=False)
    assert written_by(location, "this run") == sha256
    assert written_by(location, "another run") == ""
    assert [name for name in list_directory(location) if name != "artifact.json"] == [graph.file]
    with pytest.raises(SystemicError, match="the artifact is of engine TFT"):
        load(location, sha256)
    write_artifact(location, overwrite=True)
    assert graph.file not in list_directory(location)

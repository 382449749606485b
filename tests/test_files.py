# Licensed under the Apache License, Version 2.0; see LICENSE.
import os

import pytest

from expansion.errors import ConfigError, SystemicError
from expansion.files import find_in, local_copy, looks_like, open_on_host, read_on_worker


def problem_of(uri):
    with pytest.raises(ConfigError) as raised, open_on_host(uri):
        pass
    (problem,) = raised.value.problems
    assert problem.path == "uri"
    return problem.message


def test_a_file_is_read_by_path_and_by_uri(tmp_path):
    path = tmp_path / "model.bin"
    path.write_bytes(b"abc")
    for uri in (str(path), f"file://{path}"):
        assert read_on_worker(uri) == b"abc"
        with open_on_host(uri) as file:
            assert file.seek(1) == 1
            assert file.read() == b"bc"


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_000])
def test_a_file_of_any_size_is_read_from_its_start_to_its_end(tmp_path, size):
    path, content = tmp_path / "model.bin", bytes(number % 251 for number in range(size))
    path.write_bytes(content)
    with open_on_host(str(path)) as file:
        assert file.read() == content
        assert file.seek(max(size - 3, 0)) == max(size - 3, 0)
        assert file.read() == content[-3:]


def test_a_compressed_file_is_not_decompressed(tmp_path):
    path = tmp_path / "model.joblib.gz"
    path.write_bytes(b"\x1f\x8bxyz")
    assert read_on_worker(str(path)) == b"\x1f\x8bxyz"


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    uri = str(tmp_path / "none.onnx")
    assert problem_of(uri) == f"can't read {uri!r}: there is no such file"
    with pytest.raises(SystemicError, match="there is no such file"):
        read_on_worker(uri)


def test_what_is_no_regular_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert problem_of(str(tmp_path)).endswith("it is a directory")
    assert problem_of(str(tmp_path / "pipe")).endswith("it is not a regular file")


def test_a_local_directory_is_used_where_it_is(tmp_path):
    for uri in (str(tmp_path), f"file://{tmp_path}"):
        with local_copy(uri) as path:
            assert path == tmp_path
    with pytest.raises(SystemicError, match="there is no such file"), local_copy(str(tmp_path / "none")):
        pass


def test_a_directory_of_an_object_store_is_copied_whole_and_the_copy_removed(object_store):
    object_store.update(
        {
            "objects://bucket/net/saved_model.pb": b"graph",
            "objects://bucket/net/variables/": b"",
            "objects://bucket/net/variables/variables.index": b"index",
            "objects://bucket/net/assets/deep/words.txt": b"words",
            "objects://bucket/net2/other": b"not this one",
        }
    )
    with local_copy("objects://bucket/net/") as path:
        assert path.name == "net"
        copied = {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}
        assert copied == {
            "saved_model.pb": b"graph",
            "variables/variables.index": b"index",
            "assets/deep/words.txt": b"words",
        }
    assert not path.exists()


def test_a_single_object_is_copied_under_its_name_and_a_missing_one_is_said(object_store):
    object_store["objects://bucket/net.keras"] = b"net"
    with local_copy("objects://bucket/net.keras") as path:
        assert (path.name, path.read_bytes()) == ("net.keras", b"net")
    with pytest.raises(SystemicError, match="there is no such file"), local_copy("objects://bucket/none"):
        pass


def test_an_object_whose_name_leads_out_of_the_directory_is_not_copied(object_store):
    object_store["objects://evil/net/../../escaped"] = b"x"
    with pytest.raises(SystemicError, match="its name leads out of"), local_copy("objects://evil/net"):
        pass


def test_an_unknown_filesystem_is_a_problem():
    assert "foo://x/y" in problem_of("foo://x/y")


@pytest.mark.parametrize(
    ("head", "guess"),
    [
        (b"", "it is empty"),
        (b"PK\x03\x04rest", "a zip file, as skops and PyTorch write"),
        (b"\x80\x04\x95", "a Python pickle"),
        (b"\x89HDF\r\n", "an HDF5 file"),
        (b"\x1c\x00\x00\x00TFL3", "a TensorFlow Lite model"),
        (b"<html>\n", "text"),
        (b"\x08\x07\x12", ""),
    ],
)
def test_the_first_bytes_tell_what_a_file_may_be(head, guess):
    assert guess in looks_like(head)
    assert bool(guess) == bool(looks_like(head))


@pytest.mark.parametrize("form", ["{0}", "{0}/", "file://{0}", "objects://bucket/[a]"])
def test_files_are_found_by_a_pattern_of_their_paths_below_a_directory(tmp_path, object_store, form):
    object_store.clear()
    folder = tmp_path / "[a]"  # which is no pattern
    for name in ("x/graph", "y/graph", "y/z/graph", "graph"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
        object_store[f"objects://bucket/[a]/{name}"] = b""
    root = form.format(folder).removeprefix("file://").rstrip("/")
    assert find_in(form.format(folder), "*/graph") == [f"{root}/x/graph", f"{root}/y/graph"]
    assert find_in(form.format(tmp_path / "nothing") if "{0}" in form else "objects://other", "*/graph") == []

# Licensed under the Apache License, Version 2.0; see LICENSE.
import os

import pytest

from expansion.errors import SystemicError
from expansion.files import list_directory, read_if_there
from expansion.output_files import UNFINISHED, delete, write


@pytest.fixture(params=["local", "uri", "objects"])
def folder(request, tmp_path, object_store):
    """A directory that does not exist yet, on a local filesystem, by path and by URI, and in an object store."""
    object_store.clear()
    return {"local": f"{tmp_path}/[a]/b", "uri": f"file://{tmp_path}/b", "objects": "objects://bucket/b"}[request.param]


def test_a_file_is_there_with_its_whole_content_and_nothing_is_beside_it(folder):
    assert list_directory(folder) == {}
    assert read_if_there(f"{folder}/x") is None
    write(f"{folder}/x", [b"ab", memoryview(b"c")])
    assert read_if_there(f"{folder}/x") == b"abc"
    assert list_directory(folder) == {"x": 3}


def test_a_file_is_written_over_unless_it_is_to_be_the_first(folder):
    assert write(f"{folder}/x", [b"a"], exclusively=True)
    assert not write(f"{folder}/x", [b"b"], exclusively=True)
    assert read_if_there(f"{folder}/x") == b"a"
    write(f"{folder}/x", [b"c"])
    assert read_if_there(f"{folder}/x") == b"c"
    assert list_directory(folder) == {"x": 1}


def test_a_file_is_deleted_once_or_more(folder):
    write(f"{folder}/x", [b"a"])
    write(f"{folder}/xy", [b"a"])
    delete(f"{folder}/x")
    delete(f"{folder}/x")
    assert list_directory(folder) == {"xy": 1}


def test_what_fails_while_it_is_written_leaves_the_file_before_it(tmp_path):
    def parts():
        yield b"half"
        raise ValueError("no more")

    write(f"{tmp_path}/x", [b"whole"])
    with pytest.raises(SystemicError, match=r"can't write '.*/x': no more"):
        write(f"{tmp_path}/x", parts())
    assert list_directory(str(tmp_path)) == {"x": 5}


def test_only_one_of_two_that_write_at_once_is_the_first(tmp_path):
    """The second comes after the first has looked, and before it renames."""

    def parts():
        write(f"{tmp_path}/x", [b"second"], exclusively=True)
        yield b"first"

    assert not write(f"{tmp_path}/x", parts(), exclusively=True)
    assert list_directory(str(tmp_path)) == {"x": 6}


def test_a_filesystem_without_links_has_files_renamed(tmp_path, monkeypatch):
    def no_links(*arguments):
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    write(f"{tmp_path}/x", [b"a"], exclusively=True)
    assert list_directory(str(tmp_path)) == {"x": 1}


def test_where_nothing_can_be_written_the_reason_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemicError, match="can't write"):
        write(f"{tmp_path}/file/x", [b"a"])


def test_what_is_being_written_has_a_name_that_says_so(tmp_path):
    def parts():
        [name] = os.listdir(tmp_path)
        assert name.startswith(UNFINISHED)
        yield b"a"

    write(f"{tmp_path}/x", parts())


def test_directories_and_what_is_in_them_are_no_files_of_a_directory(tmp_path):
    write(f"{tmp_path}/x/y", [b"a"])
    write(f"{tmp_path}/z", [b"ab"])
    assert list_directory(str(tmp_path)) == {"z": 2}

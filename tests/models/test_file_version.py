# Licensed under the Apache License, Version 2.0; see LICENSE.
import os
import re

import pytest

from expansion.errors import SystemicError
from expansion.models.file_version import FileVersion, file_version


def test_a_version_is_a_time_in_utc_and_a_fingerprint(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"1")
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    version = file_version(str(path))
    assert re.fullmatch(r"2023-11-14T22:13:20\.123456Z-[0-9a-f]{8}", str(version))
    assert file_version(f"file://{path}") == version
    assert str(FileVersion("0123456789", 0)) == "01234567"


def test_a_file_that_is_written_again_with_as_many_bytes_is_another_version(tmp_path):
    path = tmp_path / "model"
    path.write_bytes(b"1")
    first = file_version(str(path))
    path.write_bytes(b"2")
    os.utime(path, ns=(0, first.modified_ns + 1))
    assert file_version(str(path)) != first
    assert str(file_version(str(path))) != str(first)


def test_a_file_renamed_onto_another_of_its_size_and_time_is_another_version(tmp_path):
    path, other = tmp_path / "model", tmp_path / "other"
    for each in (path, other):
        each.write_bytes(b"1")
        os.utime(each, ns=(0, 10**18))
    first = file_version(str(path))
    other.rename(path)
    assert file_version(str(path)) != first


def test_of_a_directory_every_file_counts_at_any_depth(tmp_path):
    deep = tmp_path / "model" / "variables" / "weights"
    deep.parent.mkdir(parents=True)
    deep.write_bytes(b"1")
    versions = {str(file_version(str(tmp_path / "model")))}
    deep.write_bytes(b"22")
    versions.add(str(file_version(str(tmp_path / "model"))))
    (tmp_path / "model" / "more").touch()
    versions.add(str(file_version(f"{tmp_path / 'model'}/")))
    assert len(versions) == 3


def test_a_name_with_wildcards_is_a_name(tmp_path):
    path = tmp_path / "model[1]*"
    path.write_bytes(b"1")
    assert file_version(str(path)).modified_ns


def test_what_an_object_store_says_counts_and_a_directory_is_what_is_below_it(object_store):
    object_store["objects://bucket/refreshed/a"] = b"1"
    versions = {file_version("objects://bucket/refreshed").fingerprint}
    object_store["objects://bucket/refreshed/a"] = b"22"
    versions.add(file_version("objects://bucket/refreshed").fingerprint)
    object_store["objects://bucket/refreshed/b"] = b"1"
    versions.add(file_version("objects://bucket/refreshed").fingerprint)
    assert len(versions) == 3


@pytest.mark.parametrize("uri", ["/nowhere/model", "objects://bucket/nowhere", "", "/dev/null/x"])
def test_what_is_not_there_has_no_version(object_store, uri):
    with pytest.raises(SystemicError, match="can't look for"):
        file_version(uri)

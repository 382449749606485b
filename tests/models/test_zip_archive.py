# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Zip files that somebody else has made: what they hold, and that they take neither memory nor time to refuse."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from expansion.contract.problems import shown
from expansion.models.zip_archive import ZipArchive, ZipFileError

MIB = 1 << 20


def zipped(compression=zipfile.ZIP_DEFLATED, **members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file


def entry(name=b"", extra=b"", comment=b""):
    """An entry of a directory."""
    sizes = (len(name), len(extra), len(comment))
    return (
        struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 33, 0, 0, 0, *sizes, 0, 0, 0, 0)
        + name
        + extra
        + comment
    )


def with_directory(entries, count):
    """A zip file with no more than a directory."""
    count = min(count, 0xFFFF)
    return io.BytesIO(entries + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, count, count, len(entries), 0, 0))


def refusal(file, read=lambda archive: None):
    """Returns why a file is refused, and the MiB that it took to find out."""
    tracemalloc.start()
    try:
        with pytest.raises(ZipFileError) as raised:
            read(ZipArchive(file))
        return str(raised.value), tracemalloc.get_traced_memory()[1] / MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_whole_or_from_the_beginning(compression):
    content = np.random.default_rng(0).bytes(3 * MIB + 5)
    archive = ZipArchive(zipped(compression, a=content, b="[1]", c=""))
    assert archive.names == ["a", "b", "c"]
    assert ("a" in archive, "d" in archive) == (True, False)
    assert archive.read("a", len(content)) == content
    assert [archive.head("a", size) for size in (0, 10, 2 * MIB + 1)] == [b"", content[:10], content[: 2 * MIB + 1]]
    assert archive.head("b", 100) == b"[1]"
    assert archive.read("c", 0) == b""
    assert archive.json("b", 3) == [1]


def test_names_are_those_of_the_directory_as_zipfile_reads_it():
    archive = ZipArchive(with_directory(entry(b"a/b", b"\x55\x54\x01\x00\x00", b"comment") + entry("ü".encode()), 2))
    assert archive.names[0] == "a/b"
    assert len(archive.names) == 2


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (io.BytesIO(b""), "it is no zip file; it is empty"),
        (io.BytesIO(b"hello, world"), "it is no zip file; it looks like text"),
        (
            io.BytesIO(b"PK\x03\x04 and nothing else"),
            "it is a damaged zip file, or a part of one (File is not a zip file)",
        ),
    ],
)
def test_what_is_no_zip_file_is_said_with_what_it_may_be(file, reason):
    assert refusal(file)[0] == reason


def test_a_directory_of_a_million_members_is_refused_before_it_is_taken_apart():
    reason, took = refusal(with_directory(entry(b"n") * 1_000_000, 1_000_000))
    assert reason == "its zip directory has more than 16777216 bytes"
    assert took < 40
    reason, took = refusal(with_directory(entry() * 300_000, 300_000))
    assert reason == "it has more than 131072 members"
    assert took < 40


def test_as_many_members_as_a_large_model_has_tensors_are_read():
    entries = b"".join(entry(b"archive/data/%d" % number) for number in range(100_000))
    assert len(ZipArchive(with_directory(entries, 100_000)).names) == 100_000


def test_extra_fields_that_would_take_the_square_of_their_bytes_in_time_are_refused():
    entries = entry(extra=b"\x77\x77\x00\x00" * 16_000) * 200
    assert refusal(with_directory(entries, 200))[0].startswith("an extra field of its zip directory has 64000 bytes")


def test_a_member_that_is_larger_than_it_may_be_is_refused_unread():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("schema.json", "w") as member:
        for _ in range(256):
            member.write(bytes(MIB))
    reason, took = refusal(file, lambda archive: archive.read("schema.json", 32 * MIB))
    assert reason == "its 'schema.json' has 268435456 bytes; at most 33554432 are read"
    assert took < 1


def test_a_member_that_has_more_than_its_directory_says_is_not_unpacked():
    file = zipped(a=bytes(64 * MIB))
    data = bytearray(file.getvalue())
    size_in_directory = data.index(b"PK\x01\x02") + 24
    data[size_in_directory : size_in_directory + 4] = struct.pack("<L", 1000)
    reason, took = refusal(io.BytesIO(data), lambda archive: archive.read("a", MIB))
    assert reason == "its 'a' is damaged (Bad CRC-32 for file 'a')"
    assert took < 5


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_what_zipfile_unpacks_at_once_is_refused_packed(compression):
    file = zipped(compression, a=bytes(64 * MIB))
    assert len(file.getvalue()) < 20_000
    for read in (lambda archive: archive.read("a", 128 * MIB), lambda archive: archive.head("a", 10)):
        reason, took = refusal(file, read)
        assert reason.startswith(f"its 'a' is packed by method {compression}; expected 0 or 8")
        assert took < 1


def test_json_of_more_objects_and_arrays_than_any_model_has_is_refused_before_it_is_parsed():
    file = zipped(a=b"[" + b"{}," * (2 * MIB) + b"1]")
    reason, took = refusal(file, lambda archive: archive.json("a", 8 * MIB))
    assert reason == "its 'a' has more than 1048576 objects and arrays"
    assert took < 20


def test_json_of_more_values_than_any_model_has_is_refused_before_it_is_parsed():
    file = zipped(a=b"[" + b'"ab",' * (3 * MIB) + b"1]")
    reason, took = refusal(file, lambda archive: archive.json("a", 16 * MIB))
    assert reason == "its 'a' has more than 2097152 values"
    assert took < 40


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 100_000, b"\xff\xfe\x00", b"9" * 5000])
def test_what_is_no_json_is_said(content):
    assert refusal(zipped(a=content), lambda archive: archive.json("a", MIB))[0] == "its 'a' is no JSON"


def test_a_member_that_is_not_there_is_said_as_names_are_shown():
    name = "\x1b[31m" + 1000 * "n"
    reason, _ = refusal(zipped(a="1"), lambda archive: archive.read(name, 1))
    assert reason == f"it is a zip file without {shown(name)}"
    assert (len(reason) < 100, "\x1b" in reason) == (True, False)


@pytest.mark.parametrize("offset", [1000, 2**40, 2**63, 2**64 - 1])
def test_a_member_that_is_nowhere_in_the_file_is_damaged(offset):
    extra = struct.pack("<HHQ", 1, 8, offset)
    entries = entry(b"a", extra)[:42] + b"\xff" * 4 + b"a" + extra
    assert refusal(with_directory(entries, 1), lambda archive: archive.head("a", 1))[0].startswith(
        "its 'a' is damaged ("
    )


def test_a_file_that_is_damaged_anywhere_never_raises_anything_else():
    content = zipped(a=b"[" + b"1," * 5000 + b"1]", b=bytes(range(256))).getvalue()
    content += zipped(zipfile.ZIP_STORED, a="[1]", b="x").getvalue()
    random = np.random.default_rng(7)
    outcomes = set()
    for _ in range(3000):
        damaged = bytearray(content)
        for position in random.integers(0, len(damaged), 3):
            damaged[position] = random.integers(256)
        try:
            archive = ZipArchive(
                io.BytesIO(damaged[: random.integers(1, len(damaged))] if random.random() < 0.2 else damaged)
            )
            archive.json("a", MIB)
            archive.head("b", 100)
            outcomes.add("read")
        except ZipFileError as error:
            outcomes.add(str(error).split("(")[0])
    assert len(outcomes) > 5

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Zip files that somebody else has made, read as data: a member at a time, and no more than it may have.

Python's zipfile does what a file asks for: it takes ten times the bytes of the directory in memory, the square of those
of an extra field in time, and unpacks at once what bzip2 or LZMA has packed, a gigabyte of zeros from a kilobyte.
Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT.
"""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from expansion.contract.problems import shown
from expansion.files import looks_like

# PyTorch has a member for each tensor, skops two for each tree of a forest.
_MAX_MEMBERS = 1 << 17
_MAX_DIRECTORY_BYTES = 16 << 20
_MAX_EXTRA_BYTES = 256  # large members need 28 of them, Unix's times and owners 40
# Of JSON: {"a":1} takes 232 bytes in memory, and "ab" 59. Graphs of PyTorch have the most of all models: an object or
# array in 56 bytes, and a comma in 31.
_MAX_CONTAINERS = 1 << 20
_MAX_VALUES = 1 << 21
_PIECE_BYTES = 1 << 20
_ENTRY = struct.Struct("<4s24xHHH12x")  # signature, then the bytes of name, extra field and comment, which follow
_ENTRY_SIGNATURE = b"PK\x01\x02"
# What zipfile, zlib and files raise of damaged data: with an offset of 64 bits, an OverflowError.
_OF_ZIPFILE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, OverflowError, RuntimeError, ValueError)
_UNPACKED_IN_PIECES = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class ZipFileError(Exception):
    """The file is no zip file, or a damaged one, or would take too much to read."""


class ZipArchive:
    """A zip file.

    Args:
        file: Seekable; it must stay open while the archive is in use.

    Attributes:
        names: The members, in the directory's order.

    Raises:
        ZipFileError: It is none, damaged, or has more members than any model.
    """

    def __init__(self, file: BinaryIO):
        file.seek(0)
        head = file.read(64)
        if not head.startswith(b"PK"):
            raise ZipFileError(f"it is no zip file{looks_like(head)}")
        checked = _Checked(file)
        with _damaged("it is a damaged zip file, or a part of one"):
            self._archive = zipfile.ZipFile(cast(BinaryIO, checked))
        checked.is_open = True
        self.names = self._archive.namelist()

    def __contains__(self, name: str) -> bool:
        """Whether there is a member of that name."""
        return name in self._archive.NameToInfo

    def read(self, name: str, max_bytes: int) -> bytearray:
        """Returns what a member holds.

        Raises:
            ZipFileError: There is no such member, it is damaged, or it has more bytes.
        """
        size = self._member(name).file_size
        if size > max_bytes:
            raise ZipFileError(f"its {shown(name)} has {size} bytes; at most {max_bytes} are read")
        return self.head(name, size)

    def head(self, name: str, size: int) -> bytearray:
        """Returns the first bytes of a member, so many or all that there are.

        Raises:
            ZipFileError: There is no such member, or it is damaged as far as it is read.
        """
        info, content = self._member(name), bytearray()
        with _damaged(f"its {shown(name)} is damaged"), self._archive.open(info) as member:
            while len(content) < size and (piece := member.read(min(size - len(content), _PIECE_BYTES))):
                content += piece
        return content

    def json(self, name: str, max_bytes: int) -> Any:
        """Returns what a member of JSON says.

        Raises:
            ZipFileError: As for ``read``; or it is no JSON, or has more values than any model.
        """
        content = self.read(name, max_bytes)
        containers = content.count(b"[") + content.count(b"{")
        if containers > _MAX_CONTAINERS:
            raise ZipFileError(f"its {shown(name)} has more than {_MAX_CONTAINERS} objects and arrays")
        if containers + content.count(b",") > _MAX_VALUES:
            raise ZipFileError(f"its {shown(name)} has more than {_MAX_VALUES} values")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise ZipFileError(f"its {shown(name)} is no JSON") from error

    def _member(self, name: str) -> zipfile.ZipInfo:
        info = self._archive.NameToInfo.get(name)
        if info is None:
            raise ZipFileError(f"it is a zip file without {shown(name)}")
        if info.compress_type not in _UNPACKED_IN_PIECES:
            got = f"its {shown(name)} is packed by method {info.compress_type}"
            raise ZipFileError(f"{got}; expected 0 or 8, zipfile.ZIP_STORED or ZIP_DEFLATED; save it so")
        return info


class _Checked:
    """A file of which a directory is looked at before zipfile gets it.

    Attributes:
        is_open: Whether zipfile has got it, and members are read.
    """

    def __init__(self, file: BinaryIO):
        self._file = file
        self.is_open = False
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        """Reads as the file does.

        Raises:
            ZipFileError: It would be too much.
        """
        if self.is_open:
            return self._file.read(size)
        data = self._file.read(size if 0 <= size <= _MAX_DIRECTORY_BYTES else _MAX_DIRECTORY_BYTES + 1)
        if len(data) > _MAX_DIRECTORY_BYTES:
            raise ZipFileError(f"its zip directory has more than {_MAX_DIRECTORY_BYTES} bytes")
        _check_directory(data)
        return data


def _check_directory(data: bytes) -> None:
    """Makes sure that a directory takes little memory and time; what is none, zipfile says.

    Raises:
        ZipFileError: It would take much.
    """
    position = members = 0
    while position + _ENTRY.size <= len(data):
        signature, name_bytes, extra_bytes, comment_bytes = _ENTRY.unpack_from(data, position)
        if signature != _ENTRY_SIGNATURE:
            return
        members += 1
        if members > _MAX_MEMBERS:
            raise ZipFileError(f"it has more than {_MAX_MEMBERS} members")
        if extra_bytes > _MAX_EXTRA_BYTES:
            raise ZipFileError(f"an extra field of its zip directory has {extra_bytes} bytes; save it anew")
        position += _ENTRY.size + name_bytes + extra_bytes + comment_bytes


@contextmanager
def _damaged(what: str) -> Iterator[None]:
    """Says what is damaged of whatever zipfile and zlib raise."""
    try:
        yield
    except _OF_ZIPFILE as error:
        raise ZipFileError(f"{what} ({error})") from error

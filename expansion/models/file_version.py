# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Which version of a model's files lies at its URI, by what the filesystem says of them; they are not read."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from expansion.errors import SystemicError, first_line


@dataclass(frozen=True)
class FileVersion:
    """One version of a file, or of all files below a directory. ``str`` of it is what rows carry as model_version.

    Attributes:
        fingerprint: A digest in hexadecimal, another one for any other version.
        modified_ns: When the last of the files was modified, in nanoseconds since 1970; 0 if the filesystem can't say.
    """

    fingerprint: str
    modified_ns: int

    def __str__(self) -> str:
        short = self.fingerprint[:8]  # as two versions may be written within one tick of the filesystem's clock
        if not self.modified_ns:
            return short
        seconds, rest = divmod(self.modified_ns, 10**9)
        modified = datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
        return f"{modified}.{rest // 1000:06d}Z-{short}"


def file_version(uri: str) -> FileVersion:
    """Returns the version of what is at a URI.

    Of local files modification time (in nanoseconds), size and inode count, so that a file that is replaced by another
    of its size is noticed, whether it is overwritten or renamed onto; of others what Beam's filesystem tells of them:
    time, size and checksum.

    Raises:
        SystemicError: There is nothing, or it can't be listed.
    """
    from apache_beam.io.filesystems import FileSystems

    path = uri.removeprefix("file://")
    path = path.rstrip("/") or path
    try:
        files = sorted(_local_files(path) if FileSystems.get_scheme(path) is None else _remote_files(path))
    except Exception as error:  # each filesystem raises its own
        raise SystemicError(f"can't look for {uri!r}: {first_line(error)}") from error
    if not files:
        raise SystemicError(f"can't look for {uri!r}: there is no such file")
    digest = hashlib.sha256(repr(files).encode()).hexdigest()
    return FileVersion(digest, max(modified_ns for _, modified_ns, *_ in files))


def _local_files(path: str) -> Iterator[tuple[str, int, int, int]]:
    """Yields name, modification time, size and inode of each file."""
    paths = [path]
    if os.path.isdir(path):
        paths = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names]
    for each in paths:
        found = os.stat(each)
        yield os.path.relpath(each, path), found.st_mtime_ns, found.st_size, found.st_ino


def _remote_files(path: str) -> Iterator[tuple[str, int, int, str]]:
    """Yields name, modification time, size and checksum of each file."""
    from apache_beam.io.filesystems import FileSystems

    for match in FileSystems.match([path, path + "/**"]):
        for file in match.metadata_list:
            modified_ns = round(1e6 * (file.last_updated_in_seconds or 0)) * 1000
            yield file.path.removeprefix(path), modified_ns, file.size_in_bytes, _checksum(FileSystems, file.path)


def _checksum(filesystems: Any, path: str) -> str:
    try:
        return str(filesystems.checksum(path))
    except Exception:  # not every filesystem has one
        return ""

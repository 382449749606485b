# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Writing files through Beam's filesystems, whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import os
import uuid
from collections.abc import Iterable
from typing import Any

from expansion.errors import SystemicError
from expansion.files import reason

# Names of files that are being written begin so; what has such a name for long is of a process that was killed.
UNFINISHED = "unfinished-"


def write(uri: str, parts: Iterable[Any], exclusively: bool = False) -> bool:
    """Writes a file, on a worker, so that it is there with its whole content, or not at all.

    Object stores show an object once it is closed. Elsewhere it is written beside, under a name that begins with
    ``UNFINISHED``, and renamed.

    Args:
        uri: Where; the directory is made.
        parts: Its content, bytes or buffers.
        exclusively: Whether a file that is there is left as it is. Of two that write at once, both may succeed, except
            on local filesystems.

    Returns:
        Whether it was written.

    Raises:
        SystemicError: It can't be written.
    """
    from apache_beam.io.filesystems import FileSystems

    path = uri.removeprefix("file://")
    try:
        if exclusively and FileSystems.exists(path):
            return False
        if not FileSystems.get_filesystem(path).has_dirs():
            _write(path, parts)
            return True
        beside = path.removesuffix(path.rpartition("/")[2]) + UNFINISHED + uuid.uuid4().hex
        try:
            _write(beside, parts)
            return _rename(beside, path, exclusively)
        finally:
            if FileSystems.exists(beside):
                _delete(beside)
    except Exception as error:  # each filesystem raises its own
        raise SystemicError(f"can't write {uri!r}: {reason(error)}") from error


def delete(uri: str) -> None:
    """Deletes a file, on a worker; one that is not there is none to delete.

    Raises:
        SystemicError: It can't be deleted.
    """
    from apache_beam.io.filesystems import FileSystems

    path = uri.removeprefix("file://")
    try:
        if FileSystems.exists(path):
            _delete(path)
    except Exception as error:  # each filesystem raises its own
        raise SystemicError(f"can't delete {uri!r}: {reason(error)}") from error


def _write(path: str, parts: Iterable[Any]) -> None:
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        for part in parts:
            file.write(part)


def _rename(beside: str, path: str, exclusively: bool) -> bool:
    from apache_beam.io.filesystems import FileSystems

    if FileSystems.get_scheme(path) is not None:
        if FileSystems.exists(path):  # as HDFS renames to no name that is taken
            _delete(path)
        FileSystems.rename([beside], [path])
        return True
    if exclusively:
        try:
            os.link(beside, path)  # which fails if there is a file, unlike renaming
            return True
        except FileExistsError:
            return False
        except OSError:  # not every filesystem has links
            pass
    os.replace(beside, path)
    return True


def _delete(path: str) -> None:
    from apache_beam.io.filesystems import FileSystems

    if FileSystems.get_scheme(path) is None:
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
    else:
        FileSystems.delete([glob.escape(path)])

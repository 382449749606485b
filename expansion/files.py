# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Reading the files that a configuration names, through Beam's filesystems."""

from __future__ import annotations

import errno
import glob
import hashlib
import io
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO, cast

from expansion.errors import ConfigError, ExpansionError, Problem, SystemicError, first_line

# First bytes of files that are taken for models of another kind, and who writes them.
_MAGIC = (
    (b"PK\x03\x04", "a zip file, as skops and PyTorch write"),
    (b"\x80", "a Python pickle, as joblib and pickle write"),
    (b"\x1f\x8b", "compressed data (gzip)"),
    (b"BZh", "compressed data (bzip2)"),
    (b"\xfd7zXZ", "compressed data (xz)"),
    (b"\x89HDF", "an HDF5 file, as Keras writes"),
)

_SMALL_BYTES = 64 << 10

# Says why a file must not be read, in this thread; set while a service works on what a client has sent.
_refusal: ContextVar[Callable[[str], str] | None] = ContextVar("refusal", default=None)


@contextmanager
def reading_only(refusal: Callable[[str], str]) -> Iterator[None]:
    """Has every file that is opened or listed in this thread, in the block, asked about first.

    What a configuration names has been looked at before; this is for what is found there, such as links in a directory.

    Args:
        refusal: Returns why a file may not be read, after "got …,"; empty where it may.
    """
    token = _refusal.set(refusal)
    try:
        yield
    finally:
        _refusal.reset(token)


def _require_allowed(uri: str) -> None:
    refusal = _refusal.get()
    reason = refusal(uri) if refusal else ""
    if reason:
        raise PermissionError(errno.EPERM, f"got {uri!r}, {reason}")


@contextmanager
def open_on_host(uri: str) -> Iterator[BinaryIO]:
    """Opens a file for reading on the expansion host; seekable.

    A file of up to 64 KiB is read at once, as each read is a call of the system, or a request to a store of objects. Of
    a larger one no more than that is read ahead of what is asked for.

    Raises:
        ConfigError: The file can't be opened, or anything but an ExpansionError happens in the ``with`` block; its path
            is "uri".
    """
    try:
        with _open(uri) as file:
            start = file.read(_SMALL_BYTES + 1)
            if len(start) <= _SMALL_BYTES:
                yield io.BytesIO(start)
            else:
                file.seek(0)
                yield file
    except ExpansionError:
        raise
    except Exception as error:  # each filesystem raises its own
        raise ConfigError([Problem("uri", f"can't read {uri!r}: {reason(error)}")]) from error


def read_on_worker(uri: str) -> bytes:
    """Returns the whole content of a file.

    Raises:
        SystemicError: The file can't be read.
    """
    try:
        with _open(uri) as file:
            return file.read()
    except Exception as error:  # each filesystem raises its own
        raise SystemicError(f"can't read {uri!r}: {reason(error)}") from error


def read_if_there(uri: str) -> bytes | None:
    """Returns the whole content of a file; None where there is none.

    Raises:
        SystemicError: There is one that can't be read.
    """
    from apache_beam.io.filesystems import FileSystems

    try:
        _require_allowed(uri)
        there = FileSystems.exists(uri.removeprefix("file://"))
    except Exception as error:  # each filesystem raises its own
        raise SystemicError(f"can't read {uri!r}: {reason(error)}") from error
    return read_on_worker(uri) if there else None


def list_directory(uri: str) -> dict[str, int]:
    """Returns the files right in a directory, their sizes in bytes by name; none where there is no directory.

    Raises:
        SystemicError: It can't be listed.
    """
    from apache_beam.io.filesystems import FileSystems

    path = uri.removeprefix("file://").rstrip("/")
    try:
        _require_allowed(uri)
        if FileSystems.get_scheme(path) is None:  # Beam would walk through all that is below
            entries = os.scandir(path + "/") if os.path.exists(path + "/") else ()
            return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
        found = FileSystems.match([glob.escape(path) + "/*"])[0].metadata_list
    except Exception as error:  # each filesystem raises its own
        raise SystemicError(f"can't list {uri!r}: {reason(error)}") from error
    return {file.path.rsplit("/", 1)[1]: file.size_in_bytes for file in found}


def find_in(uri: str, pattern: str) -> list[str]:
    """Returns the files in a directory whose paths below it match a pattern of ``glob``, in alphabetical order.

    Raises:
        SystemicError: It can't be listed.
    """
    from apache_beam.io.filesystems import FileSystems

    path = uri.removeprefix("file://").rstrip("/")
    try:
        _require_allowed(uri)
        if FileSystems.get_scheme(path) is None:  # Beam would walk through all that is below
            return sorted(glob.glob(f"{glob.escape(path)}/{pattern}"))
        return sorted(file.path for file in FileSystems.match([f"{glob.escape(path)}/{pattern}"])[0].metadata_list)
    except Exception as error:  # each filesystem raises its own
        raise SystemicError(f"can't list {uri!r}: {reason(error)}") from error


def sha256_of(path: Path) -> str:
    """Returns the SHA-256 of a local file, in hexadecimal digits.

    Raises:
        SystemicError: It can't be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
    except OSError as error:
        raise SystemicError(f"can't read {str(path)!r}: {reason(error)}") from error
    return digest.hexdigest()


def require_sha256(path: Path, sha256: str) -> None:
    """Makes sure that a local file has some content.

    Raises:
        SystemicError: It has not, or can't be read.
    """
    if sha256_of(path) != sha256:
        raise SystemicError(f"{str(path)!r} is not as it was written: its SHA-256 is another")


@contextmanager
def local_copy(uri: str, private: bool = False) -> Iterator[Path]:
    """Gives a file or directory as a local path; what is not local is copied, and the copy removed after the block.

    Args:
        uri: Where it is.
        private: Whether to copy what is local as well: a file that somebody overwrites changes, and one that is cut off
            ends the process, for who has mapped it into memory.

    Raises:
        SystemicError: It can't be read.
    """
    from apache_beam.io.filesystems import FileSystems

    path = uri.removeprefix("file://")
    try:
        _require_allowed(uri)
    except OSError as error:
        raise SystemicError(f"can't read {uri!r}: {reason(error)}") from error
    if FileSystems.get_scheme(path) is None:
        if not os.path.exists(path):
            raise SystemicError(f"can't read {uri!r}: there is no such file")
        if not private:
            yield Path(path)
            return
    with tempfile.TemporaryDirectory(prefix="beam-ml-expansion-") as folder:
        if FileSystems.get_scheme(path) is None:
            yield _copy_of_local(Path(path), Path(folder))
        else:
            yield _download(path.rstrip("/"), Path(folder))


@contextmanager
def local_file(uri: str, private: bool = False) -> Iterator[Path]:
    """Gives a file as a local path, as ``local_copy`` does: what is large is read from there, not held in memory twice.

    Raises:
        SystemicError: It can't be read.
    """
    with local_copy(uri, private) as path:
        try:
            _require_regular(str(path))
            path.open("rb").close()
        except OSError as error:
            raise SystemicError(f"can't read {uri!r}: {reason(error)}") from error
        yield path


def _copy_of_local(path: Path, folder: Path) -> Path:
    target = folder / path.name
    try:
        if path.is_dir():
            shutil.copytree(path, target)
        else:
            _require_regular(str(path))
            shutil.copyfile(path, target)
    except OSError as error:  # shutil.Error, of several files, is one
        raise SystemicError(f"can't read {str(path)!r}: {reason(error)}") from error
    return target


def _download(uri: str, folder: Path) -> Path:
    """Copies a file, or all files below a directory, into a folder; returns where it is.

    Raises:
        SystemicError: It can't be read, or has a file whose name leads out of it, as an object store allows.
    """
    from apache_beam.io.filesystems import FileSystems

    target = folder / uri.rsplit("/", 1)[1]
    try:
        below = FileSystems.match([uri + "/**"])[0].metadata_list
    except Exception as error:  # each filesystem raises its own
        raise SystemicError(f"can't read {uri!r}: {reason(error)}") from error
    if not below:
        _copy(uri, target)
    for file in below:
        name = file.path.removeprefix(uri + "/")
        if not name or name.endswith("/"):
            continue  # an object that stands for a directory
        part = target / name
        if ".." in part.parts or target not in part.parents:
            raise SystemicError(f"can't copy {file.path!r}: its name leads out of {uri!r}")
        part.parent.mkdir(parents=True, exist_ok=True)
        _copy(file.path, part)
    return target


def _copy(uri: str, path: Path) -> None:
    """Copies a file piece by piece: weights may be larger than memory."""
    try:
        with _open(uri) as source, path.open("wb") as copy:
            shutil.copyfileobj(source, copy, 1 << 20)
    except Exception as error:  # each filesystem raises its own
        raise SystemicError(f"can't read {uri!r}: {reason(error)}") from error


def looks_like(head: bytes) -> str:
    """Returns what a file that is not what it should be may be, as the end of a sentence; empty when nothing is known.

    Args:
        head: The first bytes of the file, 64 of them or all.
    """
    if not head:
        return "; it is empty"
    for magic, description in _MAGIC:
        if head.startswith(magic):
            return f"; it looks like {description}"
    if head[4:8] == b"TFL3":
        return "; it looks like a TensorFlow Lite model"
    if all(byte in b"\t\n\r" or 32 <= byte < 127 for byte in head):
        return "; it looks like text"
    return ""


def _open(uri: str) -> BinaryIO:
    from apache_beam.io.filesystem import CompressionTypes
    from apache_beam.io.filesystems import FileSystems

    path = uri.removeprefix("file://")
    _require_allowed(uri)
    if FileSystems.get_scheme(path) is None:
        _require_regular(path)
    # A file's compression, if any, is the business of what reads it.
    return cast(BinaryIO, FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED))


def _require_regular(path: str) -> None:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError("it is a directory" if os.path.isdir(path) else "it is not a regular file")  # a pipe would block


def reason(error: Exception) -> str:
    """Returns in one line why a file can't be read or written."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    if isinstance(error, PermissionError):
        return str(error.strerror) if error.errno == errno.EPERM else "permission denied"
    return first_line(error)

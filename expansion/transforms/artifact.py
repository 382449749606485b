# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Writing artifacts, on workers only: vocabularies and graphs first, under names of their content; the manifest last.

A directory holds an artifact as soon as the manifest is there, which it is at once. Whoever is killed before leaves
files that nobody reads, and a retried bundle finds what it is about to write.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from expansion.errors import ConfigError, Problem, SystemicError
from expansion.files import list_directory, read_if_there, sha256_of
from expansion.operations import manifest, vocabulary_file
from expansion.operations.artifact import MAX_MANIFEST_BYTES, uri_of
from expansion.operations.manifest import GraphFile, Manifest, VocabularyFile
from expansion.operations.statistic import Vocabulary
from expansion.output_files import UNFINISHED, delete, write
from expansion.transforms.compressed import compress, decompress

_LOG = logging.getLogger(__name__)


def require_none(location: str) -> None:
    """Makes sure, at expansion, that there is no artifact in a directory.

    Raises:
        ConfigError: There is one, or the directory can't be looked at; its path is empty.
    """
    try:
        is_there = manifest.NAME in list_directory(location)
    except SystemicError as error:
        raise ConfigError([Problem("", str(error))]) from error
    if is_there:
        raise ConfigError([Problem("", _there_is_one(location))])


def write_vocabulary(location: str, parts: Iterable[Vocabulary]) -> VocabularyFile:
    """Writes a vocabulary, whose parts are its words in order; returns where it is.

    Raises:
        SystemicError: It can't be written.
    """
    # Its name comes first, which is of its content: until then that is kept, compressed, as making it takes long.
    digest, size, words, has_documents = hashlib.sha256(), 0, 0, True
    content = []
    for part in parts:
        words += len(part.words)
        has_documents &= part.documents is not None
        for piece in vocabulary_file.lines(part):
            digest.update(piece)
            size += len(piece)
            content.append(compress(piece))
    name = manifest.vocabulary_name(digest.hexdigest())
    write(uri_of(location, name), map(decompress, content))
    return VocabularyFile(name, words, size, digest.hexdigest(), has_documents)


def write_graph(location: str, path: Path, run: str) -> GraphFile:
    """Writes the graph of tensorflow-transform's that a local file holds; returns where it is.

    Raises:
        SystemicError: It can't be written.
    """
    sha256 = sha256_of(path)
    name = manifest.graph_name(sha256)
    with path.open("rb") as file:
        write(uri_of(location, name), iter(partial(file.read, 1 << 20), b""))
    return GraphFile(name, path.stat().st_size, sha256, run)


def written_by(location: str, run: str) -> str:
    """Returns the SHA-256 of the manifest that a run of a job has written already; empty if it has not."""
    content = read_if_there(uri_of(location, manifest.NAME))
    if content is None:
        return ""
    try:
        file = manifest.parse(content).transform_fn
    except SystemicError:  # of another program or version
        return ""
    return hashlib.sha256(content).hexdigest() if file and file.run == run else ""


def write_manifest(location: str, written: Manifest, overwrite: bool) -> str:
    """Writes the manifest, and removes what killed jobs have left and what was of an artifact before.

    Args:
        location: The directory.
        written: The manifest, whose files are there already.
        overwrite: Whether to write over another one.

    Returns:
        Its SHA-256.

    Raises:
        SystemicError: There is another one and ``overwrite`` is not set; a file is gone; or it can't be written.
    """
    content, uri = written.to_json(), uri_of(location, manifest.NAME)
    if len(content) > MAX_MANIFEST_BYTES:
        raise SystemicError(f"what was learned takes {len(content)} bytes; expected {MAX_MANIFEST_BYTES} at most")
    _require_files(location, written)
    # What is there may be what a bundle before has written, which is retried.
    if not write(uri, [content], exclusively=not overwrite) and read_if_there(uri) != content:
        raise SystemicError(_there_is_one(location))
    _remove_leftovers(location, written)
    return hashlib.sha256(content).hexdigest()


def _there_is_one(location: str) -> str:
    return f"there is an artifact in {location!r} already; choose another directory, or set overwrite"


def _require_files(location: str, written: Manifest) -> None:
    there = list_directory(location) if written.files else {}
    for name, file in written.files.items():
        if there.get(name) != file.bytes:
            reason = f"{name!r} in {location!r} is not there any more, or has changed"
            raise SystemicError(f"{reason}; let no other job write to this directory")


def _remove_leftovers(location: str, written: Manifest) -> None:
    for name in list_directory(location):
        is_ours = manifest.is_part(name) or name.startswith(UNFINISHED)
        if is_ours and name not in written.files:
            try:
                delete(uri_of(location, name))
            except SystemicError as error:  # it does no harm there
                _LOG.warning("%s", error)

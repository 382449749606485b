# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Artifacts: what a chain of operations has learned, in a directory of any filesystem of Beam's, and how it is read.

The directory holds ``artifact.json`` (manifest.py) and the vocabularies that it names (vocabulary_file.py). Nothing in
them is run. Of ``engine: TFT`` it holds a graph, which is run; only expansion/tft/ reads it. Files that no manifest
names are left over from a job that was killed; nobody reads them.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from expansion.contract._gen.operation_pb2 import Operation
from expansion.contract.config import to_mapping
from expansion.contract.fields import Fields
from expansion.contract.problems import at, did_you_mean, shown
from expansion.errors import ConfigError, Problem, SystemicError
from expansion.files import list_directory, local_file, read_on_worker
from expansion.operations import manifest, vocabulary_file
from expansion.operations.chain import steps_of
from expansion.operations.manifest import LearnedByOne, Manifest, VocabularyFile
from expansion.operations.statistic import Learned, Vocabulary
from expansion.tensors.arrays import fits
from expansion.tensors.columns import Columns

# Of a manifest; what is learned of each position of arrays makes it long.
MAX_MANIFEST_BYTES = 64 << 20


@dataclass(frozen=True)
class Saved:
    """An artifact in its directory, as far as the manifest says what it is.

    Attributes:
        manifest: The manifest.
        sha256: Of its content: it tells this artifact from any other that is at the same place before or after.
    """

    manifest: Manifest
    sha256: str


def uri_of(location: str, name: str) -> str:
    """Returns where a file of the artifact is."""
    return f"{location.rstrip('/')}/{name}"


def read_on_host(location: str) -> Saved:
    """Reads the manifest as data, and looks whether its files are there.

    Raises:
        ConfigError: There is no artifact that this version can read; its path is empty.
    """
    try:
        saved = read(location)
        _require_data(saved.manifest)
    except SystemicError as error:
        raise ConfigError([Problem("", str(error))]) from error
    return saved


def check_columns(saved: Saved, inputs: Fields) -> list[Problem]:
    """Returns what keeps an artifact's operations from working on columns as they did when they learned.

    Args:
        saved: The artifact.
        inputs: The columns' fields before the operations.
    """
    problems = []
    for written in saved.manifest.before:
        field = inputs.get(written.name)
        if field is None:
            reason = f"the artifact's operations read column {written.name!r}, which there is not"
            problems.append(Problem("", f"{reason}; {did_you_mean(written.name, inputs)}"))
        elif field.datatype != written.datatype or not fits(field.shape, written.shape):
            reason = f"column {written.name!r} is {field}; the artifact's operations have learned from {written}"
            problems.append(Problem("", f"{reason}; cast or reshape it before"))
    return problems


def differences(asked: Sequence[Operation], written: Sequence[Operation]) -> Iterator[Problem]:
    """Yields what differs between the operations of a configuration and those of an artifact."""
    if len(asked) != len(written):
        reason = f"got {len(asked)} operation(s); the artifact has {len(written)}"
        yield Problem("operations", f"{reason}; leave operations out, or write the artifact again")
    for index, (ours, theirs) in enumerate(zip(asked, written, strict=False)):
        (name, config), (their_name, their_config) = (next(iter(to_mapping(each).items())) for each in (ours, theirs))
        path = f"operations[{index}].{name}"
        if name != their_name:
            yield Problem(
                path, f"the artifact has {their_name} here; leave operations out, or write the artifact again"
            )
        else:
            yield from at(path, _different_fields(config, their_config))


def _different_fields(asked: Mapping[str, Any], written: Mapping[str, Any]) -> Iterator[Problem]:
    for field in dict.fromkeys([*asked, *written]):
        if asked.get(field) != written.get(field):
            got, has = (shown(each[field]) if field in each else "nothing" for each in (asked, written))
            yield Problem(
                field, f"got {got}; the artifact has {has}; leave operations out, or write the artifact again"
            )


class Loaded:
    """An artifact that is ready to be applied.

    Attributes:
        operations: What it does, in order, on columns; they may be called by several threads.
    """

    def __init__(self, operations: Sequence[Callable[[Columns], Columns]]):
        self.operations = tuple(operations)


# What is in use in this process, so that its threads share it: a vocabulary may be as large as a model.
_loaded: WeakValueDictionary[tuple[str, str], Loaded] = WeakValueDictionary()
_loading = threading.Lock()


def load(location: str, sha256: str = "") -> Loaded:
    """Reads an artifact on a worker, every byte of it checked; one that is in use in this process already is shared.

    Args:
        location: Its directory.
        sha256: That of the manifest that is expected. Default: any that is there.

    Raises:
        SystemicError: It can't be read, is not as it was written, or another one than expected.
    """
    with _loading:
        known = _loaded.get((location, sha256))
        if known is not None:
            return known
        saved = read(location, sha256)
        loaded = _loaded.get((location, saved.sha256)) or Loaded(_built(location, saved.manifest))
        _loaded[location, saved.sha256] = loaded
        return loaded


def read_vocabulary(location: str, file: VocabularyFile) -> Vocabulary:
    """Reads a vocabulary on a worker.

    Raises:
        SystemicError: It can't be read, or is not as it was written.
    """
    with local_file(uri_of(location, file.file)) as path:
        return vocabulary_file.read(path, file.sha256, file.has_documents)


def read(location: str, sha256: str = "") -> Saved:
    """Reads the manifest as data, and looks whether its files are there.

    Args:
        location: The directory.
        sha256: That of the manifest that is expected. Default: any that is there.

    Raises:
        SystemicError: There is no artifact that this version can read, or another one than expected.
    """
    files = list_directory(location)
    if manifest.NAME not in files:
        there_is = f"there is no artifact in {location!r}: it has no {manifest.NAME}"
        if any(map(manifest.is_part, files)):
            raise SystemicError(f"{there_is}, only parts; the job that was to write it was killed, or goes on still")
        raise SystemicError(f"{there_is}; write one with write_artifact_location, where all workers reach it")
    if files[manifest.NAME] > MAX_MANIFEST_BYTES:
        size = files[manifest.NAME]
        raise SystemicError(f"{manifest.NAME} in {location!r} has {size} bytes; expected {MAX_MANIFEST_BYTES} at most")
    content = read_on_worker(uri_of(location, manifest.NAME))
    try:
        found = manifest.parse(content)
        _require_files(found, files)
    except SystemicError as error:
        raise SystemicError(f"in {location!r}, {error}") from error
    saved = Saved(found, hashlib.sha256(content).hexdigest())
    if sha256 not in ("", saved.sha256):
        raise another_one(location)
    return saved


def another_one(location: str) -> SystemicError:
    """Returns the error that an artifact is not the one that is expected."""
    return SystemicError(
        f"the artifact in {location!r} is not the one that this pipeline was built for: somebody has written another "
        "one there; build the pipeline again"
    )


def _require_data(found: Manifest) -> None:
    if found.transform_fn:
        raise SystemicError("the artifact is of engine TFT: a graph that only MLTransform with that engine applies")


def _require_files(found: Manifest, files: Mapping[str, int]) -> None:
    for name, file in found.files.items():
        if name not in files:
            raise SystemicError(f"{name!r} is missing, which {manifest.NAME} names; write the artifact again")
        if files[name] != file.bytes:
            reason = f"{name!r} has {files[name]} bytes; {manifest.NAME} says {file.bytes}"
            raise SystemicError(f"{reason}: somebody has changed it; write the artifact again")


def _built(location: str, found: Manifest) -> list[Callable[[Columns], Columns]]:
    _require_data(found)
    try:
        steps = steps_of(found.messages, {field.name: field for field in found.before})
    except ConfigError as error:
        raise SystemicError(f"in {location!r}, {manifest.NAME} contradicts itself: {error.reason}") from error
    built = []
    for step, each in zip(steps, found.operations, strict=True):
        learned = _learned(location, each)
        missing = [name for name in step.statistics if name not in learned]
        if missing:
            raise SystemicError(f"in {location!r}, {manifest.NAME} lacks {missing[0]!r}, which {step.name} learns")
        built.append(step.build(learned))
    return built


def _learned(location: str, each: LearnedByOne) -> dict[str, Learned]:
    learned: dict[str, Learned] = dict(each.learned)
    for name, file in each.vocabularies.items():
        learned[name] = read_vocabulary(location, file)
    return learned

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""``artifact.json``: what an artifact's operations are, what they work on, and what they have learned.

A directory holds an artifact if this file is in it, and everything that it names::

    {
      "format": "beam-ml-expansion artifact",
      "format_version": 1,
      "package_version": "0.1.0",
      "columns_before": [{"name": "age", "datatype": "FP64"}, {"name": "city", "datatype": "STRING"}],
      "operations": [
        {"operation": {"scale_to_01": {"columns": ["age"]}}, "learned": {"age.range": {"min": 18.0, "max": 81.0}}},
        {
          "operation": {"compute_and_apply_vocabulary": {"columns": ["city"]}},
          "vocabularies": {"city.words": {"file": "vocabulary-….txt", "words": 3, "bytes": 42, "sha256": "…"}}
        }
      ],
      "columns_after": [{"name": "age", "datatype": "FP64"}, {"name": "city", "datatype": "INT64"}]
    }

Operations and columns are messages of the contract, as they stand in YAML. vocabulary_file.py says how vocabularies are
written. With ``engine: TFT`` nothing is said of what operations have learned: it is in tensorflow-transform's graph, in
``"transform_fn": {"file": "transform_fn-….zip", "bytes": 98765, "sha256": "…", "run": "…"}``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from expansion import operations
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.operation_pb2 import Operation
from expansion.contract.config import Parsed, parse_mapping
from expansion.contract.fields import DATATYPES, Field
from expansion.contract.problems import at, shown
from expansion.errors import SystemicError
from expansion.files import looks_like

NAME = "artifact.json"
_FORMAT = "beam-ml-expansion artifact"
_VERSION = 1
_VOCABULARY = re.compile(r"vocabulary-[0-9a-f]{64}\.txt")
_GRAPH = re.compile(r"transform_fn-[0-9a-f]{64}\.zip")


@dataclass(frozen=True)
class VocabularyFile:
    """A vocabulary that lies beside the manifest.

    Attributes:
        file: Its name in the directory.
        words: Number of words.
        bytes: Its size.
        sha256: Of its content, in hexadecimal digits.
        has_documents: Whether it says in how many rows each word was.
    """

    file: str
    words: int
    bytes: int
    sha256: str
    has_documents: bool = False


@dataclass(frozen=True)
class GraphFile:
    """What tensorflow-transform has written, in a zip file beside the manifest.

    Attributes:
        file: Its name in the directory.
        bytes: Its size.
        sha256: Of its content, in hexadecimal digits. No two files of tensorflow-transform's are the same.
        run: Which run of a job it is of, so that a bundle that is retried knows what it has written itself.
    """

    file: str
    bytes: int
    sha256: str
    run: str


@dataclass(frozen=True)
class LearnedByOne:
    """One operation, and what it has learned.

    Attributes:
        operation: The operation, in the form that configurations have.
        learned: Results of its statistics, by name.
        vocabularies: Those of its statistics that are vocabularies, by name.
    """

    operation: Mapping[str, Any]
    learned: Mapping[str, Mapping[str, Any]]
    vocabularies: Mapping[str, VocabularyFile]


@dataclass(frozen=True)
class Manifest:
    """What the file says.

    Attributes:
        before: The columns that the operations read, as they are before the first of them.
        operations: The operations, in order.
        after: What becomes of those columns, and what is added.
        package_version: Who wrote it.
        transform_fn: The graph of all operations, where tensorflow-transform has learned.
    """

    before: tuple[Field, ...]
    operations: tuple[LearnedByOne, ...]
    after: tuple[Field, ...]
    package_version: str = metadata.version("beam-ml-expansion")
    transform_fn: GraphFile | None = None

    @property
    def messages(self) -> list[Operation]:
        """The operations as messages."""
        return list(self.parse_operations().config.operations)

    @property
    def files(self) -> dict[str, VocabularyFile | GraphFile]:
        """The files beside the manifest, by their names."""
        files: list[VocabularyFile | GraphFile] = [self.transform_fn] if self.transform_fn else []
        files += [file for each in self.operations for file in each.vocabularies.values()]
        return {file.file: file for file in files}

    def parse_operations(self) -> Parsed[MLTransformConfig]:
        """Returns the operations as a configuration that has nothing else, and what this version can't read of them."""
        return parse_mapping(MLTransformConfig, {"operations": [each.operation for each in self.operations]})

    def to_json(self) -> bytes:
        """Returns the file's content, the same for the same manifest.

        Raises:
            SystemicError: An operation has learned what JSON can't say.
        """
        content = {
            "format": _FORMAT,
            "format_version": _VERSION,
            "package_version": self.package_version,
            "columns_before": list(map(_field_to_json, self.before)),
            "operations": [_operation_to_json(each) for each in self.operations],
            **({"transform_fn": asdict(self.transform_fn)} if self.transform_fn else {}),
            "columns_after": list(map(_field_to_json, self.after)),
        }
        try:
            return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        except (TypeError, ValueError) as error:
            raise SystemicError(f"an operation has learned what can't be written: {error}") from error


def is_part(name: str) -> bool:
    """Whether a file of this name is, or was to be, a vocabulary or graph of an artifact."""
    return (_VOCABULARY.fullmatch(name) or _GRAPH.fullmatch(name)) is not None


def vocabulary_name(sha256: str) -> str:
    """Returns the name of the file of a vocabulary: that of its content, so that no two writers disagree on it."""
    return f"vocabulary-{sha256}.txt"


def graph_name(sha256: str) -> str:
    """Returns the name of the file of a graph: that of its content, too."""
    return f"transform_fn-{sha256}.zip"


def parse(content: bytes) -> Manifest:
    """Reads a manifest. Nothing of it is run, and nothing is looked up.

    Raises:
        SystemicError: It is none, or of another version; an operation of it is wrong by itself.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:  # of UTF-8, or of JSON
        raise SystemicError(f"{NAME} is not JSON{looks_like(content[:64])}") from error
    if not isinstance(found, Mapping) or found.get("format") != _FORMAT:
        raise SystemicError(f"{NAME} is of another program; expected one that MLTransform of this package has written")
    if found.get("format_version") != _VERSION:
        wrote, version = shown(found.get("package_version")), shown(found.get("format_version"))
        raise SystemicError(
            f"{NAME} is of format {version}, of beam-ml-expansion {wrote}; this version reads format {_VERSION}; "
            "install that version, or write the artifact again"
        )
    try:
        manifest = Manifest(
            tuple(map(_field_of_json, found["columns_before"])),
            tuple(map(_operation_of_json, found["operations"])),
            tuple(map(_field_of_json, found["columns_after"])),
            str(found["package_version"]),
            _graph_of_json(found.get("transform_fn")),
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise SystemicError(f"{NAME} lacks something: {type(error).__name__}: {error}; write it again") from error
    parsed = manifest.parse_operations()
    if parsed.problems:
        wrote = manifest.package_version
        raise SystemicError(
            f"{NAME} has what only beam-ml-expansion {wrote} knows: {parsed.problems[0]}; install that version"
        )
    for index, message in enumerate(parsed.config.operations):
        for problem in at(f"operations[{index}]", operations.check(message)):
            raise SystemicError(f"{NAME} has an operation that is wrong: {problem}; write it again")
    return manifest


def _operation_to_json(each: LearnedByOne) -> dict[str, Any]:
    vocabularies = {name: asdict(file) for name, file in each.vocabularies.items()}
    return {
        "operation": each.operation,
        **({"learned": each.learned} if each.learned else {}),
        **({"vocabularies": vocabularies} if vocabularies else {}),
    }


def _operation_of_json(found: Mapping[str, Any]) -> LearnedByOne:
    files = {name: VocabularyFile(**file) for name, file in found.get("vocabularies", {}).items()}
    for file in files.values():
        if not _VOCABULARY.fullmatch(file.file):  # which could be anywhere
            raise ValueError(f"{file.file!r} is no name of a vocabulary")
    return LearnedByOne(found["operation"], found.get("learned", {}), files)


def _graph_of_json(found: Mapping[str, Any] | None) -> GraphFile | None:
    if found is None:
        return None
    file = GraphFile(**found)
    if not _GRAPH.fullmatch(file.file):
        raise ValueError(f"{file.file!r} is no name of a graph")
    return file


def _field_to_json(field: Field) -> dict[str, Any]:
    shape = {"shape": list(field.shape)} if field.shape else {}
    return {"name": field.name, "datatype": field.datatype, **shape}


def _field_of_json(found: Mapping[str, Any]) -> Field:
    if found["datatype"] not in DATATYPES:
        raise ValueError(f"{shown(found['datatype'])} is no datatype")
    return Field(found["name"], found["datatype"], tuple(map(int, found.get("shape", ()))))

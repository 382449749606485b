# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Reads what a skops file says of an estimator, as data: schema.json and the headers of .npy files; nothing is loaded.

https://skops.readthedocs.io/en/stable/persistence.html
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from expansion.models.zip_archive import ZipArchive, ZipFileError

_SCHEMA = "schema.json"
# A forest of 1,000 trees has a schema of about 6 MB; of six classes, 16 MB.
_MAX_SCHEMA_BYTES = 64 * 1024 * 1024
_MAX_HEADER_BYTES = 64 * 1024


class SkopsError(Exception):
    """The file is no skops file, or a damaged one."""


class ArrayHeader(NamedTuple):
    """What is known of an array.

    Attributes:
        kind: numpy's letter for the kind of its elements: b, i, u, f or U; another where it is none of these.
        shape: Its shape.
    """

    kind: str
    shape: tuple[int, ...]


class Estimator:
    """An object in a skops file: its class, and what the file says of its attributes.

    Attributes:
        module: Module of its class.
        name: Name of its class.
    """

    def __init__(self, archive: ZipArchive, node: Mapping[str, Any]):
        self._archive = archive
        self.module = str(node.get("__module__"))
        self.name = str(node.get("__class__"))
        self._attributes = _content(_content(node)) if isinstance(_content(node), dict) else None

    def value(self, attribute: str) -> Any:
        """Returns an attribute that is a plain value (int, float, str, bool), or None."""
        return _value(self._node(attribute))

    def has(self, attribute: str) -> bool:
        """Whether the file says anything of an attribute."""
        return bool(self._node(attribute))

    def size(self, attribute: str) -> int | None:
        """Returns an attribute that is a number of things, at least 1, or None."""
        value = self.value(attribute)
        return value if _is_size(value) and value else None

    def array(self, attribute: str) -> ArrayHeader | None:
        """Returns what is known of an attribute that is an array, or None."""
        node = self._node(attribute)
        if node.get("__loader__") != "NdArrayNode":
            return None
        if node.get("type") == "numpy":
            return self._npy_header(str(node.get("file")))
        elements = _content(node)  # an array of objects, such as str
        shape = _content(node.get("shape"))
        if not isinstance(elements, list) or not isinstance(shape, list) or not elements:
            return None
        sizes = tuple(map(_value, shape))
        if not all(map(_is_size, sizes)):
            return None
        kinds = {np.asarray(_value(element)).dtype.kind for element in elements}
        return ArrayHeader(kinds.pop() if len(kinds) == 1 else "O", sizes)

    def child(self, attribute: str) -> Estimator | None:
        """Returns an attribute that is an object, or None."""
        node = self._node(attribute)
        return Estimator(self._archive, node) if node.get("__loader__") == "ObjectNode" else None

    def steps(self) -> list[Estimator | None]:
        """Returns the steps of a Pipeline, None for those that are no object ("passthrough"); empty for others."""
        steps = _content(self._node("steps"))
        pairs = [_content(pair) for pair in steps] if isinstance(steps, list) else []
        objects = [pair[1] for pair in pairs if isinstance(pair, list) and len(pair) == 2]
        return [
            Estimator(self._archive, node) if node.get("__loader__") == "ObjectNode" else None
            for node in objects
            if isinstance(node, dict)
        ]

    def _node(self, attribute: str) -> Mapping[str, Any]:
        node = self._attributes.get(attribute) if isinstance(self._attributes, dict) else None
        return node if isinstance(node, dict) else {}

    def _npy_header(self, member: str) -> ArrayHeader | None:
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        try:
            # NumPy reads as much as the header says that it has, up to 4 GiB, which zip makes of 4 MiB.
            head = io.BytesIO(self._archive.head(member, _MAX_HEADER_BYTES))
            shape, _, dtype = read_header[np.lib.format.read_magic(head)](head)
        except (KeyError, ValueError, ZipFileError) as error:
            raise SkopsError(f"its member {member!r} is missing or damaged") from error
        return ArrayHeader(dtype.kind, tuple(shape))


def read_estimator(file: BinaryIO) -> Estimator:
    """Reads the object that a skops file holds. The file must stay open while the estimator is in use.

    Raises:
        SkopsError: It is no skops file, or a damaged one.
    """
    try:
        archive = ZipArchive(file)
        if _SCHEMA not in archive:
            raise SkopsError(f"it is a zip file without the {_SCHEMA} of skops")
        schema = archive.json(_SCHEMA, _MAX_SCHEMA_BYTES)
    except ZipFileError as error:
        raise SkopsError(str(error)) from error
    if not isinstance(schema, dict) or schema.get("__loader__") != "ObjectNode":
        raise SkopsError("it holds no estimator")
    return Estimator(archive, schema)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and 0 <= value < 2**31


def _content(node: Any) -> Any:
    return node.get("content") if isinstance(node, dict) else None


def _value(node: Any) -> Any:
    if not isinstance(node, dict) or node.get("__loader__") != "JsonNode":
        return None
    try:
        return json.loads(str(node.get("content")))
    except (ValueError, RecursionError):
        return None

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The pipeline options of clients: which of them reach an expansion, and as what.

Java sends all its options with a request. Most mean nothing here, some (environments, SDK locations) would steer the
graph, and lists arrive in a form that fails the validation of Beam's own service. So an option counts only if it is in
the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import struct_pb2

from expansion.errors import ConfigError, Problem

_VERSION = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}")


def _flag(value: struct_pb2.Value) -> bool | None:
    if value.WhichOneof("kind") == "bool_value":
        return value.bool_value
    return {"true": True, "false": False}.get(value.string_value.lower())


def _version(value: struct_pb2.Value) -> str | None:
    return value.string_value if _VERSION.fullmatch(value.string_value) else None


# Option → (how to convert it, what it has to be).
_ALLOWED: Mapping[str, tuple[Callable[[struct_pb2.Value], Any], str]] = {
    "streaming": (_flag, "true or false"),
    "update_compatibility_version": (_version, "a Beam version, such as 2.77.0"),
}


def allowed(options: struct_pb2.Struct) -> dict[str, Any]:
    """Converts the options that count.

    Args:
        options: Options by URN, as in ``beam:option:streaming:v1``.

    Returns:
        Values by option name: ``streaming`` as bool, ``update_compatibility_version`` as str. Options that are null or
        an empty string are not set; options that are not allowed are left out.

    Raises:
        ConfigError: If an option that counts has a value that it can't have.
    """
    values: dict[str, Any] = {}
    problems = []
    for name, (convert, expected) in _ALLOWED.items():
        key = f"beam:option:{name}:v1"
        if key not in options.fields:
            continue
        value = options.fields[key]
        if value.WhichOneof("kind") in (None, "null_value") or value == struct_pb2.Value(string_value=""):
            continue
        converted = convert(value)
        if converted is None:
            got = str(value).strip().replace("\n", " ")[:100]
            problems.append(Problem(f"pipeline_options.{name}", f"got {got}; expected {expected}"))
        else:
            values[name] = converted
    if problems:
        raise ConfigError(problems)
    return values

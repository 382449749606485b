# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Columns as people write them on a command line: ``age:FP64,text:STRING,pixels:FP32[64]``."""

from __future__ import annotations

import re
from collections.abc import Iterable

from expansion.contract.declared import check_type
from expansion.contract.fields import Field
from expansion.contract.problems import at
from expansion.errors import ConfigError, Problem

_COLUMN = re.compile(r"\s*(?P<name>[^:,]+?)\s*:\s*(?P<datatype>\w+)\s*(?:\[(?P<shape>[^]]*)\])?\s*(?:,|$)")
_EXAMPLE = "such as age:FP64,text:STRING,pixels:FP32[64]"


def parse_columns(text: str) -> dict[str, Field]:
    """Reads a list of columns.

    Args:
        text: ``NAME:DATATYPE`` or ``NAME:DATATYPE[SIZE,…]``, with commas between them; datatypes are those of the Open
            Inference Protocol, and -1 is a size that varies.

    Returns:
        The fields, by name.

    Raises:
        ConfigError: With everything that is wrong with the list.
    """
    fields: dict[str, Field] = {}
    problems: list[Problem] = []
    end = 0
    while end < len(text):
        match = _COLUMN.match(text, end)
        if match is None:
            problems.append(Problem("", f"got {text[end:][:60]!r}; expected NAME:DATATYPE[SIZE,…], {_EXAMPLE}"))
            break
        end = match.end()
        name, datatype = match["name"], match["datatype"]
        shape = _shape(match["shape"] or "")
        if shape is None:
            problems.append(Problem(name, f"got shape [{match['shape']}]; expected sizes, {_EXAMPLE}"))
            continue
        problems += at(name, check_type(datatype, shape))
        if name in fields:
            problems.append(Problem(name, "is there twice; each column may be there once"))
        fields[name] = Field(name, datatype, shape)
    if not fields and not problems:
        problems.append(Problem("", f"no columns; expected NAME:DATATYPE, {_EXAMPLE}"))
    if problems:
        raise ConfigError(problems)
    return fields


def format_columns(fields: Iterable[Field]) -> str:
    """Returns fields as ``parse_columns`` reads them."""
    return ",".join(
        f"{field.name}:{field.datatype}" + (f"[{','.join(map(str, field.shape))}]" if field.shape else "")
        for field in fields
    )


def _shape(text: str) -> tuple[int, ...] | None:
    try:
        return tuple(int(size) for size in text.split(",")) if text.strip() else ()
    except ValueError:
        return None

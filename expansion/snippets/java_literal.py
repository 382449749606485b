# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Values and messages of the contract as expressions of Java."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from expansion.contract.config import is_repeated

_MAX_LINE, _INDENT = 80, " " * 4
_PACKAGE = "io.github.beamml.expansion.v1"


def text(value: str) -> str:
    """Returns a string literal, in ASCII."""
    return json.dumps(value)


def texts(values: Iterable[str]) -> str:
    """Returns string literals with commas between them."""
    return ", ".join(map(text, values))


def floating(value: float) -> str:
    """Returns an expression of type double."""
    if math.isnan(value):
        return "Double.NaN"
    if math.isinf(value):
        return "Double.POSITIVE_INFINITY" if value > 0 else "Double.NEGATIVE_INFINITY"
    return repr(float(value))


def long(value: int) -> str:
    """Returns a literal of type long."""
    return f"{value}L"


class Expressions:
    """Writes messages, and notes what has to be imported for them.

    Attributes:
        imports: Full names of classes.
    """

    def __init__(self) -> None:
        self.imports: set[str] = set()

    def use(self, name: str) -> str:
        """Notes a class of the client or of Java; returns its simple name."""
        self.imports.add(name)
        return name.rpartition(".")[2]

    def message(self, message: Message) -> str:
        """Returns an expression that builds a message, field by field."""
        name = self.use(f"{_PACKAGE}.{message.DESCRIPTOR.name}")
        if not message.ListFields():
            return f"{name}.getDefaultInstance()"
        setters = [self._set(field, value) for field, value in message.ListFields()]
        line = f"{name}.newBuilder(){''.join(setters)}.build()"
        if len(line) <= _MAX_LINE and "\n" not in line:
            return line
        return "\n".join([f"{name}.newBuilder()", *(_indented(setter) for setter in setters), f"{_INDENT}.build()"])

    def texts(self, values: Iterable[str]) -> str:
        """Returns an expression of type List<String>."""
        return f"{self.use('java.util.List')}.of({texts(values)})"

    def _set(self, field: FieldDescriptor, value: Any) -> str:
        name = _camel(field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            kinds = field.message_type.fields_by_name
            pairs = ((self._value(kinds["key"], key), self._value(kinds["value"], value[key])) for key in sorted(value))
            return "".join(f".put{name}({key}, {one})" for key, one in pairs)
        if not is_repeated(field):
            return f".set{name}({self._value(field, value)})"
        if field.message_type is not None:
            return "".join(f".add{name}({self._value(field, each)})" for each in value)
        values = ", ".join(self._value(field, each) for each in value)
        return f".addAll{name}({self.use('java.util.List')}.of({values}))"

    def _value(self, field: FieldDescriptor, value: Any) -> str:
        if field.message_type is not None:
            return self.message(value)
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str):
            return text(value)
        if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
            return floating(value)
        return str(value) if field.cpp_type == FieldDescriptor.CPPTYPE_INT32 else long(value)


def _indented(text: str) -> str:
    return "\n".join(f"{_INDENT}{line}" for line in text.split("\n"))


def _camel(name: str) -> str:
    """Returns a field's name as protoc capitalizes it for Java: a letter after an underscore or a digit is large."""
    return re.sub(r"(^|_|(?<=\d))([a-z])", lambda match: match[2].upper(), name).replace("_", "")

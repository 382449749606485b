# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Configuration as protobuf bytes, mapping (a Beam Row), YAML or JSON → one message.

Every function returns the message as far as it could be read and all problems met on the way. Nothing is ignored: a
field that the message does not have is a problem.
"""

from __future__ import annotations

import json
import numbers
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import yaml
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from expansion.contract.problems import did_you_mean, first, shown
from expansion.errors import Problem

_Config = TypeVar("_Config", bound=Message)
# Of a field that there is not, whose name may be as long as a request.
_MAX_PATH_CHARACTERS = 200
# What PyYAML raises: of text that is too deep, and of values that their types can't hold, such as 2026-13-45, !!int ""
# and !!bool x.
_NOT_LOADED = (yaml.YAMLError, ValueError, RecursionError, ArithmeticError, LookupError, AttributeError)


@dataclass(frozen=True)
class Parsed(Generic[_Config]):
    """A configuration as far as it could be read.

    Attributes:
        config: The message.
        problems: What could not be read.
    """

    config: _Config
    problems: list[Problem]


def parse(kind: type[_Config], source: _Config | bytes | str | Mapping[str, Any]) -> Parsed[_Config]:
    """Reads a configuration in whatever form it has.

    Args:
        kind: The class of its message.
        source: The message; its serialized bytes; YAML or JSON text; or nested mappings and lists, keyed as the proto's
            fields are named.
    """
    if isinstance(source, kind):  # a copy, so that a later change to it changes nothing here
        return parse_proto(kind, source.SerializeToString())
    if isinstance(source, bytes):
        return parse_proto(kind, source)
    if isinstance(source, str):
        return parse_text(kind, source)
    mapping: Any = source  # a message of another kind is refused as no mapping
    return parse_mapping(kind, mapping)


def parse_proto(kind: type[_Config], data: bytes) -> Parsed[_Config]:
    """Reads a serialized message."""
    config = kind()
    try:
        config.ParseFromString(data)
    except DecodeError:
        return Parsed(kind(), [Problem("", f"the payload is not a serialized {kind.DESCRIPTOR.name}")])
    return Parsed(config, list(first(_unknown_fields(config, ""))))


def parse_mapping(kind: type[_Config], mapping: Mapping[str, Any]) -> Parsed[_Config]:
    """Reads nested mappings and sequences whose keys are the proto's field names; None is unset."""
    config = kind()
    return Parsed(config, list(first(_fill(config, mapping, ""))))


def parse_text(kind: type[_Config], text: str) -> Parsed[_Config]:
    """Reads YAML or JSON text; keys are the proto's field names."""
    try:
        value = load_text(text)
    except ValueError as error:
        return Parsed(kind(), [Problem("", str(error))])
    return parse_mapping(kind, {} if value is None else value)


def load_text(text: str) -> Any:
    """Returns what YAML or JSON text says, of whatever type.

    Raises:
        ValueError: It is neither; why, in one line.
    """
    try:
        return _load(text)
    except _NOT_LOADED as error:
        raise ValueError("not valid YAML or JSON: " + " ".join(str(error).split())) from error


def to_mapping(message: Message) -> dict[str, Any]:
    """Returns what is set in a message, as ``parse_mapping`` reads it."""
    return {field.name: _to_plain(field, value) for field, value in message.ListFields()}


def _to_plain(field: Any, value: Any) -> Any:
    if field.message_type is None:
        return list(value) if is_repeated(field) else value
    if field.message_type.GetOptions().map_entry:
        return dict(sorted(value.items()))
    return [to_mapping(item) for item in value] if is_repeated(field) else to_mapping(value)


def _load(text: str) -> Any:
    try:  # first as JSON: PyYAML follows YAML 1.1, which reads JSON's 1e-3 as text
        return json.loads(text)
    except (ValueError, RecursionError):
        return yaml.safe_load(text)


def _fill(message: Message, value: Any, path: str) -> Iterator[Problem]:
    if not isinstance(value, Mapping):
        yield Problem(
            path, f"got {shown(value)}; expected a mapping with {', '.join(message.DESCRIPTOR.fields_by_name)}"
        )
        return
    for name, item in value.items():
        field = message.DESCRIPTOR.fields_by_name.get(name) if _is_text(name) else None
        here = f"{path}.{_key(name)}" if path else _key(name)
        if field is None:
            here = here if len(here) <= _MAX_PATH_CHARACTERS else f"{here[:_MAX_PATH_CHARACTERS]}…"
            yield Problem(here, f"unknown field; {did_you_mean(_key(name), message.DESCRIPTOR.fields_by_name)}")
        elif item is not None:
            yield from _claims_taken_oneof(message, field, here)
            yield from _set(message, field, item, here)


def _claims_taken_oneof(message: Message, field: Any, path: str) -> Iterator[Problem]:
    oneof = field.containing_oneof
    taken = message.WhichOneof(oneof.name) if oneof else None
    if taken and taken != field.name:
        yield Problem(path, f"{taken} is set as well; expected only one of {', '.join(f.name for f in oneof.fields)}")


def _set(message: Message, field: Any, value: Any, path: str) -> Iterator[Problem]:
    target = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        yield from _set_map(target, field, value, path)
    elif is_repeated(field):
        if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
            yield Problem(path, f"got {shown(value)}; expected a list")
            return
        for index, item in enumerate(value):
            here = f"{path}[{index}]"
            if field.message_type is not None:
                yield from _fill(target.add(), item, here)
            else:
                yield from _append(target, field, item, here)
    elif field.message_type is not None:
        target.SetInParent()
        yield from _fill(target, value, path)
    else:
        problem = _wrong_type(field, value, path)
        if problem:
            yield problem
        else:
            setattr(message, field.name, _plain(field, value))


def _append(target: Any, field: Any, value: Any, path: str) -> Iterator[Problem]:
    problem = _wrong_type(field, value, path)
    if problem:
        yield problem
    else:
        target.append(_plain(field, value))


def _set_map(target: Any, field: Any, value: Any, path: str) -> Iterator[Problem]:
    show = _type_of if field.name in _SECRETIVE else shown
    if not isinstance(value, Mapping):
        yield Problem(path, f"got {show(value)}; expected a mapping")
        return
    entry = field.message_type.fields_by_name
    for key, item in value.items():
        wrong = [_wrong_type(entry["key"], key, path), _wrong_type(entry["value"], item, f"{path}.{_key(key)}", show)]
        if any(wrong):
            yield from filter(None, wrong)
        else:
            target[_plain(entry["key"], key)] = _plain(entry["value"], item)


# Maps whose values may be secrets, which no message shows.
_SECRETIVE = frozenset({"env_vars"})


def _type_of(value: Any) -> str:
    return f"a value of type {type(value).__name__}"


def _key(name: Any) -> str:
    """Returns a key of a mapping, which may be no text or none that can be sent, as paths show it."""
    return str(name) if _is_text(name) else shown(name)


def _is_text(value: Any) -> bool:
    """Returns whether a value is text that protobuf takes: JSON and YAML also have halves of surrogate pairs."""
    try:
        str.encode(value)
    except (TypeError, UnicodeEncodeError):
        return False
    return True


def _is_double(value: Any) -> bool:
    """Returns whether a number is one that FP64 holds: not an integer of 400 digits."""
    try:
        float(value)
    except OverflowError:
        return False
    return True


_EXPECTED = {
    FieldDescriptor.CPPTYPE_STRING: "text",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_INT64: "an integer",
    FieldDescriptor.CPPTYPE_INT32: "an integer",
}


def _wrong_type(field: Any, value: Any, path: str, show: Callable[[Any], str] = shown) -> Problem | None:
    expected = _EXPECTED[field.cpp_type]
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    right = {
        "text": _is_text(value),
        "true or false": isinstance(value, bool),
        "a number": is_number and _is_double(value),
        "an integer": is_number and abs(value) < 2**63 and value == int(value),
    }[expected]
    if right and field.cpp_type == FieldDescriptor.CPPTYPE_INT32:
        right = abs(value) < 2**31
    if expected == "text" and isinstance(value, str):
        expected = "text of whole characters, without halves of surrogate pairs"
    elif expected == "a number" and is_number:
        expected = "a number that FP64 holds"
    return None if right else Problem(path, f"got {show(value)}; expected {expected}")


def _plain(field: Any, value: Any) -> Any:
    """Python's own type for a value that has the right one, such as a numpy integer out of a Beam row."""
    if field.cpp_type in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_INT32):
        return int(value)
    return float(value) if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE else value


def is_repeated(field: Any) -> bool:
    """Returns whether a field, given by its descriptor, is a list or a mapping."""
    # Newer protobuf runtimes deprecate `label`, older ones do not have `is_repeated`.
    repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == FieldDescriptor.LABEL_REPEATED
    return bool(repeated)


def _unknown_fields(message: Message, path: str) -> Iterator[Problem]:
    name = message.DESCRIPTOR.name
    for unknown in UnknownFieldSet(message):  # type: ignore[attr-defined]
        reason = f"the client asks for field {unknown.field_number} of {name}, which this service does not know"
        yield Problem(path, f"{reason}; upgrade the service, or take the option out of the client")
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        here = f"{path}.{field.name}" if path else field.name
        if is_repeated(field):
            for index, item in enumerate(value):
                yield from _unknown_fields(item, f"{here}[{index}]")
        else:
            yield from _unknown_fields(value, here)

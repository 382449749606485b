# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a configuration is made of: frameworks, hooks and operations, wherever in it they are."""

from __future__ import annotations

from google.protobuf.message import Message

from expansion.contract._gen.hook_pb2 import Hook
from expansion.contract._gen.model_pb2 import Model
from expansion.contract._gen.operation_pb2 import Operation
from expansion.contract.config import is_repeated

_KINDS: dict[type[Message], tuple[str, str]] = {
    Model: ("framework", "framework"),
    Hook: ("hook", "operation"),
    Operation: ("operation", "operation"),
}


def names_used(message: Message) -> set[tuple[str, str]]:
    """Returns kinds and names of all that a configuration uses: ("framework", "onnx"), ("hook", "scale") and so on."""
    found = set()
    kind, oneof = _KINDS.get(type(message), ("", ""))
    if kind and (name := message.WhichOneof(oneof)):
        found.add((kind, str(name)))
    for field, value in message.ListFields():
        if field.message_type is None or field.message_type.GetOptions().map_entry:
            continue
        for each in value if is_repeated(field) else [value]:
            found |= names_used(each)
    return found

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Changes of requests that know what these are made of: fields of messages, and messages inside of fields of bytes."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

from apache_beam.portability.api import beam_expansion_api_pb2, external_transforms_pb2, schema_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from expansion.contract import urns
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.service.requests import SCHEMA_TRANSFORM

ExpansionRequest = beam_expansion_api_pb2.ExpansionRequest

_MOST_CHANGES = 4
_OF_THE_CONFIGURATION = 0.5
_NUMBERS = (0, 1, -1, 2, 7, 16, 255, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63), 10**12)
_FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-320, 1e308, float("nan"), float("inf"), float("-inf"))
_TEXTS = (
    "",
    " ",
    "\0",
    "a\nb",
    "x" * 5000,
    "[" * 5000,
    "9" * 5000,
    "😀",
    "\u202e",
    "{key}",
    "../../etc/passwd",
    "/dev/null",
    "nowhere://bucket/model.onnx",
    "http://169.254.169.254/",
    "hf://a/b",
    "STRING",
    "FP32",
    "INT64",
    "BYTES",
    "output",
    "errors",
    "input",
    "model_uris",
    "beam:coder:bytes:v1",
    "beam:coder:row:v1",
    "beam:coder:kv:v1",
    "beam:coder:pickled_python:v1",
    "beam:window_fn:global_windows:v1",
    "beam:window_fn:sliding_windows:v1",
    "beam:window_fn:session_windows:v1",
    "beam:transform:impulse:v1",
    "beam:logical_type:decimal:v1",
    "beam:logical:pythonsdk_any:v1",
    SCHEMA_TRANSFORM,
    urns.RUN_INFERENCE,
    urns.ML_TRANSFORM,
    urns.RUN_INFERENCE_SCHEMA_TRANSFORM,
    urns.ML_TRANSFORM_SCHEMA_TRANSFORM,
)
# Fields of bytes that hold a message, by the URN beside them or the name of their own message.
_INSIDE: dict[str, type[Message]] = {
    urns.RUN_INFERENCE: RunInferenceConfig,
    urns.ML_TRANSFORM: MLTransformConfig,
    SCHEMA_TRANSFORM: external_transforms_pb2.SchemaTransformPayload,
    "beam:coder:row:v1": schema_pb2.Schema,
}
_INTEGERS = (
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
    FieldDescriptor.CPPTYPE_ENUM,
)


class Mutation:
    """A source of changed requests, the same for the same seed.

    Args:
        requests: What clients really send.
        seed: Of the chance.
    """

    def __init__(self, requests: Sequence[ExpansionRequest], seed: int):
        self._requests = requests
        self._chance = random.Random(seed)  # noqa: S311
        self._messages = [node for request in requests for node in _nodes(request)]
        for request in requests:
            inside = _message_in(request.transform.spec)
            self._messages += _nodes(inside) if inside is not None else []

    def next(self) -> ExpansionRequest:
        """Returns another one, with one to four changes."""
        request = copy.deepcopy(self._chance.choice(self._requests))
        for _ in range(self._chance.randint(1, _MOST_CHANGES)):
            self._change(request)
        return request

    def _change(self, root: Message) -> None:
        """Changes a field of the message, or of one in it; of bytes that are a message, one in that."""
        nodes = _nodes(root)
        node = self._chance.choice(nodes)
        if isinstance(root, ExpansionRequest) and self._chance.random() < _OF_THE_CONFIGURATION:
            node = root.transform.spec
        inside = _message_in(node)
        if inside is not None and self._chance.random() < 0.8:
            self._change(inside)
            node.payload = inside.SerializeToString()  # type: ignore[attr-defined]
            return
        fields = [field for field, _ in node.ListFields()]
        if not fields or self._chance.random() < 0.2:
            fields = list(node.DESCRIPTOR.fields)
        if fields:
            self._change_field(node, self._chance.choice(fields))

    def _change_field(self, node: Message, field: FieldDescriptor) -> None:
        change = self._chance.random()
        if change < 0.15:
            node.ClearField(field.name)
        elif field.message_type is not None and field.message_type.GetOptions().map_entry:
            self._change_map(getattr(node, field.name), field.message_type.fields_by_name)
        elif _is_repeated(field):
            self._change_list(getattr(node, field.name), field)
        elif field.message_type is not None:
            self._graft(getattr(node, field.name))
        else:
            setattr(node, field.name, self._value(field, getattr(node, field.name)))

    def _change_map(self, values: Any, fields: Any) -> None:
        keys = sorted(values)
        key = self._chance.choice(keys) if keys and self._chance.random() < 0.7 else self._text(keys)
        if fields["value"].message_type is None:
            others = [values[other] for other in keys]
            values[key] = self._value(fields["value"], self._chance.choice(others) if others else None)
        elif keys and self._chance.random() < 0.5:
            values[key].CopyFrom(values[self._chance.choice(keys)])
        elif key in values and self._chance.random() < 0.5:
            del values[key]
        else:
            self._graft(values[key])

    def _change_list(self, values: Any, field: FieldDescriptor) -> None:
        change = self._chance.random()
        if values and change < 0.3:
            del values[self._chance.randrange(len(values))]
        elif values and change < 0.6:
            values.extend([copy.deepcopy(self._chance.choice(values))] * self._chance.choice((1, 2, 40)))
        elif field.message_type is not None:
            self._graft(values.add())
        elif values and change < 0.9:
            index = self._chance.randrange(len(values))
            values[index] = self._value(field, values[index])
        else:
            values.append(self._value(field, None))

    def _graft(self, node: Message) -> None:
        """Puts another message of the same kind in, from any request; without one, a value into a field."""
        others = [message for message in self._messages if message.DESCRIPTOR is node.DESCRIPTOR]
        if others and self._chance.random() < 0.5:
            node.CopyFrom(self._chance.choice(others))
            return
        node.SetInParent()
        simple = [field for field in node.DESCRIPTOR.fields if field.message_type is None]
        if simple:
            self._change_field(node, self._chance.choice(simple))

    def _value(self, field: FieldDescriptor, now: Any) -> Any:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self._bytes(now or b"")
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            return self._text([now] if now else [])
        if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            return not now
        if field.cpp_type in _INTEGERS:
            bits = 32 if field.cpp_type not in (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64) else 64
            unsigned = field.cpp_type in (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)
            number = self._chance.choice(_NUMBERS) & ((1 << bits) - 1)
            return number if unsigned or number < 1 << (bits - 1) else number - (1 << bits)
        return self._chance.choice(_FLOATS)

    def _text(self, known: Sequence[str]) -> str:
        text = self._chance.choice(known) if known and self._chance.random() < 0.5 else self._chance.choice(_TEXTS)
        change = self._chance.random()
        if change < 0.2:
            return text[: self._chance.randint(0, len(text))]
        return text + self._chance.choice(_TEXTS) if change < 0.3 else text

    def _bytes(self, now: bytes) -> bytes:
        changed = bytearray(now)
        for _ in range(self._chance.randint(1, 4)):
            where = self._chance.randint(0, len(changed))
            change = self._chance.random()
            if change < 0.5 and where < len(changed):
                changed[where] = self._chance.randrange(256)
            elif change < 0.7:
                del changed[where:]
            elif change < 0.9:
                changed[where:where] = self._chance.randbytes(self._chance.randint(1, 20))
            else:
                changed[where:where] = changed[: self._chance.randint(0, len(changed))]
        return bytes(changed)


def _nodes(root: Message) -> list[Message]:
    """Returns a message and all in it."""
    found, pending = [], [root]
    while pending:
        node = pending.pop()
        found.append(node)
        for field, value in node.ListFields():
            if field.message_type is None:
                continue
            if field.message_type.GetOptions().map_entry:
                if field.message_type.fields_by_name["value"].message_type is not None:
                    pending.extend(value.values())
            else:
                pending.extend(value if _is_repeated(field) else [value])
    return found


def _message_in(node: Message) -> Message | None:
    """Returns the message that the payload of a FunctionSpec is; None where it is none, or this is no such spec."""
    kind = _INSIDE.get(getattr(node, "urn", "")) if node.DESCRIPTOR.name == "FunctionSpec" else None
    if kind is None:
        return None
    message = kind()
    try:
        message.ParseFromString(node.payload)  # type: ignore[attr-defined]
    except DecodeError:
        return None
    return message


def _is_repeated(field: Any) -> bool:
    repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == FieldDescriptor.LABEL_REPEATED
    return bool(repeated)

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What there is to use, as the contract describes it: one plain structure for the command line and the catalogue page.

Nothing is imported that runs: neither Beam nor a framework.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from expansion.contract import urns
from expansion.contract._gen.hook_pb2 import Hook
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.model_pb2 import Model
from expansion.contract._gen.operation_pb2 import Operation
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract._gen.server_pb2 import Preset, PresetConfig
from expansion.contract.config import is_repeated, to_mapping
from expansion.contract.docs import doc_of
from expansion.contract.parts import names_used
from expansion.contract.problems import did_you_mean

KINDS = ("transform", "framework", "hook", "operation", "preset")
# Kind → the oneof whose fields are its names.
_ONEOFS: Mapping[str, Any] = {
    "framework": Model.DESCRIPTOR.oneofs_by_name["framework"],
    "hook": Hook.DESCRIPTOR.oneofs_by_name["operation"],
    "operation": Operation.DESCRIPTOR.oneofs_by_name["operation"],
}
# Messages with an entry of their own, or many: what is in them is not repeated wherever they are used.
_ELSEWHERE = {Model.DESCRIPTOR.full_name, Hook.DESCRIPTOR.full_name, Operation.DESCRIPTOR.full_name}
_TRANSFORMS: tuple[tuple[str, str, Any, tuple[str, str]], ...] = (
    (
        "RunInference",
        "Runs a model over rows, with hooks before and after it.",
        RunInferenceConfig,
        (urns.RUN_INFERENCE, urns.RUN_INFERENCE_SCHEMA_TRANSFORM),
    ),
    (
        "MLTransform",
        "Prepares rows for a model, with operations that may learn from all of them first.",
        MLTransformConfig,
        (urns.ML_TRANSFORM, urns.ML_TRANSFORM_SCHEMA_TRANSFORM),
    ),
)
_TYPES = {
    FieldDescriptor.CPPTYPE_STRING: "text",
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_DOUBLE: "number",
    FieldDescriptor.CPPTYPE_INT64: "integer",
    FieldDescriptor.CPPTYPE_INT32: "integer",
}
_EXTRAS = re.compile(r"\s*(?:No extra|Extras?:[^.]*)\.")
# Hooks that need a package beyond the base install; the extra is one for all of them.
_HOOKS_WITH_EXTRA = ("decode_image", "tokenize", "decode_tokens", "hash")


@dataclass(frozen=True)
class FieldEntry:
    """A field of a configuration.

    Attributes:
        name: Its name.
        type: "text", "number", "integer", "true or false", the name of a message, "list of …" or "map of … to …".
        doc: What the contract says of it, its default and an example among that.
        one_of: Name of the group of which only one field may be set; empty if it is in none.
        fields: The fields of its message. None of a message that has entries of its own: Model, Hook, Operation.
    """

    name: str
    type: str
    doc: str
    one_of: str = ""
    fields: tuple[FieldEntry, ...] = ()


@dataclass(frozen=True)
class Entry:
    """Something to use.

    Attributes:
        kind: One of ``KINDS``.
        name: Its name in the configuration.
        summary: What it does, in a line.
        doc: What it does.
        fields: What is set of it.
        extras: Extras of this package, of which workers need one; none for the base install.
        identifiers: URNs by which clients call it, with a serialized message; then with a row.
        config: Of a preset, the configuration that the operator has published. Default: none.
    """

    kind: str
    name: str
    summary: str
    doc: str
    fields: tuple[FieldEntry, ...]
    extras: tuple[str, ...] = ()
    identifiers: tuple[str, ...] = ()
    config: Mapping[str, Any] | None = None


class UnknownNameError(LookupError):
    """There is nothing of a name; the message suggests what may have been meant."""


def entries(presets: Iterable[Preset] = ()) -> list[Entry]:
    """Returns everything that there is to use, kind by kind.

    Args:
        presets: What the operator has published.
    """
    plain = [
        Entry(
            "transform", name, what, doc_of(message.DESCRIPTOR), fields_of(message.DESCRIPTOR), identifiers=identifiers
        )
        for name, what, message, identifiers in _TRANSFORMS
    ]
    of_oneofs = [_entry(kind, field) for kind, oneof in _ONEOFS.items() for field in oneof.fields]
    return [*plain, *of_oneofs, *map(_of_preset, presets)]


def find(among: Iterable[Entry], name: str) -> list[Entry]:
    """Returns the entries of a name, which may be of several kinds; "hook.impute" is of one.

    Raises:
        UnknownNameError: There is none.
    """
    known = list(among)
    kind, _, rest = name.rpartition(".")
    found = [entry for entry in known if entry.name.lower() == rest.lower() and (not kind or entry.kind == kind)]
    if not found:
        hint = did_you_mean(rest, sorted({entry.name for entry in known}))
        raise UnknownNameError(f"there is nothing called {name!r}; {hint}")
    return found


def fields_of(message: Any) -> tuple[FieldEntry, ...]:
    """Returns the fields of a message, given by its descriptor, in order, with those of the messages in it."""
    return tuple(_fields_of(message))


def _fields_of(message: Any) -> Iterator[FieldEntry]:
    for field in message.fields:
        oneof = field.containing_oneof  # `optional` makes one of its own, which says nothing
        one_of = oneof.name if oneof is not None and len(oneof.fields) > 1 else ""
        kind = field.message_type
        nested = kind is not None and not kind.GetOptions().map_entry and kind.full_name not in _ELSEWHERE
        yield FieldEntry(field.name, _type_of(field), doc_of(field), one_of, fields_of(kind) if nested else ())


def _entry(kind: str, field: Any) -> Entry:
    said = doc_of(field)
    extras = ("hooks",) if kind == "hook" and field.name in _HOOKS_WITH_EXTRA else tuple(_extras_in(said))
    doc = doc_of(field.message_type)
    return Entry(kind, field.name, _EXTRAS.sub("", said), doc, fields_of(field.message_type), extras)


def _extras_in(said: str) -> list[str]:
    match = _EXTRAS.search(said)
    return re.findall(r"`([\w-]+)`", match[0]) if match else []


def _of_preset(preset: Preset) -> Entry:
    kind = preset.WhichOneof("transform")
    config = getattr(preset, kind)
    used = names_used(config)
    fields = ((of, field) for of in ("framework", "hook") for field in _ONEOFS[of].fields)
    parts = (_entry(of, field) for of, field in fields if (of, field.name) in used)
    extras = dict.fromkeys(extra for part in parts for extra in part.extras)
    urn = urns.RUN_INFERENCE if kind == "run_inference" else urns.ML_TRANSFORM
    return Entry(
        "preset",
        preset.name,
        _first_sentence(preset.description),
        preset.description,
        fields_of(PresetConfig.DESCRIPTOR),
        tuple(extras),
        (urn, urns.preset_identifier(preset.name)),
        {kind: to_mapping(config)},
    )


def _type_of(field: Any) -> str:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        entry = kind.fields_by_name
        return f"map of {_type_of_one(entry['key'])} to {_type_of_one(entry['value'])}"
    return f"list of {_type_of_one(field)}" if is_repeated(field) else _type_of_one(field)


def _type_of_one(field: Any) -> str:
    return str(field.message_type.name) if field.message_type is not None else _TYPES[field.cpp_type]


def _first_sentence(text: str) -> str:
    first = text.split("\n", 1)[0]
    end = re.search(r"[.:](?= |$)", first)
    return first[: end.start()] + "." if end else first

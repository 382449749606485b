# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a configuration says of places: files that it names, and servers that are called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message


class Kind(Enum):
    """What is at a place."""

    FILE = "file"  # a file or directory, read or written through Beam's filesystems, or a model of the hub
    SERVER = "server"  # what workers call
    LIKE_MODEL = "like the model's uri"


# Every field that says a place, by its message. A test holds it against all fields of the contract that are texts.
PLACES: Mapping[str, Mapping[str, Kind]] = {
    "OnnxModel": {"uri": Kind.FILE},
    "SklearnModel": {"uri": Kind.FILE},
    "PyTorchModel": {"uri": Kind.FILE},
    "XGBoostModel": {"uri": Kind.FILE},
    "CustomModel": {"uri": Kind.FILE},
    "TensorFlowModel": {"uri": Kind.FILE},
    "TensorRtModel": {"uri": Kind.FILE, "engine_cache_uri": Kind.FILE},
    "HuggingFaceModel": {"uri": Kind.FILE},
    "VllmModel": {"uri": Kind.FILE},
    "OpenInferenceModel": {"uri": Kind.SERVER},
    "VertexAiModel": {"api_endpoint": Kind.SERVER, "token_file": Kind.FILE},
    "EmbeddingServiceModel": {"endpoint": Kind.SERVER},
    "PerKeyModels": {"uris": Kind.LIKE_MODEL},
    "Labels": {"uri": Kind.FILE},
    "Tokenize": {"uri": Kind.FILE},
    "DecodeTokens": {"uri": Kind.FILE},
    "Standardize": {"uri": Kind.FILE},
    "MLTransformArtifact": {"read_artifact_location": Kind.FILE},
    "MLTransformConfig": {"read_artifact_location": Kind.FILE, "write_artifact_location": Kind.FILE},
}
# Fields called as places are that hold the name of a model at a provider.
NAMES: Mapping[str, str] = {"VertexAiModel": "uri", "EmbeddingServiceModel": "uri"}


@dataclass(frozen=True)
class Location:
    """A place that a configuration names.

    Attributes:
        path: Field path.
        uri: What it says.
        kind: FILE or SERVER.
    """

    path: str
    uri: str
    kind: Kind


def locations_of(config: Message) -> Iterator[Location]:
    """Yields the places that a configuration names, in the order of its fields."""
    kind_of_model = _kind_of_model(config)
    for path, uri, kind in _walk(config, ""):
        if kind is not Kind.LIKE_MODEL:
            yield Location(path, uri, kind)
        elif kind_of_model:
            yield Location(path, uri, kind_of_model)


def _walk(message: Message, prefix: str) -> Iterator[tuple[str, str, Kind]]:
    places = PLACES.get(message.DESCRIPTOR.name, {})
    for field, value in message.ListFields():
        path = f"{prefix}{field.name}"
        kind = places.get(field.name)
        if kind is not None:
            values = value.items() if isinstance(value, Mapping) else [("", value)]
            yield from ((f"{path}.{key}" if key else path, uri, kind) for key, uri in sorted(values) if uri)
        elif field.message_type is not None and not field.message_type.GetOptions().map_entry:
            for index, item in enumerate(value if _is_repeated(field) else [value]):
                yield from _walk(item, f"{path}[{index}]." if _is_repeated(field) else f"{path}.")


def _is_repeated(field: Any) -> bool:
    # Newer protobuf runtimes deprecate `label`, older ones do not have `is_repeated`.
    repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == FieldDescriptor.LABEL_REPEATED
    return bool(repeated)


def kind_of_uri(message: Message) -> Kind | None:
    """Returns what ``uri`` of a framework's message says; None where that is a provider's name."""
    return PLACES.get(message.DESCRIPTOR.name, {}).get("uri")


def _kind_of_model(config: Any) -> Kind | None:
    """Returns what the uri of a configuration's model says; None where it has no model, or it is a provider's name."""
    model = getattr(config, "model", None)
    framework = model.WhichOneof("framework") if model is not None else None
    return kind_of_uri(getattr(model, framework)) if framework else None

# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.config import parse
from expansion.contract.locations import NAMES, PLACES, Kind, locations_of

# Every other field of clients that is a text, a list of texts or has texts by name: none of them says a place. A field
# that is in neither list fails the test below, for somebody to decide whether services must look at what it says.
NO_PLACES = {
    "accelerator",
    "arguments",
    "by_row",
    "categories",
    "channels",
    "class_arguments",
    "column",
    "columns",
    "datatype",
    "delimiters",
    "device",
    "dtype",
    "autocast",
    "engine",
    "environment",
    "env_vars",
    "format",
    "function",
    "graph_optimization",
    "ids_output",
    "index_suffix",
    "indices_output",
    "input",
    "input_format",
    "instance_format",
    "labels",
    "layout",
    "length_column",
    "mask_output",
    "methods",
    "min_ram",
    "model_class",
    "model_id",
    "name",
    "opaque_columns",
    "organization",
    "output",
    "outputs",
    "padding",
    "pair_column",
    "parameters",
    "precision",
    "preset",
    "provider",
    "providers",
    "resize",
    "return_columns",
    "separator",
    "server_args",
    "session_config",
    "sha256",
    "signature_key",
    "signature_name",
    "source",
    "stop",
    "strategy",
    "system",
    "task",
    "task_type",
    "text",
    "trusted_types",
    "type_ids_output",
    "values_output",
    "weight_column",
    "weight_suffix",
    "unit",
}
_REACHED = (RunInferenceConfig.DESCRIPTOR, MLTransformConfig.DESCRIPTOR)


def texts() -> list[tuple[str, str]]:
    """Returns the message and the name of every field of a configuration that holds texts."""
    found, pending, seen = [], list(_REACHED), set()
    while pending:
        message: Descriptor = pending.pop()
        if message.full_name in seen:
            continue
        seen.add(message.full_name)
        for field in message.fields:
            nested = field.message_type
            if nested is not None and nested.GetOptions().map_entry:
                nested = nested.fields_by_name["value"].message_type
                found.append((message.name, field.name))
            elif field.type == FieldDescriptor.TYPE_STRING:
                found.append((message.name, field.name))
            if nested is not None:
                pending.append(nested)
    return found


def test_of_every_text_in_the_contract_it_is_known_whether_it_says_a_place():
    unknown = [
        f"{message}.{name}"
        for message, name in texts()
        if name not in PLACES.get(message, {}) and NAMES.get(message) != name and name not in NO_PLACES
    ]
    assert unknown == []


def test_no_field_that_is_called_as_a_place_is_taken_for_something_else():
    called = {"uri", "uris", "url", "path", "file", "location", "directory", "endpoint", "host", "address"}
    missing = [
        f"{message}.{name}"
        for message, name in texts()
        if called & set(name.split("_")) and name not in PLACES.get(message, {}) and NAMES.get(message) != name
    ]
    assert missing == []


def test_fields_of_places_are_there():
    assert {(message, name) for message, names in PLACES.items() for name in names} <= set(texts())


def found(kind, config) -> dict[str, tuple[str, Kind]]:
    parsed = parse(kind, config)
    assert parsed.problems == []
    return {location.path: (location.uri, location.kind) for location in locations_of(parsed.config)}


def test_places_are_found_wherever_they_are():
    hooks = [{"tokenize": {"uri": "t"}}, {"labels": {"uri": "l"}}, {"ml_transform": {"read_artifact_location": "a"}}]
    config = {
        "model": {"tensorrt": {"uri": "m", "engine_cache_uri": "c"}},
        "pre_hooks": hooks,
        "per_key": {"uris": {"de": "d", "at": "a"}},
        "then": [{"model": {"open_inference": {"uri": "grpc://s/m"}}, "post_hooks": [{"standardize": {"uri": "s"}}]}],
    }
    assert found(RunInferenceConfig, config) == {
        "model.tensorrt.uri": ("m", Kind.FILE),
        "model.tensorrt.engine_cache_uri": ("c", Kind.FILE),
        "pre_hooks[0].tokenize.uri": ("t", Kind.FILE),
        "pre_hooks[1].labels.uri": ("l", Kind.FILE),
        "pre_hooks[2].ml_transform.read_artifact_location": ("a", Kind.FILE),
        "per_key.uris.at": ("a", Kind.FILE),
        "per_key.uris.de": ("d", Kind.FILE),
        "then[0].model.open_inference.uri": ("grpc://s/m", Kind.SERVER),
        "then[0].post_hooks[0].standardize.uri": ("s", Kind.FILE),
    }


def test_models_of_arms_ensembles_and_embeddings_are_among_them():
    arm = {"name": "a", "model": {"onnx": {"uri": "m"}}}
    assert list(found(RunInferenceConfig, {"split": {"arms": [arm]}})) == ["split.arms[0].model.onnx.uri"]
    ensemble = {"ensemble": {"models": [{"sklearn": {"uri": "m"}}]}}
    assert list(found(RunInferenceConfig, ensemble)) == ["ensemble.models[0].sklearn.uri"]
    embed = {"operations": [{"embed": {"model": {"pytorch": {"uri": "m"}}}}], "write_artifact_location": "w"}
    assert list(found(MLTransformConfig, embed)) == ["operations[0].embed.model.pytorch.uri", "write_artifact_location"]


def test_names_at_providers_are_no_places_and_neither_are_those_of_keys():
    model = {"embedding_service": {"uri": "text-embedding-3-small", "endpoint": "https://e"}}
    config = {"model": model, "per_key": {"uris": {"de": "text-embedding-3-large"}}}
    assert found(RunInferenceConfig, config) == {"model.embedding_service.endpoint": ("https://e", Kind.SERVER)}
    servers = {"model": {"open_inference": {}}, "per_key": {"uris": {"de": "grpc://s/m"}}}
    assert found(RunInferenceConfig, servers) == {"per_key.uris.de": ("grpc://s/m", Kind.SERVER)}

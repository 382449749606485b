# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Discovery: the transforms that clients can call with a configuration row, and the schemas of those rows.

A schema is derived from the descriptor of the configuration's message, so that it has whatever the contract has. Every
field is nullable, as null is what the contract calls unset, and messages, those of a oneof among them, are rows. What
is required and what excludes what, Beam's schemas can't say: the descriptions do, and an expansion checks it.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from functools import cache

from apache_beam.portability.api import beam_expansion_api_pb2, schema_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from expansion.contract.config import is_repeated
from expansion.contract.docs import doc_of

_ATOMIC = {
    FieldDescriptor.CPPTYPE_STRING: schema_pb2.STRING,
    FieldDescriptor.CPPTYPE_BOOL: schema_pb2.BOOLEAN,
    FieldDescriptor.CPPTYPE_DOUBLE: schema_pb2.DOUBLE,
    FieldDescriptor.CPPTYPE_INT64: schema_pb2.INT64,
    FieldDescriptor.CPPTYPE_INT32: schema_pb2.INT32,
}


# Clients give inputs and outputs these names. A second input, of model uris, and the errors are there when asked for.
_INPUTS, _OUTPUTS = ("input",), ("output", "errors")


def answer(configs: Iterable[tuple[str, type[Message], str]]) -> beam_expansion_api_pb2.DiscoverSchemaTransformResponse:
    """Describes schema transforms.

    Args:
        configs: Of each transform the identifier, the message of its configuration, and what it does.
    """
    response = beam_expansion_api_pb2.DiscoverSchemaTransformResponse()
    for identifier, kind, description in configs:
        response.schema_transform_configs[identifier].CopyFrom(
            beam_expansion_api_pb2.SchemaTransformConfig(
                config_schema=schema_of(kind.DESCRIPTOR),
                input_pcollection_names=_INPUTS,
                output_pcollection_names=_OUTPUTS,
                description=description,
            )
        )
    return response


@cache
def schema_of(message: Descriptor) -> schema_pb2.Schema:
    """Returns the schema of a configuration row.

    Args:
        message: The descriptor of the configuration; no message in it contains itself.

    Returns:
        The schema. Its id, and that of each row in it, is a UUID made of its content: the same in every process and
        release in which the contract is the same. SDKs keep schemas by their ids, and Java's takes UUIDs only.
    """
    schema = schema_pb2.Schema()
    for position, field in enumerate(message.fields):
        schema.fields.add(
            name=field.name,
            description=doc_of(field),
            type=_type_of(field),
            id=position,
            encoding_position=position,
        )
    content = hashlib.sha256(schema.SerializeToString(deterministic=True)).hexdigest()
    schema.id = str(uuid.uuid5(uuid.NAMESPACE_OID, content))
    return schema


def _type_of(field: FieldDescriptor) -> schema_pb2.FieldType:
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entry = field.message_type.fields_by_name
        kind = schema_pb2.FieldType(
            map_type=schema_pb2.MapType(key_type=_type_of_one(entry["key"]), value_type=_type_of_one(entry["value"]))
        )
    elif is_repeated(field):
        kind = schema_pb2.FieldType(array_type=schema_pb2.ArrayType(element_type=_type_of_one(field)))
    else:
        kind = _type_of_one(field)
    kind.nullable = True
    return kind


def _type_of_one(field: FieldDescriptor) -> schema_pb2.FieldType:
    if field.message_type is not None:
        return schema_pb2.FieldType(row_type=schema_pb2.RowType(schema=schema_of(field.message_type)))
    return schema_pb2.FieldType(atomic_type=_ATOMIC[field.cpp_type])

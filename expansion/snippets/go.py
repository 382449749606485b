# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Snippets in Go: the configuration as a struct, which goes to the service as a row."""

from __future__ import annotations

import json
import re
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from expansion.contract._gen.server_pb2 import PresetConfig
from expansion.contract.config import is_repeated
from expansion.contract.fields import Field, Fields
from expansion.errors import ConfigError, Problem
from expansion.snippets.call import SERVICE, Call
from expansion.snippets.input_columns import example_of
from expansion.transforms.output_fields import planned_fields

_EXAMPLES = {"STRING": '"a text"', "BYTES": '[]byte("bytes")', "BOOL": "true", "many": "many({count}, {of})"}
_TYPES = {
    "STRING": "string",
    "BYTES": "[]byte",
    "BOOL": "bool",
    "FP64": "float64",
    "FP32": "float32",
    "FP16": "float32",
    "INT64": "int64",
    "UINT32": "int64",
    "INT32": "int32",
    "UINT16": "int32",
    "INT16": "int16",
    "UINT8": "int16",
    "INT8": "int8",
}
_SCALARS = {
    FieldDescriptor.CPPTYPE_STRING: "string",
    FieldDescriptor.CPPTYPE_BOOL: "bool",
    FieldDescriptor.CPPTYPE_DOUBLE: "float64",
    FieldDescriptor.CPPTYPE_INT64: "int64",
    FieldDescriptor.CPPTYPE_INT32: "int64",
}
_RESERVED = ("select", "range", "map", "type", "func", "element", "result", "payload", "main", "init", "service")
_CODE = """\
// {what}, as {name} configures it.
//
//	{serve}   # in another terminal
//	go mod init example && go mod tidy && go run .
package main

import (
	"context"
	"flag"
	"log"
	"reflect"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/xlangx"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/typex"
	pipepb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/pipeline_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/x/beamx"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/x/debug"
	"google.golang.org/protobuf/proto"
)

var service = flag.String("service", "{service}", "address of the expansion service")

// element is what comes in: replace it by your own.
type element struct {{
{element}
}}

// result is an element with its predictions.
type result struct {{
{result}
}}

{types}
func init() {{
	beam.RegisterType(reflect.TypeOf((*element)(nil)).Elem())
	beam.RegisterType(reflect.TypeOf((*result)(nil)).Elem())
}}

func main() {{
	flag.Parse()
	beam.Init()
	pipeline, scope := beam.NewPipelineWithRoot()
	elements := beam.Create(scope, element{{{values}}})
	outputs := map[string]beam.FullType{{"output": typex.New(reflect.TypeOf((*result)(nil)).Elem())}}
	results := beam.CrossLanguage(scope, "beam:expansion:payload:schematransform:v1", payload(), *service,
		map[string]beam.PCollection{{"input": elements}}, outputs)
	debug.Print(scope, results["output"])
	if err := beamx.Run(context.Background(), pipeline); err != nil {{
		log.Fatal(err)
	}}
}}

// payload returns the configuration, as a row of its own schema.
func payload() []byte {{
	row, err := xlangx.CreateExternalConfigurationPayload({config})
	if err != nil {{
		log.Fatal(err)
	}}
	payload, err := proto.Marshal(&pipepb.SchemaTransformPayload{{
		Identifier:          {identifier},
		ConfigurationSchema: row.GetSchema(),
		ConfigurationRow:    row.GetPayload(),
	}})
	if err != nil {{
		log.Fatal(err)
	}}
	return payload
}}
"""
_MANY = """
// many returns a slice of so many equal values.
func many[T any](count int, value T) []T {
	values := make([]T, count)
	for i := range values {
		values[i] = value
	}
	return values
}
"""
_POINTER = """
// ptr returns a pointer to what may be unset.
func ptr[T any](value T) *T { return &value }
"""


def snippet(call: Call) -> str:
    """Returns a program that has a service run it.

    Raises:
        ConfigError: What output rows hold, which Go has to know, can't be worked out; or there is a second input.
    """
    if call.uris:
        raise ConfigError([Problem("model_uris", "takes a second input; write its pipeline in Python or Java")])
    outputs = planned_fields(call.config, call.columns, list(call.columns))
    config = PresetConfig() if call.preset else type(call.config).FromString(call.config.SerializeToString())
    config.ClearField("error_handling")  # Go has to know the types of all outputs
    structs = _Structs(config)
    said = structs.literal(config)
    values = ", ".join(f"{_public(field.name)}: {_value(field)}" for field in call.columns.values())
    return _CODE.format(
        what=f"The preset {call.preset}" if call.preset else "RunInference" if call.is_inference else "MLTransform",
        name=call.name,
        service=SERVICE,
        serve=call.serve_command,
        element=_fields(call.columns),
        result=_fields(outputs),
        types=structs.types() + (_POINTER if "ptr(" in said else "") + (_MANY if "many(" in values else ""),
        values=values,
        config=said,
        identifier=json.dumps(call.identifier),
    )


class _Structs:
    """Writes messages as structs: of each kind of message one type, with the fields that are set in any of them."""

    def __init__(self, root: Message) -> None:
        self._all: dict[str, list[Message]] = {}
        self._collect(root)

    def types(self) -> str:
        """Returns the definitions of the types."""
        return "\n".join(
            f"type {_type_name(messages[0])} struct {{\n{self._fields(name)}}}\n"
            for name, messages in self._all.items()
        )

    def literal(self, message: Message, depth: int = 1) -> str:
        """Returns a message as a literal."""
        indent = "\t" * depth
        parts = [
            f"{indent}\t{_public(field.name)}: {self._value(field, value, depth + 1)},\n"
            for field, value in message.ListFields()
        ]
        return f"{_type_name(message)}{{\n{''.join(parts)}{indent}}}" if parts else f"{_type_name(message)}{{}}"

    def _collect(self, message: Message) -> None:
        self._all.setdefault(message.DESCRIPTOR.full_name, []).append(message)
        for field, value in message.ListFields():
            if field.message_type is not None and not field.message_type.GetOptions().map_entry:
                for each in value if is_repeated(field) else [value]:
                    self._collect(each)

    def _fields(self, name: str) -> str:
        messages = self._all[name]
        used = {field.name for message in messages for field, _ in message.ListFields()}
        fields = [field for field in messages[0].DESCRIPTOR.fields if field.name in used]
        return "".join(f'\t{_public(field.name)} {self._type(field)} `beam:"{field.name}"`\n' for field in fields)

    def _type(self, field: Any) -> str:
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            kinds = field.message_type.fields_by_name
            return f"map[{_SCALARS[kinds['key'].cpp_type]}]{_SCALARS[kinds['value'].cpp_type]}"
        if field.message_type is not None:
            kind = _private(field.message_type.name)
            return f"[]{kind}" if is_repeated(field) else f"*{kind}"
        kind = _SCALARS[field.cpp_type]
        return f"[]{kind}" if is_repeated(field) else f"*{kind}" if self._may_be_unset(field) else kind

    def _may_be_unset(self, field: Any) -> bool:
        """Whether zero would mean something else than unset, and some message leaves it unset."""
        messages = self._all[field.containing_type.full_name]
        return field.has_presence and not all(message.HasField(field.name) for message in messages)

    def _value(self, field: Any, value: Any, depth: int) -> str:
        kind = self._type(field)
        if kind.startswith("map"):
            return f"{kind}{{{', '.join(f'{_scalar(key)}: {_scalar(value[key])}' for key in sorted(value))}}}"
        if is_repeated(field):
            items = (self.literal(item, depth) if field.message_type is not None else _scalar(item) for item in value)
            return f"{kind}{{{', '.join(items)}}}"
        if field.message_type is not None:
            return f"&{self.literal(value, depth)}"
        return f"ptr({kind[1:]}({_scalar(value)}))" if kind.startswith("*") else _scalar(value)


def _type_name(message: Message) -> str:
    return _private(message.DESCRIPTOR.name)


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (str, bool)) else repr(value)


def _fields(fields: Fields) -> str:
    return "\n".join(f'\t{_public(field.name)} {_type(field)} `beam:"{field.name}"`' for field in fields.values())


def _type(field: Field) -> str:
    return "[]" * len(field.shape) + _TYPES[field.datatype]


def _value(field: Field) -> str:
    kind = _TYPES[field.datatype]
    number = "0.5" if field.datatype.startswith("FP") else "1"
    examples = {**_EXAMPLES, field.datatype: f"{kind}({number})"} if field.datatype not in _EXAMPLES else _EXAMPLES
    return example_of(field, examples, number, number)


def _public(name: str) -> str:
    words = re.findall(r"[A-Za-z0-9]+", name)
    return "".join(word[0].upper() + word[1:] for word in words) or "Field"


def _private(name: str) -> str:
    public = _public(name)
    private = public[0].lower() + public[1:]
    return f"{private}Config" if private in _RESERVED else private

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Snippets in Python."""

from __future__ import annotations

import json
from keyword import iskeyword

from expansion.contract.fields import Field
from expansion.errors import ConfigError, Problem
from expansion.snippets.call import SERVICE, Call, as_yaml
from expansion.snippets.input_columns import example_of

_EXAMPLES = {"STRING": '"a text"', "BYTES": 'b"bytes"', "BOOL": "True", "many": "[{of}] * {count}"}
# Beam's schemas have no unsigned integers and no half precision; FP64 and INT64 are Python's own.
_TYPES = {
    "STRING": "str",
    "BYTES": "bytes",
    "BOOL": "bool",
    "FP64": "float",
    "FP32": "np.float32",
    "FP16": "np.float32",
    "INT64": "int",
    "UINT32": "int",
    "INT32": "np.int32",
    "UINT16": "np.int32",
    "INT16": "np.int16",
    "UINT8": "np.int16",
    "INT8": "np.int8",
}
_CODE = '''"""{what}, as {name} configures it.

Usage: python {name}.py [Beam options, such as --runner]{service}
"""
{imports}

class Element(NamedTuple):
    """What comes in. Replace it by your own columns, and the example below by your own source."""

{fields}


beam.coders.registry.register_coder(Element, beam.coders.RowCoder)

{config}


def main() -> None:
    """Runs the pipeline."""
    with beam.Pipeline() as pipeline:
        elements = pipeline | beam.Create([Element({values})]).with_output_types(Element)
{apply}
        results["output"] | "Print" >> beam.Map(print)
        results["{errors}"] | "PrintErrors" >> beam.Map(lambda row: print("failed:", row))


if __name__ == "__main__":
    main()
'''


def snippet(call: Call) -> str:
    """Returns a module that runs it; of a preset, one that asks a service for it.

    Raises:
        ConfigError: A column has a name that no class in Python can give to a field.
    """
    unfit = [name for name in call.columns if not name.isidentifier() or iskeyword(name) or name.startswith("_")]
    if unfit:
        reason = "is no name that a field of a class may have in Python; give the column another one"
        raise ConfigError([Problem("", f"column {name!r} {reason}") for name in unfit])
    what = "RunInference" if call.is_inference else "MLTransform"
    fields = [f"    {field.name}: {_type(field)}" for field in call.columns.values()]
    values = (f"{field.name}={_value(field)}" for field in call.columns.values())
    return _CODE.format(
        what=what,
        name=call.name,
        service=f"\nIt calls a service: {call.serve_command}" if call.preset else "",
        imports=_imports(call, what, "\n".join(fields)),
        fields="\n".join(fields),
        config=_config(call, what),
        values=", ".join(values),
        apply="\n".join(f"        {line}" for line in _apply(call, what)),
        errors=call.errors,
    )


def _imports(call: Call, what: str, types: str) -> str:
    lines = ["from typing import NamedTuple", "", "import apache_beam as beam"]
    if "Sequence" in types:
        lines.insert(0, "from collections.abc import Sequence")
    if "np." in types:
        lines.append("import numpy as np")
    if call.preset:
        module = "run_inference_pb2" if call.is_inference else "ml_transform_pb2"
        ours = f"from expansion.contract._gen.{module} import {what}Config"
    else:
        ours = f"from expansion import {what}"
    return "\n" + "\n".join([*lines, "", ours]) + "\n"


def _config(call: Call, what: str) -> str:
    if call.preset:
        return f'CONFIG = {what}Config(preset="{call.preset}", error_handling={{"output": "{call.errors}"}})'
    text = as_yaml(call.mapping()).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'CONFIG = """\\\n{text}"""'


def _apply(call: Call, what: str) -> list[str]:
    transform = f"{what}(CONFIG)"
    if call.preset:
        transform = f'beam.ExternalTransform("{call.urn}", CONFIG.SerializeToString(), "{SERVICE}")'
    if not call.uris:
        return [f'results = elements | "{what}" >> {transform}']
    return [
        f'uris = pipeline | "Uris" >> beam.Create([{json.dumps(call.uris)}])  # of newer models',
        f'results = {{"input": elements, "model_uris": uris}} | "{what}" >> {transform}',
    ]


def _type(field: Field) -> str:
    kind = _TYPES[field.datatype]
    for _ in field.shape:
        kind = f"Sequence[{kind}]"
    return kind


def _value(field: Field) -> str:
    return example_of(field, _EXAMPLES, "0.5", "1")

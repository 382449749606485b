# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Snippets for Beam YAML: a pipeline, and the service as a provider of type `remote`."""

from __future__ import annotations

from typing import Any

from expansion.contract.fields import Field
from expansion.errors import ConfigError, Problem
from expansion.snippets.call import SERVICE, Call, as_yaml

_COMMENT = """\
# {what}, as {name} configures it.
#
#   {serve}   # in another terminal
#   python -m apache_beam.yaml.main --yaml_pipeline_file={name}.yaml
"""
_SIZE = 4


def snippet(call: Call) -> str:
    """Returns a pipeline that has the service run it.

    Raises:
        ConfigError: It takes a second input, which Beam YAML does not give to a transform of a service by itself.
    """
    if call.uris:
        raise ConfigError([Problem("model_uris", "takes a second input; write its pipeline in Python or Java")])
    transform = call.class_name
    config = {"error_handling": {"output": call.errors}} if call.preset else call.mapping()
    pipeline = {
        "transforms": [
            {"type": "Create", "name": "Elements", "config": {"elements": [_row(call)]}},
            {"type": transform, "input": "Elements", "config": config},
            {"type": "LogForTesting", "name": "Print", "input": f"{transform}.output"},
            {"type": "LogForTesting", "name": "PrintErrors", "input": f"{transform}.{call.errors}"},
        ]
    }
    provider = {"type": "remote", "config": {"address": SERVICE}, "transforms": {transform: call.identifier}}
    what = f"The preset {call.preset}" if call.preset else "RunInference" if call.is_inference else "MLTransform"
    return _COMMENT.format(what=what, name=call.name, serve=call.serve_command) + as_yaml(
        {"pipeline": pipeline, "providers": [provider]}
    )


def _row(call: Call) -> dict[str, Any]:
    return {field.name: _value(field) for field in call.columns.values()}


def _value(field: Field) -> Any:
    known = {"STRING": "a text", "BYTES": b"bytes", "BOOL": True}
    value = known.get(field.datatype, 0.5 if field.datatype.startswith("FP") else 1)
    for size in reversed(field.shape):
        value = [value] * (_SIZE if size < 0 else size)
    return value

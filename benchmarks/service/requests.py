# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Requests for the same work on both sides: a scikit-learn classifier on keyed rows of two features.

Beam's own is what its Java RunInference sends: RunInference.from_callable by its fully qualified name, with a callable
that makes the handler and its keyword arguments. Its key is that of KV elements; ours is a column.
"""

from __future__ import annotations

import copy
import functools
import pickle
from pathlib import Path

import apache_beam as beam
import numpy as np
import skops.io
from apache_beam.portability.api import beam_expansion_api_pb2, schema_pb2
from apache_beam.transforms.external import ExternalTransform
from apache_beam.transforms.fully_qualified_named_transform import (
    PYTHON_FULLY_QUALIFIED_NAMED_TRANSFORM_URN,
    FullyQualifiedNamedTransform,
)
from apache_beam.utils.python_callable import PythonCallableWithSource
from sklearn.linear_model import LogisticRegression

from expansion.contract import urns
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig

ExpansionRequest = beam_expansion_api_pb2.ExpansionRequest

_HANDLER = """
def handler(model_uri):
    from apache_beam.ml.inference.base import KeyedModelHandler
    from apache_beam.ml.inference.sklearn_inference import SklearnModelHandlerNumpy
    return KeyedModelHandler(SklearnModelHandlerNumpy(model_uri))
"""


class Requests:
    """Makes requests for one model, which is written to a folder in the formats of both sides."""

    def __init__(self, folder: Path):
        rows = np.random.default_rng(0).normal(size=(100, 2))
        model = LogisticRegression().fit(rows, (rows[:, 0] > 0).astype(int))
        self._skops, self._pickle = folder / "model.skops", folder / "model.pickle"
        skops.io.dump(model, self._skops)
        self._pickle.write_bytes(pickle.dumps(model))

    def ours(self, number: int, schema_number: int = 0) -> ExpansionRequest:
        """Returns a request to our service.

        Args:
            number: Another one is another configuration.
            schema_number: Another one is another input schema.
        """
        features = [f"a{schema_number}", f"b{schema_number}"]
        config = RunInferenceConfig(
            model={"sklearn": {"uri": str(self._skops)}},
            inputs=[{"name": "X", "columns": features}],
            post_hooks=[{"labels": {"column": "predict", "output": f"label{number}", "labels": ["no", "yes"]}}],
            error_handling={"output": "errors"},
        )
        request = copy.deepcopy(_rows_request())
        request.transform.spec.urn, request.transform.spec.payload = urns.RUN_INFERENCE, config.SerializeToString()
        _set_schema(request, ["key", *features])
        return request

    def stock(self, number: int, schema_number: int = 0) -> ExpansionRequest:
        """Returns a request to Beam's own service; see ``ours``."""
        transform = FullyQualifiedNamedTransform(
            "apache_beam.ml.inference.base.RunInference.from_callable",
            (),
            {
                "model_handler_provider": PythonCallableWithSource(_HANDLER),
                "model_uri": f"{self._pickle.parent}/{number}/{self._pickle.name}",
            },
        )
        _, payload = transform.to_runner_api_parameter(None)
        _forget_ids(payload.schema)
        request = copy.deepcopy(_keyed_request())
        request.transform.spec.urn = PYTHON_FULLY_QUALIFIED_NAMED_TRANSFORM_URN
        request.transform.spec.payload = payload.SerializeToString()
        _set_schema(request, [f"a{schema_number}", f"b{schema_number}"])
        return request


class _CapturedError(Exception):
    pass


class _Recorder:
    """Stands in for a service: keeps the request."""

    def Expand(self, request: ExpansionRequest) -> None:  # noqa: N802
        self.request = request
        raise _CapturedError


def _captured(source: beam.PTransform) -> ExpansionRequest:
    recorder = _Recorder()
    try:
        _ = beam.Pipeline() | source | ExternalTransform("", b"", recorder)
    except _CapturedError:
        return recorder.request
    raise AssertionError("ExternalTransform made no request")


@functools.cache
def _rows_request() -> ExpansionRequest:
    return _captured(beam.Create([beam.Row(key="k", a=0.5, b=0.5)]))


@functools.cache
def _keyed_request() -> ExpansionRequest:
    row = beam.Row(a=0.5, b=0.5)
    return _captured(beam.Create([("k", row)]))


def _set_schema(request: ExpansionRequest, names: list[str]) -> None:
    """Gives the rows other names, and no id: as of an SDK that has none, and as another schema with an id would be."""
    for coder in request.components.coders.values():
        if coder.spec.urn == "beam:coder:row:v1":
            schema = schema_pb2.Schema.FromString(coder.spec.payload)
            for field, name in zip(schema.fields, names, strict=True):
                field.name = name
            _forget_ids(schema)
            coder.spec.payload = schema.SerializeToString()


def _forget_ids(schema: schema_pb2.Schema) -> None:
    schema.id = ""
    for field in schema.fields:
        if field.type.HasField("row_type"):
            _forget_ids(field.type.row_type.schema)

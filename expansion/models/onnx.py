# Licensed under the Apache License, Version 2.0; see LICENSE.
"""onnx: ONNX models, run by ONNX Runtime."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import model_pb2
from expansion.contract.permissions import Permission
from expansion.errors import ConfigError, Problem, SystemicError, first_line
from expansion.files import looks_like, open_on_host, read_on_worker
from expansion.models.onnx_graph import Graph, read_graph
from expansion.models.runtime import Runtime
from expansion.models.signature import Signature, column_of
from expansion.models.wire import WireError
from expansion.tensors.arrays import stack
from expansion.tensors.columns import Column, Columns


def check(config: model_pb2.OnnxModel) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    if not config.uri:
        yield Problem("uri", "missing; expected the path or URI of an .onnx file")


def permissions(config: model_pb2.OnnxModel) -> Iterator[Permission]:
    """Yields nothing: an ONNX file holds tensors and operators, and no code."""
    yield from ()


def signature(config: model_pb2.OnnxModel) -> Signature:
    """Returns the graph's inputs and outputs, read without the weights."""
    with open_on_host(config.uri) as file:
        head = file.read(64)
        try:
            graph = read_graph(file)
        except WireError as error:
            raise ConfigError([Problem("uri", _no_model(config.uri, error, head))]) from error
    if graph.problems:
        raise ConfigError([Problem("uri", f"{config.uri!r}: {problem}") for problem in graph.problems])
    return graph.signature


def build(config: model_pb2.OnnxModel, runtime: Runtime = Runtime()) -> OnnxRuntimeModel:
    """Loads the model."""
    try:
        import onnxruntime
    except ImportError as error:
        raise SystemicError("onnxruntime is missing; install beam-ml-expansion[onnx] on the workers") from error

    content = read_on_worker(config.uri)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = runtime.thread_count()
    options.log_severity_level = 4  # fatal; errors are raised, and would be logged for every bad row
    try:
        graph = read_graph(io.BytesIO(content))
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except WireError as error:
        raise SystemicError(_no_model(config.uri, error, content[:64])) from error
    except Exception as error:  # ONNX Runtime has an exception class for each of its error codes, all of them private
        raise SystemicError(f"ONNX Runtime can't load {config.uri!r}: {first_line(error)}") from error
    return OnnxRuntimeModel(session, graph)


class OnnxRuntimeModel:
    """A session of ONNX Runtime."""

    def __init__(self, session: Any, graph: Graph):
        self._session = session
        self._graph = graph

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Runs the model on a batch; row by row if the model takes one row at a time."""
        row_count = next(iter(inputs.values())).row_count
        feed = {name: stack(columns, self._graph.signature.inputs[name]) for name, columns in inputs.items()}
        if self._graph.row_by_row:
            rows = [
                self._call({name: array[row : row + 1] for name, array in feed.items()}, outputs)
                for row in range(row_count)
            ]
            results = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
        else:
            results = self._call(feed, outputs)
        return {name: column_of(name, result, row_count) for name, result in zip(outputs, results, strict=True)}

    def _call(self, feed: Mapping[str, npt.NDArray[Any]], outputs: Sequence[str]) -> list[npt.NDArray[Any]]:
        try:
            results = self._session.run(list(outputs), feed)
        except Exception as error:
            reason = first_line(error)
            if "allocate memory" in reason:
                raise MemoryError(reason) from error
            if type(error).__module__.startswith("onnxruntime."):
                raise ValueError(reason) from error
            raise
        for name, result in zip(outputs, results, strict=True):
            if not isinstance(result, np.ndarray):
                raise SystemicError(self._graph.signature.notes.get(name, f"output {name!r} is no tensor"))
        return list(results)


def _no_model(uri: str, error: WireError, head: bytes) -> str:
    """Says why a file is no ONNX model."""
    guess = looks_like(head)
    return f"{uri!r} is no ONNX model" + (guess or f", or only a part of one: {error}")

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""onnx: ONNX models, run by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import model_pb2
from expansion.contract.permissions import Permission
from expansion.errors import ConfigError, Problem, SystemicError, first_line
from expansion.files import local_file, open_on_host
from expansion.models.onnx_graph import Graph, check_graph
from expansion.models.onnx_session import check_session, giving_back, make_session
from expansion.models.resource_errors import resource_error
from expansion.models.runtime import Runtime
from expansion.models.signature import Signature
from expansion.tensors.arrays import stack
from expansion.tensors.columns import Column, Columns
from expansion.tensors.results import column_of


def check(config: model_pb2.OnnxModel) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    if not config.uri:
        yield Problem("uri", "missing; expected the path or URI of an .onnx file")
    yield from check_session(config)


def permissions(config: model_pb2.OnnxModel) -> Iterator[Permission]:
    """Yields nothing: an ONNX file holds tensors and operators, and no code."""
    yield from ()


def is_one_file(config: model_pb2.OnnxModel) -> bool:
    """Says that a model is always one file."""
    return True


def signature(config: model_pb2.OnnxModel) -> Signature:
    """Returns the graph's inputs and outputs, read without the weights."""
    with open_on_host(config.uri) as file:
        return check_graph(config.uri, file).signature


def build(config: model_pb2.OnnxModel, runtime: Runtime = Runtime()) -> OnnxRuntimeModel:
    """Loads the model."""
    try:
        import onnxruntime  # noqa: F401 - so that it is known to be there
    except ImportError as error:
        raise SystemicError("onnxruntime is missing; install beam-ml-expansion[onnx] on the workers") from error

    with local_file(config.uri) as path:
        graph = _graph(config.uri, path)
        try:
            session = make_session(path, config, runtime)
        except SystemicError:
            raise
        except (
            Exception
        ) as error:  # ONNX Runtime has an exception class for each of its error codes, all of them private
            raise SystemicError(f"ONNX Runtime can't load {config.uri!r}: {first_line(error)}") from error
    return OnnxRuntimeModel(session, graph)


def _graph(uri: str, path: Path) -> Graph:
    with path.open("rb") as file:
        try:
            return check_graph(uri, file)
        except ConfigError as error:
            raise SystemicError(error.reason) from error


class OnnxRuntimeModel:
    """A session of ONNX Runtime."""

    def __init__(self, session: Any, graph: Graph):
        self._session = session
        self._graph = graph
        self._giving_back = giving_back(session)
        self._is_short = False  # whether the last call was too large, and what the next one leaves is to be given back

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
            results = self._run_session(list(outputs), feed)
        except Exception as error:
            reason = first_line(error)
            found = resource_error(str(error), reason)
            if found:
                self._is_short = isinstance(found, MemoryError)
                raise found from error
            if type(error).__module__.startswith("onnxruntime."):
                raise ValueError(reason) from error
            raise
        for name, result in zip(outputs, results, strict=True):
            if not isinstance(result, np.ndarray):
                raise SystemicError(self._graph.signature.notes.get(name, f"output {name!r} is no tensor"))
        return results

    def _run_session(self, outputs: list[str], feed: Mapping[str, npt.NDArray[Any]]) -> list[Any]:
        """Runs the session; after a call that ran out of memory it has it give back what it does not use."""
        if self._is_short:
            self._is_short = False
            try:
                return list(self._session.run(outputs, feed, self._giving_back))
            except Exception as error:
                if "memory arena shrink list" not in str(error):
                    raise
                # This build of ONNX Runtime can't do it on such a device.
        return list(self._session.run(outputs, feed))

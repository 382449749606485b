# Licensed under the Apache License, Version 2.0; see LICENSE.
"""sklearn: scikit-learn estimators and pipelines."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import model_pb2
from expansion.contract.fields import Field
from expansion.contract.permissions import Permission
from expansion.contract.problems import did_you_mean
from expansion.errors import ConfigError, Problem, SystemicError, first_line
from expansion.files import local_file, looks_like, open_on_host
from expansion.models.runtime import Runtime
from expansion.models.signature import Signature
from expansion.models.sklearn_outputs import METHODS, signature_of, takes_texts
from expansion.models.skops_file import SkopsError, read_estimator
from expansion.models.skops_trust import is_harmless, is_impostor
from expansion.tensors.arrays import stack
from expansion.tensors.columns import Column, Columns, Dense
from expansion.tensors.results import column_of

_FORMATS = ("skops", "joblib", "pickle")
_INPUT_FORMATS = ("numpy", "pandas")
_INSTALL = "install beam-ml-expansion[sklearn] on the workers"


def check(config: model_pb2.SklearnModel) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    if not config.uri:
        yield Problem("uri", "missing; expected the path or URI of a model file")
    if _format(config) not in _FORMATS:
        yield Problem("format", f"unknown format {config.format!r}; {did_you_mean(config.format, _FORMATS)}")
    for index, method in enumerate(config.methods):
        if method not in METHODS:
            yield Problem(f"methods[{index}]", f"unknown method {method!r}; {did_you_mean(method, METHODS)}")
        elif method in config.methods[:index]:
            yield Problem(f"methods[{index}]", f"{method!r} is named twice; name it once")
    if config.input_format and config.input_format not in _INPUT_FORMATS:
        expected = did_you_mean(config.input_format, _INPUT_FORMATS)
        yield Problem("input_format", f"unknown input format {config.input_format!r}; {expected}")
    if config.trusted_types and _format(config) != "skops":
        yield Problem(
            "trusted_types", f"only skops files have trusted types, and format is {config.format!r}; leave it out"
        )


def permissions(config: model_pb2.SklearnModel) -> Iterator[Permission]:
    """Yields joblib and pickle, and trusted types that are not known to be harmless: such files may run code."""
    if _format(config) != "skops":
        instead = "a format that does not; save the model in another one"
        yield Permission("format", "--allow-format", config.format, "runs code from the model's file", instead)
    for index, name in enumerate(config.trusted_types):
        if not is_harmless(name):
            instead = "classes that estimators are made of; leave it out"
            yield Permission(
                f"trusted_types[{index}]", "--trust-type", name, "may run code from the model's file", instead
            )


def is_one_file(config: model_pb2.SklearnModel) -> bool:
    """Says that a model is always one file."""
    return True


def signature(config: model_pb2.SklearnModel) -> Signature:
    """Returns the input X and the methods called as outputs; joblib and pickle files say nothing."""
    methods = _methods(config)
    with open_on_host(config.uri) as file:
        if _format(config) != "skops":
            _check_head(config, file.read(64))
            reason = (
                f"of a {_format(config)} file nothing is read before workers load it; declare its datatype and shape"
            )
            outputs = {method: Field(method, "") for method in methods}
            return Signature({"X": Field("X", "", (-1,))}, outputs, dict.fromkeys(methods, reason))
        try:
            return signature_of(read_estimator(file), methods, input_format=config.input_format or "numpy")
        except SkopsError as error:
            raise ConfigError([Problem("uri", f"{config.uri!r} is no skops file: {error}")]) from error


def build(config: model_pb2.SklearnModel, runtime: Runtime = Runtime()) -> SklearnEstimator:
    """Loads the estimator. It runs on the CPU.

    Raises:
        SystemicError: It can't be loaded, or a GPU is asked for.
    """
    runtime.pick_device(0)
    try:
        import sklearn  # noqa: F401 - loaders import it by themselves, with worse messages
    except ImportError as error:
        raise SystemicError(f"scikit-learn is missing; {_INSTALL}") from error

    with local_file(config.uri) as path:
        estimator = _load(config, path)
    for method in _methods(config):
        if not hasattr(estimator, method):
            raise SystemicError(f"{type(estimator).__name__} in {config.uri!r} has no method {method}")
    return SklearnEstimator(estimator, config.input_format or "numpy", runtime.threads or 1)


def _load(config: model_pb2.SklearnModel, path: Path) -> Any:
    try:
        return _LOADERS[_format(config)](path, config)
    except SystemicError:
        raise
    except ImportError as error:
        raise SystemicError(
            f"can't load {config.uri!r}: {error}; {_INSTALL}, and what the model uses beside it"
        ) from error
    except Exception as error:  # a damaged file may raise anything
        with path.open("rb") as file:
            guess = looks_like(file.read(64))
        raise SystemicError(f"can't load {config.uri!r} as {_format(config)}: {first_line(error)}{guess}") from error


class SklearnEstimator:
    """A loaded estimator.

    It runs on the thread that calls it unless told otherwise: workers run several bundles at once, and the threads of a
    BLAS that wait for work occupy cores (https://scikit-learn.org/stable/computing/parallelism.html#oversubscription-spawning-too-many-threads).
    """

    def __init__(self, estimator: Any, input_format: str, threads: int):
        from threadpoolctl import ThreadpoolController  # scikit-learn depends on it

        self._estimator = estimator
        self._thread_pools = ThreadpoolController()
        self._threads = threads
        self._to_input = _data_frame if input_format == "pandas" else self._matrix

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Calls the methods that ``outputs`` names."""
        features = self._to_input(inputs["X"])
        row_count = inputs["X"].row_count
        with self._thread_pools.limit(limits=self._threads):
            results = {method: _served(method, getattr(self._estimator, method)(features)) for method in outputs}
        return {method: column_of(method, result, row_count) for method, result in results.items()}

    def _matrix(self, columns: Columns) -> npt.NDArray[Any]:
        first = _first_step(self._estimator)
        if takes_texts(type(first).__module__, type(first).__name__):
            return stack(columns, Field("X", "STRING"))
        return stack(columns, Field("X", "", (getattr(self._estimator, "n_features_in_", -1),)))


def _first_step(estimator: Any) -> Any:
    """Returns what gets the input: an estimator, or the first one in a Pipeline, in a search for parameters or both."""
    while True:
        if hasattr(estimator, "steps"):
            estimator = next((step for _, step in estimator.steps if hasattr(step, "fit")), None)
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            return estimator


def _data_frame(columns: Columns) -> Any:
    import pandas as pd

    for name, column in columns.items():
        if column.shape:
            raise SystemicError(
                f"column {name!r} has rows of shape {list(column.shape)}; input_format pandas takes scalars"
            )
    return pd.DataFrame(
        {name: column.values if isinstance(column, Dense) else column.to_rows() for name, column in columns.items()}
    )


def _served(method: str, result: Any) -> npt.NDArray[Any]:
    """Returns what a method returned as an array of int64, float64, bool or str, whatever it was."""
    if hasattr(result, "toarray"):  # a sparse matrix
        result = result.toarray()
    if isinstance(result, list):  # one array a target
        raise SystemicError(f"{method} returns several arrays, as it does for several targets; only one is supported")
    array = np.asarray(result)
    if array.dtype.kind == "O" and not (array.size and isinstance(array.flat[0], str)):
        array = np.asarray(array.tolist())  # numbers as objects
    if array.dtype.kind in "iu":
        return array.astype(np.int64, copy=False)
    return array.astype(np.float64, copy=False) if array.dtype.kind == "f" else array


def _load_skops(path: Path, config: model_pb2.SklearnModel) -> Any:
    import skops.io

    types = set(skops.io.get_untrusted_types(file=path))
    untrusted = types - set(config.trusted_types)
    if untrusted:
        names = ", ".join(sorted(untrusted))
        raise SystemicError(
            f"{config.uri!r} holds types that are not trusted: {names}; list them in trusted_types if you do"
        )
    impostors = ", ".join(sorted(filter(is_impostor, types)))
    if impostors:
        raise SystemicError(f"{config.uri!r} holds what is no part of an estimator: {impostors}")
    return skops.io.load(path, trusted=list(config.trusted_types))


def _load_joblib(path: Path, config: model_pb2.SklearnModel) -> Any:
    import joblib

    return joblib.load(path)


def _load_pickle(path: Path, config: model_pb2.SklearnModel) -> Any:
    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 - only for operators who allow it


_LOADERS: Mapping[str, Callable[[Path, model_pb2.SklearnModel], Any]] = {
    "skops": _load_skops,
    "joblib": _load_joblib,
    "pickle": _load_pickle,
}


def _format(config: model_pb2.SklearnModel) -> str:
    return config.format or "skops"


def _methods(config: model_pb2.SklearnModel) -> list[str]:
    return list(config.methods) or ["predict"]


def _check_head(config: model_pb2.SklearnModel, head: bytes) -> None:
    compressed = config.format == "joblib" and (head[:1] == b"x" or "compressed" in looks_like(head))
    if not head.startswith(b"\x80") and not compressed:
        raise ConfigError([Problem("uri", f"{config.uri!r} is no {config.format} file{looks_like(head)}")])

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""xgboost: gradient-boosted trees and linear models of XGBoost.

Predictions are those of ``Booster.predict``. Where training stopped early, the trees up to the best iteration count, as
in XGBoost's interface for scikit-learn. A categorical feature takes the category's code, as a number.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt

from expansion.contract._gen import model_pb2
from expansion.contract.fields import Field
from expansion.contract.permissions import Permission
from expansion.contract.problems import did_you_mean
from expansion.errors import BadRows, ConfigError, Problem, SystemicError, first_line
from expansion.files import open_on_host, read_on_worker
from expansion.models.resource_errors import resource_error
from expansion.models.runtime import Runtime, cuda_gpu_count
from expansion.models.signature import Signature
from expansion.models.xgboost_file import Learner, XGBoostFileError, read_learner
from expansion.tensors.arrays import stack
from expansion.tensors.columns import Column, Columns
from expansion.tensors.results import column_of

_METHODS = ("predict", "margin")
_LOG_PREFIX = re.compile(r"^\[[\d:]+\] \S+: ")  # "[12:30:59] /path/of/a/file.cc:12: "


def check(config: model_pb2.XGBoostModel) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    if not config.uri:
        yield Problem("uri", "missing; expected the path or URI of a .json or .ubj file")
    for index, method in enumerate(config.methods):
        if method not in _METHODS:
            yield Problem(f"methods[{index}]", f"unknown method {method!r}; {did_you_mean(method, _METHODS)}")
        elif method in config.methods[:index]:
            yield Problem(f"methods[{index}]", f"{method!r} is named twice; name it once")


def permissions(config: model_pb2.XGBoostModel) -> Iterator[Permission]:
    """Yields nothing: JSON and UBJSON files hold numbers and names, and no code."""
    yield from ()


def is_one_file(config: model_pb2.XGBoostModel) -> bool:
    """Says that a model is always one file."""
    return True


def signature(config: model_pb2.XGBoostModel) -> Signature:
    """Returns the input X and the methods called as outputs, read without the trees."""
    with open_on_host(config.uri) as file:
        try:
            learner = read_learner(file)
        except XGBoostFileError as error:
            raise ConfigError([Problem("uri", _no_model(config.uri, error))]) from error
    outputs = {method: Field(method, "FP32", learner.shape(method)) for method in config.methods or ["predict"]}
    return Signature({"X": _input(learner)}, outputs)


def build(config: model_pb2.XGBoostModel, runtime: Runtime = Runtime()) -> XGBoostBooster:
    """Loads the model and runs it on one row of missing values."""
    try:
        import xgboost
    except ImportError as error:
        raise SystemicError("xgboost is missing; install beam-ml-expansion[xgboost] on the workers") from error

    device = runtime.pick_device(cuda_gpu_count() if xgboost.build_info().get("USE_CUDA") else 0)
    content = read_on_worker(config.uri)
    try:
        learner = read_learner(io.BytesIO(content))  # XGBoost ends the process on some files that are none
        booster = xgboost.Booster()
        booster.load_model(bytearray(content))
        booster.set_param({"nthread": runtime.thread_count(), "device": device, "verbosity": 0})
        model = XGBoostBooster(booster, learner, on_gpu=device != "cpu")
        # XGBoost sets itself up on the first call, which must not be made by several threads.
        model.predict(np.full((1, max(1, learner.feature_count)), np.nan, np.float32), margin=False)
    except XGBoostFileError as error:
        raise SystemicError(_no_model(config.uri, error)) from error
    except (xgboost.core.XGBoostError, MemoryError) as error:
        raise SystemicError(f"XGBoost can't load {config.uri!r}: {_reason(error)}") from error
    return model


class XGBoostBooster:
    """A loaded Booster.

    Prediction with trees is safe for several threads at once, and with linear models is not:
    https://xgboost.readthedocs.io/en/stable/prediction.html#thread-safety
    """

    def __init__(self, booster: Any, learner: Learner, on_gpu: bool):
        self._booster = booster
        self._input = _input(learner)
        # In place XGBoost reads an array as it is, which linear models can't, nor a GPU what lies in host memory.
        self._in_place = not on_gpu and learner.booster != "gblinear"
        is_linear = learner.booster == "gblinear"
        self._lock: AbstractContextManager[Any] = threading.Lock() if is_linear else nullcontext()
        best = None if is_linear else booster.attr("best_iteration")
        self._iterations = (0, 0) if best is None else (0, int(best) + 1)

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Predicts a batch."""
        self._check_names(inputs["X"])
        with np.errstate(over="ignore"):
            features = stack(inputs["X"], self._input)
        infinite = np.flatnonzero(np.isinf(features).any(axis=1))
        if len(infinite):
            reason = "a feature is infinite, or too large for FP32, which XGBoost does not take; NaN is a missing value"
            raise BadRows(dict.fromkeys(infinite.tolist(), reason))
        try:
            results = {output: self.predict(features, margin=output == "margin") for output in outputs}
        except ValueError as error:  # XGBoostError is one
            raise _translated(error) from error
        return {output: column_of(output, result, len(features)) for output, result in results.items()}

    def predict(self, features: npt.NDArray[np.float32], margin: bool) -> npt.NDArray[np.float32]:
        """Returns predictions [rows] or [rows, groups] of features [rows, features], in which NaN is missing."""
        import xgboost

        with self._lock:
            if self._in_place:
                kind = "margin" if margin else "value"
                result = self._booster.inplace_predict(
                    features, iteration_range=self._iterations, predict_type=kind, validate_features=False
                )
            else:
                result = self._booster.predict(
                    xgboost.DMatrix(features),
                    output_margin=margin,
                    iteration_range=self._iterations,
                    validate_features=False,
                )
        array: npt.NDArray[np.float32] = result
        return array

    def _check_names(self, columns: Columns) -> None:
        """Refuses features in another order than in training; it says nothing where the names are others.

        Raises:
            SystemicError: The columns have the features' names, in another order.
        """
        names, trained = list(columns), self._booster.feature_names
        if trained and names != trained and sorted(names) == sorted(trained):
            raise SystemicError(
                f"the columns of X are in another order than the features in training; list them as {trained}"
            )


def _input(learner: Learner) -> Field:
    return Field("X", "FP32", (learner.feature_count,))


def _translated(error: ValueError) -> Exception:
    """Returns what the caller makes of an exception of XGBoost: smaller batches, error rows, or a failure."""
    reason = _reason(error)
    of_all = SystemicError(f"XGBoost: {reason}") if "cuda" in reason.lower() else None
    return resource_error(str(error), reason) or of_all or ValueError(reason)


def _reason(error: Exception) -> str:
    """Returns the first line of a message, without the time and the line of source that XGBoost puts before it."""
    return _LOG_PREFIX.sub("", first_line(error))


def _no_model(uri: str, error: XGBoostFileError) -> str:
    """Says why a file is no model."""
    return f"{uri!r} is no XGBoost model: {error}"

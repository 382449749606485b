# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Taking a new version of a model's files into use while the job runs: refresh_interval_secs.

Each worker process looks for itself, so that it works in batch and streaming and on any runner; for some moments
different workers may use different versions, and rows say which. It takes one to two intervals, and the time to load,
until a new version is in use. While it is loaded, there are two models in memory.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from expansion import models
from expansion.contract._gen import model_pb2
from expansion.errors import SystemicError, first_line
from expansion.models.expected_interface import ExpectedInterface
from expansion.models.file_version import FileVersion, file_version
from expansion.models.signature import Model
from expansion.tensors.columns import Column, Columns

# Times that loading begins anew because the files have changed meanwhile, before there is any model.
_FIRST_TRIES = 10
# Looks between two attempts to load a version that has failed, at most; a network or memory may have been short.
_MAX_PAUSE = 64

_LOG = logging.getLogger(__name__)


class ModelVersion:
    """A loaded model, and which version of its files it is.

    Attributes:
        model: The model.
        version: The version.
        sample: One row that it has run on, as inputs; None before there is one.
    """

    def __init__(self, model: Model, version: FileVersion, sample: Mapping[str, Columns] | None = None):
        self.model = model
        self.version = version
        self.sample = sample

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str], **limits: Any) -> dict[str, Column]:
        """Runs the model; see Model. ``limits`` are for models that run in processes of their own."""
        results = self.model.run(inputs, outputs, **limits)
        if self.sample is None:
            first = np.zeros(1, np.int64)
            self.sample = {name: columns.take(first) for name, columns in inputs.items()}
        return results


class RefreshingModel:
    """A model that is replaced when its files are. Used by several threads at once.

    A thread looks every ``refresh_interval_secs`` for another version, until the RefreshingModel is dropped.

    Args:
        config: The model's configuration.
        load: Loads the model from its files.
        expected: What each version must take and return.

    Raises:
        SystemicError: It can't be loaded, or is not what is expected.
    """

    def __init__(self, config: model_pb2.Model, load: Callable[[], Model], expected: ExpectedInterface):
        self._config = config
        self._uri = str(models.framework(config)[1].uri)
        self._load = load
        self._expected = [expected]
        self._counts = threading.Lock()
        self._refreshes = self._failures = 0
        self._seen: FileVersion | None = None
        self._failed: FileVersion | None = None
        self._pause = self._looks_to_skip = 0
        self._is_lost = False
        self._current = self._first()
        dropped = threading.Event()
        weakref.finalize(self, dropped.set)
        arguments = (weakref.ref(self), config.refresh_interval_secs, dropped)
        threading.Thread(target=_poll, args=arguments, name="model refresh", daemon=True).start()

    @property
    def current(self) -> ModelVersion:
        """The version in use. Who runs a batch in several parts keeps it for all of them."""
        return self._current

    @property
    def version(self) -> str:
        """The version in use, as rows say it."""
        return str(self._current.version)

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Runs the version in use; see Model."""
        return self._current.run(inputs, outputs)

    def expect(self, expected: ExpectedInterface) -> None:
        """Has later versions checked for what another step of the pipeline, which shares the model, was planned for."""
        if expected not in self._expected:
            self._expected.append(expected)

    def take_counts(self) -> tuple[int, int]:
        """Returns the versions that were taken into use, and those that were refused, since the last call."""
        with self._counts:
            counts = self._refreshes, self._failures
            self._refreshes = self._failures = 0
        return counts

    def poll(self) -> None:
        """Looks once for another version, and takes it into use if it was the same at the look before."""
        try:
            found = file_version(self._uri)
        except SystemicError as error:
            if not self._is_lost:
                _LOG.warning("model version %s stays in use: %s", self.version, error)
            self._is_lost, self._seen = True, None
            return
        self._is_lost = False
        has_settled, self._seen = found == self._seen, found  # else it may be half written
        if found != self._current.version and has_settled and self._is_due(found):
            self._replace(found)

    def _first(self) -> ModelVersion:
        for _ in range(_FIRST_TRIES):
            version = file_version(self._uri)
            try:
                self._check_signature()
                model = self._load()
            except Exception:
                if self._is_there(version):
                    raise
            else:
                if self._is_there(version):
                    return ModelVersion(model, version)
            time.sleep(min(1.0, self._config.refresh_interval_secs))
        raise SystemicError(
            f"{self._uri!r} changes again and again while it is loaded; write models elsewhere, and rename them onto it"
        )

    def _replace(self, found: FileVersion) -> None:
        """Loads a version beside the one in use, and takes it into use if it is what is expected."""
        try:
            self._check_signature()
            model = self._load()
            for expected in self._expected.copy():
                expected.try_out(model, self._current.sample)
        except Exception as error:  # whatever the framework raises
            if self._is_there(found):
                self._note_failure(found, error)
            return
        if self._is_there(found):  # and is what was loaded
            _LOG.info("model version %s of %s replaces %s", found, self._uri, self._current.version)
            self._current = ModelVersion(model, found, self._current.sample)
            with self._counts:
                self._refreshes += 1

    def _check_signature(self) -> None:
        for expected in self._expected.copy():
            expected.check_signature(self._config)

    def _is_there(self, version: FileVersion) -> bool:
        try:
            return file_version(self._uri) == version
        except SystemicError:
            return False

    def _is_due(self, found: FileVersion) -> bool:
        """Whether to load a version: at once, or after ever longer pauses once it has failed."""
        if found != self._failed:
            return True
        self._looks_to_skip -= 1
        return self._looks_to_skip < 0

    def _note_failure(self, found: FileVersion, error: Exception) -> None:
        if found == self._failed:
            self._pause = min(2 * self._pause, _MAX_PAUSE)
        else:
            self._failed, self._pause = found, 1
            with self._counts:
                self._failures += 1
            reason = str(error) if isinstance(error, SystemicError) else f"{type(error).__name__}: {first_line(error)}"
            _LOG.warning("model version %s of %s is not used, %s stays: %s", found, self._uri, self.version, reason)
        self._looks_to_skip = self._pause


def _poll(reference: weakref.ref[RefreshingModel], interval_secs: float, dropped: threading.Event) -> None:
    while not dropped.wait(interval_secs):
        model = reference()
        if model is None:
            return
        try:
            model.poll()
        except Exception:  # the next look may be luckier, and there must be one
            _LOG.exception("looking for another version of the model failed")
        del model  # lest this thread keep it

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Views of presets, kept: their models are read once, in a thread, as storage may be slow or away."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from expansion.contract._gen.server_pb2 import Preset
from expansion.page.transform_view import View, view_of_preset

_AGAIN_SECS = 60.0
_WAIT_SECS = 4.0
_LOG = logging.getLogger(__name__)


class PresetViews:
    """Views of presets.

    Args:
        presets: Checked ones.
        read: What reads one. Default: ``view_of_preset``.
        again_secs: Seconds after which presets with a problem are read again. Default: 60.
    """

    def __init__(
        self,
        presets: Sequence[Preset],
        read: Callable[[Preset], View] = view_of_preset,
        again_secs: float = _AGAIN_SECS,
    ):
        self._presets = presets
        self._read = read
        self._again_secs = again_secs
        self._views: dict[str, View] = {}
        self._read_at = float("-inf")
        self._changing = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()

    def get(self, wait_secs: float = _WAIT_SECS) -> dict[str, View]:
        """Returns what is known now, by name; presets that are still being read are missing.

        Args:
            wait_secs: Seconds to wait for those that are not known yet.
        """
        with self._changing:
            todo = self._due() if self._idle.is_set() else []
            if todo:
                self._read_at = time.monotonic()
                self._idle.clear()
                threading.Thread(target=self._read_all, args=[todo], name="catalogue", daemon=True).start()
        if len(self._views) < len(self._presets):
            self._idle.wait(wait_secs)
        return dict(self._views)

    def _due(self) -> list[Preset]:
        """Returns the presets to be read: those that were not, and from time to time those with a problem."""
        is_time = time.monotonic() - self._read_at >= self._again_secs
        known = self._views
        return [each for each in self._presets if each.name not in known or (known[each.name].problem and is_time)]

    def _read_all(self, presets: Sequence[Preset]) -> None:
        for preset in presets:
            self._views[preset.name] = self._read_one(preset)
        self._idle.set()

    def _read_one(self, preset: Preset) -> View:
        try:
            return self._read(preset)
        except Exception:
            _LOG.exception("the catalogue page could not read preset %s", preset.name)
            return View(problem="could not be read; the log of the service says why")

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The catalogue page over HTTP: made when it is first asked for, and kept."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from expansion.contract._gen.server_pb2 import Preset
from expansion.page.about import About
from expansion.service.http_server import Reply, Visit

if TYPE_CHECKING:
    from expansion.page.preset_views import PresetViews
    from expansion.page.transform_view import View

_HTML = "text/html; charset=utf-8"


class CataloguePage:
    """Answers with the page.

    Args:
        presets: What the operator has published, checked.
        about: The service.
    """

    def __init__(self, presets: Sequence[Preset], about: About):
        self._presets = presets
        self._about = about
        self._making = threading.Lock()
        self._views: PresetViews | None = None
        self._made: tuple[Mapping[str, View], Reply] | None = None

    def __call__(self, visit: Visit) -> Reply:
        """Returns the page; of a browser that has it already, only that it is still the same."""
        reply = self._reply()
        if visit.headers.get("If-None-Match") == reply.headers["ETag"]:
            headers = {**reply.headers, "Content-Length": str(len(reply.body))}
            return Reply(b"", _HTML, status=304, headers=headers)
        return reply

    def _reply(self) -> Reply:
        # What it takes is not imported by a service whose page nobody looks at.
        from expansion.page.document import document, policy
        from expansion.page.preset_views import PresetViews

        with self._making:
            self._views = self._views or PresetViews(self._presets)
        views = self._views.get()
        with self._making:
            if self._made is None or self._made[0] != views:
                body = document(self._presets, views, self._about).encode()
                etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
                headers = {"ETag": etag, "Cache-Control": "private, no-cache", "Content-Security-Policy": policy()}
                self._made = views, Reply(body, _HTML, headers=headers)
            return self._made[1]

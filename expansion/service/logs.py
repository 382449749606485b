# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Logging to standard error, as lines of text or as JSON, an object a line.

Whatever clients send, a record is one line of text (its traceback more, each behind a bar), or one object: control
characters are escaped. What looks secret is hidden.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
from datetime import datetime, timezone
from types import TracebackType

from expansion.contract.secrets import redacted_end, redacted_start
from expansion.service import calls

_MAX_CHARACTERS = 8_000
_BAR = "  | "


def configure(prefix: str, log_format: str = "text") -> None:
    """Starts logging: this package from INFO on, everything else from WARNING on.

    Args:
        prefix: What every line of text starts with; may hold logging's fields, such as ``%(asctime)s``.
        log_format: "text" or "json".
    """
    handler = logging.StreamHandler()
    if log_format == "json":
        handler.setFormatter(JsonFormatter())
        _log_everything()
    else:
        handler.setFormatter(TextFormatter(f"{prefix} %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("expansion").setLevel(logging.INFO)
    # With a traceback for each attempt; what becomes of them in the end is said to who has asked.
    logging.getLogger("apache_beam.utils.retry").setLevel(logging.ERROR)
    # Beam warns, when it is imported, of a client library that nothing here uses.
    logging.getLogger().addFilter(lambda record: not record.getMessage().startswith("apitools not found"))


def on_one_line(text: str) -> str:
    """Returns a text with what is not printable escaped: line ends, control characters, marks of direction."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class TextFormatter(logging.Formatter):
    """A line a record: time, severity, logger, message, and the id and peer of the call that it is about."""

    def format(self, record: logging.LogRecord) -> str:
        """Returns the line, and a traceback's lines behind bars."""
        return "\n".join([on_one_line(self._line(record)), *(_BAR + on_one_line(line) for line in _trace(record))])

    def _line(self, record: logging.LogRecord) -> str:
        record.message = _message(record)
        record.asctime = self.formatTime(record, self.datefmt)
        line = self.formatMessage(record)
        about = _about(record)
        return f"{line} [{about['request_id']} {about['peer']}]" if about else line


class JsonFormatter(logging.Formatter):
    """An object a record, on one line, of ASCII characters.

    Its members: ``time`` (RFC 3339, UTC), ``severity``, ``logger``, ``message``; of a call ``request_id``, ``peer``,
    ``milliseconds`` (since it arrived), ``transform``, ``preset`` and ``outcome`` once they are known; ``exception``, a
    traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Returns the object."""
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        members: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),
            "severity": record.levelname,
            "logger": record.name,
            "message": _message(record),
            **_about(record),
        }
        trace = _trace(record)
        if trace:
            members["exception"] = "\n".join(trace)
        return json.dumps(members)


def _message(record: logging.LogRecord) -> str:
    return redacted_start(record.getMessage(), _MAX_CHARACTERS)


def _trace(record: logging.LogRecord) -> list[str]:
    if not record.exc_info or record.exc_info[0] is None:
        return []
    text = logging.Formatter().formatException(record.exc_info)
    # Its end says what has happened, and where.
    return redacted_end(text, _MAX_CHARACTERS).split("\n")


def _about(record: logging.LogRecord) -> dict[str, object]:
    """Returns what is known of the call that this thread answers."""
    call = calls.answering()
    if call is None:
        return {}
    about = {
        "request_id": call.request_id,
        "peer": call.peer,
        "transform": call.transform,
        "preset": call.preset,
        "outcome": call.outcome,
        "milliseconds": round(1e3 * call.seconds, 1),
    }
    return {name: value for name, value in about.items() if value != "" or name in ("request_id", "peer")}


def _log_everything() -> None:
    """Has what Python and gRPC would print to standard error logged instead, or left out: its lines are no objects."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    logging.captureWarnings(True)
    log = logging.getLogger(__name__)

    def on_exception(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        log.critical("uncaught exception", exc_info=(kind, error, trace))

    def on_exception_in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None:
            on_exception(args.exc_type, args.exc_value, args.exc_traceback)

    sys.excepthook = on_exception
    threading.excepthook = on_exception_in_thread

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a server means that answers a request over REST with an error."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Iterator, Mapping

from expansion.errors import RemoteError, SystemicError
from expansion.models.remote_calls import TooLarge, Unavailable

# What may pass. A quota that is used up (429) is that of a minute.
_PASSING = frozenset({408, 409, 425, 429, 499, 502, 503, 504})
_OF_ROWS = frozenset({400, 422})
_BROKEN = frozenset({424, 500})  # the former of text-embeddings-inference, where the model fails
# What comes as 400 or 422 and means 413.
_TOO_LARGE = re.compile(
    r"payload size exceeds the limit|response size too large"  # Vertex AI, of a request and of a response
    r"|instance\(s\) is allowed per prediction|too many instances|input token count is"  # its embedding models
    r"|max(imum)?( of)? \d+ tokens per request|too many inputs"  # OpenAI, Azure
    r"|batch size \d+ > maximum allowed",  # text-embeddings-inference
    re.IGNORECASE,
)


def translated(
    server: str, code: int, reason: str, retry_after_secs: float | None = None, *, credentials: str
) -> Exception:
    """Returns what the caller makes of a response that is an error.

    Args:
        server: Who answers, for messages.
        code: The HTTP status.
        reason: What the response says.
        retry_after_secs: How long it asks to wait; None if it does not say.
        credentials: What to see to where they are refused, for messages.

    Returns:
        Unavailable, TooLarge; ValueError if it is about rows; RemoteError; SystemicError for all else.
    """
    if code == 413 or (code in _OF_ROWS and _TOO_LARGE.search(reason)):
        return TooLarge(reason)
    if code in _PASSING:
        return Unavailable(reason, retry_after_secs)
    if code in _OF_ROWS:
        return ValueError(reason)
    if code in _BROKEN:
        return RemoteError(reason)
    fix = f"; see to {credentials}" if code in (401, 403) else ""
    return SystemicError(f"{server} refuses: {reason}{fix}")


def retry_after(headers: Mapping[str, str]) -> Iterator[float]:
    """Yields the seconds that a header asks to wait, if there is one.

    https://www.rfc-editor.org/rfc/rfc9110#field.retry-after: seconds, or a time.
    """
    value = headers.get("Retry-After", "")
    if value.strip().isdecimal():
        yield float(value)
        return
    try:
        yield max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return

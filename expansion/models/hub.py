# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Names of models on the hub of Hugging Face, as uris: hf://ORGANISATION/NAME or hf://ORGANISATION/NAME@REVISION."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from expansion.contract.secrets import redacted_start
from expansion.errors import Problem

_SCHEME = "hf://"
_NAME = re.compile(r"hf://(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w][\w./-]*))?", re.ASCII)


class HubName(NamedTuple):
    """A model on the hub.

    Attributes:
        name: "ORGANISATION/NAME".
        revision: A branch, tag or commit; empty for the newest.
    """

    name: str
    revision: str


def is_of_hub(uri: str) -> bool:
    """Whether a uri names something on the hub, rightly or not."""
    return uri.startswith(_SCHEME)


def read_uri(uri: str) -> HubName | None:
    """Returns what a uri names on the hub; None if it names a directory."""
    match = _NAME.fullmatch(uri)
    return HubName(match["name"], match["revision"] or "") if match else None


def check_uri(uri: str) -> Iterator[Problem]:
    """Yields what is wrong with the uri of a model that is a directory or on the hub."""
    if not uri:
        yield Problem("uri", "missing; expected a model's directory, or hf://ORGANISATION/NAME")
    elif is_of_hub(uri) and read_uri(uri) is None:
        yield Problem("uri", f"got {redacted_start(uri, 200)!r}; expected hf://ORGANISATION/NAME or …@REVISION")

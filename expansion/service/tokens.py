# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Tokens that let clients in, from a file that may be replaced while the service runs."""

from __future__ import annotations

import hashlib
import hmac
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from expansion.errors import Problem
from expansion.service.tls import stamp

_LOG = logging.getLogger(__name__)
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,4096}")  # RFC 6750, section 2.1
_MAX_FILE_BYTES = 1 << 20
NEEDED = "this service needs a token: send metadata 'authorization: Bearer TOKEN'; ask its operator for one"


def check(path: str) -> Iterator[Problem]:
    """Yields what is wrong with a file of tokens; never what is in it."""
    try:
        with open(path, "rb") as file:
            lines = _lines(file.read(_MAX_FILE_BYTES))
    except OSError as error:
        yield Problem("", f"can't read {path!r}: {error.strerror}")
        return
    except UnicodeDecodeError:
        yield Problem("", f"{path!r} is no text in ASCII")
        return
    if not lines:
        yield Problem("", f"{path!r} holds no token; write one on a line of its own: openssl rand -hex 32")
    for number, line in lines:
        if not _TOKEN.fullmatch(line):
            yield Problem(
                "",
                f"line {number} of {path!r} is no token; expected 16 or more of A-Z a-z 0-9 . _ ~ + / = -, such as "
                "`openssl rand -hex 32` prints",
            )


def _lines(content: bytes) -> list[tuple[int, str]]:
    """Returns the lines that say something, with their numbers from 1."""
    lines = enumerate(content.decode("ascii").splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip() and not line.lstrip().startswith("#")]


class Tokens:
    """The tokens in a file.

    Args:
        path: The file, in which ``check`` finds no problems. If it changes, it is read again; where problems are found
            then, the tokens of before stay.
    """

    def __init__(self, path: str):
        self._path = path
        self._stamp = stamp(path)
        self._digests = self._read()

    def accept(self, authorization: str) -> bool:
        """Whether a header of the form "Bearer TOKEN" has one of the tokens; how long it takes does not tell which."""
        self._refresh()
        scheme, _, token = authorization.partition(" ")
        digest = _digest(token.strip())
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return scheme.lower() == "bearer" and any(matches)

    def _refresh(self) -> None:
        newest = stamp(self._path)
        if newest == self._stamp:
            return
        self._stamp = newest
        problems = list(check(self._path))
        if problems:
            _LOG.warning("new tokens are not taken: %s", "; ".join(map(str, problems)))
        else:
            self._digests = self._read()
            _LOG.info("new tokens are taken from now on")

    def _read(self) -> list[bytes]:
        return [_digest(token) for _, token in _lines(Path(self._path).read_bytes())]


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Secrets have no place in a configuration, which is stored with the job for all who may look at it, nor in a log."""

from __future__ import annotations

import re

_HOLDS_SECRET = r"(.*_)?(API_?KEY|ACCESS_KEY|PRIVATE_KEY|TOKEN|SECRET|PASSWORD)"  # noqa: S105 - names of variables
_SAYS_WHERE = r"(.*_)?(BASE_URL|PROXY)|HF_ENDPOINT"
_VARIABLE = re.compile(f"{_HOLDS_SECRET}|{_SAYS_WHERE}", re.IGNORECASE)
# Keys of OpenAI, Hugging Face and Google, and access tokens of the latter.
_KEY = re.compile(r"(Bearer |sk-|hf_|AIza|ya29\.)[\w.~+/=-]{8,}")

_HIDDEN = "***"
# Characters beyond a cut that are looked at for what a secret before it ends with; of all, it would take seconds.
_BEYOND = 16_000
# Names of what is secret: in queries of signed URIs (Azure's SAS; S3 and GCS, version 4), and before a value.
_NAMED = r"api[_-]?key|access[_-]?key(?:[_-]?id)?|private[_-]?key|account[_-]?key|token|secret|password|passwd"
_SECRET_NAME = rf"(?:[\w-]{{0,40}}?(?:{_NAMED}|credentials?|signature|authorization)|sig|pwd)"
# Each with what of it may be shown, as its first group. Repetitions are bounded, so that no text takes quadratic time.
_SECRETS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # A private key in PEM, to its end or the text's.
        r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)[\s\S]*?(?=-----END|\Z)",
        # scheme://user:password@host; a user alone may be a token.
        r"((?<![\w+.-])[a-z][a-z0-9+.-]{0,20}://)[^/?#\s'\"<>]{1,1000}(?=@)",
        rf"([?&;]{_SECRET_NAME}=)[^&;#\s'\"<>]+",
        r"(\b(?:Bearer|Basic) +)[\w.~+/=-]{4,}",
        # name=value, name: value, "name": "value"; a value in quotes may hold spaces.
        rf"((?<![\w-]){_SECRET_NAME}\\?['\"]?\s*[=:]\s*)"
        r"(?:\\?\"[^\"]+(?:\"|\Z)|\\?'[^']+(?:'|\Z)|(?!\\?['\"*]|Bearer\b|Basic\b)[^\s,;&'\"}\]]{4,})",
        # Keys that are known by their form: OpenAI, Hugging Face, Google, AWS, GitHub, JSON web tokens.
        r"()\b(?:sk-|hf_|AIza|ya29\.|gh[pousr]_)[\w.~+/=-]{8,}",
        r"()\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
        r"()(?<![\w-])eyJ[\w-]{8,2000}\.[\w-]{8,}\.[\w-]*",
    )
)


def is_for_workers(variable: str) -> bool:
    """Whether an environment variable holds a secret, or says where one is sent, by its name."""
    return _VARIABLE.fullmatch(variable) is not None


def looks_like_key(text: str) -> bool:
    """Whether a text looks like a key of a provider of models."""
    return _KEY.fullmatch(text) is not None


def redacted(text: str) -> str:
    """Returns a text for a log or an error message with what looks secret replaced by ``***``.

    That is credentials in URIs (user and password, signatures and tokens of signed ones), bearer and basic tokens, keys
    known by their form, private keys in PEM, and what is assigned to a name such as ``api_key`` or ``password``.
    """
    for secret in _SECRETS:
        text = secret.sub(rf"\1{_HIDDEN}", text)
    return text


def redacted_start(text: str, most: int, mark: str = "…") -> str:
    """Returns the start of a text as ``redacted`` does, which a text that is cut before may defeat.

    Args:
        text: The text.
        most: Characters of the result, at most.
        mark: What the result ends with where the text is longer.
    """
    start = redacted(text[: most + _BEYOND])
    return start if len(start) <= most and len(text) <= most + _BEYOND else start[: most - len(mark)] + mark


def redacted_end(text: str, most: int) -> str:
    """Returns the end of a text as ``redacted`` does, of ``most`` characters at most, after a mark if it is longer."""
    end = redacted(text[-most - _BEYOND :])
    return end if len(end) <= most and len(text) <= most + _BEYOND else f"…{end[1 - most :]}"

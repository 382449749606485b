# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Arguments of vLLM's server: which clients may set, and what they may be.

Those of vLLM 0.32, of which a few hundred name files, ports, plugins or code; so the ones that do not are listed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from expansion.contract.permissions import Permission
from expansion.errors import Problem

_FLAG, _INTEGER, _NUMBER, _SIZE, _WORD = (
    "true or false",
    "an integer",
    "a number",
    "a size, such as 8192 or 8k",
    "a name",
)
_PATTERNS = {
    _FLAG: re.compile(r"true|false"),
    _INTEGER: re.compile(r"-?\d{1,18}"),
    _NUMBER: re.compile(r"\d{1,9}(\.\d{1,9})?"),
    _SIZE: re.compile(r"auto|-1|\d{1,12}(\.\d{1,6})?[kKmMgG]?"),
    _WORD: re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}"),  # and no path
}

# What clients may set, and to what: size, speed, memory and numerics.
FREE: Mapping[str, str] = {
    "async-scheduling": _FLAG,
    "block-size": _INTEGER,
    "cpu-offload-gb": _NUMBER,
    "data-parallel-size": _INTEGER,
    "dtype": _WORD,
    "enable-chunked-prefill": _FLAG,
    "enable-expert-parallel": _FLAG,
    "enable-prefix-caching": _FLAG,
    "enforce-eager": _FLAG,
    "generation-config": _WORD,
    "gpu-memory-utilization": _NUMBER,
    "kv-cache-dtype": _WORD,
    "language-model-only": _FLAG,
    "max-model-len": _SIZE,
    "max-num-batched-tokens": _SIZE,
    "max-num-seqs": _INTEGER,
    "optimization-level": _WORD,
    "performance-mode": _WORD,
    "pipeline-parallel-size": _INTEGER,
    "quantization": _WORD,
    "reasoning-parser": _WORD,
    "seed": _INTEGER,
    "tensor-parallel-size": _INTEGER,
}

# What decides on which model is served where; nobody but the worker may set it.
_OURS = frozenset(
    (
        *("api-key", "config", "disable-uvicorn-access-log", "grpc", "grpc-port", "headless", "help", "host", "model"),
        *("omni", "port", "revision", "root-path", "served-model-name", "ssl-ca-certs", "ssl-certfile"),
        *("ssl-keyfile", "uds"),
    )
)
_NAME = re.compile(r"[A-Za-z]\w*([.+-]\w*)*", re.ASCII)


def check_arguments(arguments: Mapping[str, str]) -> Iterator[Problem]:
    """Yields what is wrong with arguments by themselves; paths are their names as given."""
    for name, value in sorted(arguments.items()):
        kind = FREE.get(_plain(name), "")
        if not _NAME.fullmatch(name):
            yield Problem(name[:60], "expected the name of an argument without its dashes, such as max-model-len")
        elif _plain(name) in _OURS or _plain(name).removeprefix("no-") in _OURS:
            yield Problem(name, "the worker sets it, as it starts and calls the server; leave it out")
        elif kind and not _PATTERNS[kind].fullmatch(value):
            yield Problem(name, f"got {value[:60]!r}; expected {kind}")


def permissions(arguments: Mapping[str, str]) -> Iterator[Permission]:
    """Yields the arguments that may run code, open ports or read files, or that nobody has looked at."""
    for name in sorted(arguments):
        if _plain(name) not in FREE:
            reason = "may have vLLM's server run code, open ports or read files"
            yield Permission(
                f"server_args.{name}", "--allow-server-arg", _plain(name), reason, f"one of {', '.join(FREE)}"
            )


def command_line(arguments: Mapping[str, str]) -> Iterator[str]:
    """Yields checked arguments as the server takes them. A value is never taken for an argument."""
    for name, value in sorted(arguments.items()):
        if value in ("true", "false"):
            yield f"--{name}" if value == "true" else f"--no-{name}"
        else:
            yield f"--{name}={value}"


def _plain(name: str) -> str:
    """Returns a name as it is listed: vLLM takes underscores for dashes."""
    return name.replace("_", "-")

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Frameworks that can't be loaded in one process: their native libraries abort it."""

from __future__ import annotations

import threading

from expansion.errors import SystemicError

DEFAULT = "default"
# What a framework runs on, where that is not compatible with what the others run on.
_STACKS = {"tensorflow": "tensorflow"}
_CLASHING = {"tensorflow": ("pytorch", "huggingface")}

_lock = threading.Lock()
_loaded: set[str] = set()


def stack_of(framework: str) -> str:
    """Returns the stack of a framework: those of different stacks are kept in processes of their own."""
    return _STACKS.get(framework, DEFAULT)


def clashing(frameworks: set[str]) -> list[str]:
    """Returns those that abort a process in which they are loaded together, the first of them first; else nothing."""
    for one, others in _CLASHING.items():
        found = sorted(frameworks.intersection(others))
        if one in frameworks and found:
            return [one, *found]
    return []


def claim(framework: str) -> None:
    """Notes that this process is about to load a framework.

    Raises:
        SystemicError: It has loaded one that does not go together with it.
    """
    with _lock:
        clash = clashing({*_loaded, framework})
        if framework in clash:
            raise SystemicError(
                f"{' and '.join(clash)} in one process abort it; run them in processes of their own: through the "
                "expansion service, or with --direct_running_mode=multi_processing"
            )
        _loaded.add(framework)

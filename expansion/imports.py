# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Classes and functions of the user's own, named in a configuration and imported by workers."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from expansion.errors import Problem, SystemicError

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_INSTALL = "install {} on the workers, or have the service bring its wheel: serve --worker-package FILE.whl"


def check_name(path: str, name: str) -> Iterator[Problem]:
    """Yields a problem if a name is not a dotted one."""
    if not _NAME.fullmatch(name):
        got = f"got {name[:100]!r}" if name else "missing"
        yield Problem(path, f"{got}; expected an importable name, such as my_package.my_module.MyClass")


def check_arguments(path: str, arguments: Mapping[str, str]) -> Iterator[Problem]:
    """Yields a problem for each keyword argument that is not JSON, or whose name is none."""
    for name, text in sorted(arguments.items()):
        try:
            json.loads(text)
        except (ValueError, RecursionError):  # no JSON, or one that is too deep, or has numbers of too many digits
            yield Problem(
                f"{path}.{name}", f"got {text[:60]!r}; expected JSON, such as 3 or true or {json.dumps('text')}"
            )
        if not name.isidentifier():
            yield Problem(f"{path}.{name}", "expected the name of a keyword argument")


def import_name(name: str) -> Any:
    """Imports a class or function. Called on workers.

    Args:
        name: "package.module.Class"; a class within a class too.

    Raises:
        SystemicError: There is none of that name here, or its module can't be imported.
    """
    parts = name.split(".")
    for count in range(len(parts) - 1, 0, -1):
        module_name = ".".join(parts[:count])
        try:
            found: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name and (module_name + ".").startswith(error.name + "."):
                continue  # it is an attribute of what is above it, or is not there at all
            raise SystemicError(f"can't import {module_name}: {error}; {_INSTALL.format('what it needs')}") from error
        except Exception as error:  # a module of the user's own may raise anything
            raise SystemicError(f"can't import {module_name}: {type(error).__name__}: {error}") from error
        for attribute in parts[count:]:
            if not hasattr(found, attribute):
                raise SystemicError(f"{name}: {module_name} has no {'.'.join(parts[count:])} on this worker")
            found = getattr(found, attribute)
        return found
    raise SystemicError(
        f"{name}: there is no module {parts[0]!r} on this worker; {_INSTALL.format('the package that has it')}"
    )


def construct(name: str, arguments: Mapping[str, str], **further: Any) -> Any:
    """Imports something and calls it. Called on workers.

    Args:
        name: As for ``import_name``.
        arguments: Keyword arguments, each as JSON.
        further: Keyword arguments as they are.

    Raises:
        SystemicError: It can't be imported, or raises.
    """
    made_by = import_name(name)
    try:
        return made_by(**{key: json.loads(text) for key, text in arguments.items()}, **further)
    except Exception as error:  # code of the user's own may raise anything
        raise SystemicError(f"{name}(…) raised {type(error).__name__}: {error}") from error

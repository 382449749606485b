# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Which versions made a step: a worker that has others says so, or refuses it, before anything strange happens.

Beam's worker refuses other versions of Beam and Python by itself where the runner tells it what made the steps, which
Prism, for one, does not (``_verify_descriptor_created_in_a_compatible_env`` of bundle_processor.py).
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from functools import cache
from importlib import metadata

from expansion.errors import SystemicError
from expansion.transforms.loading import where

PYTHON = "Python"
_FIX = "install the service's versions on the workers, or name an environment that has them"
_PACKAGES = {"beam-ml-expansion": "beam-ml-expansion", "Apache Beam": "apache-beam"}
_LOG = logging.getLogger(__name__)


@cache
def installed() -> Mapping[str, str]:
    """Returns the versions that matter of what is installed here, by name.

    Of NumPy it is the first number, as NumPy 1 can't read the arrays that NumPy 2 pickles; of Python the first two.
    """
    versions = {name: _version(package) for name, package in _PACKAGES.items()}
    numpy = _version("numpy").partition(".")[0]
    return {**versions, "NumPy": numpy, PYTHON: f"{sys.version_info.major}.{sys.version_info.minor}"}


class MadeBy:
    """The versions that made a step. Steps have it as their first attribute: it is unpickled before what may not fit.

    Attributes:
        versions: As ``installed`` returns them.
    """

    def __init__(self) -> None:
        self.versions = dict(installed())

    def __setstate__(self, state: dict[str, dict[str, str]]) -> None:
        """Compares the versions; others are warned of, except of Python.

        Raises:
            SystemicError: The step was made by another Python. Functions of it are pickled as that one's byte code,
                which runs here without a check: calls get wrong arguments, or the process ends.
        """
        self.__dict__.update(state)
        others = {name: version for name, version in self.versions.items() if installed().get(name) != version}
        if not others:
            return
        said = (
            f"this job was made by {_listed(others)}, and this worker ({where()}) has "
            f"{_listed({name: installed().get(name, 'none') for name in others})}"
        )
        if PYTHON in others:
            raise SystemicError(f"{said}: steps can't be read; {_FIX}")
        _warn(f"{said}: steps may fail or differ; {_FIX}")


@cache  # once in a process
def _warn(text: str) -> None:
    _LOG.warning("%s", text)


def _listed(versions: Mapping[str, str]) -> str:
    return " and ".join(f"{name} {version}" for name, version in versions.items())


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:  # on the path, and not installed
        return "unknown"

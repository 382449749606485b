# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Extras of this package, and which of them are installed here. Nothing of them is imported."""

from __future__ import annotations

from functools import cache
from importlib import metadata

from packaging.requirements import Requirement

DISTRIBUTION = "beam-ml-expansion"
# What an extra is about, where that has another name.
_MAIN = {
    "onnx": "onnxruntime",
    "sklearn": "scikit-learn",
    "pytorch": "torch",
    "huggingface": "transformers",
    "tft": "tensorflow-transform",
    "gcp": "google-auth",
    "hooks": "tokenizers",
}


def installed(extra: str) -> dict[str, str]:
    """Returns the packages of an extra that are installed here, with their versions."""
    return {name: version for name in _packages(extra) if (version := _version(name))}


def missing(extra: str) -> list[str]:
    """Returns the packages of an extra that are not installed here; nothing where it is complete."""
    return [name for name in _packages(extra) if not _version(name)]


def has_main_package(extra: str) -> bool:
    """Whether the package that an extra is about is installed here: the others may be there for another reason."""
    return bool(_version(_MAIN.get(extra, extra)))


def install_command(extra: str) -> str:
    """Returns the command that installs an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


@cache
def _packages(extra: str) -> tuple[str, ...]:
    """Returns the names of the packages of an extra, those that this Python needs."""
    try:
        wanted = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:  # run from source that is not installed
        return ()
    requirements = [Requirement(text) for text in wanted]
    return tuple(
        each.name
        for each in requirements
        if each.marker and each.marker.evaluate({"extra": extra}) and not each.marker.evaluate({"extra": ""})
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""

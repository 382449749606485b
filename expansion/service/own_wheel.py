# Licensed under the Apache License, Version 2.0; see LICENSE.
"""This package as a wheel, made of what runs here: for workers that lack it, such as those in Beam's own containers.

Format: https://packaging.python.org/en/latest/specifications/binary-distribution-format.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib import metadata
from pathlib import Path

from packaging import tags
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from expansion.contract.problems import did_you_mean
from expansion.service.wheels import Wheel, WheelError

PROJECT = "beam-ml-expansion"
_WHEEL = "Wheel-Version: 1.0\nGenerator: beam-ml-expansion\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
# What zip files can say at the least: the same files make the same wheel, whenever it is made.
_TIME = (1980, 1, 1, 0, 0, 0)


def extras_of(spec: str) -> tuple[str, ...] | None:
    """Returns the extras of "beam-ml-expansion[onnx,sklearn]" as a tuple; None for the path of a file."""
    try:
        requirement = Requirement(spec)
    except InvalidRequirement:
        return None
    is_plain = not (requirement.specifier or requirement.url or requirement.marker)
    return tuple(sorted(requirement.extras)) if is_plain and canonicalize_name(requirement.name) == PROJECT else None


def build(extras: tuple[str, ...] = ()) -> Wheel:
    """Makes the wheel.

    Args:
        extras: Extras with which workers install it. Default: without.

    Raises:
        WheelError: There is no such extra.
    """
    distribution = metadata.distribution(PROJECT)
    known = distribution.metadata.get_all("Provides-Extra") or []
    for extra in extras:
        if extra not in known:
            raise WheelError(f"{PROJECT} has no extra {extra!r}; {did_you_mean(extra, known)}")
    version = distribution.version
    data = _zip(_files(distribution, f"beam_ml_expansion-{version}.dist-info"))
    name = f"beam_ml_expansion-{version}-py3-none-any.whl"
    parsed = tags.parse_tag("py3-none-any")
    return Wheel(name, PROJECT, version, parsed, data, hashlib.sha256(data).hexdigest(), extras)


def _files(distribution: metadata.Distribution, dist_info: str) -> dict[str, bytes]:
    """Returns the wheel's files by their paths in it.

    Not those of the installed RECORD: that of an editable install has no modules.
    """
    folder = Path(__file__).parents[1]
    files = {
        f"expansion/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    }
    for name in ("METADATA", "entry_points.txt", "licenses/LICENSE"):
        text = distribution.read_text(name)
        if text is not None:
            files[f"{dist_info}/{name}"] = text.encode()
    files[f"{dist_info}/WHEEL"] = _WHEEL.encode()
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in files.items())
    files[f"{dist_info}/RECORD"] = f"{record}{dist_info}/RECORD,,\n".encode()
    return files


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _zip(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files.items():
            entry = zipfile.ZipInfo(path, _TIME)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data)
    return file.getvalue()

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Wheels: packages of a user's own, which workers are to have. Nothing of them is imported here.

Format: https://packaging.python.org/en/latest/specifications/binary-distribution-format.
"""

from __future__ import annotations

import hashlib
import shutil
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from packaging import tags
from packaging.utils import InvalidWheelFilename, canonicalize_name, canonicalize_version, parse_wheel_filename

from expansion.errors import ExpansionError

# Digits of the SHA-256 in a staged name.
_NAME_DIGITS = 16


class WheelError(ExpansionError):
    """A file is no wheel, or one that workers can't have."""


@dataclass(frozen=True)
class Wheel:
    """A wheel as it was when the service started.

    Attributes:
        file_name: As in "my_hooks-1.0-py3-none-any.whl".
        project: Its canonical name, as in "my-hooks".
        version: As in "1.0".
        tags: Interpreters and platforms that it is for.
        data: The file.
        sha256: Hash of the file, hexadecimal.
        extras: Extras with which workers install it.
    """

    file_name: str
    project: str
    version: str
    tags: frozenset[tags.Tag]
    data: bytes = field(repr=False)
    sha256: str
    extras: tuple[str, ...] = ()

    @property
    def requirement(self) -> str:
        """What pip is to install: "my-hooks==1.0", or "my-hooks[images]==1.0"."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.project}{extras}=={self.version}"

    @property
    def staged_name(self) -> str:
        """Name for staging, the same for the same content only: "my_hooks-1.0-0_<hash>-py3-none-any.whl".

        Dataflow takes a file of the same name and size for the same file. The hash is in the build tag, so that the
        name is still one that pip takes.
        """
        project, version, *build, python, abi, platform = self.file_name.removesuffix(".whl").split("-")
        build_tag = f"{build[0] if build else 0}_{self.sha256[:_NAME_DIGITS]}"
        return f"{project}-{version}-{build_tag}-{python}-{abi}-{platform}.whl"

    def require_runs_here(self) -> None:
        """Checks that this interpreter can import it.

        Raises:
            WheelError: It is for others only.
        """
        if self.tags.isdisjoint(tags.sys_tags()):
            built_for = ", ".join(sorted(map(str, self.tags)))
            raise WheelError(
                f"{self.file_name} is for {built_for}, and the local runner's workers are {next(tags.sys_tags())}; "
                "build it with this interpreter on this machine"
            )


def read(path: Path) -> Wheel:
    """Reads and checks a wheel.

    Raises:
        WheelError: The file can't be read, or is no wheel by its name or its content.
    """
    try:
        project, version, _, wheel_tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename:
        raise WheelError(
            f"{path}: no name of a wheel; expected one such as my_hooks-1.0-py3-none-any.whl, as `uv build --wheel` or "
            "`pip wheel --no-deps` names what it builds"
        ) from None
    try:
        data = path.read_bytes()
        _require_content(path, project, str(version))
    except OSError as error:
        raise WheelError(f"{path}: {error.strerror or error}") from None
    except (zipfile.BadZipFile, zlib.error) as error:
        raise WheelError(f"{path}: no wheel inside: {error}; build it again") from None
    return Wheel(path.name, project, str(version), wheel_tags, data, hashlib.sha256(data).hexdigest())


def _require_content(path: Path, project: str, version: str) -> None:
    with zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        if damaged:
            raise WheelError(f"{path}: {damaged} in it is damaged; build it again")
        described = [name.split("/")[0] for name in archive.namelist() if name.endswith(".dist-info/WHEEL")]
    expected = (project, canonicalize_version(version))
    found = [_project_and_version(folder) for folder in described]
    if found != [expected]:
        raise WheelError(
            f"{path}: no wheel inside: got {described or 'no folder .dist-info with a file WHEEL'}; expected the "
            f"metadata of {project} {version}, as the file's name says"
        )


def _project_and_version(dist_info: str) -> tuple[str, str]:
    project, _, version = dist_info.removesuffix(".dist-info").partition("-")
    return canonicalize_name(project), canonicalize_version(version)


def require_distinct(wheels: Iterable[Wheel]) -> None:
    """Checks that no project is there twice.

    Raises:
        WheelError: One is.
    """
    seen: dict[str, Wheel] = {}
    for wheel in wheels:
        if wheel.project in seen:
            other = seen[wheel.project].file_name
            raise WheelError(f"{other} and {wheel.file_name} are one project; a worker can have one of them")
        seen[wheel.project] = wheel


def unpack(file: IO[bytes], folder: Path) -> None:
    """Unpacks a wheel so that its modules can be imported from the folder, compiled ones too.

    Its commands and data files are left where they are in the wheel: workers import it and nothing else.
    """
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder)  # which keeps to the folder, whatever the names in the archive
    # Some builders put modules into these folders instead of at the root.
    for library in ("purelib", "platlib"):
        for modules in folder.glob(f"*.data/{library}"):
            shutil.copytree(modules, folder, dirs_exist_ok=True)

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Configuration files that commands read: which of the three kinds one is of, and what it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract._gen.server_pb2 import ServerConfig
from expansion.errors import ConfigError, Problem

if TYPE_CHECKING:
    from expansion.transforms.composite import AnyConfig

# What --kind takes → the message.
KINDS: Mapping[str, Any] = {
    "RunInference": RunInferenceConfig,
    "MLTransform": MLTransformConfig,
    "server": ServerConfig,
}
kind_option = click.option(
    "--kind",
    type=click.Choice(list(KINDS), case_sensitive=False),
    help="What the file configures.  [default: told by its fields]",
)
server_config_option = click.option(
    "--config",
    "server_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A server's configuration: where presets are.",
)


@dataclass(frozen=True)
class ConfigFile:
    """A file that has been read, and not been checked.

    Attributes:
        kind: One of ``KINDS``.
        text: What is in it.
        folder: Where it is, absolute.
    """

    kind: str
    text: str
    folder: Path

    def checked(self) -> Any:
        """Returns its message.

        Raises:
            ConfigError: With everything that is wrong with it.
        """
        from expansion.transforms import config, ml_transform_config

        if self.kind == "RunInference":
            return config.read_config(self.text)
        if self.kind == "MLTransform":
            return ml_transform_config.read_config(self.text)
        return config.read_checked(ServerConfig, self.text, self._check_server)

    def _check_server(self, config: ServerConfig) -> Iterator[Problem]:
        from expansion.service import server_config

        server_config.make_absolute(config, self.folder)
        yield from server_config.check(config)


def read_file(path: Path, kind: str | None = None) -> ConfigFile:
    """Reads a file.

    Args:
        path: Where it is.
        kind: Which of ``KINDS`` it is. Default: the one with most of the fields that the file begins with.

    Raises:
        click.UsageError: It can't be read, or could be of any kind.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"{path}: can't be read: {getattr(error, 'strerror', None) or error}") from None
    kind = kind or _kind_of(text)
    if kind is None:
        raise click.UsageError(f"{path}: what it configures can't be told; say it with --kind")
    return ConfigFile(kind, text, path.resolve().parent)


def read_transform(name: str, server_file: Path | None) -> AnyConfig:
    """Returns the checked configuration of a transform: of a file, or of a preset in a server's configuration.

    Args:
        name: Path of the file, or name of the preset.
        server_file: The server's configuration; None where there is none.

    Raises:
        click.UsageError: There is no such file or preset, or the file configures no transform.
        ConfigError: With everything that is wrong with the configuration.
    """
    if server_file is not None and not Path(name).exists():
        return _preset(name, server_file)
    path = Path(name)
    if not path.is_file():
        hint = "no such file" if server_file else "no such file; presets are looked up in the file of --config"
        raise click.UsageError(f"{name}: {hint}")
    file = read_file(path)
    if file.kind == "server":
        raise click.UsageError(f"{name}: configures a server; name one of its presets, with --config {name}")
    config: AnyConfig = file.checked()
    return config


def read_presets(server_file: Path | None) -> list[Any]:
    """Returns the presets of a server's configuration, which is checked; none without one."""
    if server_file is None:
        return []
    from expansion.service import server_config

    return list(server_config.checked(server_config.read(server_file)).presets)


def _preset(name: str, server_file: Path) -> AnyConfig:
    from expansion.contract.problems import did_you_mean

    presets = {preset.name: preset for preset in read_presets(server_file)}
    if name not in presets:
        raise ConfigError([Problem(name, f"no such preset or file; {did_you_mean(name, presets)}")])
    config: AnyConfig = getattr(presets[name], presets[name].WhichOneof("transform"))
    return config


def _kind_of(text: str) -> str | None:
    """Returns the kind of which a text has most top-level fields; None if it has none of any, or as many of two."""
    from expansion.contract.config import load_text

    try:
        content = load_text(text)
    except ValueError:
        return next(iter(KINDS))  # whichever it was to be, it is said that this is no YAML
    if not isinstance(content, Mapping):
        return None
    counts = {kind: len(content.keys() & set(message.DESCRIPTOR.fields_by_name)) for kind, message in KINDS.items()}
    best = max(counts.values())
    kinds = [kind for kind, count in counts.items() if count == best]
    return kinds[0] if best and len(kinds) == 1 else None

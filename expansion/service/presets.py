# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Transforms that the operator has published: what a client's configuration becomes that names one."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from expansion.contract import urns
from expansion.contract._gen.server_pb2 import Preset, PresetConfig
from expansion.contract.config import Parsed, parse
from expansion.contract.problems import did_you_mean
from expansion.errors import ConfigError, Problem
from expansion.transforms.composite import AnyConfig

# Fields of a configuration that clients may set beside ``preset``.
_OF_CLIENTS = ("preset", "tensor_batch", "error_handling")
_IDENTIFIER = re.compile(r"beamml:schematransform:preset:([a-z0-9_]+):v1")


def preset_in(identifier: str) -> str | None:
    """Returns the preset that a schema transform's identifier names; None if it is none of a preset's."""
    match = _IDENTIFIER.fullmatch(identifier)
    return match[1] if match else None


class Presets:
    """Published presets by name.

    Args:
        presets: Checked ones, with distinct names.
    """

    def __init__(self, presets: Iterable[Preset] = ()):
        self._presets = {preset.name: preset for preset in presets}

    def get(self, name: str) -> Preset | None:
        """Returns a preset, if there is one of that name."""
        return self._presets.get(name)

    def __iter__(self) -> Iterator[Preset]:
        """Yields the presets in the operator's order."""
        return iter(self._presets.values())

    @property
    def identifiers(self) -> list[str]:
        """Identifiers of the presets' schema transforms."""
        return [urns.preset_identifier(name) for name in self._presets]

    def call(self, preset: Preset, row: Mapping[str, Any]) -> AnyConfig:
        """Returns the configuration that a row of a preset's schema transform stands for.

        Raises:
            ConfigError: The row has fields that PresetConfig has not, or values of wrong types.
        """
        parsed = parse(PresetConfig, row)
        if parsed.problems:
            raise ConfigError(parsed.problems)
        call = type(_config_of(preset))(preset=preset.name)
        if parsed.config.HasField("error_handling"):
            call.error_handling.CopyFrom(parsed.config.error_handling)
        return call

    def unknown(self, name: str) -> str:
        """Returns what is wrong with a name that is no preset's."""
        if not self._presets:
            return f"this service has no presets; got {name[:70]!r}; ask its operator"
        return f"no such preset here; got {name[:70]!r}; {did_you_mean(name, self._presets)}"

    def fill(self, parsed: Parsed[AnyConfig]) -> Parsed[AnyConfig]:
        """Puts what a preset says in the place of its name.

        Args:
            parsed: What a client has sent, as far as it could be read.

        Returns:
            The preset's configuration with what clients may set, and the problems; ``parsed`` where it names no preset.
        """
        asked = parsed.config
        if not asked.preset:
            return parsed
        preset = self.get(asked.preset)
        if preset is None:
            return Parsed(asked, [*parsed.problems, Problem("preset", self.unknown(asked.preset))])
        problems = list(parsed.problems)
        published = _config_of(preset)
        if type(published) is not type(asked):
            other = preset.WhichOneof("transform")
            problems.append(Problem("preset", f"{preset.name!r} is of {other}; call that transform with it"))
            return Parsed(asked, problems)
        filled = copy.deepcopy(published)
        for field, _ in asked.ListFields():
            if field.name not in _OF_CLIENTS:
                problems.append(Problem(field.name, f"the preset {preset.name!r} decides it; leave it out"))
        for name in ("tensor_batch", "error_handling"):  # of error_handling, what is not set is the preset's
            if asked.HasField(name):
                getattr(filled, name).MergeFrom(getattr(asked, name))
        return Parsed(filled, problems)


def _config_of(preset: Preset) -> AnyConfig:
    config: AnyConfig = getattr(preset, str(preset.WhichOneof("transform")))
    return config

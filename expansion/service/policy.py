# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the operator of a service lets clients ask for, beyond what is right by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata

from expansion import hooks, models
from expansion.contract._gen import run_inference_pb2
from expansion.contract.permissions import Permission
from expansion.contract.problems import at
from expansion.errors import Problem
from expansion.transforms.routing import named_models

# Under this, entry points of packages name the hooks that they offer: strip_accents = "my_hooks.text:strip_accents".
_HOOKS = "beam_ml_expansion.hooks"


def installed_hooks() -> frozenset[str]:
    """Returns the names of the hooks that packages of this environment offer. Nothing of them is imported."""
    values = (entry_point.value for entry_point in metadata.entry_points(group=_HOOKS))
    return frozenset(value.split("[")[0].strip().replace(":", ".") for value in values if ":" in value)


@dataclass(frozen=True)
class Policy:
    """What may run code of somebody's own on workers, and is allowed all the same.

    Attributes:
        allowed: Values by the option of ``serve`` that names them. Of "--allow-import" a value is a module, a class or
            a function, and covers what is below it; of the others it is the value itself, empty for one that takes
            none.
        installed: Functions and classes that custom hooks may name besides: the operator has installed them as hooks.
    """

    allowed: Mapping[str, Collection[str]] = field(default_factory=dict)
    installed: Collection[str] = field(default_factory=installed_hooks)

    def check(self, config: run_inference_pb2.RunInferenceConfig) -> Iterator[Problem]:
        """Yields what a checked configuration asks for and the operator does not allow."""
        yield from dict.fromkeys(self._check_models(config))  # a problem of all keys' models once
        for chain in ("pre_hooks", "post_hooks"):
            for index, hook in enumerate(getattr(config, chain)):
                name, _ = hooks.operation(hook)
                asked = (each for each in hooks.permissions(hook) if each.value not in self.installed)
                yield from at(f"{chain}[{index}].{name}", self._refused(asked))

    def _check_models(self, config: run_inference_pb2.RunInferenceConfig) -> Iterator[Problem]:
        for path, model in named_models(config):
            name, message = models.framework(model)
            yield from at(f"{path}.{name}", self._refused(models.module_of(model).permissions(message)))

    def _refused(self, permissions: Iterator[Permission]) -> Iterator[Problem]:
        for permission in permissions:
            if not self._allows(permission):
                value = permission.value[:100]
                got = f"got {value!r}" if value else "is set"
                yield Problem(
                    permission.path,
                    f"{got}, which {permission.reason}; expected {permission.instead}, or start the service with "
                    f"{permission.option} {value}".rstrip(),
                )

    def _allows(self, permission: Permission) -> bool:
        values = self.allowed.get(permission.option, ())
        if permission.option == "--allow-import":
            return any((permission.value + ".").startswith(value + ".") for value in values)
        return permission.value in values

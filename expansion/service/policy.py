# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the operator of a service lets clients ask for, beyond what is right by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from expansion import hooks, models
from expansion.contract._gen import run_inference_pb2
from expansion.contract.permissions import Permission
from expansion.contract.problems import at
from expansion.errors import Problem


@dataclass(frozen=True)
class Policy:
    """What may run code of somebody's own on workers, and is allowed all the same.

    Attributes:
        allowed: Values by the option of ``serve`` that names them. Of "--allow-import" a value is a module, a class or
            a function, and covers what is below it; of the others it is the value itself.
    """

    allowed: Mapping[str, Collection[str]] = field(default_factory=dict)

    def check(self, config: run_inference_pb2.RunInferenceConfig) -> Iterator[Problem]:
        """Yields what a checked configuration asks for and the operator does not allow."""
        name, message = models.framework(config.model)
        yield from at(f"model.{name}", self._refused(models.module_of(config.model).permissions(message)))
        for chain in ("pre_hooks", "post_hooks"):
            for index, hook in enumerate(getattr(config, chain)):
                name, _ = hooks.operation(hook)
                yield from at(f"{chain}[{index}].{name}", self._refused(hooks.permissions(hook)))

    def _refused(self, permissions: Iterator[Permission]) -> Iterator[Problem]:
        for permission in permissions:
            if not self._allows(permission):
                value = permission.value[:100]
                yield Problem(
                    permission.path,
                    f"got {value!r}, which {permission.reason}; expected {permission.instead}, or start the service "
                    f"with {permission.option} {value}",
                )

    def _allows(self, permission: Permission) -> bool:
        values = self.allowed.get(permission.option, ())
        if permission.option == "--allow-import":
            return any((permission.value + ".").startswith(value + ".") for value in values)
        return permission.value in values

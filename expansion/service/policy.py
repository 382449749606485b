# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the operator of a service lets clients ask for, beyond what is right by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata

from expansion import hooks, models
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.model_pb2 import Model
from expansion.contract._gen.operation_pb2 import Embed
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract._gen.server_pb2 import Allow
from expansion.contract.env_vars import HARMLESS
from expansion.contract.permissions import Permission
from expansion.contract.places import Places, is_below
from expansion.contract.problems import at
from expansion.errors import Problem
from expansion.transforms import ml_transform_config
from expansion.transforms.chain import steps_of
from expansion.transforms.embedding_config import embeds_of
from expansion.transforms.routing import named_models

# Under this, entry points of packages name the hooks that they offer: strip_accents = "my_hooks.text:strip_accents".
_HOOKS = "beam_ml_expansion.hooks"


# Option of ``serve`` → field of Allow, which is the same.
_FIELDS = {
    "--allow-format": "formats",
    "--trust-type": "types",
    "--allow-import": "imports",
    "--allow-server-arg": "server_args",
    "--trust-artifact-root": "artifact_roots",
    "--allow-sha256": "sha256",
    "--allow-env-var": "env_vars",
}
# Formats of which a file's SHA-256 does in place of --allow-format.
_PINNED = ("joblib", "pickle", "keras")


def policy_of(allow: Allow) -> Policy:
    """Returns the policy that a server's configuration describes."""
    allowed = {option: frozenset(getattr(allow, name)) for option, name in _FIELDS.items()}
    allowed["--allow-inline-source"] = frozenset([""] if allow.inline_source else [])
    # What may even have workers run code may be named, too.
    prefixes = (*allow.uri_prefixes, *allow.artifact_roots) if allow.uri_prefixes else ()
    return Policy(allowed, Places(prefixes))


def _env_vars(model: Model) -> Iterator[Permission]:
    for name in sorted(set(model.env_vars) - HARMLESS):
        yield Permission(
            f"env_vars.{name}",
            "--allow-env-var",
            name,
            "may have workers load code, read files or send data elsewhere",
            "one that decides on threads, devices or logs, such as OMP_NUM_THREADS",
        )


def installed_hooks() -> frozenset[str]:
    """Returns the names of the hooks that packages of this environment offer. Nothing of them is imported."""
    values = (entry_point.value for entry_point in metadata.entry_points(group=_HOOKS))
    return frozenset(value.split("[")[0].strip().replace(":", ".") for value in values if ":" in value)


@dataclass(frozen=True)
class Policy:
    """What may run code of somebody's own on workers, and is allowed all the same.

    Attributes:
        allowed: Values by the option of ``serve`` that names them. Of "--allow-import" a value is a module, a class or
            a function, and covers what is below it; so does of "--trust-artifact-root" a directory; of the others it is
            the value itself, empty for one that takes none.
        places: Where what a configuration names may be, and models that data names.
        installed: Functions and classes that custom hooks may name besides: the operator has installed them as hooks.
    """

    allowed: Mapping[str, Collection[str]] = field(default_factory=dict)
    places: Places = field(default_factory=Places)
    installed: Collection[str] = field(default_factory=installed_hooks)

    def check(self, config: RunInferenceConfig | MLTransformConfig) -> Iterator[Problem]:
        """Yields what a checked configuration asks for and the operator does not allow."""
        yield from self._check_places(config)
        if isinstance(config, MLTransformConfig):
            yield from self._refused(ml_transform_config.permissions(config))
            yield from self._check_hooks(config)
            for index, embed in embeds_of(config.operations):
                path = f"operations[{index}].embed"
                yield from at(f"{path}.model", self._check_model(embed.model))
                yield from at(path, self._check_hooks(embed))
            return
        for path, step in steps_of(config):
            yield from at(path, dict.fromkeys(self._check_models(step)))  # a problem of all keys' models once
            yield from at(path, self._check_hooks(step))

    def _check_places(self, config: RunInferenceConfig | MLTransformConfig) -> Iterator[Problem]:
        refused = list(self.places.check(config))
        yield from refused
        if isinstance(config, RunInferenceConfig) and not refused and config.HasField("per_key"):
            # A template says no place: that of the only model which is read is not among those that are named.
            yield from (
                problem for _, model in named_models(config) for problem in at("model", self.places.check(model))
            )

    def _check_hooks(self, config: RunInferenceConfig | MLTransformConfig | Embed) -> Iterator[Problem]:
        for chain in ("pre_hooks", "post_hooks"):
            for index, hook in enumerate(getattr(config, chain)):
                name, _ = hooks.operation(hook)
                asked = (each for each in hooks.permissions(hook) if each.value not in self.installed)
                yield from at(f"{chain}[{index}].{name}", self._refused(asked))

    def _check_models(self, config: RunInferenceConfig) -> Iterator[Problem]:
        for path, model in named_models(config):
            yield from at(path, self._check_model(model))

    def _check_model(self, model: Model) -> Iterator[Problem]:
        name, message = models.framework(model)
        asked = models.module_of(model).permissions(message)
        if model.sha256 and model.sha256 in self.allowed.get("--allow-sha256", ()):
            asked = (each for each in asked if each.option != "--allow-format" or each.value not in _PINNED)
        yield from at(name, self._refused(asked))
        yield from self._refused(_env_vars(model))

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
        if permission.option == "--trust-artifact-root":
            return any(is_below(permission.value, root) for root in values)
        if permission.option == "--allow-import":
            return any((permission.value + ".").startswith(value + ".") for value in values)
        return permission.value in values

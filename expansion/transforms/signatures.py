# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the model takes and returns; of several, that all of them take and return the same."""

from __future__ import annotations

from expansion import models
from expansion.contract._gen.model_pb2 import Model
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.problems import at
from expansion.errors import ConfigError, ModelUnavailable, Problem
from expansion.models.signature import Signature
from expansion.transforms import routing


def signature_of(config: RunInferenceConfig, problems: list[Problem]) -> Signature | None:
    """Reads at expansion what the model takes and returns: of models by key one is read, of arms each.

    Args:
        config: A checked configuration.
        problems: Where what is wrong goes.

    Returns:
        The signature; None if there are problems.
    """
    if not config.HasField("split"):
        return _read("model", routing.model_of(config, routing.signature_route(config)), problems)
    found = len(problems)
    (_, first), *others = ((path, _read(path, model, problems)) for path, model in routing.named_models(config))
    for path, other in others:
        if first and other and not other.is_like(first):
            reason = f"takes and returns {other}; the first arm's model {first}"
            problems.append(Problem(path, f"{reason}; expected the same of all arms"))
    return first if len(problems) == found else None


def check_like(config: RunInferenceConfig, key: str, expected: Signature) -> None:
    """Makes sure, on a worker, that the model of a key is like that of ``signature_key``.

    Raises:
        ModelUnavailable: The file can't be read, or holds no model that can be served; it has another signature; or it
            needs a permission that the other does not, and that the operator of the service was not asked for: a
            template's key decides on the end of a file's name.
    """
    model, first = routing.model_of(config, key), routing.signature_route(config)
    _, message = models.framework(model)
    more = _permissions(model) - _permissions(routing.model_of(config, first))
    if more:
        raise ModelUnavailable(f"{message.uri!r} needs {', '.join(sorted(more))}; the model of key {first!r} does not")
    try:
        signature = models.module_of(model).signature(message)
    except ConfigError as error:
        raise ModelUnavailable(error.reason) from error
    if not signature.is_like(expected):
        reason = f"{message.uri!r} takes and returns {signature}"
        raise ModelUnavailable(f"{reason}; expected {expected}, as of key {first!r}")


def _read(path: str, model: Model, problems: list[Problem]) -> Signature | None:
    name, message = models.framework(model)
    try:
        return models.module_of(model).signature(message)
    except ConfigError as error:
        problems += at(f"{path}.{name}", error.problems)
        return None


def _permissions(model: Model) -> set[str]:
    _, message = models.framework(model)
    return {f"{asked.option} {asked.value}".rstrip() for asked in models.module_of(model).permissions(message)}

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What the model takes and returns; of several, that all of them take and return the same."""

from __future__ import annotations

from expansion import models
from expansion.contract._gen.model_pb2 import Model
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.places import Places
from expansion.contract.problems import at
from expansion.errors import ConfigError, ModelUnavailable, Problem
from expansion.models.signature import Signature
from expansion.transforms import routing


def signature_of(config: RunInferenceConfig, problems: list[Problem]) -> Signature | None:
    """Reads at expansion what the model takes and returns: one of models by key or uri, each of a split or ensemble.

    Args:
        config: A checked configuration.
        problems: Where what is wrong goes.

    Returns:
        The signature; None if there are problems.
    """
    several = config.WhichOneof("routing")
    if several not in ("split", "ensemble"):
        return _read("model", routing.model_of(config, routing.signature_route(config)), problems)
    found = len(problems)
    (_, first), *others = ((path, _read(path, model, problems)) for path, model in routing.named_models(config))
    for path, other in others:
        if first and other and not other.is_like(first):
            reason = f"takes and returns {other}; the first model of the {several} {first}"
            problems.append(Problem(path, f"{reason}; expected the same of all"))
    return first if len(problems) == found else None


def check_like(config: RunInferenceConfig, route: str, expected: Signature, places: Places | None = None) -> None:
    """Makes sure, on a worker, that the model of a key or at a uri is like the one that the service has read.

    Args:
        config: The configuration.
        route: The key or the uri.
        expected: What the model has to take and return.
        places: Where models may be whose uris come with the data. Default: anywhere.

    Raises:
        ModelUnavailable: Data may not name the model; the file can't be read, or holds no model that can be served; or
            it has another signature.
    """
    model = routing.model_of(config, route)
    _check_named_by_data(config, model, places)
    _, message = models.framework(model)
    try:
        signature = models.module_of(model).signature(message)
    except ConfigError as error:
        raise ModelUnavailable(error.reason) from error
    if not signature.is_like(expected):
        reason = f"{message.uri!r} takes and returns {signature}"
        raise ModelUnavailable(f"{reason}; expected {expected}, as {_whose(config)}")


def _check_named_by_data(config: RunInferenceConfig, model: Model, places: Places | None) -> None:
    """Makes sure that a model, which a key or a uri in the data names, is one that a configuration could name here.

    Raises:
        ModelUnavailable: It is where the operator allows none; its uri is none of its framework's; or it needs a
            permission that the one that the service has read does not, and that the operator was not asked for: the end
            of a file's name may decide on that.
    """
    _, message = models.framework(model)
    refusal = places.refusal_of_model(message) if places else ""
    if refusal:
        raise ModelUnavailable(f"got {message.uri!r}, {refusal}")
    more = _permissions(model) - _permissions(routing.model_of(config, routing.signature_route(config)))
    if more:
        raise ModelUnavailable(f"{message.uri!r} needs {', '.join(sorted(more))}; the model {_whose(config)} does not")
    problems = list(models.module_of(model).check(message))
    if problems:
        raise ModelUnavailable(f"{message.uri!r}: {ConfigError(problems).reason}")


def _whose(config: RunInferenceConfig) -> str:
    """Says which model is the one that the service has read."""
    first = routing.signature_route(config)
    return f"of key {first!r}" if config.HasField("per_key") else f"at {first!r}"


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

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Several models in one RunInference, by key or as an A/B test: what the configuration says of them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping

from expansion import models
from expansion.contract._gen.model_pb2 import Model
from expansion.contract._gen.routing_pb2 import Ensemble, PerKeyModels, Split
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.fields import Field, Fields, is_integer
from expansion.contract.places import KEY
from expansion.contract.problems import at, did_you_mean, repeated, shown
from expansion.errors import Problem
from expansion.models import stacks

DEFAULT_MAX_MODELS = 8
DEFAULT_ARM_COLUMN = "arm"


def is_key(text: str) -> bool:
    """Whether a key may be put into a template: it can't lead to another place than one beside the other models."""
    return re.fullmatch(r"[A-Za-z0-9_.-]+", text) is not None and text not in (".", "..")


def column_of(config: RunInferenceConfig) -> str:
    """Returns the column that decides which model runs on a row; empty where there is one model."""
    routing = config.WhichOneof("routing")
    return str(getattr(getattr(config, routing), "column", "")) if routing else ""


def has_routes(config: RunInferenceConfig) -> bool:
    """Whether it is known of a batch only, and not before, which model runs on it."""
    return config.WhichOneof("routing") in ("per_key", "split", "model_uris")


def has_uris_of_data(config: RunInferenceConfig) -> bool:
    """Whether data says where models are: a second input, or the keys that a template is filled in with."""
    return config.HasField("model_uris") or (config.HasField("per_key") and not config.per_key.uris)


def signature_route(config: RunInferenceConfig) -> str:
    """Returns the route of the model that says what all of them take and return; empty where there is one model."""
    if config.HasField("model_uris"):
        _, message = models.framework(config.model)
        return str(message.uri)
    if config.HasField("per_key"):
        return config.per_key.signature_key or min(config.per_key.uris, key=str.encode, default="")
    return config.split.arms[0].name if config.split.arms else ""


def model_of(config: RunInferenceConfig, route: str) -> Model:
    """Returns the model of a route: of a key, an arm's name, a uri; ``model`` itself where there is one model.

    Raises:
        LookupError: There is none.
    """
    if config.HasField("split"):
        return next(arm.model for arm in config.split.arms if arm.name == route)
    if config.HasField("model_uris"):
        return _with_uri(config.model, route)
    if not config.HasField("per_key"):
        return config.model
    uris = config.per_key.uris
    if uris and route not in uris:
        raise LookupError(f"per_key.uris has no model for {shown(route)}")
    _, message = models.framework(config.model)
    return _with_uri(config.model, uris[route] if uris else message.uri.replace(KEY, route))


def _with_uri(model: Model, uri: str) -> Model:
    made = Model()
    made.CopyFrom(model)
    _, message = models.framework(made)
    message.uri = uri
    return made


def models_of(config: RunInferenceConfig, route: str) -> list[Model]:
    """Returns the models that run on rows of a route: one, or all of an ensemble."""
    return list(config.ensemble.models) or [model_of(config, route)]


def named_models(config: RunInferenceConfig) -> Iterator[tuple[str, Model]]:
    """Yields every model that a checked configuration names, with its field path; of a template, signature_key's."""
    if config.HasField("split"):
        yield from ((f"split.arms[{index}].model", arm.model) for index, arm in enumerate(config.split.arms))
    elif config.HasField("ensemble"):
        yield from ((f"ensemble.models[{index}]", model) for index, model in enumerate(config.ensemble.models))
    elif config.HasField("per_key"):
        first = signature_route(config)
        yield from (("model", model_of(config, key)) for key in sorted(config.per_key.uris, key=str.encode) or [first])
    else:
        yield "model", config.model


def env_vars(config: RunInferenceConfig) -> dict[str, str]:
    """Returns the environment variables of all models, which run in one process, in the order of their names."""
    return dict(sorted(item for _, model in named_models(config) for item in model.env_vars.items()))


def arm_field(config: RunInferenceConfig) -> Field | None:
    """Returns the prediction column that says the arm; None where there are no arms."""
    return Field(config.split.output or DEFAULT_ARM_COLUMN, "STRING") if config.HasField("split") else None


def check(config: RunInferenceConfig, check_model: Callable[[Model], Iterator[Problem]]) -> Iterator[Problem]:
    """Yields what is wrong with the models of a configuration by itself.

    Args:
        config: The configuration.
        check_model: Yields what is wrong with one model.
    """
    routing = config.WhichOneof("routing")
    if routing in ("split", "ensemble") and config.HasField("model"):
        where = "split.arms" if routing == "split" else "ensemble.models"
        yield Problem("model", f"is set, and {routing} has models of its own; put it into {where}")
    if routing == "split":
        yield from at("split", _check_split(config.split, check_model))
    elif routing == "ensemble":
        yield from at("ensemble", _check_ensemble(config.ensemble, check_model))
    elif config.HasField("per_key") and config.model.WhichOneof("framework"):
        yield from at("per_key", _check_per_key(config.per_key, config.model))
        yield from _check_models_by_key(config, check_model)
    else:
        if routing == "model_uris":
            yield from at("model_uris", _check_model_uris(config.model))
        yield from at("model", check_model(config.model))


def check_column(config: RunInferenceConfig, fields: Fields) -> Iterator[Problem]:
    """Yields what is wrong with the column that decides.

    Args:
        config: A checked configuration.
        fields: The input's columns that can be features.
    """
    name = column_of(config)
    if not name:
        return
    path = f"{config.WhichOneof('routing')}.column"
    texts = {"STRING", "BYTES"} if config.HasField("split") else {"STRING"}
    field = fields.get(name)
    if field is None:
        yield Problem(path, f"no column {name!r}; {did_you_mean(name, fields)}")
    elif field.shape or not (field.datatype in texts or is_integer(field.datatype)):
        expected = ", ".join(sorted(texts, reverse=True))
        yield Problem(path, f"column {name!r} is {field}; expected one {expected} or integer a row; cast it before")


def _check_model_uris(model: Model) -> Iterator[Problem]:
    if model.refresh_interval_secs:
        reason = "model.refresh_interval_secs is set, and a newer model has a uri of its own here"
        yield Problem("", f"{reason}; leave it out")
    if model.model_id:
        got = f"model.model_id is {model.model_id!r}"
        yield Problem("", f"{got}, and rows say the uri of the model that was used; leave it out")
    if model.sha256:
        yield Problem("", "model.sha256 is set, and says of one file what it holds; leave it out")


def _check_per_key(per_key: PerKeyModels, model: Model) -> Iterator[Problem]:
    if not per_key.column:
        yield Problem("column", "missing; expected the column that holds the key of each row")
    if per_key.max_models_per_worker < 0:
        reason = f"got {per_key.max_models_per_worker}; expected a positive number, or 0 for the default"
        yield Problem("max_models_per_worker", reason)
    if model.model_id:
        got = f"model.model_id is {model.model_id!r}"
        yield Problem("", f"{got}, and rows say the uri of their key's model; leave it out")
    if model.sha256:
        yield Problem("", "model.sha256 is set, and says of one file what it holds; leave it out")
    for known, uri in sorted(per_key.uris.items()):
        if not known or not uri:
            yield Problem("uris", f"got {shown(known)}: {shown(uri)}; expected keys and uris that are not empty")
    key, uris = per_key.signature_key, per_key.uris
    if uris and key and key not in uris:
        yield Problem("signature_key", f"uris has no {key!r}; {did_you_mean(key, uris)}")
    if uris:
        return
    _, message = models.framework(model)
    if KEY not in message.uri:
        got = f"the model's uri is {message.uri!r}"
        yield Problem("uris", f"missing, and {got}; set uris, or put {KEY} into that uri: gs://models/{KEY}.onnx")
    if not key:
        yield Problem("signature_key", "missing; a template needs a key whose model says what all take and return")
    elif not is_key(key):
        yield Problem("signature_key", f"got {shown(key)}; expected letters, digits, '_', '.' and '-'")


def _check_models_by_key(
    config: RunInferenceConfig, check_model: Callable[[Model], Iterator[Problem]]
) -> Iterator[Problem]:
    """Yields what is wrong with the models, once for all keys; of each one's uri by itself."""
    name, _ = models.framework(config.model)
    uris = config.per_key.uris
    for index, key in enumerate(sorted(filter(uris.get, uris), key=str.encode)):
        for problem in check_model(model_of(config, key)):
            if problem.path == f"{name}.uri":
                yield Problem(f"per_key.uris.{key}", problem.message)
            elif index == 0:
                yield from at("model", [problem])
    key = config.per_key.signature_key
    if not uris and is_key(key):
        yield from at("model", check_model(model_of(config, key)))


def _check_split(split: Split, check_model: Callable[[Model], Iterator[Problem]]) -> Iterator[Problem]:
    if not split.column:
        yield Problem("column", "missing; expected the column whose value decides, such as a user's id")
    if not split.arms:
        yield Problem("arms", "missing; expected models with names and weights")
    twice = repeated(arm.name for arm in split.arms)
    for index, arm in enumerate(split.arms):
        here = f"arms[{index}]"
        if not arm.name:
            yield Problem(f"{here}.name", "is not set; every entry needs one")
        elif index in twice:
            yield Problem(f"{here}.name", f"{arm.name!r} is there twice; each may be there once")
        if not 0 < arm.weight < math.inf:
            yield Problem(f"{here}.weight", f"got {arm.weight:g}; expected a number above 0, such as 0.1")
        yield from at(f"{here}.model", check_model(arm.model))
    yield from _check_together("arms", {arm.name: arm.model for arm in split.arms})


def _check_ensemble(ensemble: Ensemble, check_model: Callable[[Model], Iterator[Problem]]) -> Iterator[Problem]:
    if len(ensemble.models) < 2:
        yield Problem("models", f"got {len(ensemble.models)}; expected two or more, of which one is the average")
    if ensemble.weights and len(ensemble.weights) != len(ensemble.models):
        yield Problem("weights", f"got {len(ensemble.weights)} for {len(ensemble.models)} models; expected one each")
    for index, weight in enumerate(ensemble.weights):
        if not 0 < weight < math.inf:
            yield Problem(f"weights[{index}]", f"got {weight:g}; expected a number above 0")
    for index, model in enumerate(ensemble.models):
        yield from at(f"models[{index}]", check_model(model))
    yield from _check_together("models", {f"models[{index}]": model for index, model in enumerate(ensemble.models)})


def _check_together(path: str, members: Mapping[str, Model]) -> Iterator[Problem]:
    """Yields what keeps models from running in one process."""
    clash = stacks.clashing({model.WhichOneof("framework") for model in members.values()})
    if clash:
        yield Problem(
            path,
            f"got {' and '.join(clash)}, whose libraries abort a process in which both are loaded; export the models "
            "to one framework, such as onnx, or use two RunInference on workers of their own",
        )
    first: dict[str, tuple[str, str]] = {}
    for name, model in members.items():
        for variable, value in sorted(model.env_vars.items()):
            other, others_value = first.setdefault(variable, (name, value))
            if value != others_value:
                reason = f"env_vars.{variable} differs between {other!r} and {name!r}"  # its values may be secrets
                yield Problem(path, f"{reason}; expected one value, as they run in one process")

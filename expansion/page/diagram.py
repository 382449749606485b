# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a configuration does to a row, as boxes one after another: hooks, models, operations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from expansion.contract.secrets import redacted

_MAX_CHARS = 90
# Fields of a preset's configuration that hold names of environment variables and what they are set to.
_VARIABLES = "env_vars"


@dataclass(frozen=True)
class Box:
    """A hook, a model or an operation.

    Attributes:
        kind: As in the catalogue: "hook", "framework" or "operation".
        name: What it is called there.
        label: What distinguishes it from the others of its stage: an arm's name and share, a key; empty for none.
        settings: What is set of it, each as "field: value".
    """

    kind: str
    name: str
    label: str = ""
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """What every row goes through once.

    Attributes:
        title: "pre hook", "model" and so on.
        boxes: One; or several models, of which one runs on a row, or all.
        choice: Which of several that is; empty for one.
    """

    title: str
    boxes: tuple[Box, ...]
    choice: str = ""


def stages_of(config: Mapping[str, Any]) -> list[Stage]:
    """Returns the stages of a preset, in order.

    Args:
        config: ``run_inference`` or ``ml_transform`` → its configuration, as mappings and lists.
    """
    [(transform, said)] = without_secrets(config).items()
    return list(_of_inference(said) if transform == "run_inference" else _of_preparation(said))


def without_secrets(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a configuration without what environment variables are set to, and with what looks secret hidden."""
    return {name: _shown(name, value) for name, value in config.items()}


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        if name == _VARIABLES:
            return dict.fromkeys(value, "***")
        return without_secrets(value)
    if isinstance(value, list):
        return [_shown("", each) for each in value]
    return redacted(value) if isinstance(value, str) else value


def _of_inference(config: Mapping[str, Any]) -> Iterator[Stage]:
    yield from _hooks("pre hook", config)
    yield _models(config)
    yield from _hooks("post hook", config)
    for step in config.get("then", ()):
        yield from _hooks("pre hook", step)
        yield Stage("then model", (_model(step.get("model", {}), step),))
        yield from _hooks("post hook", step)


def _of_preparation(config: Mapping[str, Any]) -> Iterator[Stage]:
    yield from _hooks("pre hook", config)
    learned = config.get("read_artifact_location")
    if learned:
        settings = (f"from: {_short(learned)}",)
        yield Stage("learned before", (Box("transform", "MLTransform", "", settings),))
    for operation in config.get("operations", ()):
        yield Stage("operation", (_box("operation", operation),))
    yield from _hooks("post hook", config)


def _hooks(title: str, config: Mapping[str, Any]) -> Iterator[Stage]:
    for hook in config.get(f"{title.replace(' ', '_')}s", ()):
        yield Stage(title, (_box("hook", hook),))


def _models(config: Mapping[str, Any]) -> Stage:
    """Returns the stage of a configuration's model, or models."""
    model = config.get("model", {})
    if "split" in config:
        arms = config["split"].get("arms", ())
        total = sum(arm.get("weight", 0) for arm in arms) or 1
        boxes = (
            _model(arm.get("model", {}), config, f"{arm.get('name', '')}: {100 * arm.get('weight', 0) / total:.3g} %")
            for arm in arms
        )
        return Stage("models", tuple(boxes), f"one of them, by {config['split'].get('column')}")
    if "ensemble" in config:
        members = config["ensemble"].get("models", ())
        weights = config["ensemble"].get("weights") or [1] * len(members)
        boxes = (_model(each, config, f"weight {weight:g}") for each, weight in zip(members, weights, strict=False))
        return Stage("models", tuple(boxes), "all of them, averaged")
    if "per_key" in config:
        return _by_key(model, config)
    choice = "the newest of a second input" if "model_uris" in config else ""
    return Stage("model", (_model(model, config),), choice)


def _by_key(model: Mapping[str, Any], config: Mapping[str, Any]) -> Stage:
    per_key = config["per_key"]
    choice = f"one of them, by {per_key.get('column')}"
    uris = per_key.get("uris")
    if not uris:
        return Stage("models", (_model(model, config, "for each key"),), choice)
    framework, said = _only(model)
    boxes = (_model({framework: {**said, "uri": uri}}, config, key) for key, uri in uris.items())
    return Stage("models", tuple(boxes), choice)


def _model(model: Mapping[str, Any], config: Mapping[str, Any], label: str = "") -> Box:
    """Returns the box of a model, with the inputs and outputs that the configuration around it names."""
    framework, said = _only(model)
    others = {name: value for name, value in model.items() if name != framework}
    inputs = [f"{each.get('name')} ← {', '.join(each.get('columns', ()))}" for each in config.get("inputs", ())]
    outputs = [f"{each.get('source')} → {each['name']}" for each in config.get("outputs", ()) if each.get("name")]
    return Box("framework", framework, label, (*_settings({**said, **others}), *inputs, *outputs))


def _only(model: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Returns the name and the message of a model's framework, which is the one field that holds a message."""
    for name, value in model.items():
        if isinstance(value, Mapping) and name != _VARIABLES:
            return name, value
    return "", {}


def _box(kind: str, item: Mapping[str, Any]) -> Box:
    [(name, said)] = item.items()
    return Box(kind, name, "", tuple(_settings(said)))


def _settings(said: Mapping[str, Any]) -> Iterable[str]:
    return (f"{name}: {_short(value)}" for name, value in said.items())


def _short(value: Any) -> str:
    if isinstance(value, list) and all(isinstance(each, str | int | float) for each in value):
        text = ", ".join(map(str, value))
    elif isinstance(value, Mapping):
        text = ", ".join(f"{name} {_short(each)}" for name, each in value.items())
    else:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _MAX_CHARS else f"{text[: _MAX_CHARS - 1]}…"

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The one funnel for configuration: read it from any form, check all of it, report every problem at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from expansion import hooks, models
from expansion.contract import urns
from expansion.contract._gen.hook_pb2 import Hook
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.model_pb2 import Model
from expansion.contract._gen.run_inference_pb2 import (
    Batching,
    ErrorHandling,
    InputFeature,
    OutputColumn,
    RunInferenceConfig,
    TensorBatchInput,
)
from expansion.contract.config import Parsed, parse
from expansion.contract.declared import check_type
from expansion.contract.problems import at, did_you_mean, first, repeated
from expansion.contract.secrets import is_for_workers
from expansion.errors import ConfigError, Problem
from expansion.models.hub import is_of_hub
from expansion.transforms import counts, resource_hints, routing
from expansion.transforms.chain import steps_of

DEFAULT_MAX_BATCH_SIZE = 1024
# What encoding adds to the columns that a client gets back; model_version only where models are refreshed.
RESULT_COLUMNS = ("stage", "error_type", "message", "model_id", "model_version")
DEFAULT_MAX_ELEMENT_BYTES = 64 << 20
# What clocks and system calls take.
_MAX_SECS = 1_000_000
# Looking more often would only cost.
_MIN_REFRESH_INTERVAL_SECS = 0.1

_Config = TypeVar("_Config", bound=Message)


def read_config(source: RunInferenceConfig | bytes | str | Mapping[str, Any]) -> RunInferenceConfig:
    """Reads and checks a configuration.

    Args:
        source: The message; its serialized bytes; YAML or JSON text; or nested mappings and lists, keyed as the proto's
            fields are named.

    Returns:
        The message.

    Raises:
        ConfigError: With every problem, each with its field path.
    """
    return read_checked(RunInferenceConfig, source, check)


def read_checked(
    kind: type[_Config],
    source: _Config | bytes | str | Mapping[str, Any],
    check: Callable[[_Config], Iterable[Problem]],
) -> _Config:
    """Reads a configuration of any kind and checks it.

    Args:
        kind: The class of its message.
        source: As in ``read_config``.
        check: What yields what is wrong with the message.

    Raises:
        ConfigError: With every problem, each with its field path.
    """
    return checked(parse(kind, source), check)


def checked(parsed: Parsed[_Config], check: Callable[[_Config], Iterable[Problem]]) -> _Config:
    """Checks a configuration that has been read.

    Args:
        parsed: The configuration as far as it could be read.
        check: What yields what is wrong with the message.

    Raises:
        ConfigError: With every problem, each with its field path.
    """
    config, problems = parsed.config, list(parsed.problems)
    # What could not be read is not there to be checked: a second problem at or above the same path would only confuse.
    unread = [problem.path for problem in problems]
    problems += first(problem for problem in check(config) if not _is_about(problem.path, unread))
    if problems:
        raise ConfigError(problems)
    return config


def _is_about(path: str, unread: Iterable[str]) -> bool:
    return any(other == "" or (other + ".").startswith(path + ".") or path.startswith(other) for other in unread)


def check(config: RunInferenceConfig) -> Iterator[Problem]:
    """Yields what is wrong with a configuration by itself, before anything is known of its input."""
    if config.preset:
        yield no_presets_here(config.preset)
        return
    too_many = list(counts.check(config))
    if too_many:
        yield from too_many
        return
    for path, step in steps_of(config):
        yield from at(path, check_step(step))
    yield from at("batching", _check_batching(config.batching))
    yield from check_ends(config)


def no_presets_here(name: str) -> Problem:
    """Returns what is wrong with a preset that no service has filled in."""
    return Problem(
        "preset", f"got {name[:70]!r}, and only a service has presets; set the address of one, or leave it out"
    )


def check_step(config: RunInferenceConfig) -> Iterator[Problem]:
    """Yields what is wrong with a model's part of a configuration."""
    yield from routing.check(config, _check_model)
    yield from _check_inputs(config.inputs)
    yield from _check_outputs(config.outputs)
    yield from check_hooks(config)
    yield from at("resource_hints", resource_hints.check(config.resource_hints))


def check_hooks(config: RunInferenceConfig | MLTransformConfig) -> Iterator[Problem]:
    """Yields what is wrong with the hooks of any kind of configuration."""
    for name in ("pre_hooks", "post_hooks"):
        for index, hook in enumerate(getattr(config, name)):
            yield from at(f"{name}[{index}]", _check_hook(hook))


def check_ends(config: RunInferenceConfig | MLTransformConfig) -> Iterator[Problem]:
    """Yields what is wrong with what any kind of configuration says of elements that come in and rows that fail."""
    if config.HasField("error_handling"):
        yield from at("error_handling", _check_error_handling(config.error_handling))
    if config.HasField("tensor_batch"):
        yield from at("tensor_batch", _check_tensor_batch(config.tensor_batch))


def _check_model(model: Model) -> Iterator[Problem]:
    try:
        name, message = models.framework(model)
    except ConfigError as error:
        yield from error.problems
    else:
        module = models.module_of(model)
        yield from at(name, module.check(message))
        unfit = getattr(module, "UNFIT", {})
        yield from (Problem(field, f"is set, and {reason}") for field, reason in unfit.items() if getattr(model, field))
        yield from _check_refresh(model.refresh_interval_secs, message.uri)
        yield from _check_sha256(model, getattr(module, "is_one_file", lambda config: False)(message))
    if not re.fullmatch(r"(auto|cpu|cuda(:\d{1,3})?)?", model.device):
        yield Problem("device", f"got {model.device[:60]!r}; expected 'auto', 'cpu', 'cuda' or 'cuda:0', 'cuda:1', …")
    for field in ("threads", "warm_up_rows", "model_copies"):
        yield from not_negative(field, getattr(model, field))
    if model.large_model and model.model_copies > 1:
        yield Problem("model_copies", f"got {model.model_copies}, and large_model is one copy; leave one of them out")
    for variable in sorted(model.env_vars):
        if not re.fullmatch(r"[A-Za-z_]\w*", variable):
            yield Problem("env_vars", f"got {variable[:60]!r}; expected the name of an environment variable")
        elif is_for_workers(variable):
            reason = "holds a secret, or says where to send one, and a configuration is stored with the job"
            yield Problem(f"env_vars.{variable}", f"{reason}; set it in the environment of the workers")


def _check_refresh(interval_secs: float, uri: str) -> Iterator[Problem]:
    name = "refresh_interval_secs"
    if interval_secs != 0 and not _MIN_REFRESH_INTERVAL_SECS <= interval_secs <= _MAX_SECS:
        expected = f"seconds, from {_MIN_REFRESH_INTERVAL_SECS} to {_MAX_SECS}, or 0 for never"
        yield Problem(name, f"got {interval_secs:g}; expected {expected}")
    elif interval_secs and (not uri or is_of_hub(uri)):
        reason = "is a name of the hub" if uri else "names no file"
        yield Problem(name, f"is set, and the model's uri {reason}; leave it out, or set uri to files to look at")


def _check_sha256(model: Model, is_one_file: bool) -> Iterator[Problem]:
    if not model.sha256:
        return
    if not re.fullmatch(r"[0-9a-f]{64}", model.sha256):
        got = f"got {model.sha256[:70]!r}; expected 64 hexadecimal digits in lower case, as sha256sum prints"
        yield Problem("sha256", got)
    if not is_one_file:
        yield Problem("sha256", "is set, and the model is not one file; leave it out")
    if model.refresh_interval_secs:
        yield Problem(
            "sha256", "is set, and so is refresh_interval_secs, which takes changed files; leave one of them out"
        )


def _check_hook(hook: Hook) -> Iterator[Problem]:
    try:
        name, message = hooks.operation(hook)
    except ConfigError as error:
        yield from error.problems
    else:
        yield from at(name, hooks.module_of(hook).check(message))


def _check_inputs(inputs: Iterable[InputFeature]) -> Iterator[Problem]:
    yield from _check_names("inputs", "name", [feature.name for feature in inputs])


def _check_outputs(outputs: Iterable[OutputColumn]) -> Iterator[Problem]:
    yield from _check_names("outputs", "source", [output.source for output in outputs])
    yield from _check_names(
        "outputs", "name", [output.name or output.source or str(index) for index, output in enumerate(outputs)]
    )
    for index, output in enumerate(outputs):
        if output.datatype:
            yield from at(f"outputs[{index}]", check_type(output.datatype, output.shape))
        elif output.shape:
            yield Problem(f"outputs[{index}].shape", "is set without datatype; set both, or neither to ask the model")


def _check_names(path: str, attribute: str, names: list[str]) -> Iterator[Problem]:
    twice = repeated(names)
    for index, name in enumerate(names):
        here = f"{path}[{index}]" + (f".{attribute}" if attribute else "")
        if not name:
            yield Problem(here, "is not set; every entry needs one")
        elif index in twice:
            yield Problem(here, f"{name!r} is there twice; each may be there once")


def _check_batching(batching: Batching) -> Iterator[Problem]:
    for name in ("min_batch_size", "max_batch_size", "max_element_bytes", "max_batch_weight"):
        yield from not_negative(name, getattr(batching, name))
    yield from _seconds("max_batch_duration_secs", batching.max_batch_duration_secs)
    largest = batching.max_batch_size or DEFAULT_MAX_BATCH_SIZE
    if batching.min_batch_size > largest >= 0:
        yield Problem("min_batch_size", f"got {batching.min_batch_size}; expected at most max_batch_size, {largest}")
    if batching.weight_column and not batching.max_batch_weight:
        yield Problem("weight_column", "is set without max_batch_weight; set both, or neither")
    boundaries = list(batching.length_boundaries)
    if bool(batching.length_column) != bool(boundaries):
        missing = "length_boundaries" if batching.length_column else "length_column"
        yield Problem(missing, "missing; length_column and length_boundaries belong together")
    if any(low >= high for low, high in zip([0, *boundaries], boundaries, strict=False)):
        yield Problem(
            "length_boundaries", f"got {boundaries}; expected ascending lengths above 0, such as [16, 32, 64]"
        )


def _check_error_handling(handling: ErrorHandling) -> Iterator[Problem]:
    if not re.fullmatch(r"[A-Za-z_][\w-]*", handling.output) or handling.output == urns.OUTPUT:
        reason = f"expected a name for the second output, other than {urns.OUTPUT!r}, such as 'errors'"
        yield Problem("output", f"got {handling.output!r}; {reason}")
    if handling.HasField("max_error_rate") and not 0 <= handling.max_error_rate <= 1:
        yield Problem(
            "max_error_rate", f"got {handling.max_error_rate:g}; expected a fraction from 0 to 1, such as 0.1"
        )
    yield from not_negative("min_rows", handling.min_rows)
    yield from _seconds("timeout_secs", handling.timeout_secs)


def _seconds(name: str, value: float) -> Iterator[Problem]:
    if not 0 <= value <= _MAX_SECS:
        yield Problem(name, f"got {value:g}; expected seconds, {_MAX_SECS} at most, or 0 for the default")


def not_negative(name: str, value: float) -> Iterator[Problem]:
    """Yields a problem if a number is negative or infinite."""
    if not 0 <= value < float("inf"):
        yield Problem(name, f"got {value:g}; expected a positive number, or 0 for the default")


def _check_tensor_batch(tensor_batch: TensorBatchInput) -> Iterator[Problem]:
    names = [field.name for field in tensor_batch.columns]
    if not names:
        yield Problem("columns", "is empty; expected the columns that every TensorBatch holds")
    yield from _check_names("columns", "name", names)
    yield from _check_names("opaque_columns", "", list(tensor_batch.opaque_columns))
    for index, field in enumerate(tensor_batch.columns):
        yield from at(f"columns[{index}]", check_type(field.datatype, field.shape))
    for path in ("opaque_columns", "return_columns"):
        for index, name in enumerate(getattr(tensor_batch, path)):
            if name in RESULT_COLUMNS:
                yield Problem(f"{path}[{index}]", f"{name!r} is a column of results; give the column another name")
    features = set(names)
    for index, name in enumerate(tensor_batch.opaque_columns):
        if name in features:
            yield Problem(f"opaque_columns[{index}]", f"{name!r} is a feature column as well; give it another name")
    for index, name in enumerate(tensor_batch.return_columns):
        if name not in features:
            yield Problem(f"return_columns[{index}]", f"no feature column {name!r}; {did_you_mean(name, names)}")

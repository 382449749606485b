# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What an operator decides, from a file and the command line: read it, check all of it, fill in the defaults."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from expansion import models
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract._gen.server_pb2 import Preset, ServerConfig
from expansion.contract.config import parse
from expansion.contract.places import check_prefix
from expansion.contract.problems import at, did_you_mean
from expansion.errors import ConfigError, Problem
from expansion.service import environments, limits, own_wheel, tls, tokens
from expansion.service.ports import is_loopback
from expansion.transforms import config as run_inference_config
from expansion.transforms import ml_transform_config

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8097
LOG_FORMATS = ("text", "json")
# Formats of model files that have workers run code when they load them: what the file holds, or what it names.
UNSAFE_FORMATS = ("joblib", "pickle", "keras", "tensorrt-engine")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_PRESET_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
# Each list of Allow: what its entries look like, and what to say of those that do not.
_ALLOWED_FORMS = {
    "formats": (re.compile("|".join(UNSAFE_FORMATS)), "one of " + ", ".join(UNSAFE_FORMATS)),
    "types": (re.compile(r"\w+(\.\w+)+"), "MODULE.CLASS, such as mycompany.features.Buckets"),
    "imports": (re.compile(r"\w+(\.\w+)*"), "a dotted name, such as mycompany.models"),
    "server_args": (re.compile(r"[a-z][a-z0-9.+-]*"), "a name without its dashes, such as chat-template"),
    "sha256": (re.compile(r"[0-9a-f]{64}"), "64 hexadecimal digits in lower case, as sha256sum prints"),
    "env_vars": (re.compile(r"[A-Za-z_]\w*"), "the name of an environment variable"),
    "artifact_roots": (re.compile(r"/.*|.*://.*"), "an absolute path or a URI, such as gs://features"),
}


def read(path: Path) -> ServerConfig:
    """Reads a file; ``check`` has not seen it yet.

    Returns:
        What the file says, with paths made absolute.

    Raises:
        ConfigError: The file can't be read, or has unknown fields or values of wrong types: all of them.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text file in UTF-8"
        raise ConfigError([Problem(str(path), str(reason))]) from None
    parsed = parse(ServerConfig, text)
    if parsed.problems:
        raise ConfigError(at(f"{path}", parsed.problems))
    make_absolute(parsed.config, path.resolve().parent)
    return parsed.config


def make_absolute(config: ServerConfig, folder: Path) -> None:
    """Has relative paths of a configuration start at a folder, which is that of its file."""
    for message, name in (
        (config, "token_file"),
        (config.tls, "certificate_file"),
        (config.tls, "key_file"),
        (config.tls, "client_ca_file"),
    ):
        if getattr(message, name):
            setattr(message, name, str(folder / getattr(message, name)))
    for index, package in enumerate(config.worker_packages):
        if own_wheel.extras_of(package) is None:
            config.worker_packages[index] = str(folder / package)


def checked(config: ServerConfig) -> ServerConfig:
    """Returns a configuration with every default filled in.

    Raises:
        ConfigError: With everything that is wrong with it.
    """
    problems = list(check(config))
    if problems:
        raise ConfigError(problems)
    full = ServerConfig(host=DEFAULT_HOST, port=DEFAULT_PORT, log_format=LOG_FORMATS[0])
    full.MergeFrom(config)
    full.limits.CopyFrom(limits.filled(config.limits))
    if not full.HasField("http_port"):
        full.http_port = full.port + 1 if 0 < full.port < 65535 else 0
    return full


def environment_of(config: ServerConfig, named: str) -> str:
    """Returns the SPEC that an environment's name stands for; what is no name is a SPEC already."""
    return config.environments.get(named, named)


def check(config: ServerConfig) -> Iterator[Problem]:
    """Yields what is wrong with a configuration."""
    for name, lowest in (("port", 0), ("http_port", -1)):
        if not lowest <= getattr(config, name) <= 65535:
            yield Problem(name, f"got {getattr(config, name)}; expected {lowest} to 65535")
    if config.http_port > 0 and config.http_port == (config.port if config.HasField("port") else DEFAULT_PORT):
        yield Problem("http_port", f"{config.http_port} is gRPC's port; choose another; -1 serves no HTTP")
    yield from _check_access(config)
    yield from at("allow", _check_allow(config))
    yield from at("limits", limits.check(config.limits))
    if config.log_format not in ("", *LOG_FORMATS):
        yield Problem("log_format", f"got {config.log_format[:60]!r}; expected {' or '.join(LOG_FORMATS)}")
    for name, spec in sorted(config.environments.items()):
        if not _NAME.fullmatch(name):
            yield Problem("environments", f"got the name {name[:70]!r}; expected letters, digits, _, - and .")
        wrong = environments.check(spec)
        if wrong:
            yield Problem(f"environments.{name}", wrong)
    yield from _check_environment("environment", config, config.environment)
    for framework, named in sorted(config.framework_environments.items()):
        path = f"framework_environments.{framework[:40]}"
        if framework not in models.NAMES:
            yield Problem(path, f"no such framework; {did_you_mean(framework, models.NAMES)}")
        yield from _check_environment(path, config, named)
    names = [preset.name for preset in config.presets]
    for index, preset in enumerate(config.presets):
        if preset.name in names[:index]:
            yield Problem(f"presets[{index}].name", f"{preset.name!r} is there twice; each may be there once")
        yield from at(f"presets[{index}]", _check_preset(preset, config))


def is_local(config: ServerConfig) -> bool:
    """Whether only this machine can reach the service."""
    return not config.host or is_loopback(config.host)


def _check_access(config: ServerConfig) -> Iterator[Problem]:
    is_protected = config.HasField("tls") or config.token_file or config.insecure
    if not is_local(config) and not is_protected:
        yield Problem(
            "host",
            f"{config.host} can be reached from other machines, and calls are neither encrypted nor authenticated; set "
            "tls (--tls-certificate, --tls-key) and token_file (--token-file), or insecure (--insecure) if that is all "
            "right there",
        )
    if not is_local(config) and not config.allow.uri_prefixes:
        yield Problem(
            "allow.uri_prefixes",
            f"missing, and {config.host} can be reached from other machines, whose users would have this service read "
            "whatever it can; say where models, files of hooks and artifacts are: --allow-uri-prefix gs://models, or "
            "--allow-uri-prefix / for all local files; it may be repeated",
        )
    if config.HasField("tls"):
        yield from at("tls", tls.check(config.tls))
    if config.token_file:
        yield from at("token_file", tokens.check(config.token_file))


def _check_allow(config: ServerConfig) -> Iterator[Problem]:
    for name, (form, expected) in _ALLOWED_FORMS.items():
        for index, value in enumerate(getattr(config.allow, name)):
            if not form.fullmatch(value):
                yield Problem(f"{name}[{index}]", f"got {value[:100]!r}; expected {expected}")
    for index, prefix in enumerate(config.allow.uri_prefixes):
        wrong = check_prefix(prefix)
        if wrong:
            yield Problem(f"uri_prefixes[{index}]", f"got {prefix[:100]!r}; {wrong}")


def _check_environment(path: str, config: ServerConfig, named: str) -> Iterator[Problem]:
    """Yields what is wrong with a name or a SPEC; an empty one is a default."""
    wrong = environments.check(environment_of(config, named)) if named else ""
    if wrong:
        names = f", or a name in environments: {', '.join(sorted(config.environments))}" if config.environments else ""
        yield Problem(path, f"{wrong}{names}")


def _check_preset(preset: Preset, config: ServerConfig) -> Iterator[Problem]:
    if not _PRESET_NAME.fullmatch(preset.name):
        yield Problem("name", f"got {preset.name[:70]!r}; expected lower-case letters, digits and _, 64 at most")
    yield from _check_environment("environment", config, preset.environment)
    kind = preset.WhichOneof("transform")
    if kind is None:
        yield Problem("", "no transform; expected run_inference or ml_transform")
        return
    transform = getattr(preset, kind)
    for name in ("preset", "tensor_batch"):
        if transform.preset if name == "preset" else transform.HasField(name):
            yield Problem(f"{kind}.{name}", "is set, and only clients may set it; leave it out")
            return
    check = run_inference_config.check if kind == "run_inference" else ml_transform_config.check
    yield from at(kind, check(transform))
    yield from at(kind, _check_names(transform, config))


def _check_names(transform: RunInferenceConfig | MLTransformConfig, config: ServerConfig) -> Iterator[Problem]:
    """Yields what is wrong with the environments that steps of a preset name."""
    of_steps = transform.then if isinstance(transform, RunInferenceConfig) else ()
    named = [("environment", transform.environment)]
    named += [(f"then[{index}].environment", step.environment) for index, step in enumerate(of_steps)]
    for path, name in named:
        if name and name not in config.environments:
            yield Problem(path, f"no such environment; got {name[:70]!r}; {did_you_mean(name, config.environments)}")

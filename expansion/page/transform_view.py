# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What is known of a transform with its configuration: what goes in, what comes out, and code that calls it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract._gen.server_pb2 import Preset
from expansion.contract.fields import Field, Fields
from expansion.contract.secrets import redacted
from expansion.errors import ConfigError
from expansion.snippets import LANGUAGES
from expansion.snippets.call import Call
from expansion.snippets.input_columns import columns_of
from expansion.snippets.java_build import build_file
from expansion.transforms import ml_transform_plan, plan
from expansion.transforms.ends import EndsPlan
from expansion.transforms.output_fields import output_fields

TITLES: Mapping[str, str] = {"java": "Java", "python": "Python", "yaml": "YAML", "go": "Go"}


@dataclass(frozen=True)
class Code:
    """A program that calls it.

    Attributes:
        language: One of ``TITLES``.
        text: The program; or, where there is none, why.
        is_code: Whether it is one.
        build: The build file that it needs; empty for none.
    """

    language: str
    text: str
    is_code: bool = True
    build: str = ""


@dataclass(frozen=True)
class View:
    """A transform with its configuration.

    Attributes:
        inputs: The columns that it reads; types that neither configuration nor model say are an example.
        outputs: The columns of its output rows, where ``problem`` is empty.
        codes: Programs, a language each.
        problem: Why nothing is known of its outputs, one line each; empty if they are known.
    """

    inputs: Fields = field(default_factory=dict)
    outputs: Fields = field(default_factory=dict)
    codes: tuple[Code, ...] = ()
    problem: str = ""


def view_of_preset(preset: Preset) -> View:
    """Returns what is known of a preset: models and artifacts are read as data, as at an expansion."""
    return view_of(getattr(preset, str(preset.WhichOneof("transform"))), preset.name, preset.name)


def view_of(config: RunInferenceConfig | MLTransformConfig, name: str, preset: str = "") -> View:
    """Returns what is known of a transform with a checked configuration.

    Args:
        config: The configuration.
        name: What the code is to be called.
        preset: The preset whose configuration it is. Default: none's.
    """
    inputs = columns_of(config)
    call = Call(config, inputs, name, preset)
    try:
        return View(inputs, output_fields(_plan(config, inputs), inputs), tuple(codes_of(call)))
    except ConfigError as error:
        return View(inputs, {}, tuple(codes_of(call)), redacted(str(error)))


def codes_of(call: Call) -> Iterator[Code]:
    """Yields programs that call a transform, or why there is none in a language."""
    return (_code_of(call, language) for language in LANGUAGES)


def _code_of(call: Call, language: str) -> Code:
    try:
        return Code(language, LANGUAGES[language](call), build=build_file(call) if language == "java" else "")
    except ConfigError as error:
        return Code(language, redacted(str(error)), is_code=False)


def described(fields: Iterable[Field]) -> list[tuple[str, str, str]]:
    """Returns name, datatype and shape of columns, for people."""
    return [(each.name, each.datatype or "?", _shape(each.shape)) for each in fields]


def _shape(shape: Iterable[int]) -> str:
    return " × ".join("any" if size < 0 else str(size) for size in shape) or "scalar"


def _plan(config: RunInferenceConfig | MLTransformConfig, inputs: Fields) -> EndsPlan:
    if isinstance(config, RunInferenceConfig):
        return plan.make_plan(config, inputs, list(inputs))
    return ml_transform_plan.make_plan(config, inputs, ())

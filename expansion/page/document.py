# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The document: what ``list`` and ``describe`` print of a server's configuration, for a browser."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata, resources
from typing import Any

import jinja2
import yaml

from expansion import catalogue
from expansion.catalogue import Entry
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract._gen.server_pb2 import Preset
from expansion.contract.fields import Field
from expansion.page import diagram, texts
from expansion.page.about import About
from expansion.page.transform_view import TITLES, Code, View, codes_of, described
from expansion.snippets.call import JOB_SERVICE, SERVICE, Call

_SECTIONS = {
    "preset": ("Presets", "Ready-made by the operator of this service: call them by name."),
    "transform": ("Transforms", "What a client configures itself."),
    "framework": ("Frameworks", "What a model may be of: a field of `model`. Workers need the extra."),
    "hook": ("Hooks", "Operations before and after a model: items of `pre_hooks` and `post_hooks`."),
    "operation": ("Operations", "What MLTransform learns and applies: items of `operations`."),
}
# Messages that have a section.
_LINKS = {"Model": "framework", "Hook": "hook", "Operation": "operation"}
# Of a transform that is no preset, code with a configuration to begin with. Nothing in it is far away.
_EXAMPLES: Mapping[str, tuple[RunInferenceConfig | MLTransformConfig, Mapping[str, Field]]] = {
    "RunInference": (
        RunInferenceConfig(
            model={"onnx": {"uri": "model.onnx"}},
            inputs=[{"name": "x"}],
            outputs=[{"source": "y", "datatype": "FP32", "shape": [3]}],
        ),
        {"x": Field("x", "FP32", (4,))},
    ),
    "MLTransform": (
        MLTransformConfig(
            operations=[{"scale_to_z_score": {"columns": ["age"]}}], write_artifact_location="artifacts/visits"
        ),
        {"age": Field("age", "FP64")},
    ),
}
# https://www.w3.org/TR/CSP3/: the page's own script and style by their hashes, its own origin to ask how it is, and
# nothing from anywhere else.
_POLICY = (
    "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)


@dataclass(frozen=True)
class Card:
    """An entry of the catalogue as it is shown.

    Attributes:
        entry: The entry.
        config: Of a preset, its configuration as YAML.
        stages: Of a preset, what rows go through.
        view: What is known of its input and output, and code; None if that is still being read.
    """

    entry: Entry
    config: str = ""
    stages: tuple[diagram.Stage, ...] = ()
    view: View | None = None

    @property
    def words(self) -> str:
        """What the search looks at."""
        entry = self.entry
        named = [each for stage in self.stages for box in stage.boxes for each in (box.name, box.label, *box.settings)]
        fields = [] if entry.kind == "preset" else [field.name for field in entry.fields]
        return " ".join([entry.kind, entry.name, entry.doc, entry.summary, *entry.extras, *named, *fields]).lower()


def document(presets: Sequence[Preset], views: Mapping[str, View], about: About) -> str:
    """Returns the page's HTML.

    Args:
        presets: What the operator has published, checked.
        views: What is known of each, by name.
        about: The service.
    """
    cards = [_card(entry, views, about) for entry in catalogue.entries(presets)]
    sections = [(kind, *said, [card for card in cards if card.entry.kind == kind]) for kind, said in _SECTIONS.items()]
    page = _environment().get_template("page.html")
    return page.render(
        about=about,
        version=metadata.version("beam-ml-expansion"),
        beam_version=metadata.version("apache-beam"),
        sections=sections,
        script=_file("page.js"),
        style=_file("page.css"),
    )


def policy() -> str:
    """Returns the Content-Security-Policy that the page needs, and that allows nothing else."""
    return _POLICY.format(script=_hash(_file("page.js")), style=_hash(_file("page.css")))


def _card(entry: Entry, views: Mapping[str, View], about: About) -> Card:
    if entry.kind == "preset":
        shown = diagram.without_secrets(entry.config or {})
        view = views.get(entry.name)
        return Card(entry, _yaml(shown), tuple(diagram.stages_of(shown)), view and _addressed(view, about))
    if entry.name in _EXAMPLES and entry.kind == "transform":
        config, columns = _EXAMPLES[entry.name]
        codes = codes_of(Call(config, columns, "example"))
        return Card(entry, view=View(columns, {}, tuple(code for code in codes if code.is_code)))
    return Card(entry)


def _addressed(view: View, about: About) -> View:
    """Returns a view whose code calls this service."""
    return replace(view, codes=tuple(replace(code, text=_called(code, about)) for code in view.codes))


def _called(code: Code, about: About) -> str:
    text = code.text.replace(SERVICE, about.address)
    return text.replace(JOB_SERVICE, about.jobs) if about.jobs else text


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100, default_flow_style=None)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_file), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "prose": texts.prose,
        "inline": texts.inline,
        "example": texts.example,
        "field_text": texts.field_text,
    }
    environment.filters |= {"described": _described, "link": _link}
    environment.globals["languages"] = TITLES
    return environment


def _described(fields: Mapping[str, Field]) -> list[tuple[str, str, str]]:
    return described(fields.values())


def _link(type_name: str) -> str:
    """Returns the section of the message that a field's type names; empty if it has none."""
    words: Iterable[str] = type_name.split()
    return next((_LINKS[word] for word in words if word in _LINKS), "")


@cache
def _file(name: str) -> str:
    return resources.files("expansion.page").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Every URN that Beam knows, at two places each: only those that the service allows get through."""

from __future__ import annotations

import contextlib
import importlib
import pkgutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import apache_beam
from apache_beam.coders import Coder
from apache_beam.portability import common_urns, python_urns
from apache_beam.transforms.environments import Environment
from apache_beam.transforms.ptransform import PTransform
from apache_beam.utils.urns import RunnerApiFn

from benchmarks.service import services
from benchmarks.service.answers import ask
from benchmarks.service.requests import ExpansionRequest, Requests
from benchmarks.service.row import Row
from expansion.service.requests import IMPULSE, SERVED, STANDARD_CODERS, STANDARD_WINDOW_FNS

_Put: TypeAlias = Callable[[ExpansionRequest, str], None]
# Packages whose modules register URNs when they are imported, beside those that these import.
_PACKAGES = ("coders", "transforms", "runners.direct", "runners.portability", "runners.worker", "io.external")


def registered() -> list[str]:
    """Returns every URN that Beam's Python SDK registers or its protos define, in alphabetical order."""
    _import_all()
    found = {python_urns.__dict__[name] for name in dir(python_urns) if name.isupper()}
    for registry in (PTransform, Coder, RunnerApiFn, Environment):
        found |= {urn for urn in _registries(registry) if urn}
    found |= set(_of_protos(vars(common_urns)))
    return sorted(urn for urn in found if isinstance(urn, str) and urn)


def _registries(kind: type) -> Iterator[str]:
    yield from getattr(kind, "_known_urns", {})
    for subclass in kind.__subclasses__():
        yield from _registries(subclass)


def _of_protos(names: dict[str, Any]) -> Iterator[str]:
    """Yields the URNs of the enums that common_urns makes of Beam's protos."""
    for value in names.values():
        if isinstance(getattr(value, "urn", None), str):
            yield value.urn
        elif isinstance(value, type) or type(value).__name__ in ("EnumProperties", "PropertiesFromEnumType"):
            yield from _of_protos({k: v for k, v in vars(value).items() if not k.startswith("__")})


def _import_all() -> None:
    """Imports what registers URNs; what can't be imported here registers none."""
    for package in _PACKAGES:
        folder = Path(apache_beam.__path__[0], *package.split("."))
        for module in pkgutil.walk_packages([str(folder)], f"apache_beam.{package}."):
            if "test" not in module.name and not module.name.endswith("_main"):
                with contextlib.suppress(Exception):  # it needs a package that is not installed
                    importlib.import_module(module.name)
    importlib.import_module("apache_beam.io.gcp.bigquery")


# Where a URN is put ---------------------------------------------------------------------------------------------------


def _as_transform(request: ExpansionRequest, urn: str) -> None:
    request.transform.spec.urn = urn


def _as_nested_transform(request: ExpansionRequest, urn: str) -> None:
    nested = request.components.transforms["nested"]
    nested.spec.urn, nested.unique_name = urn, "nested"


def _as_coder(request: ExpansionRequest, urn: str) -> None:
    request.components.coders["of urn"].spec.urn = urn
    request.components.pcollections[next(iter(request.transform.inputs.values()))].coder_id = "of urn"


def _as_nested_coder(request: ExpansionRequest, urn: str) -> None:
    request.components.coders["of urn"].spec.urn = urn
    request.components.coders["of many"].spec.urn = common_urns.coders.ITERABLE.urn
    request.components.coders["of many"].component_coder_ids.append("of urn")


def _as_window_fn(request: ExpansionRequest, urn: str) -> None:
    for strategy in request.components.windowing_strategies.values():
        strategy.window_fn.urn = urn


def _as_another_window_fn(request: ExpansionRequest, urn: str) -> None:
    strategies = request.components.windowing_strategies
    another = strategies["another"]
    another.CopyFrom(next(strategy for name, strategy in strategies.items() if name != "another"))
    another.window_fn.urn = urn


# What a URN may be: the two places, what a service says of one that it does not take there, and those that it takes.
_KINDS: dict[str, tuple[_Put, _Put, str, frozenset[str], frozenset[str]]] = {
    "transform": (
        _as_transform,
        _as_nested_transform,
        "no such transform here|only impulses",
        frozenset(SERVED),
        frozenset([IMPULSE]),
    ),
    "coder": (
        _as_coder,
        _as_nested_coder,
        "only one SDK knows this coder",
        STANDARD_CODERS,
        STANDARD_CODERS,
    ),
    "window function": (
        _as_window_fn,
        _as_another_window_fn,
        "only the client's SDK knows",
        STANDARD_WINDOW_FNS,
        STANDARD_WINDOW_FNS,
    ),
}


def run(short: bool) -> Row:
    """Puts every URN at two places for each kind of thing that it may be. Both forms are the same."""
    urns = sorted({*registered(), *SERVED})
    wrong, count = [], 0
    with tempfile.TemporaryDirectory(prefix="bml") as folder, services.ours() as service, service.channel() as channel:
        real = Requests(Path(folder)).ours(0)
        for kind, (top, nested, refusal, taken, taken_nested) in _KINDS.items():
            for put, expected in ((top, taken), (nested, taken_nested)):
                for urn in urns:
                    request = ExpansionRequest()
                    request.CopyFrom(real)
                    put(request, urn)
                    answer = ask(services.stub_of(channel), request)
                    count += 1
                    is_refused = any(text in answer.error for text in refusal.split("|"))
                    if answer.fault or is_refused == (urn in expected):
                        wrong.append(f"{urn} as {kind}, by {put.__name__}: {answer.error or 'expanded'}")
        wrong += _wrong_environments(services.stub_of(channel), real, urns)
    for line in wrong:
        print(f"URN: {line}", file=sys.stderr)
    return Row(
        f"{len(urns)} URNs of Beam, as transforms, coders and window functions × 2 places, and as environments",
        "–",
        f"{count + 1} requests, {len(wrong)} of them answered otherwise than the list says",
        not wrong and len(urns) > 150,
    )


def _wrong_environments(stub: Any, real: ExpansionRequest, urns: list[str]) -> Iterator[str]:
    """Yields the URNs of environments that a graph's steps run in: those of clients are theirs, and none of ours."""
    request = ExpansionRequest()
    request.CopyFrom(real)
    for urn in urns:
        request.components.environments[urn].urn = urn
    answer = ask(stub, request)
    if answer.response is None or answer.error:
        yield f"environments: {answer.error}"
        return
    for transform in [answer.response.transform, *answer.response.components.transforms.values()]:
        if transform.environment_id in urns:
            yield f"{transform.environment_id} as environment: {transform.unique_name} runs in it"

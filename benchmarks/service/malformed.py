# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Configurations, requests and model files that are wrong: each gets one clear error, soon."""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from benchmarks.service import bad_files, ladders, services
from benchmarks.service.answers import Answer, ask
from benchmarks.service.config_rows import MapOf, payload_of
from benchmarks.service.requests import ExpansionRequest, Requests
from benchmarks.service.row import Row
from expansion.contract import urns
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.service.requests import SCHEMA_TRANSFORM

_OF_EACH_KIND = 20
_MOST_SECS = 1.0
_ROOTS = {
    urns.RUN_INFERENCE_SCHEMA_TRANSFORM: RunInferenceConfig,
    urns.ML_TRANSFORM_SCHEMA_TRANSFORM: MLTransformConfig,
}
_INTEGERS = (FieldDescriptor.TYPE_INT32, FieldDescriptor.TYPE_INT64)

# Values of another type than that of a field, by the kind of field.
_WRONG: dict[str, list[Any]] = {
    "text": [1, 2.5, True, ["a"], {"a": "b"}],
    "integer": ["many", 2.5, True, [1], {"a": 1}],
    "number": ["much", True, [1.5], {"a": 1.5}],
    "boolean": ["maybe", 1, 2.5, [True]],
    "message": ["a text", 1, True, ["a"], {"no_such_field": 1}],
    "list": [1.5, True, {"a": "b"}, [{"no_such_field": 1}], [[1.5]]],
    "map": ["a text", 1, ["a"], MapOf({"a": 1.5}), {"a": {"b": 1}}],
    "unknown": ["a text", 1, 2.5, True, ["a"]],
}
# Values of the right type that are out of any range, or look like something else.
_EXTREME: dict[str, list[Any]] = {
    "text": [
        "",
        "\0",
        "\n\n\n",
        "x" * 200_000,
        "😀",
        "%s%n{0}{key}",
        "../../etc/passwd",
        "'; DROP TABLE",
        "\u202e",
        "\ufeff",
    ],
    "integer": [-1, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)],
    "number": [float("nan"), float("inf"), float("-inf"), 1e308, -1.0, 5e-324],
}


def run(short: bool) -> list[Row]:
    """Sends them all. The short form is the same, without the limit of seconds."""
    most_secs = float("inf") if short else _MOST_SECS
    allowed = "--allow-format=keras"  # else such files would not be read
    with (
        tempfile.TemporaryDirectory(prefix="bml") as root,
        services.ours(allowed) as service,
        service.channel() as channel,
    ):
        folder = Path(root)
        request = Requests(folder).ours(0)
        stub = services.stub_of(channel)

        def answers(kind: str, cases: Iterable[tuple[str, ExpansionRequest, Callable[[Answer], str]]]) -> Row:
            return _judge(kind, [(name, _ask(stub, asked), judge) for name, asked, judge in cases], most_secs)

        return [
            answers("malformed configurations, 20 of each kind of field", _configurations(request)),
            answers("steps of ladders of depth and size", ladders.steps(request)),
            answers("bad model files and artifacts", bad_files.cases(request, folder)),
        ]


def _ask(stub: Any, request: ExpansionRequest) -> Answer:
    """Sends a request; once more where the answer took long, as the machine may have been busy with something else."""
    answer = ask(stub, request)
    return answer if answer.seconds <= _MOST_SECS else ask(stub, request)


def _judge(what: str, answered: list[tuple[str, Answer, Callable[[Answer], str]]], most_secs: float) -> Row:
    slowest = max(answered, key=lambda case: case[1].seconds)
    wrong = []
    for name, answer, judge in answered:
        reason = answer.fault or judge(answer)
        if not reason and answer.seconds > most_secs:
            reason = f"took {answer.seconds:.1f} s"
        if reason:
            wrong.append(name)
            print(f"{what}: {name}: {reason[:300]}", file=sys.stderr)
    ours = (
        f"{len(answered) - len(wrong)} answered clearly, the slowest in {slowest[1].seconds:.2f} s ({slowest[0][:40]})"
    )
    return Row(f"{len(answered)} {what}", "–", ours, not wrong)


# Configurations -------------------------------------------------------------------------------------------------------


def _configurations(request: ExpansionRequest) -> Iterator[tuple[str, ExpansionRequest, Callable[[Answer], str]]]:
    chance = random.Random(7)  # noqa: S311 - the same cases each time
    fields = list(_fields())
    for kind, values in _WRONG.items():
        of_kind = fields if kind == "unknown" else [field for field in fields if field[2] == kind]
        for number in range(_OF_EACH_KIND):
            identifier, path, _ = chance.choice(of_kind)
            if kind == "unknown":
                path = [*path[:-1], f"{path[-1].rstrip('[]')}_x"]
            name = ".".join(path)
            wrong = _nested(path, values[number % len(values)])
            yield f"{kind} {name}", _asking(request, identifier, wrong), _names(path[-1].rstrip("[]"))
    for kind, values in _EXTREME.items():
        of_kind = [field for field in fields if field[2] == kind]
        for number in range(_OF_EACH_KIND):
            identifier, path, _ = chance.choice(of_kind)
            value = _nested(path, values[number % len(values)])
            yield f"extreme {kind} {'.'.join(path)}", _asking(request, identifier, value), _is_error


def _fields() -> Iterator[tuple[str, list[str], str]]:
    """Yields every field of a configuration: of which schema transform, its path ("name[]" for lists), and its kind."""
    for identifier, root in _ROOTS.items():
        pending: list[tuple[Descriptor, list[str]]] = [(root.DESCRIPTOR, [])]
        while pending:
            message, prefix = pending.pop()
            for field in message.fields:
                kind = _kind(field)
                yield identifier, [*prefix, field.name], kind
                nested = field.message_type
                if nested is not None and kind != "map":
                    pending.append((nested, [*prefix, f"{field.name}[]" if kind == "list" else field.name]))


def _kind(field: FieldDescriptor) -> str:
    nested = field.message_type
    if nested is not None and nested.GetOptions().map_entry:
        return "map"
    is_repeated = field.is_repeated if hasattr(field, "is_repeated") else field.label == FieldDescriptor.LABEL_REPEATED
    if is_repeated:
        return "list"
    if nested is not None:
        return "message"
    if field.type in _INTEGERS:
        return "integer"
    return {FieldDescriptor.TYPE_BOOL: "boolean", FieldDescriptor.TYPE_DOUBLE: "number"}.get(field.type, "text")


def _nested(path: list[str], value: Any) -> dict[str, Any]:
    for name in reversed(path):
        value = {name.removesuffix("[]"): [value] if name.endswith("[]") else value}
    return value


def _asking(request: ExpansionRequest, identifier: str, config: dict[str, Any]) -> ExpansionRequest:
    asked = ExpansionRequest()
    asked.CopyFrom(request)
    asked.transform.spec.urn = SCHEMA_TRANSFORM
    asked.transform.spec.payload = payload_of(identifier, config)
    return asked


def _names(field: str) -> Callable[[Answer], str]:
    """Returns what says what is wrong with an answer that should be about a field."""
    return lambda answer: "" if field in answer.error else f"does not name {field}: {answer.error or 'expanded'}"


def _is_error(answer: Answer) -> str:
    # Each lacks what is required as well, if only the model: an answer without an error would be a wrong graph.
    return "" if answer.error else "expanded"

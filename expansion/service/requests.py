# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Structural validation of an ExpansionRequest, as protobuf, before anything in it is decoded.

Beam's own service decodes coders, window functions and transforms of a request by their URN, and some URNs mean "a
pickle": whoever reaches the port runs code on the host. This service decodes nothing but its own configuration message,
and refuses everything whose URN is not on a list, so that nothing odd reaches clients' graphs through it either.
Environments in a request are neither checked nor used.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from apache_beam.portability.api import beam_expansion_api_pb2, beam_runner_api_pb2, schema_pb2

from expansion.contract import problems, urns
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract._gen.server_pb2 import Limits
from expansion.contract.secrets import redacted_start
from expansion.errors import Problem
from expansion.service import schemas
from expansion.service.limits import DEFAULT_LIMITS
from expansion.transforms.counts import MAX_COLUMNS
from expansion.transforms.model_uris import check_tags, takes_uris

IMPULSE = "beam:transform:impulse:v1"
SCHEMA_TRANSFORM = "beam:expansion:payload:schematransform:v1"
BYTES_CODER = "beam:coder:bytes:v1"
STRING_CODER = "beam:coder:string_utf8:v1"
ROW_CODER = "beam:coder:row:v1"
GLOBAL_WINDOWS = "beam:window_fn:global_windows:v1"

SERVED = (urns.RUN_INFERENCE, urns.ML_TRANSFORM, SCHEMA_TRANSFORM)
STANDARD_CODERS = frozenset(
    f"beam:coder:{name}:v1"
    for name in (
        "bytes",
        "string_utf8",
        "kv",
        "bool",
        "varint",
        "double",
        "iterable",
        "timer",
        "interval_window",
        "length_prefix",
        "global_window",
        "windowed_value",
        "param_windowed_value",
        "state_backed_iterable",
        "row",
        "sharded_key",
        "nullable",
    )
)
STANDARD_WINDOW_FNS = frozenset(
    f"beam:window_fn:{name}:v1" for name in ("global_windows", "fixed_windows", "sliding_windows", "session_windows")
)
# Beam makes component ids of the namespace, cut at 100 characters, and clients tell ours from theirs by it.
_NAMESPACE = re.compile(r"[A-Za-z0-9_-]{1,64}")
# Every step of the graph is named after the transform.
_MAX_NAME_CHARACTERS = 1_000
_GIVE_A_SCHEMA = (
    "give the collection a schema (Python: beam.Select, or with_output_types of a NamedTuple; Java: Convert.toRows()), "
    "or use the Java client library, which carries elements of any coder"
)


@dataclass(frozen=True)
class Source:
    """An input of a request, its ids resolved.

    Attributes:
        pcollection_id: Its id in the request's components.
        pcollection: The PCollection.
        coder: Its coder.
        windowing: Its windowing strategy.
        schema: The schema of its rows; None if it does not hold rows.
    """

    pcollection_id: str
    pcollection: beam_runner_api_pb2.PCollection
    coder: beam_runner_api_pb2.Coder
    windowing: beam_runner_api_pb2.WindowingStrategy
    schema: schema_pb2.Schema | None


def sources_of(request: beam_expansion_api_pb2.ExpansionRequest) -> dict[str, Source]:
    """Returns the inputs of a request by tag, without those that ``check`` has found a problem with."""
    components = request.components
    sources: dict[str, Source] = {}
    for tag, pcollection_id in sorted(request.transform.inputs.items()):
        if pcollection_id not in components.pcollections:
            continue
        pcollection = components.pcollections[pcollection_id]
        coder_id, windowing_id = pcollection.coder_id, pcollection.windowing_strategy_id
        if coder_id not in components.coders or windowing_id not in components.windowing_strategies:
            continue
        coder = components.coders[coder_id]
        schema = schemas.parse(coder.spec.payload) if coder.spec.urn == ROW_CODER else None
        windowing = components.windowing_strategies[windowing_id]
        sources[tag] = Source(pcollection_id, pcollection, coder, windowing, schema)
    return sources


def rows_of(sources: Mapping[str, Source]) -> Source:
    """Returns the input whose elements the model runs on, whatever its tag is where there is no other input."""
    return sources[urns.INPUT] if len(sources) > 1 else next(iter(sources.values()))


def check(request: beam_expansion_api_pb2.ExpansionRequest, limits: Limits = DEFAULT_LIMITS) -> Iterator[Problem]:
    """Yields everything that is wrong with a request, except what is in its configuration.

    Args:
        request: The request, whose bytes the server has limited.
        limits: How many components it may have, and how deeply its coders may be nested.

    Yields:
        Problems, with paths into the request.
    """
    if not _NAMESPACE.fullmatch(request.namespace):
        yield Problem("namespace", f"got {_quoted(request.namespace)}; expected 1 to 64 letters, digits, - and _")
    yield from problems.at("transform", _check_transform(request))
    components = request.components
    count = sum(len(getattr(components, field.name)) for field in components.DESCRIPTOR.fields)
    if count > limits.max_components:
        yield Problem("components", f"got {count}; expected at most {limits.max_components}")
        return
    yield from problems.at("components", _check_components(request, limits))
    for tag, coder_id in request.output_coder_requests.items():
        if coder_id not in components.coders:
            path = f"output_coder_requests[{_quoted(tag)}]"
            yield Problem(path, f"{_quoted(coder_id)} is not in components.coders; leave it out, it is not used")


def check_inputs(
    request: beam_expansion_api_pb2.ExpansionRequest,
    config: RunInferenceConfig | MLTransformConfig,
    limits: Limits = DEFAULT_LIMITS,
) -> Iterator[Problem]:
    """Yields what is wrong with the inputs for a configuration: their tags, coders, schemas or windows."""
    wrong = list(check_tags(config, request.transform.inputs))
    if wrong:
        yield from wrong
        return
    sources = sources_of(request)
    for tag, source in sources.items():
        is_uris = takes_uris(config) and tag == urns.MODEL_URIS
        yield from _check_uris(source) if is_uris else _check_rows(source, config, limits)


def _check_rows(source: Source, config: RunInferenceConfig | MLTransformConfig, limits: Limits) -> Iterator[Problem]:
    coder, window_fn = source.coder.spec.urn, source.windowing.window_fn.urn
    if coder not in STANDARD_CODERS:
        return  # reported with the components
    if config.HasField("tensor_batch"):
        if coder != BYTES_CODER:
            yield Problem("tensor_batch", f"elements must be TensorBatches with {BYTES_CODER}; got {_quoted(coder)}")
        if window_fn != GLOBAL_WINDOWS:
            yield Problem(
                "tensor_batch",
                f"TensorBatches must be in the global window; got {_quoted(window_fn)}; "
                "carry the elements' own windows in an opaque column",
            )
        return
    if coder != ROW_CODER:
        yield Problem(
            "input",
            f"elements must be rows of a Beam schema ({ROW_CODER}); got {_quoted(coder)}; {_GIVE_A_SCHEMA}",
        )
    elif source.schema is not None and len(source.schema.fields) > MAX_COLUMNS:
        yield Problem("input.schema", f"got {len(source.schema.fields)} fields; expected at most {MAX_COLUMNS}")
    elif source.schema is not None:
        yield from problems.at(
            "input.schema", schemas.check(source.schema, schemas.VALUE_LOGICAL_TYPES, limits.max_depth)
        )


def _check_uris(source: Source) -> Iterator[Problem]:
    coder = source.coder.spec.urn
    if coder == STRING_CODER:
        return
    got = _quoted(coder)
    if source.schema is not None:
        fields = source.schema.fields
        if len(fields) == 1 and fields[0].type.atomic_type == schema_pb2.STRING:
            return
        got = f"rows of {', '.join(_quoted(field.name) for field in fields[:3])}" + (", …" if len(fields) > 3 else "")
    yield Problem(
        urns.MODEL_URIS,
        f"elements must be texts ({STRING_CODER}), or rows of one field of type STRING; got {got} "
        "(Python: with_output_types(str); Java: StringUtf8Coder)",
    )


def _check_transform(request: beam_expansion_api_pb2.ExpansionRequest) -> Iterator[Problem]:
    transform = request.transform
    if transform.spec.urn not in SERVED:
        expected = " or ".join(SERVED)
        yield Problem("spec.urn", f"no such transform here; got {_quoted(transform.spec.urn)}; expected {expected}")
    name = transform.unique_name
    if len(name) > _MAX_NAME_CHARACTERS:
        got = f"got {len(name)} characters, {_quoted(name)}"
        yield Problem("unique_name", f"{got}; expected at most {_MAX_NAME_CHARACTERS}")
    if transform.subtransforms or transform.outputs:
        yield Problem("", "already expanded; expected no subtransforms and no outputs")
    for tag, pcollection_id in transform.inputs.items():
        if pcollection_id not in request.components.pcollections:
            yield Problem(f"inputs[{_quoted(tag)}]", f"{_quoted(pcollection_id)} is not in components.pcollections")


def unused_coders(request: beam_expansion_api_pb2.ExpansionRequest) -> set[str]:
    """Returns the ids of coders that are there for ``output_coder_requests`` only, which this service does not use.

    Python's ExternalTransform asks for pickles as outputs unless its user gives type hints, so these are not refused.
    """
    components = request.components
    of_collections = [collection.coder_id for collection in components.pcollections.values()]
    of_windows = [strategy.window_coder_id for strategy in components.windowing_strategies.values()]
    requested = _with_parts(request.output_coder_requests.values(), components)
    return requested - _with_parts([*of_collections, *of_windows], components)


def _with_parts(coder_ids: Iterable[str], components: beam_runner_api_pb2.Components) -> set[str]:
    """Returns the ids, those that are there, and the ids of everything these coders are made of."""
    found: set[str] = set()
    pending = list(coder_ids)
    while pending:
        coder_id = pending.pop()
        if coder_id in components.coders and coder_id not in found:
            found.add(coder_id)
            pending.extend(components.coders[coder_id].component_coder_ids)
    return found


def _check_components(request: beam_expansion_api_pb2.ExpansionRequest, limits: Limits) -> Iterator[Problem]:
    components, namespace = request.components, request.namespace
    for field in components.DESCRIPTOR.fields:
        for component_id in getattr(components, field.name):
            if component_id.startswith(f"{namespace}_"):
                yield Problem(f"{field.name}[{_quoted(component_id)}]", "starts with the namespace of the expansion")
    for transform_id, transform in components.transforms.items():
        if transform.spec.urn != IMPULSE or transform.subtransforms or transform.inputs:
            path = f"transforms[{_quoted(transform_id)}]"
            yield Problem(path, f"only impulses that stand for inputs are taken; got {_quoted(transform.spec.urn)}")
    for pcollection_id, pcollection in components.pcollections.items():
        path = f"pcollections[{_quoted(pcollection_id)}]"
        if pcollection.coder_id not in components.coders:
            yield Problem(f"{path}.coder_id", f"{_quoted(pcollection.coder_id)} is not in components.coders")
        if pcollection.windowing_strategy_id not in components.windowing_strategies:
            strategy_id = _quoted(pcollection.windowing_strategy_id)
            yield Problem(f"{path}.windowing_strategy_id", f"{strategy_id} is not in components.windowing_strategies")
    yield from _check_windowing(components)
    yield from _check_coders(components, unused_coders(request), limits.max_depth)


def _check_windowing(components: beam_runner_api_pb2.Components) -> Iterator[Problem]:
    for strategy_id, strategy in components.windowing_strategies.items():
        path = f"windowing_strategies[{_quoted(strategy_id)}]"
        if strategy.window_fn.urn not in STANDARD_WINDOW_FNS:
            yield Problem(
                f"{path}.window_fn",
                f"only the client's SDK knows {_quoted(strategy.window_fn.urn)}; apply it after this transform, or use "
                "the Java client library, which takes any window function",
            )
        if strategy.window_coder_id not in components.coders:
            yield Problem(f"{path}.window_coder_id", f"{_quoted(strategy.window_coder_id)} is not in components.coders")


def _check_coders(
    components: beam_runner_api_pb2.Components, unused: Collection[str], max_depth: int
) -> Iterator[Problem]:
    for coder_id, coder in components.coders.items():
        path = f"coders[{_quoted(coder_id)}]"
        if coder.spec.urn not in STANDARD_CODERS and coder_id not in unused:
            yield Problem(
                path,
                f"only one SDK knows this coder; got {_quoted(coder.spec.urn)}; expected a standard coder such as "
                f"{ROW_CODER}; {_GIVE_A_SCHEMA}",
            )
        elif coder.spec.urn == ROW_CODER and schemas.parse(coder.spec.payload) is None:
            yield Problem(path, "its payload is not a schema")
        for part in coder.component_coder_ids:
            if part not in components.coders:
                yield Problem(f"{path}.component_coder_ids", f"{_quoted(part)} is not in components.coders")
    yield from _check_nesting(components, max_depth)


def _check_nesting(components: beam_runner_api_pb2.Components, max_depth: int) -> Iterator[Problem]:
    """Peels the coders level by level; what is left after the last level is too deep or a cycle."""
    left = {coder_id: set(coder.component_coder_ids) for coder_id, coder in components.coders.items()}
    for _ in range(max_depth):
        left = {coder_id: parts for coder_id, parts in left.items() if any(part in left for part in parts)}
    if left:
        path = f"coders[{_quoted(min(left))}]"
        yield Problem(path, f"nested in a cycle or too deeply; expected at most {max_depth} levels")


def _quoted(text: str) -> str:
    """Returns a client's string for a message: escaped, on one line, 100 characters at most, without secrets."""
    return repr(redacted_start(text, 100, "..."))

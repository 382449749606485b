# Licensed under the Apache License, Version 2.0; see LICENSE.
"""From a composite to the protos of its graph, spliced onto a client's PCollections.

The composite is applied to placeholders in a pipeline of our own, so Beam never decodes anything of the client's. What
the client said of its PCollections – windowing, boundedness, ids – is put into the protos afterwards.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.portability.api import beam_expansion_api_pb2, beam_runner_api_pb2, schema_pb2
from apache_beam.runners.pipeline_context import PipelineContext
from apache_beam.transforms.core import Windowing
from apache_beam.transforms.environments import Environment
from apache_beam.transforms.window import WindowFn
from apache_beam.typehints import typehints

from expansion.errors import ConfigError, Problem
from expansion.service import graph_environments
from expansion.service.pipelines import new_pipeline
from expansion.service.requests import BYTES_CODER, ROW_CODER, STRING_CODER, Source, unused_coders
from expansion.transforms.composite import Composite

_PLACEHOLDER = "beamml:placeholder"
_PLACEHOLDER_LATENESS_SECS = 1_000_000
_ELEMENT_TYPES = {BYTES_CODER: bytes, STRING_CODER: str}
# Building a beam.Pipeline sets process-wide state (pickler, filesystem options, update compatibility version).
_BUILDING = threading.Lock()

logging.getLogger("apache_beam.pipeline").setLevel(logging.WARNING)  # says at each pipeline that it has no runner


@dataclass(frozen=True)
class _Graph:
    """A composite applied to placeholders, as protos.

    Attributes:
        components: Everything, with ids of the request's namespace; the composite's transform is not among it.
        transform: The composite's transform.
        placeholder_ids: PCollections that stand for the client's, by the tag of the input.
        requirements: What the graph asks of a runner.
    """

    components: beam_runner_api_pb2.Components
    transform: beam_runner_api_pb2.PTransform
    placeholder_ids: dict[str, str]
    requirements: list[str]


def expand(
    composite: Composite[Any],
    request: beam_expansion_api_pb2.ExpansionRequest,
    sources: Mapping[str, Source],
    options: Mapping[str, Any],
    environment: Environment,
    named: Mapping[str, Environment],
) -> beam_expansion_api_pb2.ExpansionResponse:
    """Applies a composite to a client's PCollections.

    Args:
        composite: Takes one PCollection, or several by tag; returns PCollections by output tag, and then has the
            schemas of their rows in ``schemas``, also by tag; an output without a schema holds bytes.
        request: A request that ``requests.check`` has no problem with.
        sources: Its inputs, by tag.
        options: Pipeline options, by name.
        environment: Where the steps run that the composite has no environment for.
        named: The environments that it may name.

    Returns:
        The answer: the request's components without its transforms and unused coders, and the expanded ones with them.
        All ids that the expansion adds start with the request's namespace; clients keep only those.

    Raises:
        ConfigError: The configuration does not suit the input.
    """
    graph = _build(composite, request, sources, options, environment)
    _adopt_inputs(graph, request, sources)
    _set_output_coders(graph, composite.schemas, request.namespace)
    graph_environments.settle(graph.components, graph.transform, named)
    response = beam_expansion_api_pb2.ExpansionResponse(
        components=request.components, transform=graph.transform, requirements=graph.requirements
    )
    response.components.transforms.clear()
    for coder_id in unused_coders(request):
        del response.components.coders[coder_id]
    response.components.MergeFrom(graph.components)
    return response


def _build(
    composite: Composite[Any],
    request: beam_expansion_api_pb2.ExpansionRequest,
    sources: Mapping[str, Source],
    options: Mapping[str, Any],
    environment: Environment,
) -> _Graph:
    """Builds the graph in a pipeline that is thrown away, directory included."""
    composite.prepare()  # reads the model's file, which may take long and must not make other clients wait
    with _BUILDING, new_pipeline(**options) as pipeline:
        placeholders = {
            tag: _placeholder(pipeline, source, number) for number, (tag, source) in enumerate(sources.items())
        }
        label = request.transform.unique_name or type(composite).__name__
        inputs = placeholders if len(placeholders) > 1 else next(iter(placeholders.values()))
        outputs = inputs | label >> composite
        applied = pipeline._root_transform().parts[-1]
        applied.outputs = outputs
        context = PipelineContext(default_environment=environment, namespace=request.namespace)
        proto = pipeline.to_runner_api(context=context)
        transform = proto.components.transforms.pop(context.transforms.get_id(applied))
        # Beam asked for the annotations before it called expand, when they could not say anything yet.
        transform.annotations.update(composite.annotations())
        root = proto.components.transforms.pop(proto.root_transform_ids[0])
        for part in root.subtransforms:
            proto.components.transforms.pop(part, None)
        return _Graph(
            proto.components,
            transform,
            {tag: context.pcollections.get_id(placeholder) for tag, placeholder in placeholders.items()},
            sorted(proto.requirements),
        )


def _placeholder(pipeline: beam.Pipeline, source: Source, number: int) -> beam.PCollection:
    """Returns a PCollection that stands for a client's: its kind of elements, its windows, and whether it ends.

    Raises:
        ConfigError: The parameters of its window function can't be read.
    """
    placeholder = pipeline | f"{_PLACEHOLDER}{number}" >> beam.Impulse()
    placeholder.is_bounded = source.pcollection.is_bounded != beam_runner_api_pb2.IsBounded.UNBOUNDED
    placeholder.element_type = _ELEMENT_TYPES.get(source.coder.spec.urn, typehints.Any)
    try:
        window_fn = WindowFn.from_runner_api(source.windowing.window_fn, None)
        # Triggers come with the protos, where the lateness tells its windowing from that of anything else.
        placeholder._windowing = Windowing(window_fn, allowed_lateness=_PLACEHOLDER_LATENESS_SECS + number)
    except Exception as error:  # Beam's functions raise their own
        urn = source.windowing.window_fn.urn
        raise ConfigError([Problem("input.windowing", f"{urn} has parameters that it can't have: {error}")]) from error
    return placeholder


def _adopt_inputs(
    graph: _Graph, request: beam_expansion_api_pb2.ExpansionRequest, sources: Mapping[str, Source]
) -> None:
    """Puts the client's PCollections and their windowing in the placeholders' place."""
    components = graph.components
    for tag, placeholder_id in graph.placeholder_ids.items():
        placeholder, source = components.pcollections.pop(placeholder_id), sources[tag]
        # A copy with an id of ours, as clients keep only those; evaluated by our workers, which know the standard ones.
        ours = components.windowing_strategies[placeholder.windowing_strategy_id]
        of_placeholder, of_ours = ours.allowed_lateness, ours.environment_id
        for strategy in components.windowing_strategies.values():  # that of what is grouped has it too
            if strategy.allowed_lateness == of_placeholder:
                strategy.allowed_lateness = source.windowing.allowed_lateness
        ours.CopyFrom(source.windowing)
        ours.environment_id = of_ours
        ours.window_coder_id = _copy_coder(graph, request, source.windowing.window_coder_id)
    clients_ids = {graph.placeholder_ids[tag]: source.pcollection_id for tag, source in sources.items()}
    for transform in (graph.transform, *components.transforms.values()):
        for tag, pcollection_id in list(transform.inputs.items()):
            transform.inputs[tag] = clients_ids.get(pcollection_id, pcollection_id)
    graph.transform.inputs.clear()
    graph.transform.inputs.update(request.transform.inputs)


def _copy_coder(graph: _Graph, request: beam_expansion_api_pb2.ExpansionRequest, coder_id: str) -> str:
    """Copies a standard coder of the request and what it is made of under ids of ours."""
    copy_id = f"{request.namespace}_coder_of_input_{coder_id}"
    if copy_id not in graph.components.coders:
        coder = request.components.coders[coder_id]
        parts = [_copy_coder(graph, request, part) for part in coder.component_coder_ids]
        graph.components.coders[copy_id].CopyFrom(beam_runner_api_pb2.Coder(spec=coder.spec, component_coder_ids=parts))
    return copy_id


def _set_output_coders(graph: _Graph, row_schemas: Mapping[str, schema_pb2.Schema], namespace: str) -> None:
    """Gives the outputs coders that every SDK knows, in place of those that Python's type hints led to."""
    for tag, pcollection_id in graph.transform.outputs.items():
        spec = beam_runner_api_pb2.FunctionSpec(urn=BYTES_CODER)
        coder_id = f"{namespace}_coder_of_outputs"
        if tag in row_schemas:
            payload = row_schemas[tag].SerializeToString(deterministic=True)
            spec = beam_runner_api_pb2.FunctionSpec(urn=ROW_CODER, payload=payload)
            coder_id = f"{namespace}_coder_of_output_{tag}"
        graph.components.coders[coder_id].CopyFrom(beam_runner_api_pb2.Coder(spec=spec))
        graph.components.pcollections[pcollection_id].coder_id = coder_id

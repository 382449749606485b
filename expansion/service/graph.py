# Licensed under the Apache License, Version 2.0; see LICENSE.
"""From a composite to the protos of its graph, spliced onto a client's PCollection.

The composite is applied to a placeholder in a pipeline of our own, so Beam never decodes anything of the client's. What
the client said of its PCollection – windowing, boundedness, id – is put into the protos afterwards.
"""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability.api import beam_expansion_api_pb2, beam_runner_api_pb2, schema_pb2
from apache_beam.runners.pipeline_context import PipelineContext
from apache_beam.transforms.core import Windowing
from apache_beam.transforms.environments import Environment
from apache_beam.transforms.window import FixedWindows, GlobalWindows
from apache_beam.typehints import typehints

from expansion.service.requests import BYTES_CODER, GLOBAL_WINDOWS, ROW_CODER, Source, unused_coders
from expansion.transforms.run_inference import RunInference

_PLACEHOLDER = "beamml:placeholder"
# Building a beam.Pipeline sets process-wide state (pickler, filesystem options, update compatibility version).
_BUILDING = threading.Lock()

logging.getLogger("apache_beam.pipeline").setLevel(logging.WARNING)  # says at each pipeline that it has no runner


@dataclass(frozen=True)
class _Graph:
    """A composite applied to a placeholder, as protos.

    Attributes:
        components: Everything, with ids of the request's namespace; the composite's transform is not among it.
        transform: The composite's transform.
        placeholder_id: PCollection that stands for the client's.
        environment_id: Default worker environment.
        requirements: What the graph asks of a runner.
    """

    components: beam_runner_api_pb2.Components
    transform: beam_runner_api_pb2.PTransform
    placeholder_id: str
    environment_id: str
    requirements: list[str]


def expand(
    composite: RunInference,
    request: beam_expansion_api_pb2.ExpansionRequest,
    source: Source,
    options: Mapping[str, Any],
    environment: Environment,
) -> beam_expansion_api_pb2.ExpansionResponse:
    """Applies a composite to a client's PCollection.

    Args:
        composite: Takes one PCollection, returns PCollections by output tag, and then has the schemas of their rows in
            ``schemas``, also by tag; an output without a schema holds bytes.
        request: A request that ``requests.check`` has no problem with.
        source: Its input.
        options: Pipeline options, by name.
        environment: Where the steps run.

    Returns:
        The answer: the request's components without its transforms and unused coders, and the expanded ones with them.
        All ids that the expansion adds start with the request's namespace; clients keep only those.

    Raises:
        ConfigError: The configuration does not suit the input.
    """
    graph = _build(composite, request, source, options, environment)
    _adopt_input(graph, request, source)
    _set_output_coders(graph, composite.schemas, request.namespace)
    response = beam_expansion_api_pb2.ExpansionResponse(
        components=request.components, transform=graph.transform, requirements=graph.requirements
    )
    response.components.transforms.clear()
    for coder_id in unused_coders(request):
        del response.components.coders[coder_id]
    response.components.MergeFrom(graph.components)
    return response


def _build(
    composite: RunInference,
    request: beam_expansion_api_pb2.ExpansionRequest,
    source: Source,
    options: Mapping[str, Any],
    environment: Environment,
) -> _Graph:
    """Builds the graph in a pipeline that is thrown away, directory included."""
    composite.prepare()  # reads the model's file, which may take long and must not make other clients wait
    bounded = source.pcollection.is_bounded != beam_runner_api_pb2.IsBounded.UNBOUNDED
    is_global = source.windowing.window_fn.urn == GLOBAL_WINDOWS
    with _BUILDING:
        pipeline = beam.Pipeline(options=PipelineOptions(flags=[], **options))
        try:
            placeholder = pipeline | _PLACEHOLDER >> beam.Impulse()
            placeholder.is_bounded = bounded
            placeholder.element_type = typehints.Any if source.schema else bytes
            # Steps are built differently in the global window only; which other window it is comes with the protos.
            placeholder._windowing = Windowing(GlobalWindows() if is_global else FixedWindows(1))
            label = request.transform.unique_name or type(composite).__name__
            outputs = placeholder | label >> composite
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
                context.pcollections.get_id(placeholder),
                context.default_environment_id(),
                sorted(proto.requirements),
            )
        finally:
            shutil.rmtree(pipeline.local_tempdir, ignore_errors=True)


def _adopt_input(graph: _Graph, request: beam_expansion_api_pb2.ExpansionRequest, source: Source) -> None:
    """Puts the client's PCollection and its windowing in the placeholder's place."""
    components = graph.components
    placeholder = components.pcollections.pop(graph.placeholder_id)
    # A copy with an id of ours, as clients keep only those; evaluated by our workers, which know the standard ones.
    ours = components.windowing_strategies[placeholder.windowing_strategy_id]
    ours.CopyFrom(source.windowing)
    ours.environment_id = graph.environment_id
    ours.window_coder_id = _copy_coder(graph, request, source.windowing.window_coder_id)
    for transform in (graph.transform, *components.transforms.values()):
        for tag, pcollection_id in list(transform.inputs.items()):
            if pcollection_id == graph.placeholder_id:
                transform.inputs[tag] = source.pcollection_id
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

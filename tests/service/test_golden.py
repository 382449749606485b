# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Graphs as they were: a streaming job is updated in place only if its steps, coders and state keep their names.

What the files in tests/golden hold, runners such as Dataflow compare when a job is replaced (``--update``). They change
only with a release that says so in the change log. To write them anew:

    REGENERATE_GOLDEN=1 pytest tests/service/test_golden.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.coders import Coder
from apache_beam.portability.api import beam_expansion_api_pb2, beam_runner_api_pb2, schema_pb2
from apache_beam.runners.pipeline_context import PipelineContext

from expansion.contract import urns
from expansion.contract._gen.ml_transform_pb2 import MLTransformConfig
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.service import environments
from expansion.service.expand import ExpansionServicer, Offer
from expansion.tensors.tensor_batch import VERSION

GOLDEN = Path(__file__).parents[1] / "golden"
HOOKS = {
    "pre_hooks": [{"cast": {"columns": ["a"], "datatype": "FP32"}}],
    "post_hooks": [{"rename": {"columns": {"predict": "class"}}}],
}
SCALE = {"scale_to_z_score": {"columns": ["a"]}}
TYPES = {"a": "FP64", "b": "FP64", "id": "STRING", "age": "FP64", "city": "STRING"}
WIRE = {
    "columns": [{"name": name, "datatype": datatype} for name, datatype in TYPES.items()],
    "opaque_columns": ["element"],
}


@pytest.fixture
def cases(model_uri, write_artifact, tmp_path):
    """Configurations by the name of their file."""
    model = {"sklearn": {"uri": model_uri}}
    one = {"model": model, "inputs": [{"name": "X", "columns": ["a", "b"]}]}
    by_key = {"column": "id", "uris": {"one": model_uri, "two": model_uri}}
    again = {**one, "outputs": [{"source": "predict", "name": "again"}]}
    write_artifact(str(tmp_path / "read"))
    return {
        "run_inference": RunInferenceConfig(**one),
        "run_inference_with_hooks": RunInferenceConfig(**one, **HOOKS),
        "run_inference_per_key": RunInferenceConfig(**one, per_key=by_key),
        "run_inference_chain": RunInferenceConfig(**one, then=[again]),
        "run_inference_with_duration": RunInferenceConfig(**one, batching={"max_batch_duration_secs": 1}),
        "ml_transform_write": MLTransformConfig(operations=[SCALE], write_artifact_location=str(tmp_path / "write")),
        "ml_transform_read": MLTransformConfig(read_artifact_location=str(tmp_path / "read")),
    }


NAMES = [
    "run_inference",
    "run_inference_with_hooks",
    "run_inference_per_key",
    "run_inference_chain",
    "run_inference_with_duration",
    "ml_transform_write",
    "ml_transform_read",
]


@pytest.mark.parametrize("form", ["rows", "tensor_batches"])
@pytest.mark.parametrize("name", NAMES)
def test_the_graph_is_the_one_that_running_jobs_have(cases, python_request, java_request, name, form):
    config = cases[name]
    config.error_handling.output = "errors"
    urn = urns.RUN_INFERENCE if isinstance(config, RunInferenceConfig) else urns.ML_TRANSFORM
    if form == "rows":
        source = beam.Create([beam.Row(id="one", a=1.0, b=0.0, age=5.0, city="a")])
        request = python_request(source, config.SerializeToString(), urn=urn)
    else:
        config.MergeFrom(type(config)(tensor_batch=WIRE))
        request = java_request("bytes", config.SerializeToString())
        request.transform.spec.urn = urn
    response = ExpansionServicer(Offer(environments.parse("docker:worker:1"))).Expand(request)
    assert response.error == ""
    text = "\n".join([*described(response), ""])
    file = GOLDEN / f"{name}_of_{form}.txt"
    if os.environ.get("REGENERATE_GOLDEN"):
        file.write_text(text)
    assert text == file.read_text(), (
        f"{file.name}: running jobs can't be updated to this graph; keep names, coders and state, or, if need be, "
        "write the file anew with REGENERATE_GOLDEN=1 and say so in CHANGELOG.md"
    )


def test_every_golden_file_is_one_of_a_case():
    assert {file.name for file in GOLDEN.iterdir()} == {
        f"{name}_of_{form}.txt" for name in NAMES for form in ("rows", "tensor_batches")
    }


def described(response: beam_expansion_api_pb2.ExpansionResponse) -> Iterator[str]:
    """Yields lines that say all that an update depends on."""
    components, whole = response.components, response.transform
    yield f"TensorBatch version {VERSION}"
    for tag, pcollection in sorted(whole.outputs.items()):
        yield f"output {tag}: {coder(components, components.pcollections[pcollection].coder_id)}"
    yield "steps"
    for step in sorted(leaves(components, whole), key=lambda step: step.unique_name):
        name = step.unique_name.removeprefix(whole.unique_name).lstrip("/")
        yield f"  {name}  {step.spec.urn.removeprefix('beam:transform:')}"
        for tag, pcollection in sorted(step.outputs.items()):
            yield f"    → {tag}: {coder(components, components.pcollections[pcollection].coder_id)}"
        if step.spec.urn == "beam:transform:pardo:v1":
            yield from state(components, beam_runner_api_pb2.ParDoPayload.FromString(step.spec.payload))


def leaves(
    components: beam_runner_api_pb2.Components, transform: beam_runner_api_pb2.PTransform
) -> Iterator[beam_runner_api_pb2.PTransform]:
    for part in transform.subtransforms:
        yield from leaves(components, components.transforms[part])
    if not transform.subtransforms:
        yield transform


def state(components: beam_runner_api_pb2.Components, payload: beam_runner_api_pb2.ParDoPayload) -> Iterator[str]:
    for name, spec in sorted(payload.state_specs.items()):
        kind = spec.WhichOneof("spec")
        message = getattr(spec, kind)
        coder_id = getattr(message, "element_coder_id", "") or getattr(message, "coder_id", "")
        yield f"    state {name}: {kind} of {coder(components, coder_id)}"
    for name, spec in sorted(payload.timer_family_specs.items()):
        domain = beam_runner_api_pb2.TimeDomain.Enum.Name(spec.time_domain)
        yield f"    timer {name}: {domain} of {coder(components, spec.timer_family_coder_id)}"


def coder(components: beam_runner_api_pb2.Components, coder_id: str) -> str:
    """Returns a coder as text: what it is, and what it is made of."""
    message = components.coders[coder_id]
    name = message.spec.urn.removeprefix("beam:coder:")
    if message.spec.urn == "beam:coder:row:v1":
        fields = schema_pb2.Schema.FromString(message.spec.payload).fields
        return f"{name}({', '.join(f'{field.name}: {field_type(field.type)}' for field in fields)})"
    if message.spec.urn == "beam:coder:pickled_python:v1":
        of = type(Coder.from_runner_api(message, PipelineContext(components)))
        return f"{of.__module__}.{of.__qualname__}"
    parts = [coder(components, part) for part in message.component_coder_ids]
    return f"{name}({', '.join(parts)})" if parts else name


def field_type(message: schema_pb2.FieldType) -> str:
    kind = message.WhichOneof("type_info")
    if kind == "atomic_type":
        text = schema_pb2.AtomicType.Name(message.atomic_type)
    elif kind == "array_type":
        text = f"array of {field_type(message.array_type.element_type)}"
    elif kind == "row_type":
        fields = message.row_type.schema.fields
        text = f"row({', '.join(f'{field.name}: {field_type(field.type)}' for field in fields)})"
    else:
        text = str(kind)
    return f"{text}?" if message.nullable else text

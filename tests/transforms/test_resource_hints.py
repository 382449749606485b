# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Resource hints: which are refused, and which steps of a graph have them."""

from typing import NamedTuple

import apache_beam as beam
import pytest
from apache_beam.portability.common_urns import resource_hints as urns

from expansion import MLTransform, RunInference
from expansion.contract._gen.run_inference_pb2 import ResourceHints
from expansion.errors import ConfigError
from expansion.transforms.resource_hints import EXAMPLE, check

L4 = {"accelerator": EXAMPLE, "min_ram": "16GB", "cpu_count": 8, "max_active_bundles_per_worker": 1}


class Number(NamedTuple):
    x: float


beam.coders.registry.register_coder(Number, beam.coders.RowCoder)


def graph_of(transform, element=None):
    """Returns the hints of each step that workers run, by the step's name within the transform."""
    pipeline = beam.Pipeline()
    source = beam.Create([Number(1.0)]).with_output_types(Number) if element is None else beam.Create([element])
    _ = pipeline | "Source" >> source | "It" >> transform
    return hints_of(pipeline)


def hints_of(pipeline):
    components = pipeline.to_runner_api().components
    return {
        step.unique_name.removeprefix("It/"): dict(components.environments[step.environment_id].resource_hints)
        for step in components.transforms.values()
        if step.unique_name.startswith("It/") and step.spec.urn == "beam:transform:pardo:v1"
    }


@pytest.mark.parametrize(
    ("accelerator", "message"),
    [
        ("nvidia-l4", "'no count'|no 'nvidia-l4'|no type"),
        ("type:nvidia-l4", "no count; expected such as 'type:nvidia-l4;count:1;install-nvidia-driver'"),
        ("type:nvidia-l4;count:0", "count is '0', which is no positive number"),
        ("type:nvidia-l4;count:one", "count is 'one', which is no positive number"),
        (
            "type:nvidia-l4;count:1;install_nvidia_driver",
            "no 'install_nvidia_driver'; did you mean 'install-nvidia-driver'",
        ),
        ("type:nvidia-l4;count:1;count:2", "'count' is there twice"),
        ("type=nvidia-l4;count:1", "'type=nvidia-l4' is not NAME or NAME:VALUE; no type"),
        ("type:nvidia-l4;count:1;", "'' is not NAME or NAME:VALUE"),
        ("type:;count:1", "no type"),
        ("type:l4;count:1", "no type 'l4'; did you mean 'nvidia-l4'?"),
        ("type:NVIDIA-L4;count:1", "no type 'NVIDIA-L4'; did you mean 'nvidia-l4'?"),
        ("type:nvidia-t4;count:1", "no type 'nvidia-t4'; did you mean 'nvidia-tesla-t4'?"),
        ("type:nvidia-tesla-l4;count:1", "no type 'nvidia-tesla-l4'; did you mean 'nvidia-l4'?"),
        ("type:nvidia-a100;count:1", "no type 'nvidia-a100'; did you mean 'nvidia-tesla-a100'?"),
        ("type:nvidia_h100;count:1", "no type 'nvidia_h100'; did you mean 'nvidia-h100-80gb'?"),
        ("type:gpu;count:1", "'gpu' names no type of accelerator"),
        ("type:NEW;count:1", "'NEW' names no type of accelerator"),
        ("type:nvidia-l4;count:3", "count is 3, and a machine has 1, 2, 4, 8 or 16 GPUs"),
        ("type:nvidia-l4;count:32", "count is 32, and a machine has 1, 2, 4, 8 or 16 GPUs"),
        ("type:nvidia-l4;count:2;use_nvidia_mps", "count is 2, and use_nvidia_mps is for a single GPU"),
        ("type:nvidia-l4;topology:1x1", "no count"),
        ("type:tpu-v5-lite-podslice;count:1", "no topology, such as topology:1x1"),
        ("type:tpu-v5-lite-podslice;topology:4", "topology is '4'; expected such as 2x4"),
        ("type:nvidia-l4; count:1", "' count:1' is not NAME or NAME:VALUE"),
        ("type:nvidia-l4,count:1", "'type:nvidia-l4,count:1' is not NAME or NAME:VALUE"),
    ],
)
def test_an_accelerator_that_dataflow_would_not_read_is_refused(accelerator, message):
    [problem] = check(ResourceHints(accelerator=accelerator))
    assert problem.path == "accelerator"
    assert any(part in problem.message for part in message.split("|")), problem.message


@pytest.mark.parametrize(
    "accelerator",
    [
        EXAMPLE,
        "type:nvidia-tesla-t4;count:2;install-nvidia-driver",
        "type:nvidia-tesla-t4;count:1;install-nvidia-driver;use_nvidia_mps",
        "type:nvidia-h100-mega-80gb;count:8;install-nvidia-driver:5xx",
        "type:nvidia-l4;count:1;machine_type:g2-standard-8;install-nvidia-driver:5xx",
        "type:tpu-v5-lite-podslice;topology:1x1",
        "type:tpu-v5p-slice;topology:2x2x1",
        "type:new;count:1;a-setting-of-tomorrow:yes",
    ],
)
def test_accelerators_as_dataflow_documents_them_are_taken(accelerator):
    assert list(check(ResourceHints(accelerator=accelerator))) == []


@pytest.mark.parametrize("size", ["16", "16 gigabytes", "GB", "-1GB", "1e9B"])
def test_a_size_without_a_number_and_a_unit_is_refused(size):
    [problem] = check(ResourceHints(min_ram=size))
    assert str(problem) == f"min_ram: got {size!r}; expected a number and a unit, such as '16GB' or '512MiB'"


def test_numbers_are_not_negative():
    assert [p.path for p in check(ResourceHints(cpu_count=-1, max_active_bundles_per_worker=-1))] == [
        "cpu_count",
        "max_active_bundles_per_worker",
    ]


def test_every_step_of_a_chain_has_its_own_path(models):
    model = {"onnx": {"uri": str(models / "double_scalar.onnx")}}
    wrong = {"accelerator": "gpu"}
    chain = {"model": model, "resource_hints": wrong, "then": [{"model": model, "resource_hints": wrong}]}
    with pytest.raises(ConfigError) as error:
        RunInference(chain)
    paths = [problem.path for problem in error.value.problems]
    assert paths == ["resource_hints.accelerator", "then[0].resource_hints.accelerator"]


@pytest.fixture
def doubling(models):
    """x → y, with hooks on either side."""
    cast = {"cast": {"columns": ["x"], "datatype": "FP32"}}
    model = {"onnx": {"uri": str(models / "double_scalar.onnx")}}
    return {"model": model, "pre_hooks": [cast], "post_hooks": [{"rename": {"columns": {"y": "twice"}}}]}


def test_hints_cover_what_works_on_batches_and_not_what_works_on_single_rows(doubling):
    steps = graph_of(RunInference({**doubling, "resource_hints": L4}))
    asked = {
        urns.ACCELERATOR.urn: EXAMPLE.encode(),
        urns.MIN_RAM_BYTES.urn: b"16000000000",
        urns.CPU_COUNT.urn: b"8",
        urns.MAX_ACTIVE_BUNDLES_PER_WORKER.urn: b"1",
    }
    assert {name: hints == asked for name, hints in steps.items()} == {
        "Pack": False,
        "Rebatch": True,
        "PreHooks": True,
        "Inference/BeamML_RunInference": True,
        "PostHooks": True,
        "Encode": False,
    }
    assert steps["Pack"] == steps["Encode"] == {}


def test_of_tensor_batches_they_cover_all_python_steps_which_then_are_one(doubling):
    wire = {"columns": [{"name": "x", "datatype": "FP64"}]}
    steps = graph_of(RunInference({**doubling, "resource_hints": L4, "tensor_batch": wire}), b"")
    assert sorted(steps) == sorted(
        ["Decode", "Rebatch", "PreHooks", "Inference/BeamML_RunInference", "PostHooks", "Encode"]
    )
    [hints] = {tuple(sorted(hints.items())) for hints in steps.values()}
    assert len(hints) == 4


def test_each_model_of_a_chain_has_its_own(doubling, models):
    then = {
        "model": {"onnx": {"uri": str(models / "double_scalar.onnx")}},
        "inputs": [{"name": "x", "columns": ["twice"]}],
    }
    steps = graph_of(RunInference({**doubling, "then": [{**then, "resource_hints": {"min_ram": "1KiB"}}]}))
    assert {name for name, hints in steps.items() if hints == {urns.MIN_RAM_BYTES.urn: b"1024"}} == {
        "Begin2",
        "Step2/Inference/BeamML_RunInference",
    }


def test_without_hints_there_is_one_environment_and_no_hint(doubling):
    assert all(hints == {} for hints in graph_of(RunInference(doubling)).values())


def test_those_around_the_transform_count_as_beam_counts_them(doubling):
    transform = RunInference({**doubling, "resource_hints": {"min_ram": "1KB"}}).with_resource_hints(min_ram="2KB")
    assert {hints[urns.MIN_RAM_BYTES.urn] for hints in graph_of(transform).values()} == {b"2000"}


def test_of_an_ml_transform_only_the_models_of_embed_have_them():
    scale = {"operations": [{"hash_strings": {"columns": ["x"], "buckets": 3}}]}
    with pytest.raises(ConfigError, match="resource_hints: is set, and no operation runs a model"):
        MLTransform({**scale, "resource_hints": L4})


def test_those_models_have_them_and_the_operations_around_do_not():
    model = {"embedding_service": {"provider": "openai", "uri": "text-embedding-3-small", "size": 8}}
    embed = {"embed": {"columns": ["text"], "model": model}}
    pipeline = beam.Pipeline()
    rows = pipeline | "Source" >> beam.Create([beam.Row(text="a")])
    _ = rows | "It" >> MLTransform({"operations": [embed], "resource_hints": {"min_ram": "1KB"}})
    hinted = {name for name, hints in hints_of(pipeline).items() if hints == {urns.MIN_RAM_BYTES.urn: b"1000"}}
    assert hinted == {"Embed1/Model1/Inference/BeamML_RunInference"}
    assert "Operations" in hints_of(pipeline)

# Licensed under the Apache License, Version 2.0; see LICENSE.
import subprocess
import sys

import pytest

from expansion import catalogue, extras, hooks, models, operations
from expansion.contract._gen.server_pb2 import Preset

ENTRIES = catalogue.entries()


def fields(entries):
    for field in entries:
        yield field
        yield from fields(field.fields)


def test_everything_that_the_contract_has_is_there():
    names = {kind: [entry.name for entry in ENTRIES if entry.kind == kind] for kind in catalogue.KINDS}
    assert names == {
        "transform": ["RunInference", "MLTransform"],
        "framework": list(models.NAMES),
        "hook": list(hooks.NAMES),
        "operation": list(operations.NAMES),
        "preset": [],
    }


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: f"{entry.kind}.{entry.name}")
def test_every_entry_and_field_says_what_it_is(entry):
    assert entry.summary.endswith(".")
    assert entry.doc
    assert [field.name for field in fields(entry.fields) if not field.doc] == []


def test_extras_are_those_that_the_package_has():
    assert {entry.name: entry.extras for entry in ENTRIES if entry.kind == "framework"} == {
        **{name: (name,) for name in models.NAMES},
        "custom": (),
        "open_inference": (),
        "vertex_ai": ("gcp",),
        "embedding_service": ("openai", "gcp"),
    }
    assert all(extras._packages(extra) for entry in ENTRIES for extra in entry.extras)


def test_hooks_say_that_they_need_an_extra_where_they_import_it():
    needing = {entry.name for entry in ENTRIES if entry.kind == "hook" and entry.extras}
    assert needing == {"decode_image", "tokenize", "decode_tokens", "hash"}


def test_a_preset_has_what_the_operator_says_and_what_its_models_need():
    preset = Preset(name="a", description="Does it. Well.")
    preset.run_inference.model.sklearn.uri = "a.skops"
    preset.run_inference.then.add().model.onnx.uri = "a.onnx"
    entry = catalogue.entries([preset])[-1]
    assert (entry.kind, entry.summary, set(entry.extras)) == ("preset", "Does it.", {"onnx", "sklearn"})
    assert entry.config["run_inference"]["model"] == {"sklearn": {"uri": "a.skops"}}
    assert [field.name for field in entry.fields] == ["error_handling"]


def test_it_is_made_without_beam_or_a_framework():
    code = "import sys; from expansion import catalogue; catalogue.entries(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"apache_beam", "grpc", "onnxruntime", "sklearn", "torch"} & set(loaded)


def test_models_of_arms_and_members_and_hooks_need_their_extras_too():
    preset = Preset(
        name="a",
        run_inference={
            "split": {"arms": [{"model": {"onnx": {}}}, {"model": {"xgboost": {}}}]},
            "pre_hooks": [{"tokenize": {}}, {"scale": {}}],
        },
    )
    assert catalogue.entries([preset])[-1].extras == ("onnx", "xgboost", "hooks")

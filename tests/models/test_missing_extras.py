# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A worker without the packages of a framework or of a hook names the extra that has them."""

import sys
from importlib import import_module, metadata
from pathlib import Path

import pytest

from expansion import models
from expansion.contract._gen.hook_pb2 import Hook
from expansion.contract._gen.model_pb2 import Model
from expansion.errors import SystemicError
from expansion.hooks import build as build_hook
from expansion.models import stacks
from expansion.models.runtime import Runtime
from expansion.tft import transform_fn

# A model of each framework, a module that it needs, and the extra that has it.
MODELS = {
    "onnx": ({"uri": "a.onnx"}, "onnxruntime", "onnx"),
    "sklearn": ({"uri": "a.skops"}, "sklearn", "sklearn"),
    "pytorch": ({"uri": "a.pt2"}, "torch", "pytorch"),
    "xgboost": ({"uri": "a.json"}, "xgboost", "xgboost"),
    "tensorflow": ({"uri": "a"}, "tensorflow", "tensorflow"),
    "tensorrt": ({"uri": "a.onnx"}, "tensorrt", "tensorrt"),
    "huggingface": ({"uri": "a", "task": "text-classification"}, "torch", "huggingface"),
    "vertex_ai": ({"uri": "projects/p/locations/l/endpoints/1"}, "google.auth", "gcp"),
    "vllm": ({"uri": "a", "task": "chat"}, "vllm", "vllm"),
    "embedding_service": ({"provider": "openai", "uri": "a", "size": 3}, "openai", "openai"),
}
NEED_NOTHING = {"custom", "open_inference"}
HOOKS = {
    "tokenize": ({"column": "x", "uri": "a"}, "tokenizers"),
    "decode_tokens": ({"column": "x", "uri": "a"}, "tokenizers"),
    "hash": ({"columns": ["x"], "buckets": 3}, "farmhash"),
}


@pytest.fixture
def lacks(monkeypatch):
    """Has this process behave as if a module were not installed; nothing large is imported."""

    def lacks(module):
        monkeypatch.setitem(sys.modules, module, None)

        def version(name, plain=metadata.version):
            if name == module:
                raise metadata.PackageNotFoundError(name)
            return plain(name)

        monkeypatch.setattr(metadata, "version", version)

    return lacks


def test_every_framework_is_here():
    assert {*MODELS, *NEED_NOTHING} == set(models.NAMES)


@pytest.mark.parametrize("name", MODELS)
def test_a_worker_without_a_framework_names_its_extra(name, lacks):
    config, module, extra = MODELS[name]
    lacks(module)
    with pytest.raises(SystemicError) as raised:
        import_module(f"expansion.models.{name}").build(getattr(Model(**{name: config}), name), Runtime())
    assert f"; install beam-ml-expansion[{extra}] on the workers" in str(raised.value)
    assert "missing" in str(raised.value)


@pytest.mark.parametrize("name", HOOKS)
def test_a_worker_without_what_a_hook_needs_names_the_extra(name, lacks):
    config, module = HOOKS[name]
    lacks(module)
    with pytest.raises(SystemicError, match=r"pip install 'beam-ml-expansion\[hooks\]'"):
        build_hook(Hook(**{name: config}))


def test_a_worker_without_tensorflow_names_the_extra_of_what_tensorflow_transform_has_learned(lacks, monkeypatch):
    lacks("tensorflow")
    monkeypatch.setattr(stacks, "_loaded", set())
    with pytest.raises(SystemicError, match=r"install beam-ml-expansion\[tft\] on the workers"):
        transform_fn._load(Path("a"), "a")

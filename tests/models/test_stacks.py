# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Frameworks that abort a process in which both are loaded."""

import pytest

from expansion.errors import SystemicError
from expansion.models import stacks


@pytest.fixture
def empty_process(monkeypatch):
    monkeypatch.setattr(stacks, "_loaded", set())


def test_tensorflow_after_pytorch_is_an_error_instead_of_an_abort(empty_process):
    stacks.claim("pytorch")
    stacks.claim("sklearn")
    with pytest.raises(SystemicError, match="tensorflow and pytorch in one process abort it; run them in processes"):
        stacks.claim("tensorflow")
    stacks.claim("huggingface")


def test_pytorch_after_tensorflow_is_an_error_too(empty_process):
    stacks.claim("tensorflow")
    stacks.claim("onnx")
    stacks.claim("tensorflow")
    with pytest.raises(SystemicError, match="tensorflow and huggingface"):
        stacks.claim("huggingface")

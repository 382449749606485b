# Licensed under the Apache License, Version 2.0; see LICENSE.
import pytest

from expansion.contract._gen import hook_pb2
from expansion.errors import ConfigError
from expansion.hooks import NAMES, module_of, operation


def test_every_operation_of_the_contract_has_a_module_of_its_name():
    assert [field.name for field in hook_pb2.Hook.DESCRIPTOR.oneofs_by_name["operation"].fields] == list(NAMES)
    for name in NAMES:
        hook = hook_pb2.Hook()
        getattr(hook, name).SetInParent()
        module = module_of(hook)
        assert module.__name__ == f"expansion.hooks.{name}"
        assert callable(module.check)
        assert callable(module.fields)
        assert callable(module.build)


def test_an_operation_is_its_name_and_message():
    hook = hook_pb2.Hook(softmax={"column": "logits"})
    assert operation(hook) == ("softmax", hook_pb2.Softmax(column="logits"))


def test_a_hook_without_an_operation_is_a_problem():
    with pytest.raises(ConfigError, match="the hook is empty; expected one of select, cast"):
        module_of(hook_pb2.Hook())


def test_an_empty_message_of_any_operation_is_a_problem():
    for name in NAMES:
        hook = hook_pb2.Hook()
        getattr(hook, name).SetInParent()
        assert list(module_of(hook).check(operation(hook)[1])), name

# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import pytest
from google.protobuf import json_format, struct_pb2

from expansion.errors import ConfigError
from expansion.service import options


def struct_of(**values: object) -> struct_pb2.Struct:
    return json_format.ParseDict(
        {f"beam:option:{name}:v1": value for name, value in values.items()}, struct_pb2.Struct()
    )


@pytest.mark.parametrize("value", [True, "true", "True"])
def test_streaming_is_taken_as_a_flag_or_as_text(value):
    assert options.allowed(struct_of(streaming=value)) == {"streaming": True}


def test_the_update_compatibility_version_is_taken():
    found = options.allowed(struct_of(update_compatibility_version="2.66.0"))
    assert found == {"update_compatibility_version": "2.66.0"}


@pytest.mark.parametrize("value", [None, ""])
def test_null_and_empty_options_of_java_are_not_set(value):
    assert options.allowed(struct_of(streaming=value, update_compatibility_version=value)) == {}


def test_the_options_that_java_really_sends_do_not_reach_an_expansion(java_request):
    assert options.allowed(java_request("bytes").pipeline_options) == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("environment_type", "PROCESS"),
        ("environment_config", "/bin/evil"),
        ("environment_options", ["process_command=/bin/evil"]),
        ("sdk_container_image", "evil"),
        ("sdk_location", "https://evil"),
        ("setup_file", "/tmp/setup.py"),  # noqa: S108
        ("requirements_file", "/tmp/requirements.txt"),  # noqa: S108
        ("dataflow_service_options", ["a", "b"]),
        ("resource_hints", []),
        ("pickle_library", "dill"),
        ("beam_plugins", ["os"]),
    ],
)
def test_options_that_would_steer_or_break_an_expansion_are_ignored(name, value):
    assert options.allowed(struct_of(**{name: value})) == {}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("streaming", 3, "true or false"),
        ("streaming", ["true"], "true or false"),
        ("update_compatibility_version", "latest", "a Beam version"),
        ("update_compatibility_version", 2.5, "a Beam version"),
    ],
)
def test_an_impossible_value_is_a_problem_with_the_options_name(name, value, expected):
    with pytest.raises(ConfigError, match=f"pipeline_options.{name}: got .*; expected {expected}"):
        options.allowed(struct_of(**{name: value}))


def test_all_impossible_values_are_reported_at_once():
    with pytest.raises(ConfigError) as raised:
        options.allowed(struct_of(streaming="perhaps", update_compatibility_version="latest"))
    assert len(raised.value.problems) == 2

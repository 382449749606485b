# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The funnel: every form of a configuration becomes the same message, and nothing in it is ignored."""

import json
from functools import partial

import pytest

from expansion.contract import config
from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.config import Parsed, parse, to_mapping

parse_mapping = partial(config.parse_mapping, RunInferenceConfig)
parse_proto = partial(config.parse_proto, RunInferenceConfig)
parse_text = partial(config.parse_text, RunInferenceConfig)

YAML = """
model:
  onnx: {uri: m.onnx}
inputs:
  - {name: x, columns: [a, b]}
pre_hooks:
  - scale: {columns: [a], affine: {factor: 2}}
  - rename: {columns: {a: b}}
batching: {max_batch_size: 32}
"""
MAPPING = {
    "model": {"onnx": {"uri": "m.onnx"}, "sklearn": None, "model_id": None},
    "inputs": [{"name": "x", "columns": ["a", "b"]}],
    "pre_hooks": [
        {"scale": {"columns": ["a"], "affine": {"factor": 2.0, "offset": None}}, "pad": None},
        {"rename": {"columns": {"a": "b"}}},
    ],
    "batching": {"max_batch_size": 32},
    "error_handling": None,
}


def paths(parsed):
    return [problem.path for problem in parsed.problems]


def test_yaml_json_mapping_and_proto_bytes_give_the_same_message():
    message = parse_mapping(MAPPING).config
    assert message.model.onnx.uri == "m.onnx"
    assert message.pre_hooks[0].scale.affine.factor == 2.0
    assert not message.HasField("error_handling")
    for source in (YAML, json.dumps(MAPPING), MAPPING, message, message.SerializeToString()):
        assert parse(RunInferenceConfig, source) == Parsed(message, [])


def test_a_mapping_made_of_a_message_is_read_as_that_message():
    message = parse_mapping(MAPPING).config
    mapping = to_mapping(message)
    assert mapping["pre_hooks"][0] == {"scale": {"columns": ["a"], "affine": {"factor": 2.0}}}
    assert mapping["pre_hooks"][1] == {"rename": {"columns": {"a": "b"}}}
    assert parse_mapping(json.loads(json.dumps(mapping))).config == message


def test_json_text_keeps_json_numbers_such_as_1e_minus_3():
    parsed = parse_text('{"post_hooks": [{"threshold": {"column": "x", "value": 1e-3}}]}')
    assert parsed.config.post_hooks[0].threshold.value == 0.001


def test_all_problems_are_reported_at_once_with_field_paths():
    parsed = parse_mapping(
        {
            "model": {"onnx": {"url": "m"}},
            "inputs": {"name": "x"},
            "pre_hooks": [{"scale": {"columns": "a", "affine": {"factor": "2"}}}, {"pad": {"length": 2.5}}],
            "batching": {"max_batch_size": True},
            "typo": 1,
        }
    )
    assert paths(parsed) == [
        "model.onnx.url",
        "inputs",
        "pre_hooks[0].scale.columns",
        "pre_hooks[0].scale.affine.factor",
        "pre_hooks[1].pad.length",
        "batching.max_batch_size",
        "typo",
    ]


def test_a_misspelt_field_is_refused_with_a_suggestion():
    [problem] = parse_mapping({"modle": {}}).problems
    assert str(problem) == "modle: unknown field; did you mean 'model'?"


def test_two_members_of_a_oneof_are_refused():
    [problem] = parse_mapping({"pre_hooks": [{"softmax": {"column": "a"}, "argmax": {"column": "a"}}]}).problems
    assert problem.path == "pre_hooks[0].argmax"
    assert "softmax is set as well" in problem.message


@pytest.mark.parametrize("prefix", ["", "nested"])
def test_a_field_that_only_a_newer_client_knows_is_refused(prefix):
    unknown = b"\xf8\x07\x01"  # field 127, varint 1
    # field 1 (model), length-delimited
    data = unknown if not prefix else b"\x0a" + bytes([len(unknown)]) + unknown
    [problem] = parse_proto(data).problems
    assert problem.path == ("" if not prefix else "model")
    assert "field 127" in problem.message
    assert "upgrade the service" in problem.message


def test_bytes_that_are_no_message_are_refused_in_one_line():
    [problem] = parse_proto(b"\x01\xff\xff").problems
    assert str(problem) == "the payload is not a serialized RunInferenceConfig"


@pytest.mark.parametrize("text", ["a: [", "{]", "- just\n- a list", "42"])
def test_text_that_is_no_mapping_is_refused_in_one_line(text):
    [problem] = parse_text(text).problems
    assert "\n" not in str(problem)


def test_numbers_out_of_range_of_their_field_are_refused():
    assert paths(parse_mapping({"batching": {"max_batch_size": 2**63}})) == ["batching.max_batch_size"]
    assert paths(parse_mapping({"pre_hooks": [{"pad": {"axis": 2**31}}]})) == ["pre_hooks[0].pad.axis"]


def test_large_integers_are_read_exactly():
    assert parse_mapping({"batching": {"max_element_bytes": 2**53 + 1}}).config.batching.max_element_bytes == 2**53 + 1


def test_every_type_of_field_in_the_contract_can_be_read():
    def scalars(descriptor):
        for field in descriptor.fields:
            if field.message_type is None:
                yield field.cpp_type
            else:
                yield from scalars(field.message_type)

    assert set(scalars(RunInferenceConfig.DESCRIPTOR)) <= set(config._EXPECTED)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "9" * 10_000, '{"model": ' * 100_000], ids=["deep", "digits", "object"]
)
def test_text_that_is_too_deep_or_has_too_many_digits_is_refused_in_one_line(text):
    (problem,) = parse(RunInferenceConfig, text).problems
    assert "\n" not in problem.message
    assert len(problem.message) < 1000


@pytest.mark.parametrize(
    "text",
    ["preset: 2026-13-45", '!!int ""', "preset: !!bool x", "preset: !!timestamp x", f"preset: 1{':1' * 300}.5"],
    ids=["date", "integer", "boolean", "timestamp", "sexagesimal"],
)
def test_text_with_a_value_that_its_type_can_not_hold_is_refused_in_one_line(text):
    (problem,) = parse_text(text).problems
    assert str(problem).startswith("not valid YAML or JSON: ")
    assert "\n" not in problem.message


@pytest.mark.parametrize("number", ["9" * 401, "0x" + "f" * 5000])
def test_a_number_that_no_double_holds_is_a_problem_of_its_field(number):
    parsed = parse_text(f"pre_hooks: [{{scale: {{columns: [a], affine: {{factor: {number}}}}}}}]")
    assert paths(parsed) == ["pre_hooks[0].scale.affine.factor"]
    assert "expected a number that FP64 holds" in parsed.problems[0].message
    assert paths(parse_text(f"batching: {{max_batch_size: {number}}}")) == ["batching.max_batch_size"]
    assert paths(parse_text(f"preset: {number}")) == ["preset"]
    assert len(parse_mapping({int(number, 0): 1}).problems) == 1


@pytest.mark.parametrize("text", [r'{"preset": "\ud800"}', r'preset: "\ud800"'])
def test_half_a_surrogate_pair_is_a_problem_of_its_field(text):
    (problem,) = parse_text(text).problems
    assert str(problem).startswith(r"preset: got '\ud800'; expected text of whole characters")


def test_half_a_surrogate_pair_in_a_name_is_a_problem_that_can_be_sent():
    columns = {"\ud800": "a", "b": "\ud800", "\ud800a": 1}
    problems = parse_mapping({"\ud800": 1, "pre_hooks": [{"rename": {"columns": columns}}]}).problems
    assert [problem.path for problem in problems] == [
        r"'\ud800'",
        "pre_hooks[0].rename.columns",
        "pre_hooks[0].rename.columns.b",
        "pre_hooks[0].rename.columns",
        r"pre_hooks[0].rename.columns.'\ud800a'",
    ]
    assert all(str(problem).encode() for problem in problems)


def test_half_a_surrogate_pair_in_a_secret_is_a_problem_that_does_not_show_it():
    mapping = {"model": {"env_vars": {"TOKEN": "hidden\ud800"}}}
    (problem,) = parse_mapping(mapping).problems
    assert problem.path == "model.env_vars.TOKEN"
    assert "hidden" not in problem.message

# Licensed under the Apache License, Version 2.0; see LICENSE.
from expansion.contract._gen import hook_pb2, operation_pb2
from expansion.contract.column_names import columns_read, columns_written
from expansion.contract.fields import Field

A, B = Field("a", "FP32"), Field("b", "STRING")
BEFORE = {"a": A, "b": B}


def test_a_message_reads_what_is_in_column_and_columns():
    assert columns_read(hook_pb2.Tokenize(column="a", pair_column="b")) == ["a", "b"]
    assert columns_read(hook_pb2.Rename(columns={"a": "c"})) == ["a"]
    assert columns_read(operation_pb2.ScaleTo01(columns=["b", "a"], outputs=["c", "d"])) == ["b", "a"]


def test_a_message_without_outputs_works_in_place_though_no_type_changes():
    assert columns_written(operation_pb2.Deduplicate(columns=["a"]), BEFORE, BEFORE) == {"a"}
    assert columns_written(hook_pb2.Impute(columns=["a"]), BEFORE, BEFORE) == {"a"}


def test_a_message_with_outputs_leaves_what_it_reads():
    after = {**BEFORE, "c": Field("c", "FP32")}
    assert columns_written(operation_pb2.ScaleTo01(columns=["a"], outputs=["c"]), BEFORE, after) == {"c"}
    assert columns_written(hook_pb2.Argmax(column="a", output="b"), BEFORE, BEFORE) == {"b"}
    custom = hook_pb2.CustomHook(columns=["a"], outputs=[{"name": "b"}])
    assert columns_written(custom, BEFORE, BEFORE) == {"b"}


def test_a_second_output_does_not_keep_a_hook_from_working_in_place():
    pad = hook_pb2.Pad(columns=["a"], mask_output="c")
    assert columns_written(pad, BEFORE, {**BEFORE, "c": Field("c", "INT64")}) == {"a", "c"}


def test_what_is_dropped_is_not_written():
    assert columns_written(hook_pb2.Rename(columns={"a": "c"}), {"a": A}, {"c": A.with_name("c")}) == {"c"}
    assert columns_written(hook_pb2.Select(columns=["a"]), BEFORE, {"a": A}) == {"a"}

# Licensed under the Apache License, Version 2.0; see LICENSE.
import pytest

from expansion.contract.column_list import format_columns, parse_columns
from expansion.contract.fields import Field
from expansion.errors import ConfigError


def test_columns_are_read_as_they_are_written():
    text = "age:FP64,text:STRING,pixels:FP32[3,32,-1]"
    fields = parse_columns(text)
    assert list(fields.values()) == [
        Field("age", "FP64"), Field("text", "STRING"), Field("pixels", "FP32", (3, 32, -1))
    ]  # fmt: skip
    assert format_columns(fields.values()) == text
    assert parse_columns(" age : FP64 , text:STRING,pixels:FP32 [3, 32, -1]") == fields


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no columns"),
        ("age", "got 'age'; expected NAME:DATATYPE"),
        ("age:FP63", "age.datatype: got 'FP63'; did you mean 'FP64'?"),
        ("a:FP32[x]", r"a: got shape \[x\]"),
        ("a:FP32[-2]", "a.shape: got"),
        ("a:FP32,a:FP32", "a: is there twice"),
    ],
)
def test_what_is_wrong_with_a_list_is_told(text, said):
    with pytest.raises(ConfigError, match=said):
        parse_columns(text)


def test_all_that_is_wrong_with_a_list_is_told_at_once():
    with pytest.raises(ConfigError) as caught:
        parse_columns("a:X,b:FP32[y],c")
    assert [problem.path for problem in caught.value.problems] == ["a.datatype", "b", ""]

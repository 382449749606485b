# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import Cast
from expansion.contract.fields import Field
from expansion.errors import BadRows
from expansion.tensors.columns import Blobs, Ragged, RaggedBlobs


def strings(*elements, shape=()):
    return Blobs.of("STRING", elements, len(elements) // int(np.prod(shape)), shape)


def test_floats_are_truncated_towards_zero(apply):
    assert apply(Cast(columns=["x"], datatype="INT8"), x=np.array([1.9, -1.9, 127.9, -128.9]))["x"].to_rows() == [
        1,
        -1,
        127,
        -128,
    ]


def test_numbers_become_bool_when_they_are_not_zero(apply):
    assert apply(Cast(columns=["x"], datatype="BOOL"), x=np.array([0.0, 0.1, np.nan]))["x"].to_rows() == [
        False,
        True,
        True,
    ]


def test_several_columns_are_cast_in_place(apply):
    after = apply(Cast(columns=["x", "z"], datatype="FP32"), x=np.zeros(2), y=np.zeros(2), z=np.zeros((2, 3), np.int8))
    assert {name: field.datatype for name, field in after.fields().items()} == {"x": "FP32", "y": "FP64", "z": "FP32"}


def test_a_column_that_has_the_datatype_is_not_copied(apply):
    x = np.zeros(2, np.float32)
    assert apply(Cast(columns=["x"], datatype="FP32"), x=x)["x"].values is x


@pytest.mark.parametrize(
    ("values", "datatype", "bad"),
    [
        (np.array([127, 128, -129], "i8"), "INT8", {1, 2}),
        (np.array([0, -1, 2**63 - 1], "i8"), "UINT64", {1}),
        (np.array([2**63, 1], "u8"), "INT64", {0}),
        (np.array([2.0**63, -(2.0**63), np.nan, np.inf, 1]), "INT64", {0, 2, 3}),
        (np.array([2.0**63, 2.0**64, -0.5, -1], "f4"), "UINT64", {1, 3}),
        (np.array([65504, np.inf, np.nan], "f2"), "INT64", {1, 2}),
        (np.array([65504, 1], "f2"), "INT16", {0}),
    ],
)
def test_rows_out_of_the_range_of_an_integer_are_bad_all_at_once(apply, values, datatype, bad):
    with pytest.raises(BadRows) as raised:
        apply(Cast(columns=["x"], datatype=datatype), x=values)
    assert raised.value.messages.keys() == bad
    kept = np.array([row for row in range(len(values)) if row not in bad])
    apply(Cast(columns=["x"], datatype=datatype), x=values[kept])


def test_one_message_a_row_names_its_first_bad_value(apply):
    with pytest.raises(BadRows) as raised:
        apply(Cast(columns=["x"], datatype="UINT8"), x=np.array([[1, 2], [300, 301], [-1, 0]]))
    assert raised.value.messages == {
        1: "column 'x' is 300, which is out of the range of UINT8",
        2: "column 'x' is -1, which is out of the range of UINT8",
    }


def test_bad_rows_of_several_columns_are_found_at_once(apply):
    with pytest.raises(BadRows) as raised:
        apply(Cast(columns=["x", "y"], datatype="INT8"), x=np.array([1, 300, 1]), y=strings("1", "2", "z"))
    assert raised.value.messages.keys() == {1, 2}


def test_bad_elements_of_ragged_columns_are_found_in_their_rows(apply):
    x = Ragged.of_rows([np.array([1]), np.array([]), np.array([2, 300, 3])], np.int64, 1)
    with pytest.raises(BadRows) as raised:
        apply(Cast(columns=["x"], datatype="UINT8"), x=x)
    assert raised.value.messages.keys() == {2}
    assert apply(Cast(columns=["x"], datatype="UINT8"), x=x.slice(0, 2))["x"].to_rows() == [[1], []]


def test_nan_stays_nan_between_floating_datatypes(apply):
    after = apply(Cast(columns=["x"], datatype="FP16"), x=np.array([np.nan, 1e9, 1]))
    np.testing.assert_array_equal(after["x"].values, np.array([np.nan, np.inf, 1], np.float16))


def test_strings_parse_as_floats(apply):
    text = strings("1", " 2.5\t", "+.5", "-1e3", "NaN", "-inf", "1e999")
    after = apply(Cast(columns=["x"], datatype="FP32"), x=text)
    np.testing.assert_array_equal(
        after["x"].values, np.array([1, 2.5, 0.5, -1000, np.nan, -np.inf, np.inf], np.float32)
    )


def test_strings_parse_as_integers_of_any_size(apply):
    text = strings("18446744073709551615", "+0", "007")
    assert apply(Cast(columns=["x"], datatype="UINT64"), x=text)["x"].to_rows() == [2**64 - 1, 0, 7]


def test_strings_parse_as_bool(apply):
    text = strings("true", "False", "1", "0")
    assert apply(Cast(columns=["x"], datatype="BOOL"), x=text)["x"].to_rows() == [True, False, True, False]


def test_strings_keep_the_shape_of_their_rows(apply):
    after = apply(Cast(columns=["x"], datatype="INT64"), x=strings("1", "2", "3", "4", "5", "6", shape=(3,)))
    assert after["x"].to_rows() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("datatype", "bad"),
    [
        ("INT8", ["", "x", "1.0", "1e2", "0x1F", "128", "-129", "1 2", "9" * 40, "٣", "++1", "-"]),
        ("FP64", ["", " ", ".", "1_0", "0x1F", "1e", "nano", "one", "1,5"]),
        ("BOOL", ["", "yes", "2", "truely"]),
    ],
)
def test_strings_that_do_not_parse_are_bad_rows(apply, datatype, bad):
    with pytest.raises(BadRows) as raised:
        apply(Cast(columns=["x"], datatype=datatype), x=strings("1", *bad, "0"))
    assert raised.value.messages.keys() == set(range(1, len(bad) + 1))
    assert raised.value.messages[1] == f"column 'x' is '', which is not a number of {datatype}"


def test_a_missing_or_unknown_datatype_is_a_problem(problems):
    assert problems(Cast(columns=["x"])) == ["datatype: missing; expected a datatype, such as FP32"]
    assert problems(Cast(columns=["x"], datatype="fp32")) == [
        "datatype: 'fp32' is not a datatype that fits here; expected one of 'BOOL', 'BYTES', 'FP16', 'FP32', 'FP64', "
        "'INT16', 'INT32', 'INT64', 'INT8', 'STRING', 'UINT16', 'UINT32', 'UINT64', 'UINT8'"
    ]


def test_numbers_do_not_become_strings_nor_bytes_numbers(problems):
    fields = {"n": Field("n", "INT64"), "b": Field("b", "BYTES"), "s": Field("s", "STRING")}
    assert len(problems(Cast(columns=["n", "b", "s"], datatype="STRING"), **fields)) == 2
    assert problems(Cast(columns=["b", "s", "n"], datatype="FP32"), **fields) == [
        "columns[0]: column 'b' is BYTES, which does not convert to FP32; expected a number, or a STRING to convert to "
        "a number"
    ]


def test_texts_of_unequal_number_become_numbers_of_their_shapes(apply):
    x = RaggedBlobs.of_rows("STRING", [["1", "2"], [], ["3"]], 1)
    assert apply(Cast(columns=["x"], datatype="INT32"), x=x)["x"].to_rows() == [[1, 2], [], [3]]
    with pytest.raises(BadRows) as raised:
        apply(Cast(columns=["x"], datatype="INT32"), x=RaggedBlobs.of_rows("STRING", [["1"], [], ["3", "x"]], 1))
    assert raised.value.messages == {2: "column 'x' is 'x', which is not a number of INT32"}

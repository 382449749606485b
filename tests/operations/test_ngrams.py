# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from expansion.contract._gen.operation_pb2 import NGrams
from expansion.contract.fields import Field
from expansion.operations.grams import grams
from expansion.tensors.columns import Blobs, RaggedBlobs

RATS = Blobs.of("STRING", ["One was Johnny", "Two was a rat", "", "  "], 4)


def test_runs_come_in_the_order_of_their_first_words_the_shorter_first(apply):
    after = apply(NGrams(columns=["x"], max_n=3), x=RATS)["x"].to_rows()
    assert after[0] == ["One", "One was", "One was Johnny", "was", "was Johnny", "Johnny"]
    assert after[1] == ["Two", "Two was", "Two was a", "was", "was a", "was a rat", "a", "a rat", "rat"]
    assert after[2:] == [[], []]


def test_the_default_is_words(apply):
    assert apply(NGrams(columns=["x"]), x=RATS)["x"].to_rows()[0] == ["One", "was", "Johnny"]
    assert apply(NGrams(columns=["x"], min_n=2), x=RATS)["x"].to_rows()[0] == ["One was", "was Johnny"]


def test_words_are_joined_with_the_separator(apply):
    assert apply(NGrams(columns=["x"], min_n=3, separator="é"), x=RATS)["x"].to_rows()[0] == ["OneéwaséJohnny"]
    assert apply(NGrams(columns=["x"], min_n=3, separator=""), x=RATS)["x"].to_rows()[0] == ["OnewasJohnny"]


def test_runs_longer_than_a_text_are_not_there(apply):
    assert apply(NGrams(columns=["x"], min_n=4, max_n=2**31 - 1), x=RATS)["x"].to_rows() == [
        [],
        ["Two was a rat"],
        [],
        [],
    ]


def test_bytes_stay_bytes_and_arrays_are_words_already(apply):
    assert apply(NGrams(columns=["x"]), x=Blobs.of("BYTES", [b"\xff a"], 1))["x"].to_rows() == [[b"\xff", b"a"]]
    words = RaggedBlobs.of_rows("STRING", [["a b", "c"], []], 1)
    assert apply(NGrams(columns=["x"], max_n=2), x=words)["x"].to_rows() == [["a b", "a b c", "c"], []]


def test_no_rows_have_no_runs(apply):
    assert apply(NGrams(columns=["x"], max_n=2), x=Blobs.of("STRING", [], 0))["x"].to_rows() == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abc"), max_size=6), max_size=5), st.integers(1, 3), st.integers(0, 2))
def test_any_words_have_the_runs_that_a_loop_finds(rows, smallest, more):
    words = [word for row in rows for word in row]
    shapes = np.array([[len(row)] for row in rows], np.int32).reshape(-1, 1)
    column = RaggedBlobs("STRING", Blobs.of("STRING", words, 1).array, shapes)
    config = NGrams(columns=["x"], min_n=smallest, max_n=smallest + more, separator="+")
    expected = [
        [
            "+".join(row[first : first + size])
            for first in range(len(row))
            for size in range(smallest, smallest + more + 1)
            if first + size <= len(row)
        ]
        for row in rows
    ]
    assert grams(config, column).to_rows() == expected


def test_impossible_messages_are_problems(problems):
    assert problems(NGrams(columns=["x"], min_n=-1)) == ["min_n: got -1; expected 1 or more, or 0 for the default"]
    assert problems(NGrams(columns=["x"], min_n=3, max_n=2)) == ["max_n: got 2; expected min_n, 3, or more"]
    assert problems(NGrams(columns=["x"], max_n=-2)) == ["max_n: got -2; expected min_n, 1, or more"]
    assert problems(NGrams(columns=["x", "y"]), x=Field("x", "FP32"), y=Field("y", "STRING", (2, 2))) == [
        "columns[1]: column 'y' is STRING[2, 2]; expected one text a row, or arrays of words with one axis",
        "columns[0]: column 'x' is FP32; expected STRING or BYTES",
    ]

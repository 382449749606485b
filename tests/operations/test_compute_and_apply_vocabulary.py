# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np

from expansion.contract._gen.hook_pb2 import Hash, Hook
from expansion.contract._gen.operation_pb2 import ComputeAndApplyVocabulary
from expansion.contract.fields import Field
from expansion.hooks import build
from expansion.tensors.columns import Blobs, Columns, Dense, Ragged, RaggedBlobs


def texts(*elements, datatype="STRING", shape=()):
    return Blobs.of(datatype, elements, len(elements) // int(np.prod(shape)), shape)


def config(**values):
    return ComputeAndApplyVocabulary(columns=["x"], **values)


def test_the_most_frequent_text_is_the_first_and_of_equals_the_greatest(apply, learned):
    x = texts("b", "a", "c", "b", "ä")
    found = learned(config(), x=x)["x.vocabulary"]
    assert (found.words.to_pylist(), found.counts.tolist()) == ([b"b", "ä".encode(), b"c", b"a"], [2, 1, 1, 1])
    assert apply(config(), x=x)["x"].to_rows() == [0, 3, 2, 0, 1]
    assert isinstance(apply(config(), x=x)["x"], Dense)


def test_unknown_texts_and_those_that_are_cut_off_get_the_default_value(apply):
    x = texts("a", "a", "b", "c")
    learned_from = [Columns({"x": x}, 4)]
    assert apply(config(top_k=1), learned_from, x=texts("a", "b", "zz"))["x"].to_rows() == [0, -1, -1]
    assert apply(config(frequency_threshold=2, default_value=-7), x=x)["x"].to_rows() == [0, 0, -7, -7]
    assert apply(config(top_k=1, default_value=0), x=x)["x"].to_rows() == [0, 0, 0, 0]


def test_unknown_texts_share_buckets_by_the_hash_of_the_hook(apply):
    x = texts("a", "a", "b", "c", "ä")
    after = apply(config(frequency_threshold=2, oov_buckets=5), x=x)["x"].to_rows()
    hashed = build(Hook(hash=Hash(columns=["x"], buckets=5)))(Columns({"x": x}, 5))["x"].to_rows()
    assert after == [0, 0, *(1 + bucket for bucket in hashed[2:])]


def test_without_any_text_all_are_unknown(apply):
    nothing = [Columns({"x": texts("", "\n")}, 2)]
    assert apply(config(), nothing, x=texts("a", ""))["x"].to_rows() == [-1, -1]
    assert set(apply(config(oov_buckets=2), nothing, x=texts("a", "b", "c"))["x"].to_rows()) <= {0, 1}


def test_integers_are_texts_of_digits(apply):
    assert apply(config(), x=np.array([9, 10, 10, -3]))["x"].to_rows() == [1, 0, 0, 2]
    unsigned = np.array([2**64 - 1, 5, 5], np.uint64)
    assert apply(config(), x=unsigned)["x"].to_rows() == [1, 0, 0]


def test_arrays_keep_their_shapes(apply):
    assert apply(config(), x=texts(*"abba", shape=(2,)))["x"].to_rows() == [[1, 0], [0, 1]]
    words = RaggedBlobs.of_rows("BYTES", [[b"a", b"b"], [], [b"b"]], 1)
    assert apply(config(), x=words)["x"].to_rows() == [[1, 0], [], [0]]
    numbers = Ragged.of_rows([np.array([1]), np.array([2, 2])], np.int32, 1)
    assert apply(config(), x=numbers)["x"].to_rows() == [[1], [0, 0]]


def test_texts_are_split_at_delimiters(apply):
    after = apply(config(delimiters=" ,"), x=texts("a b,b", "", " ,", "c"))["x"]
    assert after.to_rows() == [[2, 0, 0], [], [], [1]]


def test_empty_texts_and_those_with_line_breaks_are_in_no_list(apply):
    assert apply(config(), x=texts("", "", "a", "b\nc", "d\r"))["x"].to_rows() == [-1, -1, 0, -1, -1]


def test_impossible_messages_are_problems(problems):
    assert problems(config(top_k=-1, frequency_threshold=-2, oov_buckets=-3)) == [
        "top_k: got -1; expected 0 or more",
        "frequency_threshold: got -2; expected 0 or more",
        "oov_buckets: got -3; expected 0 or more",
    ]
    assert problems(config(oov_buckets=3, default_value=7)) == [
        "default_value: oov_buckets is set too; set one of them"
    ]
    assert problems(config(), x=Field("x", "FP32")) == [
        "columns[0]: column 'x' is FP32; expected STRING, BYTES or an integer datatype"
    ]
    assert problems(config(delimiters=" "), x=Field("x", "STRING", (3,))) == [
        "columns[0]: column 'x' is STRING[3]; expected one text a row, where there are delimiters"
    ]
    assert problems(config(delimiters=" "), x=Field("x", "INT64")) == [
        "columns[0]: column 'x' is INT64; expected STRING or BYTES"
    ]

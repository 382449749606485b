# Licensed under the Apache License, Version 2.0; see LICENSE.
import math

import numpy as np
import pytest

from expansion.contract._gen.operation_pb2 import TfIdf
from expansion.contract.fields import Field
from expansion.errors import SystemicError
from expansion.operations import tfidf
from expansion.operations.statistic import Vocabulary
from expansion.tensors.columns import Blobs, Columns, RaggedBlobs

PIES = Blobs.of("STRING", ["I like pie pie pie", "yum yum pie"], 2)


def test_words_weigh_by_how_often_they_are_in_the_text_and_how_rare_among_texts(apply):
    after = apply(TfIdf(columns=["x"]), x=PIES)
    rare = 1 + math.log(3 / 2)
    assert list(after) == ["x_vocab_index", "x_tfidf_weight"]
    assert after["x_vocab_index"].to_rows() == [[0, 2, 3], [0, 1]]  # pie, yum, like, I
    expected = [[3 / 5, rare / 5, rare / 5], [1 / 3, 2 / 3 * rare]]
    for weights, of_text in zip(after["x_tfidf_weight"].to_rows(), expected, strict=True):
        assert weights == pytest.approx(of_text, abs=1e-7)


def test_without_smoothing_1_is_not_added(apply):
    after = apply(TfIdf(columns=["x"], no_smoothing=True), x=PIES)
    assert after["x_tfidf_weight"].to_rows()[1] == pytest.approx([1 / 3, 2 / 3 * (1 + math.log(2))], abs=1e-7)


def test_words_outside_the_vocabulary_count_among_the_texts_words_only(apply):
    after = apply(TfIdf(columns=["x"], vocabulary_size=1), x=PIES)
    assert after["x_vocab_index"].to_rows() == [[0], [0]]
    assert after["x_tfidf_weight"].to_rows() == [[pytest.approx(3 / 5)], [pytest.approx(1 / 3)]]


def test_texts_without_words_have_no_weights_but_count(apply, learned):
    x = Blobs.of("STRING", ["a", "", " "], 3)
    after = apply(TfIdf(columns=["x"]), x=x)
    assert (after["x_vocab_index"].to_rows(), after["x_tfidf_weight"].to_rows()[1:]) == ([[0], [], []], [[], []])
    assert learned(TfIdf(columns=["x"]), x=x)["x.texts"] == {"texts": 3}
    assert after["x_tfidf_weight"].to_rows()[0] == pytest.approx([1 + math.log(4 / 2)])


def test_arrays_are_words_already(apply):
    words = RaggedBlobs.of_rows("STRING", [["I", "like", "pie", "pie", "pie"], ["yum", "yum", "pie"]], 1)
    after = apply(TfIdf(columns=["x"]), x=words)
    assert after["x_vocab_index"].to_rows() == apply(TfIdf(columns=["x"]), x=PIES)["x_vocab_index"].to_rows()


def test_columns_are_dropped_and_results_come_behind_the_others(apply):
    config = TfIdf(columns=["x"], index_suffix="#", weight_suffix="%", delimiters="|")
    after = apply(config, x=Blobs.of("STRING", ["a|b c", "a"], 2), y=np.zeros(2))
    assert list(after) == ["y", "x#", "x%"]
    assert after["x#"].to_rows() == [[0, 1], [0]]


def test_words_are_counted_in_all_texts_not_in_the_batch_only(apply):
    others = [Columns({"x": Blobs.of("STRING", ["b a", "b"], 2)}, 2), Columns({"x": PIES}, 2)]
    assert apply(TfIdf(columns=["x"]), others, x=Blobs.of("STRING", ["pie b new"], 1))["x_vocab_index"].to_rows() == [
        [0, 2]
    ]


def test_impossible_messages_are_problems(problems):
    assert problems(TfIdf(columns=["x"], vocabulary_size=-1, index_suffix="_", weight_suffix="_")) == [
        "vocabulary_size: got -1; expected 1 or more, or 0 for all words",
        "weight_suffix: two results would be named 'x_'; choose other suffixes",
    ]
    assert problems(TfIdf(columns=["x", "y"]), x=Field("x", "INT64"), y=Field("y", "STRING", (2, 2))) == [
        "columns[1]: column 'y' is STRING[2, 2]; expected one text a row, or arrays of words with one axis",
        "columns[0]: column 'x' is INT64; expected STRING or BYTES",
    ]


def test_a_vocabulary_that_does_not_say_how_many_texts_have_a_word_is_refused():
    config = TfIdf(columns=["x"])
    words = Blobs.of("STRING", ["a"], 1).array
    learned = {"x.vocabulary": Vocabulary(words, np.array([1])), "x.texts": {"texts": 1}}
    with pytest.raises(SystemicError, match="in how many texts each word is"):
        tfidf.build(config, {"x": Field("x", "STRING")}, learned)

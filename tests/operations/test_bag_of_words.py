# Licensed under the Apache License, Version 2.0; see LICENSE.
from expansion.contract._gen.operation_pb2 import BagOfWords
from expansion.tensors.columns import Blobs

PIES = Blobs.of("STRING", ["I like pie pie pie", "yum yum pie", ""], 3)


def test_each_run_is_there_once_where_it_is_first(apply):
    assert apply(BagOfWords(columns=["x"]), x=PIES)["x"].to_rows() == [["I", "like", "pie"], ["yum", "pie"], []]
    after = apply(BagOfWords(columns=["x"], max_n=2, separator="_"), x=PIES)["x"].to_rows()
    assert after[0] == ["I", "I_like", "like", "like_pie", "pie", "pie_pie"]
    assert after[1:] == [["yum", "yum_yum", "yum_pie", "pie"], []]


def test_impossible_messages_are_problems(problems):
    assert problems(BagOfWords(columns=["x"], min_n=2, max_n=1)) == ["max_n: got 1; expected min_n, 2, or more"]

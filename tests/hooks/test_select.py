# Licensed under the Apache License, Version 2.0; see LICENSE.
import numpy as np

from expansion.contract._gen.hook_pb2 import Select
from expansion.contract.fields import Field
from expansion.tensors.columns import Blobs, Ragged


def test_named_columns_are_kept_in_the_order_named(apply):
    text = Blobs.of("STRING", ["x", "y"], 2)
    after = apply(Select(columns=["c", "a"]), a=np.arange(2), b=np.arange(2), c=text)
    assert list(after) == ["c", "a"]
    assert after["c"] is text


def test_ragged_columns_are_kept_too(apply):
    ragged = Ragged.of_rows([np.arange(2), np.arange(3)], np.int64, 1)
    assert apply(Select(columns=["a"]), a=ragged)["a"] is ragged


def test_every_problem_is_reported_at_once(problems):
    assert problems(Select(columns=["a", "a", ""])) == [
        "columns[1]: column 'a' is named twice; name it once",
        "columns[2]: empty; expected the name of a column",
    ]
    fields = {"label": Field("label", "INT64"), "score": Field("score", "FP32")}
    assert problems(Select(columns=["lable", "q"]), **fields) == [
        "columns[0]: there is no column 'lable'; did you mean 'label'?",
        "columns[1]: there is no column 'q'; expected one of 'label', 'score'",
    ]

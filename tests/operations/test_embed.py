# Licensed under the Apache License, Version 2.0; see LICENSE.
import pytest

from expansion.contract._gen.operation_pb2 import Embed
from expansion.contract.fields import Field
from expansion.errors import SystemicError
from expansion.operations import embed
from expansion.tensors.columns import Columns

TEXT = Field("text", "STRING")


def test_results_are_vectors_of_the_size_that_is_said():
    inputs = {"text": TEXT, "x": Field("x", "FP64")}
    config = Embed(columns=["text"], outputs=["vector"], size=3)
    assert embed.fields(config, inputs) == {**inputs, "vector": Field("vector", "FP32", (3,))}
    assert embed.fields(Embed(columns=["text"]), inputs)["text"] == Field("text", "FP32", (-1,))
    assert embed.statistics(config, inputs) == {}


def test_what_is_wrong_with_the_message_is_found(problems):
    found = problems(Embed(outputs=["a"], size=-1, max_batch_size=-1, model={"refresh_interval_secs": 60}))
    assert [problem.split(":")[0] for problem in found] == [
        "columns",
        "outputs",
        "size",
        "max_batch_size",
        "model.refresh_interval_secs",
    ]


def test_columns_are_texts_one_a_row(problems):
    fields = {"number": Field("number", "FP32"), "texts": Field("texts", "STRING", (2,))}
    assert problems(Embed(columns=["number", "texts", "txt"]), **fields) == [
        "columns[1]: column 'texts' is STRING[2]; expected one text a row",
        "columns[0]: column 'number' is FP32; expected STRING",
        "columns[2]: there is no column 'txt'; did you mean 'texts'?",
    ]


def test_it_is_no_function_of_columns():
    with pytest.raises(SystemicError, match="embed runs a model, which is a step of MLTransform"):
        embed.build(Embed(columns=["text"]), {"text": TEXT}, {})(Columns({}, 0))

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a graph of tensorflow-transform's takes and makes is known before anything runs."""

import pytest

from expansion.contract.fields import Field
from expansion.errors import ConfigError
from expansion.tft.graph import graph_of
from expansion.transforms.ml_transform_config import read_config

AGE, CITY, SIZES = Field("age", "FP64"), Field("city", "STRING"), Field("sizes", "INT16", (-1,))
INPUTS = {field.name: field for field in (AGE, CITY, SIZES)}


def graph(*operations, **inputs):
    chain = read_config({"engine": "TFT", "operations": list(operations), "write_artifact_location": "a"}).operations
    return graph_of(chain, {**INPUTS, **inputs})


def problems(*operations, **inputs):
    with pytest.raises(ConfigError) as raised:
        graph(*operations, **inputs)
    return [str(problem) for problem in raised.value.problems]


def test_numbers_are_fp32_or_int64_and_so_are_results():
    made = graph(
        {"scale_to_01": {"columns": ["age"]}},
        {"deduplicate": {"columns": ["sizes"], "outputs": ["distinct"]}},
    )
    assert made.takes == {"age": Field("age", "FP32"), "sizes": Field("sizes", "INT64", (-1,))}
    assert made.makes == {"age": Field("age", "FP32"), "distinct": Field("distinct", "INT64", (-1,))}
    assert made.after(INPUTS) == {**INPUTS, **made.makes}


def test_columns_that_an_operation_makes_are_not_taken():
    index = {"compute_and_apply_vocabulary": {"columns": ["city"], "outputs": ["index"]}}
    made = graph(index, {"scale_to_z_score": {"columns": ["index"]}})
    assert list(made.takes) == ["city"]
    assert made.makes == {"index": Field("index", "FP32")}


def test_columns_that_tfidf_drops_are_gone():
    made = graph({"tfidf": {"columns": ["city"]}})
    assert made.drops == ("city",)
    assert list(made.makes) == ["city_vocab_index", "city_tfidf_weight"]
    assert list(made.after(INPUTS)) == ["age", "sizes", "city_vocab_index", "city_tfidf_weight"]


def test_what_tensorflow_transform_can_not_take_is_refused_where_it_is_read():
    count, table = Field("count", "UINT64"), Field("table", "FP32", (-1, 3))
    scale = {"scale_to_01": {"columns": ["age", "count", "table"]}}
    assert problems(scale, scale, count=count, table=table) == [
        "operations[0].scale_to_01.columns[1]: column 'count' is UINT64, which engine TFT does not take; cast it to "
        "INT64 before",
        "operations[0].scale_to_01.columns[2]: column 'table' is FP32[-1, 3]; engine TFT takes arrays of unequal sizes "
        "with one axis only; reshape or pad it before",
    ]


def test_what_an_operation_demands_of_columns_is_said_as_by_the_native_engine():
    [problem] = problems({"scale_to_01": {"columns": ["city"]}})
    assert problem.startswith("operations[0].scale_to_01.columns[0]: column 'city' is STRING")

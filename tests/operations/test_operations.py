# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What all operations have in common."""

import numpy as np
import pytest

from expansion.contract._gen.operation_pb2 import Operation
from expansion.contract.fields import Field
from expansion.errors import ConfigError, SystemicError
from expansion.operations import NAMES as ALL
from expansion.operations import module_of, operation
from expansion.tensors.columns import Blobs, Columns, Dense, Ragged, RaggedBlobs

# The rest of a message that is right, and a column that the operation takes.
RIGHT = {
    "scale_to_01": ({}, Dense(np.arange(3.0))),
    "scale_by_min_max": ({"max_value": 2}, Dense(np.arange(3.0))),
    "scale_to_z_score": ({}, Dense(np.arange(3.0))),
    "scale_to_gaussian": ({}, Dense(np.arange(3.0))),
    "compute_and_apply_vocabulary": ({}, Blobs.of("STRING", ["a", "b", "a"], 3)),
    "bucketize": ({"buckets": 2}, Dense(np.arange(3.0))),
    "apply_buckets": ({"boundaries": [1]}, Dense(np.arange(3.0))),
    "apply_buckets_with_interpolation": ({"boundaries": [0, 1]}, Dense(np.arange(3.0))),
    "tfidf": ({}, Blobs.of("STRING", ["a b", "b", ""], 3)),
    "ngrams": ({}, Blobs.of("STRING", ["a b", "b", ""], 3)),
    "bag_of_words": ({}, Blobs.of("STRING", ["a b", "b", ""], 3)),
    "hash_strings": ({"buckets": 9}, Blobs.of("STRING", ["a b", "b", ""], 3)),
    "deduplicate": ({}, Ragged.of_rows([np.array([1, 1]), np.array([]), np.array([2])], np.int64, 1)),
    "one_hot": ({"size": 2}, Blobs.of("STRING", ["a", "b", "a"], 3)),
    "impute": ({"strategy": "most_frequent"}, Blobs.of("STRING", ["a", "b", "a"], 3)),
}
NAMES = [name for name in ALL if name != "embed"]  # which is no function of columns: test_embed.py
RENAMING = [name for name in NAMES if name != "tfidf"]


def message(name, **values):
    return operation(Operation(**{name: {**RIGHT[name][0], **values}}))[1]


def test_an_operation_is_found_by_its_field():
    assert operation(Operation(tfidf={}))[0] == "tfidf"
    assert module_of(Operation(bucketize={})).__name__ == "expansion.operations.bucketize"


def test_an_empty_operation_is_a_problem():
    with pytest.raises(ConfigError, match="the operation is empty; expected one of scale_to_01, "):
        module_of(Operation())


def test_every_operation_is_in_these_tests():
    assert set(RIGHT) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_columns_are_needed_and_named_once(problems, name):
    assert problems(message(name)) == ["columns: missing; expected the names of one or more columns"]
    assert problems(message(name, columns=["x", "", "x"]))[:2] == [
        "columns[1]: empty; expected the name of a column",
        "columns[2]: column 'x' is named twice; name it once",
    ]


@pytest.mark.parametrize("name", RENAMING)
def test_outputs_are_as_many_as_columns_and_named_once(problems, name):
    assert problems(message(name, columns=["x", "y"], outputs=["a"])) == [
        "outputs: got 1, for columns 2; expected a name for each column, or none to replace them"
    ]
    assert problems(message(name, columns=["x", "y"], outputs=["a", "a"])) == [
        "outputs[1]: column 'a' is named twice; name it once"
    ]


@pytest.mark.parametrize("name", NAMES)
def test_missing_columns_are_all_named(problems, name):
    assert problems(message(name, columns=["pixel", "other"]), pixels=Field("pixels", "FP32")) == [
        "columns[0]: there is no column 'pixel'; did you mean 'pixels'?",
        "columns[1]: there is no column 'other'; expected one of 'pixels'",
    ]


@pytest.mark.parametrize("name", RENAMING)
def test_results_replace_their_columns_or_come_behind_all_others(apply, name):
    column = RIGHT[name][1]
    replaced = apply(message(name, columns=["x"]), x=column, other=np.zeros(3))
    added = apply(message(name, columns=["x"], outputs=["y"]), x=column, other=np.zeros(3))
    assert list(replaced) == ["x", "other"]
    assert list(added) == ["x", "other", "y"]
    assert added["x"].to_rows() == column.to_rows()
    np.testing.assert_equal(added["y"].to_rows(), replaced["x"].to_rows())


@pytest.mark.parametrize("name", RENAMING)
def test_results_may_change_places(apply, name):
    column = RIGHT[name][1]
    plain = apply(message(name, columns=["x", "y"]), x=column, y=column.take(np.array([2, 1, 0])))
    swapped = apply(message(name, columns=["x", "y"], outputs=["y", "x"]), x=column, y=column.take(np.array([2, 1, 0])))
    np.testing.assert_equal(swapped["y"].to_rows(), plain["x"].to_rows())
    np.testing.assert_equal(swapped["x"].to_rows(), plain["y"].to_rows())


@pytest.mark.parametrize("name", NAMES)
def test_names_of_what_is_learned_begin_with_the_columns(name):
    column = RIGHT[name][1]
    fields = {"age": Field("age", column.datatype, column.shape)}
    for key, statistic in module_of(Operation(**{name: {}})).statistics(message(name, columns=["age"]), fields).items():
        assert key.startswith("age.")
        assert statistic.column == "age"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_was_learned_is_no_crash(apply, name):
    column = RIGHT[name][1]
    after = apply(message(name, columns=["x"]), learned_from=[Columns({"x": column.slice(0, 0)}, 0)], x=column)
    assert after.row_count == 3


@pytest.mark.parametrize("name", [name for name in NAMES if RIGHT[name][1].datatype == "FP64"])
def test_constant_columns_and_those_of_nan_are_no_crash(apply, name):
    for values in ([2.5, 2.5, 2.5], [np.nan, np.nan, np.nan], [np.inf, -np.inf, np.nan]):
        after = apply(message(name, columns=["x"]), x=np.array(values))
        assert len(after["x"]) == 3


@pytest.mark.parametrize("name", NAMES)
def test_what_another_operation_learned_is_refused(name):
    column = RIGHT[name][1]
    config, module = message(name, columns=["x"]), module_of(Operation(**{name: {}}))
    fields = {"x": Field("x", column.datatype, column.shape)}
    names = module.statistics(config, fields)
    if names:
        with pytest.raises(SystemicError):
            module.build(config, fields, {key: {"another": 1} for key in names})


@pytest.mark.parametrize("name", NAMES)
def test_other_datatypes_than_it_takes_are_problems(problems, name):
    takes_numbers = name not in ("tfidf", "ngrams", "bag_of_words", "deduplicate", "impute")
    wrong = Field("x", "STRING") if RIGHT[name][1].datatype == "FP64" else Field("x", "FP32")
    found = problems(message(name, columns=["x"]), x=wrong)
    assert (found != []) == (takes_numbers or name in ("tfidf", "ngrams", "bag_of_words", "deduplicate"))


def test_rows_that_differ_in_length_are_taken_by_what_is_done_to_each_element(apply):
    numbers = Ragged.of_rows([np.array([1.0, 3.0]), np.array([]), np.array([2.0])], np.float64, 1)
    words = RaggedBlobs.of_rows("STRING", [["a", "b"], [], ["a"]], 1)
    assert apply(message("scale_to_01", columns=["x"]), x=numbers)["x"].to_rows() == [[0.0, 1.0], [], [0.5]]
    assert apply(message("bucketize", columns=["x"]), x=numbers)["x"].to_rows() == [[0, 1], [], [1]]
    vocabulary = message("compute_and_apply_vocabulary", columns=["x"])
    assert apply(vocabulary, x=words)["x"].to_rows() == [[0, 1], [], [0]]
    assert [len(row) for row in apply(message("hash_strings", columns=["x"]), x=words)["x"].to_rows()] == [2, 0, 1]

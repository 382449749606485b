# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a chain of operations works on, and when each of them learns."""

import pytest

from expansion.contract._gen.operation_pb2 import Operation
from expansion.contract.fields import Field
from expansion.errors import ConfigError
from expansion.operations.chain import columns_around, first_readers, lessons_of, steps_of

INPUTS = {
    "age": Field("age", "FP64"),
    "city": Field("city", "STRING"),
    "note": Field("note", "STRING"),
    "unread": Field("unread", "BOOL"),
}


def operation(name, **config):
    message = Operation()
    getattr(message, name).SetInParent()
    for key, value in config.items():
        field = getattr(message, name)
        getattr(field, key).extend(value) if isinstance(value, list) else setattr(field, key, value)
    return message


def scale(*columns, outputs=()):
    return operation("scale_to_01", columns=list(columns), outputs=list(outputs))


def vocabulary(*columns, outputs=()):
    return operation("compute_and_apply_vocabulary", columns=list(columns), outputs=list(outputs))


def phases(*chain):
    return [(step.learns_in, step.applies_from) for step in steps_of(chain, INPUTS)]


def test_operations_on_the_inputs_own_columns_learn_at_once():
    assert phases(scale("age"), vocabulary("city")) == [(0, 1), (0, 1)]


def test_an_operation_on_what_another_one_makes_learns_after_it():
    assert phases(vocabulary("city"), scale("city")) == [(0, 1), (1, 2)]
    assert phases(vocabulary("city", outputs=["i"]), scale("i", outputs=["j"]), scale("j")) == [(0, 1), (1, 2), (2, 3)]


def test_an_operation_on_a_column_that_another_one_only_reads_does_not_wait():
    assert phases(vocabulary("city", outputs=["i"]), vocabulary("city", outputs=["j"])) == [(0, 1), (0, 1)]


def test_an_operation_that_learns_nothing_is_applied_as_soon_as_its_columns_are_there():
    grams = operation("ngrams", columns=["city"])
    buckets = operation("apply_buckets", columns=["city"], boundaries=[1.0])
    assert phases(grams, vocabulary("city")) == [(0, 0), (0, 1)]
    assert phases(vocabulary("city"), buckets) == [(0, 1), (1, 1)]


def test_what_a_chain_learns_is_in_the_order_of_its_operations():
    lessons = lessons_of(steps_of([vocabulary("city"), scale("age", "city")], INPUTS))
    assert [(lesson.step, lesson.name, lesson.phase) for lesson in lessons] == [
        (0, "city.vocabulary", 0),
        (1, "age.range", 1),
        (1, "city.range", 1),
    ]


def test_an_operation_that_can_not_work_on_its_columns_is_a_problem_with_its_path():
    with pytest.raises(ConfigError) as raised:
        steps_of([scale("age"), scale("city")], INPUTS)
    [problem] = raised.value.problems
    assert problem.path == "operations[1].scale_to_01.columns[0]"


def test_a_column_has_a_first_reader_unless_it_is_overwritten_before():
    steps = steps_of([scale("age"), vocabulary("city", outputs=["note"]), scale("age", "note")], INPUTS)
    assert {name: steps.index(step) for name, step in first_readers(steps).items()} == {"age": 0, "city": 1}


def test_the_columns_around_a_chain_are_those_that_it_reads_and_makes():
    before, after = columns_around([scale("age"), operation("tfidf", columns=["city"])], INPUTS)
    assert list(before) == ["age", "city"]
    assert list(after) == ["age", "city_vocab_index", "city_tfidf_weight"]
    assert columns_around([], INPUTS) == ({}, {})

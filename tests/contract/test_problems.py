# Licensed under the Apache License, Version 2.0; see LICENSE.
from __future__ import annotations

import difflib
import itertools

import pytest

from expansion.contract._gen.run_inference_pb2 import RunInferenceConfig
from expansion.contract.config import parse
from expansion.contract.problems import MAX_PROBLEMS, did_you_mean, first, repeated
from expansion.errors import ConfigError, Problem
from expansion.hooks.demands import Demands


def endless():
    return (Problem(str(number), "wrong") for number in itertools.count())


def test_of_endless_problems_only_the_first_ones_are_looked_for():
    found = list(first(endless()))
    assert [problem.path for problem in found[:-1]] == [str(number) for number in range(MAX_PROBLEMS)]
    assert "more problems" in found[-1].message


def test_as_many_problems_as_are_shown_are_all_there_are():
    assert len(list(first(itertools.islice(endless(), MAX_PROBLEMS)))) == MAX_PROBLEMS


def test_a_mapping_of_ten_thousand_unknown_fields_has_a_hundred_problems():
    problems = parse(RunInferenceConfig, {f"field{number}": 1 for number in range(10_000)}).problems
    assert len(problems) == MAX_PROBLEMS + 1


def test_the_path_of_an_unknown_field_is_not_as_long_as_its_name():
    [problem] = parse(RunInferenceConfig, {"x" * 1_000_000: 1}).problems
    assert len(str(problem)) < 1000


def test_a_hook_gives_up_on_its_columns_after_a_hundred_problems():
    with pytest.raises(ConfigError) as refusal:
        Demands({}).columns("columns", [f"c{number}" for number in range(10_000)])
    assert len(refusal.value.problems) == MAX_PROBLEMS + 1


@pytest.mark.parametrize(("name", "size"), [("column_x", 20_000), ("x" * 100_000, 20), ("column_" * 10, 20_000)])
def test_few_texts_are_compared_however_many_there_are_and_however_long_they_are(name, size, monkeypatch):
    compared = []

    def note(name, choices, n):
        compared.extend(choices)
        return []

    monkeypatch.setattr(difflib, "get_close_matches", note)
    assert "expected one of" in did_you_mean(name, [f"column_{number}" for number in range(size)])
    assert len(compared) <= 100


def test_of_many_names_one_that_begins_alike_is_still_suggested():
    known = [f"column_{number}" for number in range(5000)]
    assert did_you_mean("pixls", [*known, "pixels"]) == "did you mean 'pixels'?"


def test_what_is_there_twice_is_found_where_it_is_for_the_second_time_and_later():
    assert repeated(["a", "b", "a", "c", "a", "b"]) == {2, 4, 5}

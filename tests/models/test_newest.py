# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The model at the newest of several uris: which is used, and what becomes of one that can't be."""

import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from expansion.errors import ModelUnavailable, SystemicError
from expansion.models.newest import NewestModel


class Loads:
    """Loads models, which are their own uris; notes which, and what is counted."""

    def __init__(self):
        self.uris, self.events, self.broken, self.now = [], Counter(), {}, 0.0
        self.newest = NewestModel(self, 60.0, self.count, clock=lambda: self.now)

    def __call__(self, uri):
        self.uris.append(uri)
        if uri in self.broken:
            raise self.broken[uri]
        return f"model at {uri}"

    def count(self, event):
        self.events[event] += 1

    def get(self, *uris):
        found = self.newest.get(uris)
        assert found.model == f"model at {found.uri}"
        return found.uri


@pytest.fixture
def loads():
    return Loads()


def test_the_newest_is_used_and_loaded_once(loads):
    assert [loads.get("b", "a"), loads.get("b", "a")] == ["b", "b"]
    assert loads.uris == ["b"]
    assert loads.events == {}  # it replaces nothing


def test_each_model_that_replaces_another_is_counted(loads):
    assert [loads.get(*uris) for uris in ("a", "ba", "cba")] == ["a", "b", "c"]
    assert loads.uris == ["a", "b", "c"]
    assert loads.events == {"refreshes": 2}


def test_a_thread_that_has_not_heard_of_the_newest_uses_the_one_before_it_without_loading_it_again(loads):
    assert [loads.get(*uris) for uris in ("a", "ba", "a", "ba", "a")] == ["a", "b", "a", "b", "a"]
    assert loads.uris == ["a", "b"]


def test_two_models_are_in_memory_at_most(loads):
    for uris in ("a", "ba", "cba", "a"):
        loads.get(*uris)
    assert loads.uris == ["a", "b", "c", "a"]


def test_one_that_does_not_load_is_logged_and_counted_once_and_the_one_before_it_stays(loads, caplog):
    loads.broken = {"c": SystemicError("half of it is missing"), "b": OSError("gone")}
    assert [loads.get(*uris) for uris in ("a", "ba", "cba", "cba")] == ["a"] * 4
    assert loads.uris == ["a", "b", "c"]
    assert loads.events == {"failures": 2}
    assert [record.getMessage() for record in caplog.records] == [
        "model b is not used, the one before it is: OSError: gone",
        "model c is not used, the one before it is: half of it is missing",
    ]


def test_the_one_before_it_is_used_by_a_worker_that_starts_when_the_newest_is_broken(loads):
    loads.broken = {"c": SystemicError("broken")}
    assert loads.get("c", "b", "a") == "b"
    assert loads.uris == ["c", "b"]


def test_one_that_does_not_load_is_tried_again_after_a_while(loads, caplog):
    caplog.set_level(logging.INFO)
    loads.broken = {"b": SystemicError("the network is away")}
    loads.get("b", "a")
    loads.now = 59.0
    assert loads.get("b", "a") == "a"
    loads.now, loads.broken = 60.0, {}
    assert loads.get("b", "a") == "b"
    assert loads.uris == ["b", "a", "b"]
    assert loads.events == {"failures": 1, "refreshes": 1}
    assert caplog.messages[-1] == "model b is taken into use"


def test_where_none_loads_it_is_said_why_the_newest_does_not_and_each_is_tried_each_time(loads):
    loads.broken = {"b": SystemicError("no model"), "a": SystemicError("no model either")}
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match=r"^no model$"):
            loads.get("b", "a")
    assert loads.uris == ["b", "a"] * 2
    assert loads.events == {"failures": 2}
    loads.broken = {}
    assert loads.get("b", "a") == "b"


def test_one_that_turns_out_not_to_be_usable_is_as_one_that_does_not_load(loads, caplog):
    assert [loads.get("a"), loads.get("b", "a")] == ["a", "b"]
    loads.newest.exclude("b", "it returns texts")
    assert loads.get("b", "a") == "a"
    assert loads.events == {"refreshes": 1, "failures": 1}
    assert caplog.messages == ["model b is not used, the one before it is: it returns texts"]


def test_a_worker_that_lacks_a_package_says_so(loads):
    missing = SystemicError("onnxruntime is not installed")
    missing.__cause__ = ImportError()
    loads.broken = {"b": missing}
    with pytest.raises(SystemicError, match="not installed") as raised:
        loads.get("b", "a")
    assert raised.type is SystemicError
    assert loads.uris == ["b"]


def test_threads_that_meet_a_broken_one_at_a_time_count_it_once(loads):
    loads.broken = {"b": SystemicError("broken")}
    begun = threading.Barrier(8)

    def get(_):
        begun.wait()
        return loads.get("b", "a")

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(get, range(8))) == ["a"] * 8
    assert loads.events == {"failures": 1}


def test_what_is_remembered_of_broken_ones_is_bounded(loads):
    loads.get("good")
    for number in range(2000):
        loads.broken = {str(number): SystemicError("broken")}
        assert loads.get(str(number), "good") == "good"
    assert len(loads.newest._refused) == 1000
    assert loads.events == {"failures": 2000}

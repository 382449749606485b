# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Several models in one process: which are in memory, who loads them, and what becomes of broken ones."""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from expansion.errors import ModelUnavailable, SystemicError
from expansion.models.pool import ModelPool


class Loads:
    """Loads models, which are their own names; notes which, and what the pool counts."""

    def __init__(self):
        self.routes, self.events, self.broken, self.now = [], Counter(), {}, 0.0

    def __call__(self, route):
        self.routes.append(route)
        if route in self.broken:
            raise self.broken[route]
        return f"model of {route}"

    def pool(self, size=8, retry_secs=60.0):
        def count(event):
            self.events[event] += 1

        return ModelPool(self, size, retry_secs, count, clock=lambda: self.now)


@pytest.fixture
def loads():
    return Loads()


def test_a_model_is_loaded_once_while_there_is_room(loads):
    pool = loads.pool()
    assert [pool.get(route) for route in "abab"] == ["model of a", "model of b"] * 2
    assert loads.routes == ["a", "b"]
    assert loads.events == {"loads": 2}


def test_the_model_that_was_not_used_for_longest_goes_first(loads):
    pool = loads.pool(size=2)
    for route in "abacab":
        pool.get(route)
    assert loads.routes == ["a", "b", "c", "b"]
    assert loads.events == {"loads": 4, "evictions": 2}


def test_threads_that_ask_for_one_model_at_a_time_load_it_once(loads):
    begun = threading.Barrier(8)
    pool = ModelPool(lambda route: (time.sleep(0.05), loads(route))[1], 8)

    def get(_):
        begun.wait()
        return pool.get("a")

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(get, range(8))) == {"model of a"}
    assert loads.routes == ["a"]


def test_a_model_that_is_being_loaded_keeps_nobody_from_another(loads):
    may_end = threading.Event()
    pool = ModelPool(lambda route: (route == "slow" and may_end.wait(10), loads(route))[1], 8)
    slow = threading.Thread(target=pool.get, args=["slow"])
    slow.start()
    assert pool.get("fast") == "model of fast"
    assert loads.routes == ["fast"]
    may_end.set()
    slow.join()


def test_models_that_are_being_loaded_are_not_let_go_and_those_that_are_too_many_go_later(loads):
    may_end, begun = threading.Event(), threading.Semaphore(0)

    def load(route):
        begun.release()
        may_end.wait(10)
        return loads(route)

    pool = ModelPool(load, 1)
    with ThreadPoolExecutor(3) as threads:
        got = [threads.submit(pool.get, route) for route in "abc"]
        for _ in got:
            begun.acquire()
        may_end.set()
        assert [each.result() for each in got] == ["model of a", "model of b", "model of c"]
    assert len(pool._models) == 3
    pool.get("d")
    assert list(pool._models) == ["d"]


def test_a_model_that_does_not_load_is_not_tried_again_for_a_while(loads):
    loads.broken["a"] = SystemicError("half a file")
    pool = loads.pool(retry_secs=60)
    for loads.now in (0.0, 59.0):
        with pytest.raises(ModelUnavailable, match="half a file"):
            pool.get("a")
    assert pool.get("b") == "model of b"
    assert loads.routes == ["a", "b"]
    assert loads.events == {"unavailable": 1, "loads": 1}
    loads.now = 61.0
    loads.broken.clear()
    assert pool.get("a") == "model of a"


def test_without_a_while_a_model_that_does_not_load_is_tried_each_time(loads):
    loads.broken["a"] = ValueError("half a file")
    pool = loads.pool(retry_secs=0)
    for _ in range(2):
        with pytest.raises(ModelUnavailable, match="ValueError: half a file"):
            pool.get("a")
    assert loads.routes == ["a", "a"]


def test_all_threads_that_wait_for_a_model_learn_that_it_does_not_load(loads):
    begun = threading.Barrier(4)
    loads.broken["a"] = SystemicError("half a file")
    pool = ModelPool(lambda route: (time.sleep(0.05), loads(route))[1], 8, 60)

    def get(_):
        begun.wait()
        with pytest.raises(ModelUnavailable, match="half a file"):
            pool.get("a")

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(get, range(4)))
    assert loads.routes == ["a"]


def test_a_package_that_the_worker_lacks_is_no_fault_of_a_model(loads):
    missing = SystemicError("onnxruntime is missing")
    missing.__cause__ = ImportError("No module named 'onnxruntime'")
    loads.broken["a"] = missing
    pool = loads.pool()
    for _ in range(2):
        with pytest.raises(SystemicError, match="onnxruntime is missing") as raised:
            pool.get("a")
        assert not isinstance(raised.value, ModelUnavailable)
    assert loads.events == {}


def test_a_model_can_turn_out_to_be_unusable_after_it_has_loaded(loads):
    pool = loads.pool()
    pool.get("a")
    pool.exclude("a", "returns something else")
    with pytest.raises(ModelUnavailable, match="returns something else"):
        pool.get("a")
    assert loads.routes == ["a"]


def test_only_so_many_broken_models_are_remembered(loads, monkeypatch):
    monkeypatch.setattr("expansion.models.pool._MAX_REMEMBERED", 3)
    loads.broken = {route: SystemicError("half a file") for route in "abcd"}
    pool = loads.pool()
    for route in "abcdda":
        with pytest.raises(ModelUnavailable):
            pool.get(route)
    assert loads.routes == ["a", "b", "c", "d", "a"]

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Calls are waited for no longer than they may take."""

import gc
import os
import pickle
import subprocess
import sys
import threading

import pytest

from expansion.models.time_limit import OutOfTime, TimeLimit


@pytest.fixture
def limit():
    return TimeLimit(0.2)


def test_a_call_in_time_returns_or_raises_what_it_does(limit):
    def fail(error):
        raise error

    assert [limit.run(lambda: 7), limit.run(lambda: None)] == [7, None]
    for error in (ValueError("theirs"), TimeoutError("theirs"), KeyboardInterrupt("theirs")):
        with pytest.raises(type(error), match="theirs"):
            limit.run(lambda error=error: fail(error))


def test_calls_in_time_are_made_by_one_thread(limit):
    assert len({limit.run(threading.get_ident) for _ in range(50)}) == 1


def test_a_call_out_of_time_is_given_up_and_the_next_one_gets_another_thread(limit):
    first, end = limit.run(threading.get_ident), threading.Event()
    with pytest.raises(OutOfTime):
        limit.run(end.wait)
    assert limit.run(threading.get_ident) != first
    end.set()


def test_threads_end_with_the_limit_and_with_the_call_that_was_given_up():
    limit = TimeLimit(0.2)
    before, end = set(threading.enumerate()), threading.Event()
    with pytest.raises(OutOfTime):
        limit.run(end.wait)
    limit.run(lambda: None)
    made = [thread for thread in threading.enumerate() if thread not in before]
    assert len(made) == 2
    end.set()
    del limit
    gc.collect()  # the exception that was raised has seen it
    for thread in made:
        thread.join(5)
    assert not any(thread.is_alive() for thread in made)


def test_a_limit_that_has_made_no_call_can_be_pickled(limit):
    assert pickle.loads(pickle.dumps(limit)).run(lambda: 7) == 7


def test_a_call_that_never_ends_does_not_keep_the_process_from_ending():
    code = """
import time
from expansion.models.time_limit import OutOfTime, TimeLimit
try:
    TimeLimit(0.1).run(lambda: time.sleep(1000))
except OutOfTime:
    print("given up")
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, env=environment)
    assert (done.stdout, done.returncode) == ("given up\n", 0)

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Attempts, waits, rate and parts of a batch, against a clock that does not tick by itself."""

import threading
import time

import pytest

from expansion.contract._gen.model_pb2 import RemoteCalls as Settings
from expansion.errors import RemoteError, SystemicError
from expansion.models.remote_calls import Clock, RateLimit, RemoteCalls, TooLarge, Unavailable, check_calls


class FakeClock:
    """Time passes when somebody sleeps; lots are what they are told to be, from 0 to 1."""

    def __init__(self, lot=0.5):
        self.time, self.lot, self.slept = 0.0, lot, []

    def clock(self):
        return Clock(lambda: self.time, self.sleep, lambda low, high: low + self.lot * (high - low))

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.time += seconds


class Server:
    """Fails as often as it is told, with what it is told, and then answers."""

    def __init__(self, *failures):
        self.failures, self.attempts = list(failures), 0

    def __call__(self, number):
        self.attempts += 1
        assert number == self.attempts
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


def calls(fake, **settings):
    return RemoteCalls(Settings(**settings), "server", fake.clock())


def test_what_may_pass_is_tried_again_after_waits_that_grow():
    fake, server = FakeClock(), Server(Unavailable("away"), Unavailable("away"))
    assert calls(fake).request(server) == "answer"
    assert server.attempts == 3
    assert fake.slept == [5, 15]


@pytest.mark.parametrize("lot", [0.0, 1.0])
def test_the_default_outlives_a_server_that_is_away_for_ten_seconds(lot):
    fake = FakeClock(lot)

    def server(number):
        if fake.time < 10:
            raise Unavailable("away")
        return "answer"

    assert calls(fake).request(server) == "answer"


def test_a_dead_server_is_tried_three_times_and_no_more():
    fake, server = FakeClock(), Server(*[Unavailable("away")] * 9)
    with pytest.raises(
        SystemicError, match=r"server failed 3 time\(s\), the last time with: away; .* calls.max_attempts"
    ):
        calls(fake).request(server)
    assert server.attempts == 3
    assert len(fake.slept) == 2  # and nobody waits after the last


def test_settings_decide_on_attempts_and_waits():
    fake, server = FakeClock(), Server(*[Unavailable("away")] * 5)
    assert calls(fake, max_attempts=6, backoff_secs=1).request(server) == "answer"
    assert fake.slept == [1, 3, 9, 27, 60]  # never longer than a minute


def test_waits_differ_by_a_fifth_so_that_workers_do_not_come_back_together():
    waits = []
    for lot in (0.0, 1.0):
        fake = FakeClock(lot)
        calls(fake).request(Server(Unavailable("away")))
        waits += fake.slept
    assert waits == [4, 6]


@pytest.mark.parametrize(("asked", "waited"), [(0.5, 0.5), (40, 40), (3600, 120)])
def test_a_server_that_says_when_to_come_back_is_obeyed_up_to_two_minutes(asked, waited):
    fake = FakeClock(lot=0.0)
    calls(fake).request(Server(Unavailable("busy", asked)))
    assert fake.slept == [waited]


@pytest.mark.parametrize("error", [ValueError("row"), RemoteError("broken"), SystemicError("forbidden")])
def test_no_other_failure_is_tried_again(error):
    fake, server = FakeClock(), Server(error)
    with pytest.raises(type(error)):
        calls(fake).request(server)
    assert server.attempts == 1
    assert fake.slept == []


def test_a_batch_is_one_request_unless_the_settings_say_otherwise():
    assert calls(FakeClock()).in_parts(1000, lambda *part: part) == [(0, 1000)]
    assert calls(FakeClock(), max_rows_per_request=4).in_parts(10, lambda *part: part) == [(0, 4), (4, 8), (8, 10)]


def test_the_server_may_lower_the_limit_and_not_raise_it():
    limited = calls(FakeClock(), max_rows_per_request=4)
    for limit in (8, 3):
        limited.limit_rows(limit)
    assert limited.in_parts(6, lambda *part: part) == [(0, 3), (3, 6)]


def test_too_large_a_request_is_halved_and_its_size_not_tried_again():
    sent = []

    def send(start, stop):
        sent.append((start, stop))
        if stop - start > 3:
            raise TooLarge("too many bytes")
        return list(range(start, stop))

    remote = calls(FakeClock())
    assert [row for part in remote.in_parts(10, send) for row in part] == list(range(10))
    assert sent == [(0, 10), (0, 5), (0, 2), (2, 4), (4, 6), (6, 8), (8, 10)]
    sent.clear()
    remote.in_parts(4, send)
    assert sent == [(0, 2), (2, 4)]


def test_a_row_that_is_too_large_by_itself_is_a_row_error():
    def send(start, stop):
        raise TooLarge("4194305 bytes")

    with pytest.raises(ValueError, match="the row is too large for server: 4194305 bytes"):
        calls(FakeClock()).in_parts(8, send)


def test_a_row_that_is_too_large_by_itself_does_not_make_later_requests_small():
    sent = []

    def send(start, stop):
        sent.append((start, stop))
        if start <= 5 < stop:
            raise TooLarge("4194305 bytes")

    remote = calls(FakeClock())
    with pytest.raises(ValueError, match="too large"):
        remote.in_parts(8, send)
    remote.in_parts(5, send)
    assert sent[-1] == (0, 5)


def test_requests_start_at_even_distances_and_attempts_count_as_requests():
    fake = FakeClock()
    remote, started = calls(fake, max_requests_per_second=4, backoff_secs=0.1), []

    def server(number):
        started.append(fake.time)
        if len(started) == 3:
            raise Unavailable("away")

    for _ in range(4):
        remote.request(server)
    assert started == [0, 0.25, 0.5, 0.75, 1.0]
    fake.time = 100  # a pause saves nothing up
    remote.request(server)
    remote.request(server)
    assert started[-2:] == [100, 100.25]


def test_threads_share_one_rate():
    limit, started = RateLimit(100, Clock()), []

    def work():
        for _ in range(5):
            limit.wait()
            started.append(time.monotonic())

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(started) - min(started) >= 0.19 - 0.005  # 20 requests, 10 ms apart


def test_settings_that_make_no_sense_are_problems():
    wrong = Settings(timeout_secs=-1, max_attempts=-3, backoff_secs=float("inf"), max_requests_per_second=float("nan"))
    assert [problem.path for problem in check_calls(wrong)] == [
        "timeout_secs",
        "max_attempts",
        "backoff_secs",
        "max_requests_per_second",
    ]
    assert list(check_calls(Settings(max_rows_per_request=3))) == []

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Threads that expand: so many calls at a time, so many that wait, and none for longer than the deadline."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as DeadlineExceeded
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import grpc

from expansion.contract._gen.server_pb2 import Limits

_LOG = logging.getLogger(__name__)
# Threads beyond the workers that may be stuck, for each worker: no thread of Python can be ended from outside.
_MAX_STUCK_PER_WORKER = 4
# An expansion is all Python, of which one thread runs at a time, and takes a few hundredths of a second. Those that run
# at once only take turns, on one processor after another, which makes each slower. One that takes longer than this most
# likely waits for a file, or has a large configuration.
_ALONE_SECS = 0.05

Handler: TypeAlias = Callable[[Any, grpc.ServicerContext], Any]


@dataclass(eq=False)  # equal requests are not one call
class _Call:
    """A call that waits for a worker, or has one.

    Attributes:
        handler: Answers it.
        request: Its message.
        context: Its own.
        variables: Context variables of the thread that gRPC has given it: what is known of the call is among them.
        answer: What the handler has returned or raised.
        has_lost_its_worker: Whether nobody waits for the answer any more and another thread took the worker's place.
    """

    handler: Handler
    request: Any
    context: grpc.ServicerContext
    variables: Context = field(default_factory=copy_context)
    answer: Future[Any] = field(default_factory=Future)
    has_lost_its_worker: bool = False

    def drop(self) -> None:
        """Ends the wait for a worker, as the client has gone; a call that has one keeps it."""
        self.answer.cancel()


class Workers:
    """Threads of their own for calls, as gRPC's wait for messages of clients, which may never come.

    A call that takes longer than the deadline has its thread replaced: it may hang in a filesystem or in a store of
    objects that does not answer. Such threads end when what they wait for does; past four for each worker they are not
    replaced.

    A call begins once the one that has begun last has ended, or has taken 50 ms: one thread answers short calls, one
    after another, while a second watches it, and takes the next call where one takes long.

    Args:
        limits: With every default filled in.
    """

    def __init__(self, limits: Limits):
        self._limits = limits
        self._calls: deque[_Call] = deque()
        self._lock = threading.Lock()
        self._has_changed = threading.Condition(self._lock)
        self._is_closed = False
        self._newest: threading.Thread | None = None  # what has the call that has begun last, until it has ended
        self._newest_since = 0.0
        self._is_watched = False  # whether an idle thread waits until that call has taken long
        self._threads = 0
        self._stuck = 0
        self._admitted = 0

    @property
    def admitted(self) -> int:
        """Calls that have a worker or wait for one."""
        return self._admitted

    @property
    def waiting(self) -> int:
        """Calls that wait for a worker."""
        return len(self._calls)

    @property
    def running(self) -> int:
        """Calls that have a worker."""
        return max(self.admitted - self.waiting, 0)

    @property
    def stuck(self) -> int:
        """Threads that are busy with calls that nobody waits for any more."""
        return self._stuck

    def run(self, handler: Handler, request: Any, context: grpc.ServicerContext) -> Any:
        """Answers a call.

        Returns:
            What the handler returns. The call is aborted with RESOURCE_EXHAUSTED where too many wait already, and with
            DEADLINE_EXCEEDED where it takes too long, waiting included.
        """
        if not self._admit():
            most = f"{self._limits.workers} calls at a time, and {self._limits.max_waiting_calls} that wait"
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"busy: the service takes {most}; try again later")
        call = _Call(handler, request, context)
        try:
            return self._answer(call)
        finally:
            with self._lock:
                self._admitted -= 1
                if call in self._calls:  # its client has gone, or it has waited for too long: its request is let go
                    self._calls.remove(call)

    def close(self) -> None:
        """Lets the threads end once they have no more calls; those that hang go on until what they wait for ends."""
        with self._lock:
            self._is_closed = True
            self._has_changed.notify_all()

    def _admit(self) -> bool:
        with self._lock:
            if self._admitted >= self._limits.workers + self._limits.max_waiting_calls:
                return False
            self._admitted += 1
            if self._threads < min(self._limits.workers, self._admitted):
                self._start_thread()
            return True

    def _answer(self, call: _Call) -> Any:
        context, deadline_secs = call.context, self._limits.deadline_secs
        context.add_callback(call.drop)
        with self._lock:
            self._calls.append(call)
            self._wake_one()
        try:
            return call.answer.result(deadline_secs)
        except CancelledError:
            context.abort(grpc.StatusCode.CANCELLED, "the client has gone")
        except DeadlineExceeded:
            if not call.answer.done():
                if not call.answer.cancel():
                    self._give_up(call)
                reason = f"the expansion took longer than {deadline_secs:g} seconds, waiting included"
                context.abort(
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                    f"{reason}; try again, or ask the operator, who sets limits.deadline_secs",
                )
            raise  # the handler's own

    def _give_up(self, call: _Call) -> None:
        with self._lock:
            if call.answer.done():
                return
            call.has_lost_its_worker = self._stuck < _MAX_STUCK_PER_WORKER * self._limits.workers
            if call.has_lost_its_worker:
                self._stuck += 1
                self._threads -= 1
                self._start_thread()
        _LOG.warning("an expansion did not end within %g s; stuck threads: %d", self._limits.deadline_secs, self._stuck)

    def _start_thread(self) -> None:
        self._threads += 1
        # Daemons: one that hangs must not keep the process from ending.
        threading.Thread(target=self._work, name="expansion", daemon=True).start()

    def _work(self) -> None:
        while True:
            call = self._next()
            if call is None:
                return
            if not call.answer.set_running_or_notify_cancel():
                continue
            try:
                answer, error = call.variables.run(call.handler, call.request, call.context), None
            except BaseException as raised:  # abort, too, is an exception; it is raised where gRPC waits for it
                answer, error = None, raised
            with self._lock:
                if error is None:
                    call.answer.set_result(answer)
                else:
                    call.answer.set_exception(error)
                if call.has_lost_its_worker:
                    self._stuck -= 1
                    return
            del call, answer, error  # which may be large, and the next call may be far

    def _next(self) -> _Call | None:
        """Returns the call that has waited longest, once it may begin; None when there will be no more."""
        me = threading.current_thread()
        with self._has_changed:
            if self._newest is me:
                self._newest = None
            while not self._calls or self._alone_secs() > 0:
                if self._is_closed and not self._calls:
                    return None
                self._wait()
            call = self._calls.popleft()
            self._newest, self._newest_since = me, time.monotonic()
            if self._calls:
                self._wake_one()
            elif self._is_closed:
                self._has_changed.notify_all()
            return call

    def _alone_secs(self) -> float:
        """Returns for how long no call may begin yet."""
        return self._newest_since + _ALONE_SECS - time.monotonic() if self._newest else 0

    def _wake_one(self) -> None:
        """Has an idle thread take the next call, or watch the thread that will take it unless its own takes long."""
        if not (self._newest and self._is_watched):
            self._has_changed.notify()

    def _wait(self) -> None:
        """Waits for a call, or, where calls wait and no other thread does so, until the newest has taken long."""
        if self._is_watched or not self._calls:
            self._has_changed.wait()
            return
        self._is_watched = True
        self._has_changed.wait(self._alone_secs())
        self._is_watched = False


class WorkersInterceptor(grpc.ServerInterceptor):  # type: ignore[type-arg]
    """Has workers answer the calls of one service.

    Args:
        service: Its full name.
        workers: What answers them.
    """

    def __init__(self, service: str, workers: Workers):
        self._prefix = f"/{service}/"
        self._workers = workers

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Any, Any] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Returns the method's handler, or one that passes the call to the workers."""
        handler = continuation(handler_call_details)
        answer = handler.unary_unary if handler else None
        if handler is None or answer is None or not handler_call_details.method.startswith(self._prefix):
            return handler
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._workers.run(answer, request, context),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

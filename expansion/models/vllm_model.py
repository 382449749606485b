# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Prompts on their way to vLLM's server, one a request, and what becomes of those that it does not take.

Beam's handler sends a batch with asyncio.gather, and loses all of it to the first prompt that is refused
(apache_beam/ml/inference/vllm_inference.py:465).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence

from expansion.contract._gen import model_pb2
from expansion.contract.fields import Field
from expansion.errors import BadRows, RemoteError, SystemicError, first_line
from expansion.models.parallel import in_parallel
from expansion.models.remote_calls import RemoteCalls, Unavailable
from expansion.models.signature import Signature
from expansion.models.vllm_http import post
from expansion.models.vllm_requests import TASKS, Completion, completion, request
from expansion.models.vllm_server import SharedServer
from expansion.tensors.arrays import joined
from expansion.tensors.columns import Blobs, Column, Columns
from expansion.tensors.results import declared_column

_Ask = Callable[[Sequence[str]], list[Completion | Exception]]

_DEFAULT_CONCURRENT = 64
# Seconds before a server that fails, and is well, gets a request again.
_FAILED_SECS = 1.0


class LanguageModel:
    """A model that a server of vLLM runs. Used by several threads at once.

    Args:
        config: The model's message.
        signature: Its inputs and outputs.
        server: The server.
        calls: How to call it.
    """

    def __init__(self, config: model_pb2.VllmModel, signature: Signature, server: SharedServer, calls: RemoteCalls):
        self._config = config
        self._signature = signature
        self._server = server
        self._calls = calls
        self._max_concurrent = config.max_concurrent_requests or _DEFAULT_CONCURRENT
        self._turns = threading.BoundedSemaphore(self._max_concurrent)
        self._answered = _Answered()

    def probe(self) -> None:
        """Sends a prompt, to see whether the server takes requests as they are configured.

        Raises:
            SystemicError: It does not, and so would take no row.
        """
        try:
            self._complete("Hello")
        except (ValueError, RemoteError) as error:
            raise SystemicError(
                f"vLLM takes no prompt for {self._config.uri!r} as it is configured: {error}"
            ) from error

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Has the server complete each prompt of a batch.

        Raises:
            BadRows: Prompts that the server does not take.
            RemoteError: The server fails at some prompt.
            SystemicError: The server can't be reached, does not start again, or refuses.
        """
        column = joined(inputs["prompt"], Field("prompt", "STRING"))
        assert isinstance(column, Blobs)  # noqa: S101 - what STRING is in
        completions = self._answered.complete(column.to_list(), self._ask)
        return {name: self._column(name, completions) for name in outputs}

    def _column(self, name: str, completions: Sequence[Completion]) -> Column:
        return declared_column(
            self._signature.outputs[name], [getattr(each, name) for each in completions], len(completions)
        )

    def _ask(self, prompts: Sequence[str]) -> list[Completion | Exception]:
        return in_parallel(self._outcome, prompts, self._max_concurrent)

    def _outcome(self, prompt: str) -> Completion | Exception:
        try:
            with self._turns:
                return self._complete(prompt)
        except (ValueError, RemoteError) as error:  # of this prompt, and no reason to give up the others
            return error

    def _complete(self, prompt: str) -> Completion:
        body = request(self._config, prompt)

        def attempt(number: int) -> Completion:
            path = self._server.path if number == 1 else self._server.ready()
            try:
                response = post(path, TASKS[self._config.task], body, self._calls.timeout_secs)
            except RemoteError as error:
                if number == self._calls.max_attempts:
                    raise
                raise Unavailable(str(error), _FAILED_SECS) from error
            return completion(response, self._config.task)

        return self._calls.request(attempt)


class _Answered:
    """Completions of prompts that were in one batch with a bad one.

    Isolation asks for them again without it, on the same thread, and they are not made twice: they are what costs.
    """

    def __init__(self) -> None:
        self._of_thread = threading.local()

    def complete(self, prompts: Sequence[str], ask: _Ask) -> list[Completion]:
        """Completes prompts, asking for those whose completion is not there yet.

        Raises:
            BadRows: Some are refused.
            RemoteError: The server failed at one.
        """
        kept: dict[str, list[Completion]] = vars(self._of_thread).setdefault("kept", {})
        outcomes: dict[int, Completion | Exception] = {
            row: kept[prompt].pop() for row, prompt in enumerate(prompts) if kept.get(prompt)
        }
        missing = [row for row in range(len(prompts)) if row not in outcomes]
        outcomes.update(zip(missing, ask([prompts[row] for row in missing]), strict=True))
        good = {row: outcome for row, outcome in outcomes.items() if isinstance(outcome, Completion)}
        if len(good) == len(prompts):
            if len(missing) == len(prompts):  # another batch
                kept.clear()
            return [good[row] for row in range(len(prompts))]
        for row, outcome in good.items():
            kept.setdefault(prompts[row], []).append(outcome)
        errors = {row: outcome for row, outcome in sorted(outcomes.items()) if isinstance(outcome, Exception)}
        bad = {row: first_line(error) for row, error in errors.items() if isinstance(error, ValueError)}
        raise BadRows(bad) if bad else next(iter(errors.values()))

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Requests to vLLM's server, and what its responses say: https://platform.openai.com/docs/api-reference and more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from expansion.contract._gen import model_pb2
from expansion.contract.problems import did_you_mean, shown
from expansion.errors import Problem, SystemicError
from expansion.imports import check_arguments
from expansion.models.remote_calls import Unavailable

DEFAULT_MAX_TOKENS = 256
TASKS = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}

# vLLM ignores parameters that it does not know, and some of those that it knows would change what a response is.
PARAMETERS = frozenset(
    (
        *("seed", "top_k", "min_p", "min_tokens", "frequency_penalty", "presence_penalty", "repetition_penalty"),
        *("repetition_detection", "logit_bias", "bad_words", "allowed_token_ids", "stop_token_ids", "ignore_eos"),
        *("include_stop_str_in_output", "skip_special_tokens", "truncate_prompt_tokens", "truncation_side"),
        *("response_format", "structured_outputs", "thinking_token_budget"),
    )
)
CHAT_PARAMETERS = frozenset(("chat_template_kwargs", "reasoning_effort"))


@dataclass(frozen=True)
class Completion:
    """What a server made of a prompt.

    Attributes:
        text: The answer, or what follows; empty where a model has thought until the end.
        finish_reason: "stop", "length", or another of vLLM's.
        prompt_tokens: Tokens of the prompt.
        completion_tokens: Tokens of the text, and of what the model thought.
    """

    text: str
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


def check_parameters(parameters: Mapping[str, str], task: str) -> Iterator[Problem]:
    """Yields what is wrong with further parameters; paths begin with "parameters"."""
    known = PARAMETERS | (CHAT_PARAMETERS if task == "chat" else frozenset())
    for name in sorted(parameters):
        if name in CHAT_PARAMETERS - known:
            yield Problem(f"parameters.{name}", f"only task chat has it, and task is {task!r}; leave it out")
        elif name not in known:
            yield Problem(f"parameters.{name}", f"unknown parameter; {did_you_mean(name, known)}")
    yield from check_arguments("parameters", parameters)


def request(config: model_pb2.VllmModel, prompt: str) -> dict[str, Any]:
    """Returns the request for one prompt."""
    settings: dict[str, Any] = {name: json.loads(value) for name, value in config.parameters.items()}
    settings.update((name, getattr(config, name)) for name in ("temperature", "top_p") if config.HasField(name))
    if config.stop:
        settings["stop"] = list(config.stop)
    max_tokens = config.max_tokens or DEFAULT_MAX_TOKENS
    if config.task == "completions":
        return {"prompt": prompt, "max_tokens": max_tokens, **settings}
    messages = [{"role": "user", "content": prompt}]
    if config.system:
        messages.insert(0, {"role": "system", "content": config.system})
    return {"messages": messages, "max_completion_tokens": max_tokens, **settings}


def completion(response: Any, task: str) -> Completion:
    """Reads a response.

    Args:
        response: Its JSON.
        task: As in VllmModel.

    Raises:
        Unavailable: The server gave up in the middle of the text, as one does that is told to end.
        SystemicError: It is no response.
    """
    try:
        (choice,) = response["choices"]
        text = choice["text"] if task == "completions" else choice["message"]["content"]
        usage = response["usage"]
        found = Completion(
            text or "", choice["finish_reason"] or "", int(usage["prompt_tokens"]), int(usage["completion_tokens"])
        )
    except (LookupError, TypeError, ValueError) as error:
        raise SystemicError(f"vLLM's response can't be read: {shown(response)}") from error
    if found.finish_reason == "abort":
        raise Unavailable("the server gave up in the middle of a text")
    return found

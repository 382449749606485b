# Licensed under the Apache License, Version 2.0; see LICENSE.
"""vllm: large language models, run by vLLM's server on the worker's own machine.

vLLM is not imported by workers: it wants one version of PyTorch exactly, and its engine is a process of its own anyway.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from importlib import metadata

from expansion.contract._gen import model_pb2
from expansion.contract.fields import Field
from expansion.contract.permissions import Permission
from expansion.contract.problems import at, did_you_mean
from expansion.errors import Problem, SystemicError
from expansion.models import hub, vllm_arguments
from expansion.models.remote_calls import RemoteCalls, check_calls
from expansion.models.runtime import GET_A_GPU, Runtime, cuda_gpu_count
from expansion.models.signature import Model, Signature
from expansion.models.vllm_requests import TASKS, check_parameters

_TIMEOUT_SECS = 600.0
_ONE_SERVER = "all worker processes of a machine share one server, which takes what there is"

# Fields of Model that make no sense here, and why.
UNFIT = {
    "large_model": f"{_ONE_SERVER}; leave it out",
    "model_copies": f"{_ONE_SERVER}; leave it out, or set data-parallel-size among server_args",
    "threads": "vLLM chooses its threads itself; leave it out",
    "warm_up_rows": "a server is warm before it takes prompts; leave it out",
    "refresh_interval_secs": "a GPU has no room for a second server beside the one in use; leave it out",
}


def check(config: model_pb2.VllmModel) -> Iterator[Problem]:
    """Yields what is wrong with the message by itself."""
    yield from hub.check_uri(config.uri)
    if config.task not in TASKS:
        got = f"unknown task {config.task!r}" if config.task else "missing"
        yield Problem("task", f"{got}; {did_you_mean(config.task, TASKS)}")
    elif config.system and config.task != "chat":
        yield Problem("system", f"only task chat has it, and task is {config.task!r}; leave it out")
    yield from _check_numbers(config)
    if "" in config.stop:
        yield Problem("stop", "got an empty text, which is everywhere; leave it out")
    yield from check_parameters(config.parameters, config.task)
    yield from at("server_args", vllm_arguments.check_arguments(config.server_args))
    yield from at("calls", check_calls(config.calls))
    if config.calls.max_rows_per_request:
        yield Problem("calls.max_rows_per_request", "a row is a request; leave it out, or set max_concurrent_requests")


def _check_numbers(config: model_pb2.VllmModel) -> Iterator[Problem]:
    for name in ("max_tokens", "max_concurrent_requests"):
        value = getattr(config, name)
        if value < 0:
            yield Problem(name, f"got {value}; expected a positive number, or none for the default")
    if not 0 <= config.temperature < math.inf:
        yield Problem("temperature", f"got {config.temperature:g}; expected a number from 0")
    if config.HasField("top_p") and not 0 < config.top_p <= 1:
        yield Problem("top_p", f"got {config.top_p:g}; expected a number above 0 and up to 1")


def permissions(config: model_pb2.VllmModel) -> Iterator[Permission]:
    """Yields arguments of the server that may do more than size it."""
    yield from vllm_arguments.permissions(config.server_args)


def signature(config: model_pb2.VllmModel) -> Signature:
    """Returns what both tasks take and give; no file is read."""
    texts = {name: Field(name, "STRING") for name in ("text", "finish_reason")}
    counts = {name: Field(name, "INT64") for name in ("prompt_tokens", "completion_tokens")}
    return Signature({"prompt": Field("prompt", "STRING")}, {**texts, **counts})


def build(config: model_pb2.VllmModel, runtime: Runtime = Runtime()) -> Model:
    """Starts the server, if none runs on this machine yet, and waits until it takes prompts.

    Raises:
        SystemicError: There is no GPU or no vLLM; the server does not start, or takes no prompt as configured.
    """
    _require_device(runtime)
    try:
        from expansion.models.vllm_model import LanguageModel
        from expansion.models.vllm_server import SharedServer
    except ImportError as error:  # fcntl
        raise SystemicError(f"{error.name} is missing; vLLM needs workers with Linux") from error

    calls = model_pb2.RemoteCalls()
    calls.CopyFrom(config.calls)
    calls.timeout_secs = calls.timeout_secs or _TIMEOUT_SECS
    remote = RemoteCalls(calls, f"vLLM's server of {config.uri}")
    model = LanguageModel(config, signature(config), SharedServer(config, runtime.device), remote)
    model.probe()
    return model


def _require_device(runtime: Runtime) -> None:
    """Makes sure that vLLM is there, and what it computes on.

    Raises:
        SystemicError: It is not.
    """
    try:
        is_for_cpus = "cpu" in metadata.version("vllm")  # as vLLM itself knows it
    except metadata.PackageNotFoundError as error:
        reason = "vllm is missing; install beam-ml-expansion[vllm] on the workers, in an environment of its own"
        raise SystemicError(reason) from error
    device = runtime.pick_device(0 if is_for_cpus else cuda_gpu_count())
    if device == "cpu" and not is_for_cpus:
        if runtime.device == "cpu":
            reason = "device is 'cpu', and this worker's vLLM is for GPUs; leave device out"
        else:
            reason = f"this worker has no NVIDIA GPU with its driver, which its vLLM needs; {GET_A_GPU}"
        raise SystemicError(f"{reason}, or install vLLM's build for CPUs there")

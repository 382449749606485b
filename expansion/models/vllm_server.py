# Licensed under the Apache License, Version 2.0; see LICENSE.
"""vLLM's server on a worker's machine: started once for all worker processes, watched, started again, ended.

It belongs to a process like those of large_model (processes.py), which all workers are connected to and which ends some
time after the last of them; the rows of a batch do not go through it, but to the server's socket. Beam's server belongs
to the worker process that was first, is not ended if that is killed, and is started by a module that vLLM 0.32 calls
deprecated (apache_beam/ml/inference/vllm_inference.py:213 and :304).
"""

from __future__ import annotations

import collections
import contextlib
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from expansion import lifeline
from expansion.contract._gen import model_pb2
from expansion.errors import SystemicError
from expansion.files import local_copy
from expansion.models import hub, processes
from expansion.models.process_copy import stems
from expansion.models.runtime import Runtime
from expansion.models.vllm_arguments import command_line
from expansion.models.vllm_http import is_healthy
from expansion.models.vllm_process import PATIENCE_SECS
from expansion.tensors.columns import Blobs, Column, Columns

SOCKET = "socket"

_LOOK_SECS = 0.5
_REPORT_SECS = 30.0
_LINES = 2000
# What begins a line of vLLM's log: "(EngineCore pid=7) ERROR 11-24 18:20:38 [core.py:1510] ".
_LOG_PREFIX = re.compile(r"^(\(.{1,60}? pid=\d+\) )?([A-Z]+ \d\d-\d\d [\d:]{8} \[[^\]]+\] )?")
_ERROR = re.compile(r"^[\w.]*(Error|Exception)\b.*: |^[\w.-]+: error: ")

_LOG = logging.getLogger(__name__)


class SharedServer:
    """A worker's end: the server that all worker processes of the machine share.

    Args:
        config: The model's message; of it the server gets its uri and its arguments.
        device: "cpu", "cuda" or "cuda:i"; "auto" leaves the choice to vLLM.

    Raises:
        SystemicError: The server does not start.
    """

    def __init__(self, config: model_pb2.VllmModel, device: str):
        # Only what makes it another server: steps that ask it for different things share one.
        wanted = model_pb2.VllmModel(uri=config.uri, server_args=config.server_args)
        self._holder = processes.connect(model_pb2.Model(vllm=wanted, device=device), copies=1, build=start)
        self._lock = threading.Lock()
        self.path = self.ready()

    def ready(self) -> str:
        """Waits until the server can be used, which is started again if it has ended.

        Returns:
            Path of its socket.

        Raises:
            SystemicError: It does not start.
        """
        with self._lock:  # of the threads that lost it at once, one asks
            found = self._holder.run({}, [SOCKET])[SOCKET]
            assert isinstance(found, Blobs)  # noqa: S101 - what Server.run returns
            self.path = str(found.to_list()[0])
            return self.path


def start(model: model_pb2.Model, runtime: Runtime) -> Server:
    """Starts the server, in the process that holds it, and waits until it can be used.

    Raises:
        SystemicError: It does not start.
    """
    with contextlib.ExitStack() as stack:
        place = _place(model.vllm.uri, stack)
        path = f"{stems(f'vllm-{os.getpid()}', 1)[0]}.http"
        further = [f"--uds={path}", "--disable-uvicorn-access-log", *command_line(model.vllm.server_args)]
        command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", *place, *further]
        server = Server(command, path, _environment(runtime.device))
        stack.callback(Path(path).unlink, missing_ok=True)
        stack.callback(server.end)
        server.start()
        server.files = stack.pop_all()
    return server


class Server:
    """The server, in the process that holds it.

    Attributes:
        files: What to close after its end.

    Args:
        command: What runs it.
        path: The socket that it listens on.
        environment: Environment variables.
    """

    def __init__(self, command: Sequence[str], path: str, environment: Mapping[str, str]):
        self.files = contextlib.ExitStack()
        self._command = command
        self._path = path
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None

    def run(self, inputs: Mapping[str, Columns], outputs: Sequence[str]) -> dict[str, Column]:
        """Returns the path of the socket, of one row, when the server can be used; see Model.

        Raises:
            SystemicError: It has ended, and does not start again.
        """
        if self._process is None or self._process.poll() is not None or not is_healthy(self._path):
            _LOG.warning("vLLM's server has ended; starting it again")
            self.end()
            self.start()
        return {SOCKET: Blobs.of("STRING", [self._path], 1)}

    def close(self) -> None:
        """Ends the server, and waits until it is gone: the next one needs its GPU."""
        self.files.close()

    def end(self) -> None:
        """Ends the process, if there is one."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None  # noqa: S101 - a pipe, as lifeline.start promises
        process.stdin.close()
        try:
            process.wait(2 * PATIENCE_SECS)
        except subprocess.TimeoutExpired:  # the GPU's driver may keep a process
            _LOG.error("vLLM's server does not end")

    def start(self) -> None:
        """Starts the process, and waits until it answers.

        Raises:
            SystemicError: It ends before.
        """
        Path(self._path).unlink(missing_ok=True)
        _LOG.info("starting %s", " ".join(self._command))
        process = lifeline.start(
            "expansion.models.vllm_process", self._command, stdout=subprocess.PIPE, environment=self._environment
        )
        self._process = process
        lines: collections.deque[str] = collections.deque(maxlen=_LINES)
        follower = threading.Thread(target=_follow, args=(process, lines), name="vLLM's output", daemon=True)
        follower.start()
        begun = reported = time.monotonic()
        while not is_healthy(self._path):
            if process.poll() is not None:
                follower.join(_LOOK_SECS)
                raise SystemicError(
                    f"vLLM's server ended with exit status {process.returncode} before it could be used: "
                    f"{_reason(lines)}; the worker's log has all of its output"
                )
            time.sleep(_LOOK_SECS)
            if time.monotonic() - reported > _REPORT_SECS:
                reported = time.monotonic()
                _LOG.info("vLLM's server has been starting for %.0f s", reported - begun)
        _LOG.info("vLLM's server is ready after %.0f s", time.monotonic() - begun)


def _place(uri: str, stack: contextlib.ExitStack) -> list[str]:
    """Returns what tells the server where the model is; a copy of a directory is there until the stack is closed."""
    named = hub.read_uri(uri)
    if named:
        return [named.name, *([f"--revision={named.revision}"] if named.revision else [])]
    try:
        return [str(stack.enter_context(local_copy(uri)).absolute())]
    except SystemicError as error:
        raise SystemicError(f"{error}; a model of the hub is hf://ORGANISATION/NAME") from error


def _environment(device: str) -> dict[str, str]:
    """Returns the server's environment variables: a model's own (env_vars) are among those of this process."""
    environment = {"VLLM_NO_USAGE_STATS": "1", **os.environ}  # vLLM tells its makers who uses it, unless told not to
    if device == "cpu":
        environment["VLLM_TARGET_DEVICE"] = "cpu"
    elif device.startswith("cuda"):
        index = device.partition(":")[2] or "0"
        visible = list(filter(None, os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")))
        environment["CUDA_VISIBLE_DEVICES"] = visible[int(index)] if visible else index
    return environment


def _follow(process: subprocess.Popen[str], lines: collections.deque[str]) -> None:
    """Passes on what the server writes, to the log of the worker that is first, and keeps the last of it."""
    assert process.stdout is not None  # noqa: S101 - a pipe
    with open(process.stdout.fileno(), "rb", closefd=False) as output:  # which is not always UTF-8
        for line in output:
            text = line.decode(errors="replace").rstrip()
            print(text, flush=True)
            lines.append(_LOG_PREFIX.sub("", text))


def _reason(lines: Sequence[str]) -> str:
    """Returns the first error in a server's output, which caused the others; the last line where there is none."""
    known = [line for line in lines if line.strip()]
    for index, line in enumerate(known):
        if _ERROR.match(line):
            # pydantic says on the next line what is wrong.
            detail = known[index + 1].strip() if known[index + 1 : index + 2] and known[index + 1][0] == " " else ""
            return f"{line} {detail}".strip()[:500]
    return known[-1].strip()[:500] if known else "it said nothing"

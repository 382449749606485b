# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Starting and connecting to the process of one copy of a model: there is one, whoever asks. See processes.py."""

from __future__ import annotations

import fcntl
import logging
import os
import pickle
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from expansion.errors import SystemicError, first_line
from expansion.models.process_channel import HELLO, Channel, Start

# Seconds in which a process that ends is gone, and in which one that has been started is there to connect to.
_CHANGE_SECS = 60.0

# A socket's path may not be longer than this on some systems.
_MAX_SOCKET_BYTES = 103

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Copy:
    """One copy of a model.

    Attributes:
        stem: Path of its files, without their endings.
        start: What its process is told.
        env_vars: Environment variables to set in its process.
    """

    stem: str
    start: Start
    env_vars: Mapping[str, str]

    def dial(self) -> tuple[Channel, bool]:
        """Connects to the process, starting it if it does not run. Whether the model is loaded is not waited for.

        Returns:
            The connection, and whether the process was started for it.

        Raises:
            SystemicError: The process can't be started.
        """
        started = False
        deadline = time.monotonic() + _CHANGE_SECS
        while time.monotonic() < deadline:
            connection = socket.socket(socket.AF_UNIX)
            channel = Channel(connection)
            try:
                connection.connect(f"{self.stem}.socket")
                channel.send(HELLO, self.start.content)
                return channel, started
            except (FileNotFoundError, ConnectionError):  # there is none, or it is about to end
                channel.close()
            try:
                started = self._start_if_none_runs()
                if not started:
                    time.sleep(0.01)
            except OSError as error:
                raise SystemicError(f"can't start a process for the model, {self.stem}: {first_line(error)}") from error
        raise SystemicError(f"the process that has locked {self.stem}.lock does not listen; end it or remove the file")

    def _start_if_none_runs(self) -> bool:
        """Starts the process; returns False if it runs, or another worker is about to start it."""
        with open(f"{self.stem}.lock", "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if not _is_at(lock.fileno(), f"{self.stem}.lock"):
                return False  # of a process that has just ended and removed it
            Path(f"{self.stem}.socket").unlink(missing_ok=True)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(f"{self.stem}.socket")
                listener.listen(1024)
                self._start(lock.fileno(), listener.fileno())
        return True

    def _start(self, lock: int, listener: int) -> None:
        """Starts the process. It inherits the lock, which belongs to all who have the file open: flock(2)."""
        with tempfile.TemporaryFile() as start:
            pickle.dump(self.start, start)
            start.seek(0)
            # What is importable here must be there; forking would take along the threads of Beam and of frameworks.
            environment = {**os.environ, **self.env_vars, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-m", "expansion.models.process_main", str(lock), str(listener), self.stem],
                bufsize=0,
                stdin=start,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(lock, listener),
                start_new_session=True,
                env=environment,
            )
        threading.Thread(target=_log_output, args=(process,), name="model process", daemon=True).start()


def _log_output(process: subprocess.Popen[bytes]) -> None:
    """Logs what a process writes, line by line, and how it ends."""
    assert process.stdout is not None  # noqa: S101 - a pipe
    pending = b""
    # os.read: a thread that blocks in a buffered reader can't be ended at interpreter exit.
    while chunk := os.read(process.stdout.fileno(), 1 << 16):
        *lines, pending = (pending[-(1 << 16) :] + chunk).replace(b"\r", b"\n").split(b"\n")
        for line in filter(None, lines):
            _LOG.info("model process %d: %s", process.pid, line.decode(errors="replace"))
    process.stdout.close()
    if process.wait() != 0:
        _LOG.warning("model process %d ended: exit status %d", process.pid, process.returncode)


def _is_at(descriptor: int, path: str) -> bool:
    """Whether an open file is the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def stems(key: str, copies: int) -> list[str]:
    """Returns the path of the files of each copy, without their endings, in a directory that only this user can enter.

    Args:
        key: What tells models apart; a part of it is enough.
        copies: Their number.

    Raises:
        SystemicError: Somebody else has made the directory.
    """
    names = [f"{key[:20]}-{index}" for index in range(copies)]
    for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - what is there is checked
        path = f"{parent}/beam-ml-expansion-{os.getuid()}"
        if len(os.fsencode(f"{path}/{names[-1]}.socket")) <= _MAX_SOCKET_BYTES:
            break
    os.makedirs(path, mode=0o700, exist_ok=True)
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise SystemicError(f"{path} must be a directory of this user that nobody else can enter; remove it")
    return [f"{path}/{name}" for name in names]

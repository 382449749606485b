# Licensed under the Apache License, Version 2.0; see LICENSE.
"""How the process of vLLM's server is started, shared, watched and ended; a package named vllm stands for it."""

import contextlib
import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from expansion.contract._gen.model_pb2 import VllmModel
from expansion.errors import SystemicError
from expansion.models import remote_calls, vllm, vllm_model, vllm_process, vllm_server
from expansion.models.process_main import GRACE_VARIABLE
from expansion.models.runtime import Runtime
from expansion.tensors.columns import Blobs, Columns

sys.path.insert(0, str(Path(__file__).parent))
from vllm_api_server import install, starts

# Imported before any test: an import that fails within Beam keeps the frames of all who asked for it, and their models.
assert vllm_model

pytestmark = [
    pytest.mark.runner,
    pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are looked for in /proc"),
]

# A worker: says who answers a prompt, or why there is no model, until its standard input ends.
WORKER = """
import sys
from expansion.contract._gen.model_pb2 import VllmModel
from expansion.models import vllm
from expansion.tensors.columns import Blobs, Columns
model = vllm.build(VllmModel.FromString(bytes.fromhex(sys.argv[1])))
prompt = {"prompt": Columns({"p": Blobs.of("STRING", ["pid"], 1)}, 1)}
print(model.run(prompt, ["text"])["text"].to_rows()[0], flush=True)
sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path_factory):
    """A short directory for temporary files, with the package; no process is left after the test."""
    tmp_path_factory.getbasetemp()  # pytest's own stays where it is
    path = Path(tempfile.mkdtemp(prefix="bml", dir="/tmp"))
    monkeypatch.setattr(tempfile, "tempdir", str(path))
    monkeypatch.setenv("TMPDIR", str(path))
    monkeypatch.setenv(GRACE_VARIABLE, "0.3")
    monkeypatch.setattr(remote_calls._LOG, "disabled", True)  # pytest keeps exceptions that are logged, and they models
    install(path)
    monkeypatch.syspath_prepend(str(path))
    (path / "model").mkdir()
    yield path
    gc.collect()
    until(lambda: not running(path))
    until(lambda: not any(is_running(start[name]) for start in starts(path) for name in ("pid", "engine")))
    shutil.rmtree(path)


def until(condition):
    """Waits until a condition holds."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited for 30 s in vain")


def running(folder):
    """Returns the commands of the processes of a directory for temporary files, by id."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if f"{folder}/" in command:
                found[int(process.name)] = command
    return found


def holder(folder):
    """Returns the id of the process that the workers share."""
    (found,) = (pid for pid, command in running(folder).items() if "process_main" in command)
    return found


def is_running(pid):
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def config(folder, **more):
    settings = {"uri": str(folder / "model"), "task": "completions", "calls": {"backoff_secs": 0.05}}
    return VllmModel(**{**settings, **more})


def complete(model, *prompts):
    inputs = {"prompt": Columns({"p": Blobs.of("STRING", prompts, len(prompts))}, len(prompts))}
    return model.run(inputs, ["text"])["text"].to_rows()


@pytest.fixture
def workers():
    """Starts worker processes; ends them after the test."""
    started = []

    def workers(count, config):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", WORKER, config.SerializeToString().hex()]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        new = [subprocess.Popen(command, env=environment, **pipes) for _ in range(count)]
        started.extend(new)
        return new

    yield workers
    for worker in started:
        worker.kill()
        worker.communicate()


def test_the_server_gets_the_model_and_its_arguments_and_listens_where_nobody_else_may(folder):
    args = {"max-model-len": "8k", "enforce-eager": "true"}
    model = vllm.build(config(folder, server_args=args))
    assert complete(model, "a", "b") == ["A", "B"]
    (start,) = starts(folder)
    command, place, uds, *further = start["arguments"]
    assert [command, place] == ["serve", str(folder / "model")]
    assert further == ["--disable-uvicorn-access-log", "--enforce-eager", "--max-model-len=8k"]
    directory = Path(uds.removeprefix("--uds=")).parent
    assert directory.stat().st_mode & 0o077 == 0
    assert start["variables"]["VLLM_NO_USAGE_STATS"] == "1"


@pytest.mark.parametrize(
    ("uri", "expected"),
    [("hf://a/b", ["a/b"]), ("hf://a/b@v1.2", ["a/b", "--revision=v1.2"]), ("model", ["{folder}/model"])],
)
def test_a_model_of_the_hub_is_vllms_to_download_and_a_directory_is_given_by_its_whole_path(
    uri, expected, folder, monkeypatch
):
    monkeypatch.chdir(folder)
    model = vllm.build(config(folder, uri=uri))
    assert complete(model, "a") == ["A"]
    (start,) = starts(folder)
    place = start["arguments"][1 : 1 + len(expected)]
    assert place == [part.replace("{folder}", str(folder)) for part in expected]


def test_a_directory_that_is_not_there_may_have_been_meant_for_the_hub(folder):
    with pytest.raises(SystemicError, match="there is no such file; a model of the hub is hf://ORGANISATION/NAME"):
        vllm.build(config(folder, uri="meta-llama/Llama-3.2-1B"))
    assert starts(folder) == []


def test_workers_that_start_at_once_share_one_server_which_outlives_the_first_and_ends_after_the_last(workers, folder):
    crowd = workers(3, config(folder))
    answers = {worker.stdout.readline() for worker in crowd}
    (start,) = starts(folder)
    assert answers == {f"{start['pid']}\n"}
    for worker in crowd[:2]:
        worker.kill()
        worker.wait()
    (late,) = workers(1, config(folder))
    assert late.stdout.readline() == f"{start['pid']}\n"
    for worker in (crowd[2], late):
        worker.kill()
    until(lambda: not running(folder) and not is_running(start["pid"]) and not is_running(start["engine"]))
    assert not list(folder.glob("beam-ml-expansion-*/*"))


def test_steps_that_ask_one_server_for_different_things_share_it(folder):
    models = [vllm.build(config(folder, **more)) for more in ({}, {"max_tokens": 7, "temperature": 0})]
    assert len({complete(model, "pid")[0] for model in models}) == 1
    other = vllm.build(config(folder, server_args={"seed": "7"}))
    assert complete(other, "pid") != complete(models[0], "pid")
    assert len(starts(folder)) == 2


@pytest.mark.parametrize("order", ["die", "unwell"])
def test_a_server_that_dies_in_mid_batch_is_started_again_and_no_row_is_lost(order, folder):
    model = vllm.build(config(folder))
    assert complete(model, "a", order, "b") == ["A", order.upper(), "B"]
    first, second = starts(folder)
    until(lambda: not is_running(first["pid"]) and not is_running(first["engine"]))
    assert is_running(second["pid"])
    assert complete(model, "pid") == [str(second["pid"])]


def test_an_engine_does_not_outlive_a_server_that_is_killed(folder):
    model = vllm.build(config(folder))
    (start,) = starts(folder)
    os.kill(start["pid"], signal.SIGKILL)
    until(lambda: not is_running(start["engine"]))
    assert complete(model, "a") == ["A"]


def test_the_server_ends_with_the_process_that_holds_it_and_the_next_request_gets_another(folder):
    model = vllm.build(config(folder))
    (start,) = starts(folder)
    os.kill(holder(folder), signal.SIGKILL)
    until(lambda: not is_running(start["pid"]) and not is_running(start["engine"]))
    assert complete(model, "a") == ["A"]
    assert len(starts(folder)) == 2


def test_a_server_that_does_not_end_when_it_is_told_to_is_ended(folder, monkeypatch):
    script = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); time.sleep(99)"
    )
    code = "from expansion.models import vllm_process; vllm_process.PATIENCE_SECS = 0.2; vllm_process.main()"
    command = [sys.executable, "-c", code, sys.executable, "-c", script]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"on\n"
    os.kill(process.pid, signal.SIGTERM)  # is the command's to end
    assert process.poll() is None
    process.stdin.close()
    assert process.wait(10) == 128 + signal.SIGKILL
    assert vllm_process.PATIENCE_SECS == 10


TRACEBACK = """
(APIServer pid=7) Traceback (most recent call last):
(APIServer pid=7)   File "/usr/lib/python3/vllm/config/model.py", line 1, in f
(EngineCore pid=8) ERROR 11-24 18:20:38 [core.py:1510] {cause}
RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {{}}
"""


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (TRACEBACK.format(cause="ValueError: Free memory on device cuda:0 (3.1/79.2 GiB) is less than desired"), "V"),
        (
            "pydantic_core.ValidationError: 1 validation error\n  Value error, User-specified max_model_len\n    See",
            "p",
        ),
        ("main.py: error: unrecognized arguments: --nosuch=1", "m"),
        ("Killed", "K"),
    ],
)
def test_a_server_that_does_not_start_says_why(output, reason, folder):
    (folder / "broken").write_text(output)
    expected = {
        "V": "ValueError: Free memory on device cuda:0 (3.1/79.2 GiB) is less than desired",
        "p": "pydantic_core.ValidationError: 1 validation error Value error, User-specified max_model_len",
        "m": "main.py: error: unrecognized arguments: --nosuch=1",
        "K": "Killed",
    }[reason]
    with pytest.raises(SystemicError) as raised:
        vllm.build(config(folder))
    message = str(raised.value)
    assert f"ended with exit status 1 before it could be used: {expected}; the worker's log" in message
    (start,) = starts(folder)
    until(lambda: not is_running(start["engine"]))
    (folder / "broken").unlink()
    assert complete(vllm.build(config(folder)), "a") == ["A"]


def test_what_the_server_writes_and_how_long_it_takes_is_in_the_workers_log(folder, caplog):
    caplog.set_level("INFO")
    model = vllm.build(config(folder))
    assert complete(model, "a") == ["A"]
    until(lambda: "vLLM's server is ready after" in caplog.text)
    assert "Resolved architecture: LlamaForCausalLM" in caplog.text
    assert "starting " in caplog.text


def test_a_wait_for_the_server_is_reported(folder, caplog, monkeypatch):
    monkeypatch.setattr(vllm_server, "_REPORT_SECS", 0.05)
    monkeypatch.setattr(vllm_server, "_LOOK_SECS", 0.02)
    caplog.set_level("INFO")
    path = folder / "s.http"
    process = [sys.executable, "-c", "import time; time.sleep(99)"]
    server = vllm_server.Server(process, str(path), dict(os.environ))

    def start():
        with pytest.raises(SystemicError, match="ended with exit status 143 before it could be used: it said nothing"):
            server.start()

    starting = threading.Thread(target=start)
    starting.start()
    until(lambda: "vLLM's server has been starting for" in caplog.text)
    server.end()
    starting.join(10)


@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [("auto", None, None), ("cuda", None, "0"), ("cuda:2", None, "2"), ("cuda:1", "4,GPU-7", "GPU-7"), ("cpu", "", "")],
)
def test_a_server_sees_the_gpu_that_it_is_given(device, visible, expected, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    environment = vllm_server._environment(device)
    assert environment.get("CUDA_VISIBLE_DEVICES") == expected
    assert environment.get("VLLM_TARGET_DEVICE") == ("cpu" if device == "cpu" else None)


def test_the_device_reaches_the_process_that_starts_the_server(folder, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    model = vllm.build(config(folder), Runtime("cpu"))
    assert complete(model, "a") == ["A"]
    assert json.dumps(starts(folder)[0]["variables"]["CUDA_VISIBLE_DEVICES"]) == '"5"'

# Licensed under the Apache License, Version 2.0; see LICENSE.
import gc
import json
import os
import pickle
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apache_beam.io.filesystems  # noqa: F401 - whoever imports it first has its frames kept, and a model with them
import numpy as np
import pytest

from expansion import models
from expansion.contract._gen.model_pb2 import Model, OnnxModel, SklearnModel
from expansion.contract.fields import Field
from expansion.errors import BadRows, SystemicError
from expansion.models import process_copy, processes
from expansion.models.expected_interface import ExpectedInterface
from expansion.models.process_main import GRACE_VARIABLE, _text_output
from expansion.models.refresh import RefreshingModel
from expansion.models.time_limit import OutOfTime
from expansion.tensors.columns import Blobs, Columns, Dense

sys.path.insert(0, str(Path(__file__).parent))
from model_processes import running

pytestmark = [
    pytest.mark.runner,
    pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="processes are counted in /proc"),
]

# An estimator that does what it is told: its one feature is the number of a line in predict.
OBEDIENT = """
import os, sys, threading, time
from pathlib import Path

class Unheard(ValueError): pass
class Unrelated(Exception): pass

class Obedient:
    def __init__(self, folder): self.folder = Path(folder)
    def predict(self, features):
        order, argument = int(features[0, 0]), int(features[0, 1])
        if order == 0: return features[:, 0] * 0 + os.getpid()
        if order == 1: raise MemoryError("too large")
        if order == 2: raise Unheard("the first line\\nthe second line")
        if order == 3: raise Unrelated("the first line\\nthe second line")
        if order == 4: os.kill(os.getpid(), 9)
        if order == 5: raise UnicodeDecodeError("utf-8", b"x", 0, 1, "no such text")
        if order == 6: return features[:, 0] * 0 + float(os.environ["FOR_THE_MODEL"])
        if order == 7: print("said by the model", file=sys.stderr, flush=True)
        if order == 8:
            (self.folder / f"begun-{argument}-{os.getpid()}").touch()
            while not (self.folder / f"end-{argument}").exists(): time.sleep(0.01)
            return features[:, 0] * 0 + os.getpid()
        if order == 9:
            import threadpoolctl
            return features[:, 0] * 0 + max(pool["num_threads"] for pool in threadpoolctl.threadpool_info())
        if order == 10:
            from expansion.errors import DeviceFailed
            raise DeviceFailed("the GPU failed: an illegal memory access")
        if order == 11:
            sys.modules["torch"] = Torch(argument)
        return features[:, 1]

# As much of PyTorch as says how much memory of which GPU is in use: it says 1,000 bytes of each of so many.
class Torch:
    def __init__(self, gpus): self.cuda, self.gpus = self, gpus
    def is_initialized(self): return True
    def device_count(self): return self.gpus
    def memory_allocated(self, gpu): return 1000
"""

# A worker: connects when it is told to, and says which processes answer, until its standard input ends.
WORKER = """
import json, sys, numpy as np
from expansion.contract._gen.model_pb2 import Model
from expansion.errors import SystemicError
from expansion.models import processes
from expansion.tensors.columns import Columns, Dense
sys.stdin.readline()
try:
    model = processes.connect(Model.FromString(bytes.fromhex(sys.argv[1])), int(sys.argv[2]))
except SystemicError as error:
    print(json.dumps(str(error)), flush=True)
    sys.exit()
inputs = {"X": Columns({"f": Dense(np.zeros((1, 2)))}, 1)}
print(json.dumps(sorted({model.run(inputs, ["predict"])["predict"].values[0] for _ in range(20)})), flush=True)
sys.stdin.readline()
"""


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path_factory):
    """A short directory for temporary files, in which no process is left after the test."""
    tmp_path_factory.getbasetemp()  # pytest's own stays where it is
    path = tempfile.mkdtemp(prefix="bml", dir="/tmp")
    monkeypatch.setattr(tempfile, "tempdir", path)
    monkeypatch.setenv("TMPDIR", path)
    monkeypatch.setenv(GRACE_VARIABLE, "0.3")
    yield Path(path)
    gc.collect()  # exceptions that a test has caught hold its models
    until(lambda: not running(path))
    shutil.rmtree(path)


def until(condition):
    """Waits until a condition holds."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("waited for 30 s in vain")


def zombies():
    """Returns the children of this process that have ended and that it does not know to have."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [child for child in children if ") Z " in Path(f"/proc/{child}/stat").read_text()]


@pytest.fixture
def obedient(folder, monkeypatch):
    """Writes the obedient estimator, and returns the configuration of a model of it."""
    (folder / "obedient_estimator.py").write_text(OBEDIENT)
    monkeypatch.syspath_prepend(str(folder))
    import obedient_estimator

    (folder / "model.pickle").write_bytes(pickle.dumps(obedient_estimator.Obedient(str(folder))))
    sys.modules.pop("obedient_estimator")
    return Model(sklearn=SklearnModel(uri=str(folder / "model.pickle"), format="pickle"))


def tell(model, order, argument=0):
    inputs = {"X": Columns({"f": Dense(np.array([[order, argument]], float))}, 1)}
    return model.run(inputs, ["predict"])["predict"].values[0]


@pytest.fixture
def workers(obedient, folder):
    """Starts worker processes that are ready to connect; ends them after the test."""
    started = []

    def workers(count, config=obedient, copies=1):
        command = [sys.executable, "-c", WORKER, config.SerializeToString().hex(), str(copies)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        new = [subprocess.Popen(command, env=environment, **pipes) for _ in range(count)]
        started.extend(new)
        return new

    yield workers
    for worker in started:
        worker.kill()
        worker.communicate()


def release(workers):
    """Lets workers connect at once; returns what each says."""
    for worker in workers:
        worker.stdin.write("\n")
        worker.stdin.flush()
    return [json.loads(worker.stdout.readline()) for worker in workers]


def test_predictions_are_those_of_the_model_in_this_process(skops_file, onnx_file, classifier, iris, columns):
    sklearn = SklearnModel(uri=skops_file(classifier), methods=["predict", "predict_proba"])
    onnx = OnnxModel(uri=onnx_file([("Neg", ["a"], ["b"])], [("a", "FLOAT", [None, 4])], [("b", "FLOAT", [None, 4])]))
    for config, name, outputs in (
        (Model(sklearn=sklearn), "X", ["predict_proba", "predict"]),
        (Model(onnx=onnx), "a", ["b"]),
    ):
        inputs = {name: columns(f=iris[0])}
        here = models.module_of(config).build(models.framework(config)[1]).run(inputs, outputs)
        there = processes.connect(config, 1).run(inputs, outputs)
        assert list(there) == outputs
        for output in outputs:
            assert there[output].datatype == here[output].datatype
            np.testing.assert_array_equal(there[output].values, here[output].values)


def test_large_arrays_and_parts_of_them_are_exact(onnx_file):
    uri = onnx_file([("Neg", ["a"], ["b"])], [("a", "FLOAT", [None, 1000])], [("b", "FLOAT", [None, 1000])])
    model = processes.connect(Model(onnx=OnnxModel(uri=uri)), 1)
    values = np.random.default_rng(0).normal(size=(5000, 2000)).astype(np.float32)
    for part in (values[:, :1000].copy(), values[:, ::2], values[7:9, 1000:], np.asfortranarray(values[:, 1000:])):
        result = model.run({"a": Columns({"f": Dense(part)}, len(part))}, ["b"])["b"]
        np.testing.assert_array_equal(result.values, -part)


def test_texts_cross_and_of_a_part_of_a_column_only_that_part(onnx_file, monkeypatch):
    uri = onnx_file([("Identity", ["a"], ["b"])], [("a", "STRING", [None, 2])], [("b", "STRING", [None, 2])])
    model = processes.connect(Model(onnx=OnnxModel(uri=uri)), 1)
    texts = ["ä", "", "x" * 10_000, "a\0b"] * 1000
    whole = Blobs.of("STRING", texts, 2000, (2,))
    part = whole.slice(1, 3)
    sent = []
    send = processes.Channel.send
    monkeypatch.setattr(
        processes.Channel, "send", lambda self, kind, value=None: sent.append(value) or send(self, kind, value)
    )
    result = model.run({"a": Columns({"f": part}, 2)}, ["b"])["b"]
    assert (result.datatype, result.shape, result.to_rows()) == ("STRING", (2,), part.to_rows())
    assert len(pickle.dumps(sent[-1])) < 20_000 < whole.nbytes


def test_workers_that_start_at_once_share_exactly_as_many_processes_as_configured(workers, folder):
    crowd = workers(5, copies=2)
    answers = release(crowd)
    there = running(folder)
    assert len(there) == 2
    assert {pid for answer in answers for pid in answer} <= there
    for worker in crowd[:4]:  # among them the one that started the processes
        worker.kill()
        worker.wait()
    assert release(workers(1, copies=2))[0]
    assert running(folder) == there


def test_other_configurations_have_other_processes(obedient, folder):
    first = processes.connect(obedient, 1)
    other = Model(sklearn=obedient.sklearn, model_id="other")
    second = processes.connect(other, 1)
    assert {tell(first, 0), tell(second, 0)} == running(folder)
    assert len(running(folder)) == 2


def test_calls_go_to_the_copy_that_is_free_and_one_at_a_time_to_each(obedient, folder):
    model = processes.connect(obedient, 2)
    with ThreadPoolExecutor(4) as threads:
        calls = [threads.submit(tell, model, 8, argument) for argument in range(2)]
        until(lambda: len(list(folder.glob("begun-*"))) == 2)
        waiting = [threads.submit(tell, model, 8, argument) for argument in (2, 3)]
        (folder / "end-1").touch()
        free = calls[1].result()
        until(lambda: len(list(folder.glob("begun-*"))) == 3)
        begun = {tuple(path.name.split("-")[1:]) for path in folder.glob("begun-*")}
        assert {pid for argument, pid in begun if argument in "23"} == {str(int(free))}
        for argument in (0, 2, 3):
            (folder / f"end-{argument}").touch()
        assert {call.result() for call in calls + waiting} == running(folder)


def test_many_threads_get_each_their_own_result(obedient):
    model = processes.connect(obedient, 2)
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(lambda number: tell(model, 100, number), range(300))) == list(range(300))


def test_exceptions_cross_as_what_they_are(obedient, skops_file, classifier, columns):
    model = processes.connect(obedient, 1)
    for order, error, message in (
        (1, MemoryError, "too large"),
        (2, ValueError, "Unheard: the first line"),
        (3, Exception, "Unrelated: the first line"),
        (5, ValueError, "UnicodeDecodeError: 'utf-8' codec can't decode byte 0x78 in position 0: no such text"),
    ):
        with pytest.raises(error) as raised:
            tell(model, order)
        assert type(raised.value) in (error, UnicodeError)
        assert str(raised.value) == message
        assert tell(model, 100, 7) == 7
    iris_model = processes.connect(Model(sklearn=SklearnModel(uri=skops_file(classifier))), 1)
    with pytest.raises(BadRows, match=r"shape \[3\] does not fit model input 'X'") as bad:
        iris_model.run({"X": columns(f=np.ones((2, 3)))}, ["predict"])
    assert list(bad.value.messages) == [0, 1]
    with pytest.raises(ValueError, match="NaN"):
        iris_model.run({"X": columns(f=np.full((2, 4), np.nan))}, ["predict"])


def test_a_process_that_dies_fails_the_call_and_the_next_one_starts_another(obedient, folder):
    model = processes.connect(obedient, 1)
    first = tell(model, 0)
    with pytest.raises(SystemicError, match="the model's process ended while it ran a batch"):
        tell(model, 4)
    second = tell(model, 0)
    assert second != first
    os.kill(int(second), signal.SIGKILL)  # between two calls: no call is lost
    until(lambda: int(second) not in running(folder))
    third = tell(model, 0)
    assert third not in (first, second)
    assert running(folder) == {third}
    until(lambda: zombies() == [])


def test_a_process_whose_gpu_has_failed_says_so_and_the_next_call_gets_another(obedient, folder):
    model, waiting = processes.connect(obedient, 1), processes.connect(obedient, 1)
    first = tell(model, 0)
    with pytest.raises(SystemicError, match="the GPU failed: an illegal memory access"):
        tell(model, 10)
    second = tell(model, 0)
    assert second != first
    assert tell(waiting, 0) == second
    until(lambda: running(folder) == {second})


def test_the_memory_of_gpus_that_the_process_has_in_use_is_noted_after_each_batch(obedient, folder):
    noted = []
    model = processes.connect(obedient, 1, note_device_memory=noted.append)
    tell(model, 0)
    tell(model, 11, 2)
    tell(model, 0)
    assert noted == [0, 2000, 2000]


def test_calls_that_wait_for_a_process_that_dies_are_made_elsewhere_or_by_the_next_one(obedient, folder):
    for copies in (1, 2):
        model = processes.connect(Model(sklearn=obedient.sklearn, model_copies=copies), copies)
        with ThreadPoolExecutor(8) as threads:
            busy = [threads.submit(tell, model, 8, argument) for argument in range(copies)]
            until(lambda: len(list(folder.glob("begun-*"))) == copies)  # noqa: B023
            waiting = [threads.submit(tell, model, 100, number) for number in range(4)]
            victim = next(iter(folder.glob("begun-0-*")))
            os.kill(int(victim.name.split("-")[2]), signal.SIGKILL)
            assert [call.result() for call in waiting] == list(range(4))
            (folder / "end-1").touch()
            with pytest.raises(SystemicError):
                busy[0].result()
        for path in [*folder.glob("begun-*"), *folder.glob("end-*")]:
            path.unlink()


def test_a_call_that_is_given_up_and_never_ends_takes_its_process_with_it_and_the_next_call_gets_another(
    obedient, folder
):
    model = processes.connect(obedient, 1)
    first = tell(model, 0)
    forever = {"X": Columns({"f": Dense(np.array([[8.0, 0.0]]))}, 1)}
    with pytest.raises(OutOfTime):
        model.run(forever, ["predict"], timeout_secs=0.1)
    second = tell(model, 0)
    assert second != first
    assert running(folder) == {second}


def test_a_call_that_is_given_up_and_ends_soon_does_no_harm(obedient, folder, monkeypatch):
    monkeypatch.setenv(GRACE_VARIABLE, "600")
    model = processes.connect(obedient, 1)
    first = tell(model, 0)
    with pytest.raises(OutOfTime):
        model.run({"X": Columns({"f": Dense(np.array([[8.0, 0.0]]))}, 1)}, ["predict"], timeout_secs=0.05)
    (folder / "end-0").touch()
    assert tell(model, 0) == first
    os.kill(int(first), signal.SIGKILL)


def test_a_directory_for_temporary_files_with_too_long_a_path_for_a_socket_is_passed_over(folder, monkeypatch):
    for parent, expected in ((folder / ("x" * 100), folder.parent), (folder, folder)):
        parent.mkdir(exist_ok=True)
        monkeypatch.setattr(tempfile, "tempdir", str(parent))
        (stem,) = process_copy.stems("key", 1)
        assert Path(stem).parents[1] == expected
        assert len(f"{stem}.socket") <= 103


def test_a_new_version_has_processes_of_its_own_that_workers_share_and_those_of_the_old_one_end(folder, adder):
    path = folder / "model.onnx"
    path.write_bytes(adder(1))
    config = Model(onnx=OnnxModel(uri=str(path)), large_model=True, refresh_interval_secs=1e6)
    planned = ExpectedInterface([Field("x", "FP32")], {"y": Field("y", "FP32")})
    workers = [RefreshingModel(config, lambda: processes.connect(config, 1), planned) for _ in range(2)]
    inputs = {"x": Columns({"f": Dense(np.zeros(1, np.float32))}, 1)}

    def answers():
        return [worker.run(inputs, ["y"])["y"].values.tolist() for worker in workers]

    old = running(folder)
    assert (answers(), len(old)) == ([[1], [1]], 1)
    for content in (adder(2), b"no model"):
        path.write_bytes(content)
        for worker in workers * 2:
            worker.poll()
    assert answers() == [[2], [2]]
    assert [worker.take_counts() for worker in workers] == [(1, 1)] * 2
    gc.collect()
    until(lambda: len(running(folder)) == 1)
    assert not old & running(folder)


def test_a_class_without_files_has_no_fingerprint_and_no_file_of_the_machine_is_looked_at():
    assert processes._content("") == ""


def test_a_model_that_can_not_be_loaded_is_the_same_error_for_all_and_leaves_no_process(workers, folder):
    config = Model(sklearn=SklearnModel(uri=str(folder / "missing.skops")))
    answers = release(workers(3, config, 2))
    assert set(answers) == {f"can't read '{folder}/missing.skops': there is no such file"}
    until(lambda: not running(folder))
    (folder / "missing.skops").write_bytes(b"some text")
    with pytest.raises(SystemicError, match=r"as skops: .*; it looks like text"):
        processes.connect(config, 1)


def test_a_process_that_dies_while_it_loads_is_an_error_and_not_a_wait(obedient, folder):
    (folder / "model.pickle").write_bytes(b"\x80\x04cos\n_exit\n(K\x03tR.")
    with pytest.raises(SystemicError, match="can't be loaded: its process ended before it was loaded"):
        processes.connect(obedient, 2)


def test_processes_end_with_the_last_client_and_not_before(obedient, folder):
    model = processes.connect(obedient, 2)
    another = processes.connect(obedient, 2)
    there = running(folder)
    model = None
    assert tell(another, 100, 5) == 5
    assert running(folder) == there
    another = None
    until(lambda: not running(folder))
    assert list(folder.glob("beam-ml-expansion-*/*")) == []
    assert model is another is None


def test_a_job_that_is_alone_gets_what_the_file_holds_now(obedient, folder, monkeypatch):
    monkeypatch.setenv(GRACE_VARIABLE, "600")
    model = processes.connect(obedient, 1)
    first = tell(model, 0)
    model = None
    model = processes.connect(obedient, 1)
    assert tell(model, 0) == first
    os.utime(folder / "model.pickle", (1, 1))
    assert tell(processes.connect(obedient, 1), 0) == first  # as long as a client of the old one is there
    model = None
    monkeypatch.setenv(GRACE_VARIABLE, "0.3")
    assert tell(processes.connect(obedient, 1), 0) != first


def test_the_process_has_the_environment_variables_and_its_share_of_the_threads(obedient, monkeypatch):
    monkeypatch.delenv("FOR_THE_MODEL", raising=False)
    obedient.env_vars["FOR_THE_MODEL"] = "42"
    obedient.threads = 2
    model = processes.connect(obedient, 1)
    assert tell(model, 6) == 42
    assert tell(model, 9) == 2
    assert "FOR_THE_MODEL" not in os.environ


def test_each_copy_is_warmed_up_before_the_first_call(obedient, folder):
    (folder / "end-3").touch()
    warm_up = {"X": Columns({"f": Dense(np.array([[8.0, 3.0]]))}, 1)}, ["predict"]
    model = processes.connect(obedient, 2, warm_up)
    assert {int(path.name.split("-")[2]) for path in folder.glob("begun-3-*")} == running(folder)
    assert len(running(folder)) == 2
    assert tell(model, 100, 1) == 1


def test_what_the_model_writes_is_logged_by_the_worker_that_started_it_and_does_no_harm_after_it(
    obedient, workers, caplog
):
    import logging

    with caplog.at_level(logging.INFO):
        model = processes.connect(obedient, 1)
        tell(model, 7)
        until(lambda: "said by the model" in caplog.text)
    model = None
    other = Model(sklearn=obedient.sklearn, model_id="started by another worker")
    (starter,) = workers(1, other)
    release([starter])
    model = processes.connect(other, 1)
    starter.kill()
    starter.wait()
    for _ in range(20):
        assert tell(model, 7) == 0


def test_what_is_printed_once_nobody_reads_it_is_dropped():
    reader, writer = os.pipe()
    os.close(reader)
    with _text_output(writer) as output:
        print("said by the model", file=output, flush=True)
    os.close(writer)


def test_the_process_ignores_ctrl_c_and_leads_its_own_session(obedient):
    model = processes.connect(obedient, 1)
    process = int(tell(model, 0))
    assert os.getsid(process) == process
    os.kill(process, signal.SIGINT)
    assert tell(model, 0) == process


def test_a_directory_that_others_can_enter_is_refused(obedient, folder):
    processes.connect(obedient, 1)
    directory = folder / f"beam-ml-expansion-{os.getuid()}"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    until(lambda: not running(folder))
    directory.chmod(0o755)
    with pytest.raises(SystemicError, match="must be a directory of this user that nobody else can enter"):
        processes.connect(obedient, 1)


def test_nothing_is_left_of_a_process_that_was_killed_once_the_next_has_ended(obedient, folder):
    model = processes.connect(obedient, 1)
    os.kill(int(tell(model, 0)), signal.SIGKILL)
    model = None
    until(lambda: not running(folder))
    assert len(list(folder.glob("beam-ml-expansion-*/*"))) == 2
    processes.connect(obedient, 1)
    until(lambda: not running(folder))
    assert list(folder.glob("beam-ml-expansion-*/*")) == []


def test_threads_that_connect_at_once_share_one_process_too(obedient, folder):
    together = threading.Barrier(6)

    def connect(_):
        together.wait()
        return processes.connect(obedient, 1)

    with ThreadPoolExecutor(6) as threads:
        connected = list(threads.map(connect, range(6)))
    assert {tell(model, 0) for model in connected} == running(folder)
    assert len(running(folder)) == 1

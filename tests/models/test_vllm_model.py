# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Prompts on their way to a server that speaks the interface of vLLM's, over a real Unix domain socket."""

import sys
import threading
import time
from pathlib import Path

import pytest

from expansion.contract._gen.model_pb2 import VllmModel
from expansion.errors import BadRows, RemoteError, SystemicError
from expansion.models import vllm
from expansion.models.remote_calls import RemoteCalls
from expansion.models.vllm_model import LanguageModel
from expansion.tensors.columns import Blobs, Columns
from expansion.transforms.isolation import isolate

sys.path.insert(0, str(Path(__file__).parent))
from vllm_api_server import MAX_WORDS, Failure, VllmServer, echo, response

pytestmark = pytest.mark.runner

OUTPUTS = ["text", "finish_reason", "prompt_tokens", "completion_tokens"]
QUICK = {"backoff_secs": 0.05, "timeout_secs": 5}
TOO_LONG = "x " * (MAX_WORDS + 1)
DEAD = "EngineCore encountered an issue. See stack trace (above) for the root cause."


class Machine:
    """Stands for SharedServer: a server that is started again, at another address, when a worker asks for it."""

    def __init__(self, folder, complete=echo):
        self.folder, self.complete, self.servers = folder, complete, []
        self.asked, self.lock = 0, threading.Lock()
        self.start()

    def start(self):
        self.servers.append(VllmServer(self.folder / f"{len(self.servers)}.http", self.complete))
        self.path = self.servers[-1].server_address

    def ready(self):
        with self.lock:  # all requests find it gone at the same time
            self.asked += 1
            if not Path(self.path).exists() or self.servers[-1].health != 200:
                self.start()
            return self.path

    @property
    def prompts(self):
        """The prompts that came, in all."""
        bodies = [body for server in self.servers for _, body in server.requests]
        return sorted(body["messages"][-1]["content"] if "messages" in body else body["prompt"] for body in bodies)


@pytest.fixture
def machine(tmp_path_factory):
    machines = []

    def machine(complete=echo):
        machines.append(Machine(tmp_path_factory.mktemp("m"), complete))
        return machines[-1]

    yield machine
    for each in machines:
        for server in each.servers:
            server.stop()


def model(machine, calls=None, **more):
    config = VllmModel(**{"uri": "hf://a/b", "task": "completions", "calls": {**QUICK, **(calls or {})}, **more})
    return LanguageModel(config, vllm.signature(config), machine, RemoteCalls(config.calls, "the server"))


def column(prompts):
    return Columns({"p": Blobs.of("STRING", prompts, len(prompts))}, len(prompts))


def run(model, prompts, outputs=OUTPUTS):
    return {name: values.to_rows() for name, values in model.run({"prompt": column(prompts)}, outputs).items()}


def isolated(model, prompts):
    """Returns the texts of the good rows, and why the others failed."""
    operation = lambda columns: Columns(model.run({"prompt": columns}, ["text"]), columns.row_count)  # noqa: E731
    found = isolate(operation, column(prompts))
    texts = found.columns["text"].to_rows() if found.columns.row_count else []
    return texts, {row: (error.error_type, error.message) for row, error in found.errors.items()}


def failing(*failures, of="bad"):
    """Fails with each of these at one prompt, then echoes."""
    left, lock = list(failures), threading.Lock()

    def complete(body):
        with lock:
            failure = left.pop(0) if left and body["prompt"] == of else None
        if failure:
            raise failure
        return echo(body)

    return complete


def test_each_prompt_is_a_request_and_each_output_a_column(machine):
    here = machine()
    prompts = [f"wörd {number}" for number in range(50)]
    assert run(model(here), prompts) == {
        "text": [prompt.upper() for prompt in prompts],
        "finish_reason": ["stop"] * 50,
        "prompt_tokens": [2] * 50,
        "completion_tokens": [2] * 50,
    }
    assert {resource for resource, _ in here.servers[0].requests} == {"/v1/completions"}
    assert here.prompts == sorted(prompts)


def test_a_chat_goes_through_the_models_template(machine):
    here = machine()
    assert run(model(here, task="chat", system="Be short."), ["why"], ["prompt_tokens", "text"]) == {
        "prompt_tokens": [3],
        "text": ["WHY"],
    }
    assert [resource for resource, _ in here.servers[0].requests] == ["/v1/chat/completions"]


@pytest.mark.parametrize(("limit", "most"), [(0, 64), (3, 3)])
def test_requests_of_a_batch_are_under_way_at_once_up_to_the_limit_of_the_process(machine, limit, most):
    full = threading.Event()

    def complete(body):
        if here.servers[0].most >= most:
            full.set()
        assert full.wait(4)  # all wait for the last that is allowed
        time.sleep(0.1)  # in which one too many would come
        return echo(body)

    here = machine(complete)
    limited = model(here, max_concurrent_requests=limit)
    batches = [[f"{batch} {number}" for number in range(70 // (1 if limit == 0 else 7))] for batch in range(2)]
    threads = [threading.Thread(target=run, args=(limited, batch)) for batch in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert here.servers[0].most == most


def test_a_refused_prompt_costs_its_row_and_no_other_is_completed_twice(machine):
    here = machine()
    prompts = ["a", "", "b", TOO_LONG, "a", "c"]
    texts, errors = isolated(model(here), prompts)
    assert texts == ["A", "B", "A", "C"]
    assert set(errors) == {1, 3}
    assert errors[1] == (
        "ValueError",
        "HTTP 400: Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)",
    )
    assert "maximum context length" in errors[3][1]
    assert here.prompts == sorted(prompts)


def test_prompts_of_another_batch_are_completed_again(machine):
    here = machine()
    same = model(here)
    with pytest.raises(BadRows):
        run(same, ["a", ""])
    assert run(same, ["b", "c"], ["text"]) == {"text": ["B", "C"]}
    assert run(same, ["a"], ["text"]) == {"text": ["A"]}
    assert here.prompts == ["", "a", "a", "b", "c"]


@pytest.mark.parametrize("code", [429, 503, 504])
def test_a_server_that_has_too_much_to_do_is_asked_again(machine, code):
    here = machine(failing(*[Failure(code, "busy")] * 2))
    assert run(model(here), ["a", "bad"], ["text"]) == {"text": ["A", "BAD"]}
    assert here.prompts == ["a", "bad", "bad", "bad"]
    assert here.asked == 2


def test_a_server_that_fails_and_is_well_is_asked_again_soon(machine):
    here = machine(failing(Failure(500, "once")))
    assert run(model(here, {"backoff_secs": 600}), ["bad"], ["text"]) == {"text": ["BAD"]}
    assert len(here.servers) == 1


def test_a_prompt_at_which_the_server_always_fails_costs_its_row_only(machine, monkeypatch):
    monkeypatch.setattr("expansion.models.vllm_model._FAILED_SECS", 0.01)
    here = machine(failing(*[Failure(500, "no luck")] * 1000))
    texts, errors = isolated(model(here), ["a", "b", "bad", "c"])
    assert texts == ["A", "B", "C"]
    assert errors == {2: ("RemoteError", "HTTP 500: no luck")}
    assert [prompt for prompt in here.prompts if prompt != "bad"] == ["a", "b", "c"]


def test_a_server_that_fails_at_every_prompt_is_systemic(machine, monkeypatch):
    monkeypatch.setattr("expansion.models.vllm_model._FAILED_SECS", 0.01)

    def fail(body):
        raise Failure(500, "no luck")

    with pytest.raises(RemoteError, match="HTTP 500: no luck"):
        isolated(model(machine(fail)), [f"{number}" for number in range(40)])


def test_a_server_whose_engine_has_died_is_started_again_and_no_row_is_lost(machine):
    here = machine()

    def complete(body):
        if len(here.servers) == 1 and body["prompt"] == "bad":
            here.servers[0].health = 503
            raise Failure(500, DEAD)
        return echo(body)

    here.servers[0].complete = here.complete = complete
    assert run(model(here), ["a", "bad", "b"], ["text"]) == {"text": ["A", "BAD", "B"]}
    assert len(here.servers) == 2


def test_a_server_that_is_gone_is_started_again_once_for_all_requests(machine):
    here = machine()
    here.servers[0].stop()
    prompts = [str(number) for number in range(30)]
    assert run(model(here), prompts, ["text"]) == {"text": prompts}
    assert len(here.servers) == 2


def test_a_server_that_does_not_start_again_fails_the_bundle_with_its_reason(machine, monkeypatch):
    here = machine()
    here.servers[0].stop()

    def ready():
        raise SystemicError("vLLM's server ended with exit status 1 before it could be used: no memory")

    here.ready = ready
    with pytest.raises(SystemicError, match="no memory"):
        run(model(here), ["a", "b"])


def test_an_answer_that_takes_too_long_is_given_up(machine):
    end = threading.Event()

    def complete(body):
        end.wait(20)
        return echo(body)

    slow = model(machine(complete), {"timeout_secs": 0.2, "max_attempts": 2})
    with pytest.raises(
        SystemicError, match=r"the server failed 2 time\(s\), the last time with: no answer within 0.2 s"
    ):
        run(slow, ["a"])
    end.set()


def test_a_text_that_the_server_gave_up_is_made_again(machine):
    left = ["abort"]

    def complete(body):
        return response("/v1/completions", "half a te", body, left.pop()) if left else echo(body)

    assert run(model(machine(complete)), ["a"], ["text"]) == {"text": ["A"]}


def test_a_text_that_is_cut_off_says_so_and_one_that_was_only_thought_is_empty(machine):
    chat = machine(lambda body: response("/v1/chat/completions", None, body, "length"))
    assert run(model(chat, task="chat"), ["a"], ["text", "finish_reason"]) == {
        "text": [""],
        "finish_reason": ["length"],
    }


@pytest.mark.parametrize("code", [401, 404, 501])
def test_what_is_not_about_the_row_is_systemic(machine, code):
    def fail(body):
        raise Failure(code, "no")

    with pytest.raises(SystemicError, match=f"vLLM refuses: HTTP {code}: no"):
        run(model(machine(fail)), ["a", "b"])


@pytest.mark.parametrize("answer", [{}, {"choices": []}, {"choices": [{"text": "x"}]}, {"choices": [{}], "usage": {}}])
def test_what_is_no_response_is_systemic(machine, answer):
    with pytest.raises(SystemicError, match="vLLM's response can't be read"):
        run(model(machine(lambda body: answer)), ["a"])


def test_a_model_that_takes_no_prompt_as_it_is_configured_does_not_load(machine):
    def fail(body):
        raise Failure(400, "default chat template is no longer allowed, so you must provide a chat template")

    with pytest.raises(SystemicError, match=r"takes no prompt for 'hf://a/b' as it is configured: HTTP 400: .* chat t"):
        model(machine(fail), task="chat").probe()
    model(machine()).probe()

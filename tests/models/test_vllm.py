# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What a configuration of vllm may say. The server: test_vllm_model.py, test_vllm_server.py."""

import json

import pytest

from expansion.contract._gen.model_pb2 import VllmModel
from expansion.errors import ConfigError, SystemicError
from expansion.models import vllm, vllm_arguments
from expansion.models.runtime import Runtime
from expansion.models.vllm_requests import CHAT_PARAMETERS, PARAMETERS, request
from expansion.transforms.config import read_config

MODEL = "hf://meta-llama/Llama-3.2-1B-Instruct"


def config(**more):
    return VllmModel(**{"uri": MODEL, "task": "chat", **more})


def problems(message):
    return {problem.path: problem.message for problem in vllm.check(message)}


def test_problems_of_the_message_are_reported_at_once():
    wrong = VllmModel(
        uri="hf://llama",
        task="completion",
        max_tokens=-1,
        temperature=-0.5,
        top_p=0,
        stop=[""],
        parameters={"n": "2", "top_k": "many", "repetition_penaltie": "1.1"},
        server_args={"max-model-len": "long", "--seed": "1", "port": "80"},
        max_concurrent_requests=-2,
        calls={"timeout_secs": -1, "max_rows_per_request": 8},
    )
    assert problems(wrong) == {
        "uri": "got 'hf://llama'; expected hf://ORGANISATION/NAME or …@REVISION",
        "task": "unknown task 'completion'; did you mean 'completions'?",
        "max_tokens": "got -1; expected a positive number, or none for the default",
        "max_concurrent_requests": "got -2; expected a positive number, or none for the default",
        "temperature": "got -0.5; expected a number from 0",
        "top_p": "got 0; expected a number above 0 and up to 1",
        "stop": "got an empty text, which is everywhere; leave it out",
        "parameters.n": problems(config(parameters={"n": "2"}, task="completions"))["parameters.n"],
        "parameters.repetition_penaltie": "unknown parameter; did you mean 'repetition_penalty'?",
        "parameters.top_k": "got 'many'; expected JSON, such as 3 or true or \"text\"",
        "server_args.--seed": "expected the name of an argument without its dashes, such as max-model-len",
        "server_args.max-model-len": "got 'long'; expected a size, such as 8192 or 8k",
        "server_args.port": "the worker sets it, as it starts and calls the server; leave it out",
        "calls.timeout_secs": "got -1; expected a positive number, or 0 for the default",
        "calls.max_rows_per_request": "a row is a request; leave it out, or set max_concurrent_requests",
    }
    assert set(problems(VllmModel())) == {"uri", "task"}


@pytest.mark.parametrize("uri", [MODEL, MODEL + "@main", "/models/llama", "models/llama", "gs://models/llama"])
def test_a_model_is_a_directory_or_on_the_hub(uri):
    assert problems(config(uri=uri)) == {}


def test_what_only_chats_have_is_refused_for_completions():
    told = config(task="completions", system="Be short.", parameters={"reasoning_effort": '"low"'})
    assert problems(told) == {
        "system": "only task chat has it, and task is 'completions'; leave it out",
        "parameters.reasoning_effort": "only task chat has it, and task is 'completions'; leave it out",
    }
    told.task = "chat"
    assert problems(told) == {}


@pytest.mark.parametrize("field", ["large_model", "model_copies", "threads", "warm_up_rows", "refresh_interval_secs"])
def test_fields_of_every_model_that_make_no_sense_for_a_server_are_refused(field):
    value = True if field == "large_model" else 2
    with pytest.raises(ConfigError) as raised:
        read_config({"model": {"vllm": {"uri": MODEL, "task": "chat"}, field: value}})
    fields = {problem.path: problem.message for problem in raised.value.problems}
    assert fields[f"model.{field}"].startswith("is set, and ")
    assert "leave it out" in fields[f"model.{field}"]


def test_the_signature_is_the_same_for_both_tasks_and_no_file_is_read():
    for task in ("chat", "completions"):
        signature = vllm.signature(config(uri="/nowhere", task=task))
        assert str(signature) == (
            "(prompt: STRING) -> (text: STRING, finish_reason: STRING, prompt_tokens: INT64, completion_tokens: INT64)"
        )


def test_a_chat_is_the_prompt_of_a_user_after_what_the_system_says():
    told = config(system="Be short.", max_tokens=7, temperature=0, top_p=0.5, stop=["\n"], parameters={"seed": "3"})
    assert request(told, "Why?") == {
        "messages": [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Why?"}],
        "max_completion_tokens": 7,
        "temperature": 0,
        "top_p": 0.5,
        "stop": ["\n"],
        "seed": 3,
    }
    assert request(config(), "Why?") == {
        "messages": [{"role": "user", "content": "Why?"}],
        "max_completion_tokens": 256,
    }


def test_a_completion_is_the_bare_prompt():
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    told = config(task="completions", parameters={"response_format": json.dumps(schema)})
    assert request(told, "Once") == {"prompt": "Once", "max_tokens": 256, "response_format": schema}


def test_no_parameter_can_take_the_place_of_what_a_request_is_made_of():
    made = {"model", "messages", "prompt", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop"}
    changing = {"n", "stream", "echo", "tools", "use_beam_search", "chat_template", "vllm_xargs", "kv_transfer_params"}
    assert not (PARAMETERS | CHAT_PARAMETERS) & (made | changing)


@pytest.mark.parametrize("name", sorted(vllm_arguments.FREE))
def test_arguments_that_decide_on_size_and_speed_need_no_operator(name):
    given = {vllm_arguments._FLAG: "true", vllm_arguments._WORD: "auto"}
    for spelling in (name, name.replace("-", "_")):
        told = config(server_args={spelling: given.get(vllm_arguments.FREE[name], "8")})
        assert problems(told) == {}
        assert list(vllm.permissions(told)) == []


OTHERS = """
    trust-remote-code trust_remote_code no-trust-remote-code trust-remote chat-template middleware logits-processors
    worker-cls worker-extension-cls scheduler-cls tool-parser-plugin reasoning-parser-plugin io-processor-plugin
    hf-overrides model-class-overrides speculative-config compilation-config compilation-config.mode kv-transfer-config
    additional-config model-impl load-format tokenizer tokenizer-mode distributed-executor-backend download-dir
    allowed-local-media-path lora-modules tool-server data-parallel-rpc-port master-addr otlp-traces-endpoint made-up
"""


@pytest.mark.parametrize("name", OTHERS.split())
def test_every_other_argument_needs_the_operator(name):
    (asked,) = vllm.permissions(config(server_args={name: "true"}))
    assert (asked.path, asked.option) == (f"server_args.{name}", "--allow-server-arg")
    assert asked.value == name.replace("_", "-")
    assert "code" in asked.reason


@pytest.mark.parametrize("name", ["uds", "host", "port", "model", "served_model_name", "config", "api-key", "no-grpc"])
def test_where_the_server_listens_and_what_it_serves_is_the_workers_business(name):
    assert "the worker sets it" in problems(config(server_args={name: "true"}))[f"server_args.{name}"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("dtype", "/etc/passwd"), ("quantization", "a b"), ("generation-config", "../x"), ("seed", "--port=1")],
)
def test_values_are_no_paths_and_no_arguments(name, value):
    assert problems(config(server_args={name: value}))[f"server_args.{name}"].startswith(f"got {value!r}; expected ")


def test_arguments_are_one_word_each_on_the_servers_command_line():
    given = {"enforce-eager": "true", "async_scheduling": "false", "chat-template": "--port", "seed": "7"}
    assert list(vllm_arguments.command_line(given)) == [
        "--no-async_scheduling",
        "--chat-template=--port",
        "--enforce-eager",
        "--seed=7",
    ]


@pytest.mark.parametrize(
    ("version", "device", "reason"),
    [
        (None, "auto", "vllm is missing; install beam-ml-expansion[vllm] on the workers, in an environment of its own"),
        (
            "0.32.0",
            "auto",
            "this worker has no NVIDIA GPU with its driver, which its vLLM needs; run it where there are GPUs",
        ),
        (
            "0.32.0",
            "cpu",
            "device is 'cpu', and this worker's vLLM is for GPUs; leave device out, or install vLLM's build",
        ),
        ("0.32.0", "cuda:1", "device is 'cuda:1', and this worker has no GPU"),
        ("0.32.0+cpu", "cuda", "device is 'cuda', and this worker has no GPU"),
    ],
)
def test_a_worker_that_can_not_run_vllm_says_what_it_needs(version, device, reason, monkeypatch):
    def version_of(name):
        assert name == "vllm"
        if version is None:
            raise vllm.metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(vllm.metadata, "version", version_of)
    monkeypatch.setattr(vllm, "cuda_gpu_count", lambda: 0)
    with pytest.raises(SystemicError) as raised:
        vllm.build(config(), Runtime(device))
    assert str(raised.value).startswith(reason)

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What is taken for granted of vLLM, with vLLM itself: arguments, requests, responses, and a server with a tiny model.

tools/vllm.sh installs it in an environment of its own, and runs these tests there; elsewhere they are skipped.
"""

import contextlib
import json
import logging
import os
import signal
import sys
from importlib import metadata
from pathlib import Path

import pytest

from expansion.contract._gen.model_pb2 import VllmModel
from expansion.errors import SystemicError
from expansion.models import vllm, vllm_arguments
from expansion.models.runtime import Runtime, cuda_gpu_count
from expansion.models.vllm_requests import CHAT_PARAMETERS, PARAMETERS, Completion, completion, request
from expansion.tensors.columns import Blobs, Columns
from expansion.transforms.isolation import isolate

sys.path.insert(0, str(Path(__file__).parent))
from vllm_api_server import response


def version():
    with contextlib.suppress(metadata.PackageNotFoundError):
        return metadata.version("vllm")
    return ""


CAN_SERVE = cuda_gpu_count() > 0 or "cpu" in version()

pytestmark = [
    pytest.mark.framework,
    pytest.mark.skipif(not version(), reason="vLLM is not installed: see tools/vllm.sh"),
]

# Every setting of a request, as JSON.
VALUES = {
    "seed": "7",
    "top_k": "5",
    "min_p": "0.1",
    "min_tokens": "2",
    "frequency_penalty": "0.5",
    "presence_penalty": "0.5",
    "repetition_penalty": "1.1",
    "repetition_detection": '{"max_pattern_size": 4, "min_pattern_size": 1, "min_count": 8}',
    "logit_bias": '{"5": -1.0}',
    "bad_words": '["fox"]',
    "allowed_token_ids": "[5, 6, 7]",
    "stop_token_ids": "[1]",
    "ignore_eos": "true",
    "include_stop_str_in_output": "true",
    "skip_special_tokens": "false",
    "truncate_prompt_tokens": "4",
    "truncation_side": '"left"',
    "response_format": '{"type": "text"}',
    "structured_outputs": '{"choice": ["yes", "no"]}',
    "thinking_token_budget": "9",
    "chat_template_kwargs": '{"enable_thinking": false}',
    "reasoning_effort": '"low"',
}
SETTINGS = {"uri": "hf://a/b", "max_tokens": 7, "temperature": 0, "top_p": 0.5, "stop": ["\n"]}


@pytest.fixture(scope="module", autouse=True)
def platform():
    """Without a GPU, vLLM's arguments can't even be listed, unless it is told to be for CPUs."""
    if not CAN_SERVE:
        os.environ["VLLM_TARGET_DEVICE"] = "cpu"
    yield
    os.environ.pop("VLLM_TARGET_DEVICE", None)


@pytest.fixture(scope="module")
def parser():
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    return make_arg_parser(FlexibleArgumentParser())


@pytest.fixture(scope="module")
def protocols():
    """Classes of requests and responses, by task."""
    from vllm.entrypoints.openai.chat_completion import protocol as chat
    from vllm.entrypoints.openai.completion import protocol as completions

    return {
        "chat": (chat.ChatCompletionRequest, chat.ChatCompletionResponse),
        "completions": (completions.CompletionRequest, completions.CompletionResponse),
    }


def test_the_command_that_starts_the_server_is_there():
    from vllm.entrypoints.cli.main import main
    from vllm.entrypoints.cli.serve import ServeSubcommand

    assert callable(main)
    assert ServeSubcommand.name == "serve"


def test_arguments_that_clients_may_set_are_those_of_the_server_and_of_the_same_kinds(parser):
    actions = {option: action for action in parser._actions for option in action.option_strings}
    flags = [name for name, kind in vllm_arguments.FREE.items() if kind == vllm_arguments._FLAG]
    assert [name for name in vllm_arguments.FREE if f"--{name}" not in actions] == []
    assert [name for name in flags if f"--no-{name}" not in actions] == []
    assert [name for name in sorted(vllm_arguments._OURS) if f"--{name}" not in actions] == ["omni"]
    values = {
        vllm_arguments._FLAG: "true",
        vllm_arguments._INTEGER: "2",
        vllm_arguments._NUMBER: "0.5",
        vllm_arguments._SIZE: "8k",
        vllm_arguments._WORD: "auto",
    }
    special = {
        "performance-mode": "throughput",
        "optimization-level": "2",
        "quantization": "fp8",
        "reasoning-parser": "qwen3",
    }
    given = {name: special.get(name, values[kind]) for name, kind in vllm_arguments.FREE.items()}
    assert list(vllm_arguments.check_arguments(given)) == []
    command = ["a/b", "--revision=v1", "--uds=server.http", "--disable-uvicorn-access-log"]
    parsed = parser.parse_args([*command, *vllm_arguments.command_line(given)])
    assert (parsed.model_tag, parsed.uds, parsed.revision) == ("a/b", "server.http", "v1")
    assert parsed.disable_uvicorn_access_log
    assert (parsed.max_model_len, parsed.max_num_batched_tokens, parsed.tensor_parallel_size) == (8000, 8000, 2)
    assert (parsed.gpu_memory_utilization, parsed.cpu_offload_gb, parsed.dtype) == (0.5, 0.5, "auto")
    assert all(getattr(parsed, name.replace("-", "_")) for name in flags)
    off = parser.parse_args(["a/b", *vllm_arguments.command_line(dict.fromkeys(flags, "false"))])
    assert not any(getattr(off, name.replace("-", "_")) for name in flags)


def test_a_value_is_never_another_argument(parser):
    parsed = parser.parse_args(["a/b", *vllm_arguments.command_line({"chat-template": "--port=1"})])
    assert (parsed.chat_template, parsed.port) == ("--port=1", 8000)


@pytest.mark.parametrize("task", ["chat", "completions"])
def test_requests_are_those_of_vllm_with_every_parameter(task, protocols):
    ask, _ = protocols[task]
    names = PARAMETERS | (CHAT_PARAMETERS if task == "chat" else set())
    assert set(VALUES) == PARAMETERS | CHAT_PARAMETERS
    assert names <= set(ask.model_fields)
    for name in sorted(names):
        told = VllmModel(**SETTINGS, task=task, parameters={name: VALUES[name]})
        assert list(vllm.check(told)) == []
        read = ask.model_validate(request(told, "Hello"))
        assert read.model_extra == {}
        assert (read.temperature, read.top_p, read.stop) == (0, 0.5, ["\n"])
        assert getattr(read, "max_completion_tokens" if task == "chat" else "max_tokens") == 7
        wanted = json.loads(VALUES[name])
        assert isinstance(wanted, dict) or getattr(read, name) == wanted


def test_only_chats_have_the_parameters_of_chats(protocols):
    assert not CHAT_PARAMETERS & set(protocols["completions"][0].model_fields)


def test_responses_are_read_as_vllm_writes_them(protocols):
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionResponseChoice, ChatMessage
    from vllm.entrypoints.openai.completion.protocol import CompletionResponseChoice
    from vllm.entrypoints.serve.engine.protocol import UsageInfo

    usage = UsageInfo(prompt_tokens=3, completion_tokens=2, total_tokens=5)
    thought = ChatMessage(role="assistant", content=None, reasoning="Well,")
    choices = {
        "chat": ChatCompletionResponseChoice(index=0, message=thought, finish_reason="length"),
        "completions": CompletionResponseChoice(index=0, text="a b", finish_reason="stop"),
    }
    expected = {"chat": Completion("", "length", 3, 2), "completions": Completion("a b", "stop", 3, 2)}
    for task, choice in choices.items():
        written = protocols[task][1](model="m", choices=[choice], usage=usage).model_dump_json()
        assert completion(json.loads(written), task) == expected[task]


def test_the_server_of_the_other_tests_answers_as_vllm_does(protocols):
    bodies = {"chat": {"messages": [{"role": "user", "content": "a"}]}, "completions": {"prompt": "a"}}
    resources = {"chat": "/v1/chat/completions", "completions": "/v1/completions"}
    for task, body in bodies.items():
        made = response(resources[task], "A B", body)
        read = protocols[task][1].model_validate(made)
        assert read.model_extra == {}
        assert read.choices[0].model_extra == {}
        assert read.usage.completion_tokens == 2
        assert set(read.model_dump()) >= set(made)


@pytest.mark.skipif(CAN_SERVE, reason="vLLM can serve here")
def test_without_a_gpu_workers_say_what_is_missing():
    with pytest.raises(SystemicError, match="this worker has no NVIDIA GPU with its driver, which its vLLM needs"):
        vllm.build(VllmModel(uri="hf://a/b", task="chat"))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A model of random weights that knows a few words, and its tokenizer."""
    import torch
    import transformers
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    path = tmp_path_factory.mktemp("vllm") / "tiny"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = {"bos_token": "<s>", "eos_token": "</s>"}
    letters = [*map(chr, range(33, 127)), "Ġ", "Ċ"]  # no parts of characters: vLLM waits for the rest of them
    training = trainers.BpeTrainer(vocab_size=300, special_tokens=list(special.values()), initial_alphabet=letters)
    tokenizer.train_from_iterator(["the quick brown fox jumps over the lazy dog"], training)
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    fast.chat_template = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    fast.save_pretrained(path)
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    settings = transformers.LlamaConfig(
        vocab_size=len(fast), max_position_embeddings=256, bos_token_id=0, eos_token_id=1, **sizes
    )
    transformers.LlamaForCausalLM(settings).eval().save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def generated(directory):
    """Returns what transformers makes of a prompt."""
    import torch
    import transformers

    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)

    def generated(prompt):
        ids = tokenizer(prompt, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            tokens = model.generate(ids, max_new_tokens=12, do_sample=False)
        return tokenizer.decode(tokens[0, ids.shape[1] :], skip_special_tokens=True)

    return generated


def served(directory, task, **more):
    # Those of CPUs and of small machines; on a GPU they do no harm.
    args = {"dtype": "float32", "enforce-eager": "true", "max-num-seqs": "16", "gpu-memory-utilization": "0.4"}
    told = VllmModel(uri=str(directory), task=task, max_tokens=12, temperature=0, server_args=args, **more)
    assert list(vllm.check(told)) == []
    assert list(vllm.permissions(told)) == []
    return vllm.build(told, Runtime())


def run(model, prompts):
    """Returns the rows of the outputs, and the errors."""
    outputs = list(vllm.signature(VllmModel()).outputs)
    column = Columns({"p": Blobs.of("STRING", prompts, len(prompts))}, len(prompts))
    found = isolate(lambda part: Columns(model.run({"prompt": part}, outputs), part.row_count), column)
    rows = zip(*(found.columns[name].to_rows() for name in outputs), strict=True)
    return [dict(zip(outputs, row, strict=True)) for row in rows], found.errors


@pytest.mark.skipif(not CAN_SERVE, reason="no GPU on this machine, and vLLM is not built for CPUs")
def test_a_real_server_completes_chats_refuses_and_comes_back(directory, generated, caplog, monkeypatch):
    monkeypatch.setenv("VLLM_CPU_KVCACHE_SPACE", "1")
    caplog.set_level(logging.INFO)
    model = served(directory, "completions")
    prompts = ["the quick", "brown fox", "x q" * 400, "jumps over the", "", "lazy"]
    rows, errors = run(model, prompts)
    good = [prompt for index, prompt in enumerate(prompts) if index not in (2, 4)]
    assert [row["text"] for row in rows] == [generated(prompt) for prompt in good]
    assert [(row["finish_reason"], row["completion_tokens"]) for row in rows] == [("length", 12)] * 4
    assert rows[0]["prompt_tokens"] == 2
    assert set(errors) == {2, 4}
    assert errors[2].message.startswith("HTTP 400: This model's maximum context length is 256 tokens.")
    assert errors[4].message.startswith("HTTP 400: Either prompt or prompt_embeds must be provided and non-empty.")

    # The same server, for a chat with a system's message and structured outputs.
    choice = {"structured_outputs": '{"choice": ["yes", "no"]}'}
    answers, errors = run(served(directory, "chat", system="Be", parameters=choice), ["over?", "lazy?"])
    assert errors == {}
    assert {answer["text"] for answer in answers} <= {"yes", "no"}
    assert {answer["finish_reason"] for answer in answers} == {"stop"}
    text = generated("[system] Be\n[user] the\n")
    assert run(served(directory, "chat", system="Be"), ["the"])[0][0]["text"] == text
    assert caplog.text.count("vLLM's server is ready after") == 1

    # What no prompt can do is said when the model is loaded.
    with pytest.raises(SystemicError, match=r"takes no prompt for .* as it is configured: HTTP 400: .*bad_words"):
        served(directory, "completions", parameters={"bad_words": "[7]"})

    # Its engine is killed under it.
    (engine,) = engines()
    os.kill(engine, signal.SIGKILL)
    assert [row["text"] for row in run(model, good)[0]] == [generated(prompt) for prompt in good]
    (another,) = engines()
    assert another != engine


def engines():
    """Returns the ids of the processes of vLLM's engines whose server is ours."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cmdline").read_bytes().startswith(b"VLLM::EngineCore"):
                found.append(int(process.name))
    return found

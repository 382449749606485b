# Licensed under the Apache License, Version 2.0; see LICENSE.
"""words: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, one 4, two 5, three 6, ü 7, ten 10."""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from expansion.contract._gen.hook_pb2 import Tokenize
from expansion.contract.fields import Field
from expansion.errors import SystemicError
from expansion.hooks import tokenize
from expansion.tensors.columns import Blobs, Columns, Dense, Ragged

TEXTS = ["The quick brown fox jumps.", "", "żółć 😀 naïve", "a\0b", "한국어 中文", "word " * 300, "\n\t ", "[CLS] it's"]


def texts(*elements):
    return Blobs.of("STRING", elements, len(elements))


def rewritten(uri, tmp_path, **parts):
    """Returns a copy of a tokenizer.json with some of its parts replaced."""
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(Path(uri).read_text()), **parts}))
    return str(path)


def test_texts_become_ids_and_a_mask_padded_to_the_longest_of_the_batch(apply, words):
    after = apply(Tokenize(column="x", uri=words), x=texts("one Two ten", "ü", "eight"))
    assert after["input_ids"].to_rows() == [[2, 4, 5, 10, 3], [2, 7, 3, 0, 0], [2, 1, 3, 0, 0]]
    assert after["attention_mask"].to_rows() == [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 0, 0]]
    assert after["x"].to_rows() == ["one Two ten", "ü", "eight"]


def test_rows_may_be_cut_and_padded_to_a_fixed_number_of_tokens(apply, words):
    config = Tokenize(column="x", uri=words, max_tokens=4, padding="max_tokens")
    after = apply(config, x=texts("one two three", "one"))
    assert after["input_ids"].to_rows() == [[2, 4, 5, 3], [2, 4, 3, 0]]
    assert tokenize.fields(config, {"x": Field("x", "STRING")})["input_ids"] == Field("input_ids", "INT64", (4,))


def test_rows_may_keep_their_own_size(apply, words):
    after = apply(Tokenize(column="x", uri=words, padding="none", type_ids_output="types"), x=texts("one two", ""))
    assert isinstance(after["input_ids"], Ragged)
    assert after["input_ids"].to_rows() == [[2, 4, 5, 3], [2, 3]]
    assert after["attention_mask"].to_rows() == [[1, 1, 1, 1], [1, 1]]
    assert after["types"].to_rows() == [[0, 0, 0, 0], [0, 0]]


def test_special_tokens_may_be_left_out_even_of_empty_texts(apply, words):
    config = Tokenize(column="x", uri=words, omit_special_tokens=True)
    assert apply(config, x=texts("one two", ""))["input_ids"].to_rows() == [[4, 5], [0, 0]]
    nothing = apply(config, x=texts("", ""))
    assert nothing["input_ids"].shape == nothing["attention_mask"].shape == (0,)


def test_pairs_say_which_text_a_token_belongs_to(apply, words):
    config = Tokenize(column="x", pair_column="y", uri=words, type_ids_output="types", ids_output="x", mask_output="m")
    after = apply(config, x=texts("one", "one two"), y=texts("two three", ""))
    assert list(after) == ["x", "y", "m", "types"]
    assert after["x"].to_rows() == [[2, 4, 3, 5, 6, 3], [2, 4, 5, 3, 3, 0]]
    assert after["types"].to_rows() == [[0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 1, 0]]


def test_the_longer_text_of_a_pair_is_cut_first(apply, words):
    config = Tokenize(column="x", pair_column="y", uri=words, max_tokens=6)
    after = apply(config, x=texts("one " * 9), y=texts("two"))
    assert after["input_ids"].to_rows() == [[2, 4, 4, 3, 5, 3]]


@pytest.mark.parametrize(("padding", "max_tokens"), [("longest", 0), ("max_tokens", 32), ("longest", 200)])
def test_a_real_tokenizer_gives_what_its_library_gives(apply, minilm, padding, max_tokens):
    config = Tokenize(column="x", uri=minilm, max_tokens=max_tokens, padding=padding, type_ids_output="types")
    after = apply(config, x=texts(*TEXTS))
    expected = Tokenizer.from_file(minilm)
    if max_tokens:
        expected.enable_truncation(max_tokens)
    expected.enable_padding(length=max_tokens if padding == "max_tokens" else None)
    encodings = expected.encode_batch(TEXTS)
    assert after["input_ids"].to_rows() == [encoding.ids for encoding in encodings]
    assert after["attention_mask"].to_rows() == [encoding.attention_mask for encoding in encodings]
    assert after["types"].to_rows() == [encoding.type_ids for encoding in encodings]


def test_without_max_tokens_a_text_is_cut_where_the_tokenizer_says_or_not_at_all(apply, minilm, words):
    long = texts("one " * 1000)
    assert apply(Tokenize(column="x", uri=minilm), x=long)["input_ids"].shape == (128,)
    assert apply(Tokenize(column="x", uri=words), x=long)["input_ids"].shape == (1002,)


def test_padding_is_what_the_tokenizer_says_and_on_its_side(apply, words, tmp_path):
    padding = {"strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": None}
    padding |= {"pad_id": 7, "pad_type_id": 5, "pad_token": "ü"}
    config = Tokenize(column="x", uri=rewritten(words, tmp_path, padding=padding), type_ids_output="types")
    after = apply(config, x=texts("one", "one two"))
    assert after["input_ids"].to_rows() == [[7, 2, 4, 3], [2, 4, 5, 3]]
    assert after["attention_mask"].to_rows() == [[0, 1, 1, 1], [1, 1, 1, 1]]
    assert after["types"].to_rows() == [[5, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(("name", "fill"), [("<pad>", 7), ("anything", 0)])
def test_a_tokenizer_that_does_not_say_pads_with_its_padding_token_or_0(apply, words, tmp_path, name, fill):
    model = {"type": "WordLevel", "vocab": {"one": 0, name: 7, "[UNK]": 1}, "unk_token": "[UNK]"}
    uri = rewritten(words, tmp_path, model=model, added_tokens=[], post_processor=None)
    assert apply(Tokenize(column="x", uri=uri), x=texts("one", ""))["input_ids"].to_rows() == [[0], [fill]]


def test_a_tokenizer_that_cuts_on_the_left_still_does_with_another_limit(apply, words, tmp_path):
    said = {"max_length": 100, "strategy": "OnlySecond", "stride": 9, "direction": "Left"}
    config = Tokenize(column="x", uri=rewritten(words, tmp_path, truncation=said), max_tokens=4)
    assert apply(config, x=texts("one two three ten"))["input_ids"].to_rows() == [[2, 6, 10, 3]]


def test_max_tokens_without_room_for_special_tokens_is_refused_as_the_library_would_not_cut(words):
    with pytest.raises(SystemicError, match=r"max_tokens is 2, and the tokenizer .* puts 3 special tokens"):
        tokenize.build(Tokenize(column="x", pair_column="y", uri=words, max_tokens=2))
    tokenize.build(Tokenize(column="x", pair_column="y", uri=words, max_tokens=1, omit_special_tokens=True))


def test_no_rows_have_no_tokens(apply, words):
    for padding in ("longest", "none"):
        assert apply(Tokenize(column="x", uri=words, padding=padding), x=texts())["input_ids"].to_rows() == []


def test_threads_may_share_it(words):
    operation = tokenize.build(Tokenize(column="x", uri=words, max_tokens=8))
    batches = [texts(*["one two " * (1 + n % 5)] * (1 + n % 7)) for n in range(60)]

    def run(batch):
        return operation(Columns({"x": batch}, len(batch)))["input_ids"].to_rows()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(run, batches)) == [run(batch) for batch in batches]


def test_arrays_are_int64_even_where_ids_are_small(apply, words):
    after = apply(Tokenize(column="x", uri=words, max_tokens=3, padding="max_tokens"), x=texts("one"))
    assert isinstance(after["input_ids"], Dense)
    assert after["input_ids"].values.dtype == after["attention_mask"].values.dtype == np.int64


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"PK\x03\x04", "it looks like a zip file"),
        (b"\xff", "expected"),
        (b"{}", "Model missing"),
    ],
)
def test_a_file_that_is_no_tokenizer_fails_on_the_worker(tmp_path, content, reason):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(SystemicError, match=f"is no tokenizer.json, or a damaged one.*{reason}"):
        tokenize.build(Tokenize(column="x", uri=str(path)))


def test_a_truncated_file_fails_on_the_worker(minilm, tmp_path):
    (tmp_path / "half.json").write_bytes(Path(minilm).read_bytes()[:100_000])
    with pytest.raises(SystemicError, match=r"is no tokenizer.json, or a damaged one: .* EOF while parsing"):
        tokenize.build(Tokenize(column="x", uri=str(tmp_path / "half.json")))


def test_a_missing_file_or_library_fails_on_the_worker_and_not_before(monkeypatch):
    config = Tokenize(column="x", uri="none.json")
    assert list(tokenize.check(config)) == []
    with pytest.raises(SystemicError, match=r"can't read 'none.json': there is no such file"):
        tokenize.build(config)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(SystemicError, match=r"on the workers: pip install 'beam-ml-expansion\[hooks\]'"):
        tokenize.build(config)


def test_impossible_messages_are_problems(problems):
    assert problems(Tokenize()) == [
        "column: missing; expected the name of a column",
        "uri: missing; expected the path or URI of a tokenizer.json",
    ]
    assert problems(Tokenize(column="x", uri="u", max_tokens=-1, padding="longst")) == [
        "max_tokens: got -1; expected 1 or more, or 0 for the default",
        "padding: got 'longst'; did you mean 'longest'?",
    ]
    assert problems(Tokenize(column="x", uri="u", padding="max_tokens")) == [
        "max_tokens: missing; padding is 'max_tokens', so say how many"
    ]


def test_outputs_of_one_name_are_problems(problems):
    expected = "is the name of another output too; give each its own"
    assert problems(Tokenize(column="x", uri="u", ids_output="attention_mask")) == [
        f"mask_output: 'attention_mask' {expected}"
    ]
    assert problems(Tokenize(column="x", uri="u", mask_output="m", type_ids_output="m")) == [
        f"type_ids_output: 'm' {expected}"
    ]


def test_columns_that_do_not_hold_one_text_a_row_are_problems(problems):
    config = Tokenize(column="x", pair_column="y", uri="u")
    assert problems(config, x=Field("x", "BYTES"), y=Field("y", "STRING", (2,))) == [
        "column: column 'x' is BYTES; expected STRING",
        "pair_column: column 'y' is STRING[2]; expected one text a row",
    ]

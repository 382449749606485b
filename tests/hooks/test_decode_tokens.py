# Licensed under the Apache License, Version 2.0; see LICENSE.
"""words: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, one 4, two 5, three 6, ü 7, ten 10."""

import numpy as np
import pytest
from tokenizers import Tokenizer

from expansion.contract._gen.hook_pb2 import DecodeTokens
from expansion.contract.fields import Field
from expansion.errors import BadRows, SystemicError
from expansion.hooks import decode_tokens
from expansion.tensors.columns import Ragged


def ragged(*rows, dtype=np.int64):
    return Ragged.of_rows([np.asarray(row, dtype) for row in rows], dtype, 1)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.uint64])
def test_tokens_become_texts_without_special_tokens(apply, words, dtype):
    after = apply(DecodeTokens(column="x", uri=words), x=np.array([[2, 4, 7, 3], [2, 10, 3, 0]], dtype))
    assert after["x"].to_rows() == ["one ü", "ten"]


def test_special_tokens_may_be_kept(apply, words):
    after = apply(DecodeTokens(column="x", uri=words, keep_special_tokens=True, output="y"), x=np.array([[2, 4, 0]]))
    assert after["x"].to_rows() == [[2, 4, 0]]
    assert after["y"].to_rows() == ["[CLS] one [PAD]"]


def test_rows_of_unequal_size_are_decoded_in_order(apply, words):
    after = apply(DecodeTokens(column="x", uri=words), x=ragged([4, 5], [], [6], [7, 5]))
    assert after["x"].to_rows() == ["one two", "", "three", "ü two"]


def test_ids_that_the_tokenizer_does_not_have_are_bad_rows_all_at_once(apply, words):
    with pytest.raises(BadRows) as raised:
        apply(DecodeTokens(column="x", uri=words), x=ragged([4, -100, 12], [], [4], [9], [2**40]))
    assert raised.value.messages.keys() == {0, 3, 4}
    assert raised.value.messages[0].startswith("column 'x' has -100, which is no token; those of '")
    assert raised.value.messages[3].endswith("words.json' go from 0 to 10")
    with pytest.raises(BadRows) as raised:
        apply(DecodeTokens(column="x", uri=words), x=np.array([[4], [2**64 - 1]], np.uint64))
    assert raised.value.messages.keys() == {1}


def test_a_real_tokenizer_gives_what_its_library_gives(apply, minilm):
    texts = ["The quick brown fox jumps.", "", "żółć 😀 naïve", "unbelievable tokenizations", "a\0b"]
    tokenizer = Tokenizer.from_file(minilm)
    tokenizer.no_padding()
    tokens = [encoding.ids for encoding in tokenizer.encode_batch(texts)]
    decoded = apply(DecodeTokens(column="x", uri=minilm), x=ragged(*tokens))["x"].to_rows()
    assert decoded == [tokenizer.decode(row) for row in tokens]
    assert decoded[0] == "the quick brown fox jumps."


def test_no_rows_have_no_texts(apply, words):
    assert apply(DecodeTokens(column="x", uri=words), x=np.zeros((0, 3), np.int64))["x"].to_rows() == []


def test_a_missing_or_damaged_file_fails_on_the_worker_and_not_before(tmp_path):
    config = DecodeTokens(column="x", uri=str(tmp_path / "t.json"))
    assert list(decode_tokens.check(config)) == []
    with pytest.raises(SystemicError, match="there is no such file"):
        decode_tokens.build(config)
    (tmp_path / "t.json").write_text("[]")
    with pytest.raises(SystemicError, match=r"is no tokenizer.json, or a damaged one; it looks like text"):
        decode_tokens.build(config)


def test_impossible_messages_are_problems(problems):
    assert problems(DecodeTokens(column="x")) == ["uri: missing; expected the path or URI of a tokenizer.json"]
    config = DecodeTokens(column="x", uri="u")
    assert problems(config, x=Field("x", "FP32", (2,))) == [
        "column: column 'x' is FP32[2]; expected an integer datatype"
    ]
    for shape in ((), (2, 3)):
        (problem,) = problems(config, x=Field("x", "INT64", shape))
        assert problem.endswith("expected a vector of token ids; reshape it before")
    assert problems(config, y=Field("y", "INT64", (2,))) == ["column: there is no column 'x'; expected one of 'y'"]

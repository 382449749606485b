# Licensed under the Apache License, Version 2.0; see LICENSE.
import sys
import types

import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import Hash
from expansion.contract.fields import Field
from expansion.errors import SystemicError
from expansion.hooks import hash as hash_hook
from expansion.tensors.columns import Blobs, Ragged, RaggedBlobs

# What tf.strings.to_hash_bucket_fast says, of 1000 buckets and of as many as there can be.
BUCKETS = {
    "": (263, 1936946117179621456),
    "a": (939, 3694432073954588132),
    "hello": (296, 3786372426573024489),
    "zażółć gęślą jaźń": (629, 9043557418763432629),
    "user-1234567890": (474, 4149742981096633474),
    "x" * 40: (852, 7780224193200209045),
    "x" * 100: (719, 6590480085648050719),
    "x" * 200: (527, 4715616229117174720),
    "42": (736, 623910487284905736),
    "-1": (430, 7333874265151076430),
    "18446744073709551615": (233, 8070681843833593426),
}


@pytest.mark.parametrize("datatype", ["STRING", "BYTES"])
def test_texts_are_in_the_buckets_that_tensorflow_puts_them_in(apply, datatype):
    x = Blobs.of(datatype, list(BUCKETS), len(BUCKETS))
    assert apply(Hash(columns=["x"], buckets=1000), x=x)["x"].to_rows() == [small for small, _ in BUCKETS.values()]
    most = apply(Hash(columns=["x"], buckets=2**63 - 1), x=x)["x"]
    assert most.to_rows() == [large for _, large in BUCKETS.values()]


@pytest.mark.parametrize(
    ("dtype", "values"), [("i8", [42, -1]), ("i1", [42, -1]), ("u1", [42, 42]), ("u8", [42, 2**64 - 1])]
)
def test_integers_are_hashed_as_their_decimal_text(apply, dtype, values):
    after = apply(Hash(columns=["x"], buckets=1000), x=np.array([values], dtype))
    assert after["x"].to_rows() == [[BUCKETS[str(value)][0] for value in values]]


def test_rows_of_any_shape_keep_it(apply):
    texts = Blobs.of("STRING", ["a", "hello", "", "a"], 2, (2, 1))
    ragged = Ragged.of_rows([np.array([42]), np.array([42, -1])], np.int32, 1)
    after = apply(Hash(columns=["x", "y"], buckets=1000), x=texts, y=ragged)
    assert after["x"].to_rows() == [[[939], [296]], [[263], [939]]]
    assert after["y"].to_rows() == [[736], [736, 430]]


def test_one_bucket_takes_everything_and_no_rows_have_none(apply):
    assert apply(Hash(columns=["x"], buckets=1), x=np.array([7, 8]))["x"].to_rows() == [0, 0]
    assert apply(Hash(columns=["x"], buckets=9), x=np.zeros((0, 2), np.int8))["x"].values.shape == (0, 2)


def test_another_package_in_place_of_the_one_that_hashes_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "farmhash", types.ModuleType("farmhash"))
    with pytest.raises(
        SystemicError, match=r"of package cityhash, is missing.*pip install 'beam-ml-expansion\[hooks\]'"
    ):
        hash_hook.build(Hash(columns=["x"], buckets=2))


def test_impossible_messages_are_problems(problems):
    assert problems(Hash()) == [
        "columns: missing; expected the names of one or more columns",
        "buckets: got 0; expected 1 or more",
    ]
    assert problems(Hash(columns=["x", "y"], buckets=2), x=Field("x", "FP32"), y=Field("y", "BOOL")) == [
        "columns[0]: column 'x' is FP32; expected STRING, BYTES or an integer datatype",
        "columns[1]: column 'y' is BOOL; expected STRING, BYTES or an integer datatype",
    ]


def test_texts_of_unequal_number_keep_their_shapes(apply):
    x = RaggedBlobs.of_rows("STRING", [["a", "b"], [], ["b"]], 1)
    rows = apply(Hash(columns=["x"], buckets=1000), x=x)["x"].to_rows()
    assert [len(row) for row in rows] == [2, 0, 1]
    assert rows[0][1] == rows[2][0] != rows[0][0]

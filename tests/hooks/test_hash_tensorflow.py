# Licensed under the Apache License, Version 2.0; see LICENSE.
"""hash puts values into the buckets that TensorFlow puts them into."""

import numpy as np
import pytest

from expansion.contract._gen.hook_pb2 import Hash
from expansion.tensors.columns import Blobs

pytestmark = pytest.mark.framework


@pytest.mark.parametrize("buckets", [1, 7, 1024, 10**12 + 39, 2**63 - 1])
def test_bytes_of_any_length_are_in_the_buckets_of_tensorflow(apply, buckets):
    import tensorflow as tf

    random = np.random.default_rng(0)
    blobs = [random.bytes(length) for length in range(201) for _ in range(3)]
    after = apply(Hash(columns=["x"], buckets=buckets), x=Blobs.of("BYTES", blobs, len(blobs)))
    expected = tf.strings.to_hash_bucket_fast(tf.constant(blobs), buckets).numpy()
    np.testing.assert_array_equal(after["x"].values, expected)


def test_texts_of_any_alphabet_are_in_the_buckets_of_tensorflow(apply):
    import tensorflow as tf

    random = np.random.default_rng(0)
    alphabet = list("aZ09 -_/äßçŁзд中文字かな한글עبا😀👩\u0301\u200d\x00")
    texts = ["".join(random.choice(alphabet, length)) for length in range(70) for _ in range(3)]
    after = apply(Hash(columns=["x"], buckets=1000), x=Blobs.of("STRING", texts, len(texts)))
    np.testing.assert_array_equal(after["x"].values, tf.strings.to_hash_bucket_fast(tf.constant(texts), 1000).numpy())


def test_integers_are_in_the_buckets_of_their_text_as_tensorflow_writes_it(apply):
    import tensorflow as tf

    limits = np.iinfo(np.int64)
    values = np.array([0, 1, -1, 10**9, limits.min, limits.max])
    expected = tf.strings.to_hash_bucket_fast(tf.strings.as_string(tf.constant(values)), 1000).numpy()
    np.testing.assert_array_equal(apply(Hash(columns=["x"], buckets=1000), x=values)["x"].values, expected)

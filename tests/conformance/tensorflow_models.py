# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Writes the TensorFlow models that the conformance cases name, small and exact enough to check by hand."""

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf


class SumAndShout(tf.Module):
    """x FP32[2], word → the sum of x and the word in capitals; as the signature "any_size", x FP32[n] → its double."""

    @tf.function(input_signature=[tf.TensorSpec([None, 2], name="x"), tf.TensorSpec([None], tf.string, name="word")])
    def __call__(self, x, word):
        return {"sum": tf.reduce_sum(x, axis=1), "shouted": tf.strings.upper(word, encoding="utf-8")}

    @tf.function(input_signature=[tf.TensorSpec([None, None], name="x")])
    def any_size(self, x):
        return {"double": 2 * x}


def write(directory: Path) -> None:
    """Writes the module as a SavedModel, and half of it."""
    module = SumAndShout()
    path = directory / "sum_and_shout"
    tf.saved_model.save(module, path, {"serving_default": module.__call__, "any_size": module.any_size})
    content = (path / "saved_model.pb").read_bytes()
    (directory / "truncated_saved_model").mkdir(exist_ok=True)
    (directory / "truncated_saved_model" / "saved_model.pb").write_bytes(content[: len(content) // 2])

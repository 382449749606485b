# Licensed under the Apache License, Version 2.0; see LICENSE.
"""TensorFlow: batches that do not fit, and rows of unequal size."""

import os
from contextlib import nullcontext
from functools import partial

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # it writes pages about what does not fit

import tensorflow as tf


def uses_cuda():
    return tf.config.list_physical_devices("GPU")


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu(uses_cuda, "TensorFlow can't use the GPU"))]
pytestmark = [pytest.mark.framework, pytest.mark.parametrize("device", DEVICES)]

MIB = 1 << 20


@pytest.fixture(scope="module", autouse=True)
def limited_gpu():
    """Has TensorFlow take no more than so much of a GPU, which can only be said before it computes anything."""
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.set_logical_device_configuration(gpu, [tf.config.LogicalDeviceConfiguration(memory_limit=800)])


@pytest.fixture
def save(tmp_path):
    """Writes a SavedModel y = function(x), for x FP32 of this shape, and returns its path."""

    def save(function, *shape):
        module = tf.Module()
        spec = tf.TensorSpec(shape, tf.float32, name="x")
        module.call = tf.function(lambda x: {"y": function(x)}, input_signature=[spec])
        tf.saved_model.save(module, str(tmp_path / "model"), {"serving_default": module.call})
        return str(tmp_path / "model")

    return save


def wide(x):
    """x → x, by way of 16,384 numbers for each: a row needs 1 MiB, and once it has it 1 MiB more."""
    numbers = x[:, :, None] * tf.constant(np.linspace(0.25, 0.75, 16384, dtype=np.float32))
    return tf.reduce_mean(tf.nn.relu(numbers) + numbers, axis=2)


def test_a_batch_that_does_not_fit_is_run_in_parts_and_the_smaller_size_is_kept(
    save, device, check_halving, address_space
):
    model = {"tensorflow": {"uri": save(wide, None, 16)}, "device": device}
    check_halving(model, partial(address_space, 800 * MIB) if device == "cpu" else nullcontext)


@pytest.mark.parametrize("pre_hooks", [[], [{"pad": {"columns": ["x"], "longest": True}}]], ids=["by shape", "padded"])
def test_rows_of_unequal_size_give_what_each_gives_by_itself(save, device, check_unequal, pre_hooks):
    uri = save(lambda x: tf.reduce_sum(x * x, axis=1), None, None)
    check_unequal({"model": {"tensorflow": {"uri": uri}, "device": device}, "pre_hooks": pre_hooks})

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Runs tensorflow-transform, on all rows as one batch, and hands out what it makes of them. Imports TensorFlow."""

import tempfile

import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_transform.beam as tft_beam
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.public import tfxio

# TFT takes and makes FP32, INT64 and STRING only; in between it works with all. So numbers go in as texts, and FP64
# comes out as INT64.
_AS_BITS = " as bits"


def transformed(columns, preprocessing):
    """Returns the results of a preprocessing function: arrays, or lists of lists where rows differ in length.

    Args:
        columns: Arrays [rows, *shape] of numbers or of str.
        preprocessing: From tensors of the columns' dtypes to tensors, by name.
    """
    batch = pa.RecordBatch.from_arrays([_lists(array) for array in columns.values()], list(columns))
    representations = {name: _dense(name, array.shape[1:]) for name, array in columns.items()}

    def preprocessing_fn(texts):
        typed = {name: _of_texts(text, columns[name].dtype) for name, text in texts.items()}
        return dict(map(_plain, *zip(*preprocessing(typed).items(), strict=True)))

    config = tfxio.TensorAdapterConfig(batch.schema, representations)
    with tft_beam.Context(temp_dir=tempfile.mkdtemp(), use_deep_copy_optimization=True):
        analyze_and_transform = tft_beam.AnalyzeAndTransformDataset(preprocessing_fn, output_record_batches=True)
        (batches, _), _ = ([batch], config) | analyze_and_transform
    rows = {}
    for made, _ in batches:
        for name in made.schema.names:
            rows.setdefault(name, []).extend(made.column(name).to_pylist())
    return {name.removesuffix(_AS_BITS): _array(name, values) for name, values in rows.items()}


def _lists(array):
    size = int(np.prod(array.shape[1:]))
    texts = [value if isinstance(value, str) else repr(value) for value in array.ravel().tolist()]
    offsets = pa.array(np.arange(0, len(texts) + 1, size), pa.int64())
    return pa.LargeListArray.from_arrays(offsets, pa.array([text.encode() for text in texts], pa.large_binary()))


def _dense(name, shape):
    representation = schema_pb2.TensorRepresentation()
    representation.dense_tensor.column_name = name
    representation.dense_tensor.shape.SetInParent()
    for size in shape:
        representation.dense_tensor.shape.dim.add(size=size)
    return representation


def _of_texts(text, dtype):
    if dtype.kind in "OU":
        return text
    return tf.cast(tf.strings.to_number(text, tf.float64 if dtype.kind == "f" else tf.int64), tf.as_dtype(dtype))


def _plain(name, tensor):
    if tensor.dtype == tf.float16:
        return name, tf.cast(tensor, tf.float32)
    return (name + _AS_BITS, tf.bitcast(tensor, tf.int64)) if tensor.dtype == tf.float64 else (name, tensor)


def _array(name, rows):
    if len({len(row) for row in rows}) > 1:
        return rows
    array = np.array(rows)
    return array.view(np.float64) if name.endswith(_AS_BITS) else array

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Operations as functions of tensorflow-transform's. Imports TensorFlow: for the process that learns, and no other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import tensorflow as tf
import tensorflow_transform as tft

from expansion import operations
from expansion.contract._gen import operation_pb2
from expansion.operations.results import outputs_of

# Of a column: dense [rows, *shape]; sparse [rows, largest size] where sizes differ from row to row.
_Tensor: TypeAlias = Any
_Tensors: TypeAlias = dict[str, _Tensor]


def preprocessing_of(chain: Sequence[operation_pb2.Operation], makes: Sequence[str]) -> Callable[[_Tensors], _Tensors]:
    """Returns a chain of operations as one function, of tensors by column.

    Args:
        chain: The operations.
        makes: The columns that it returns.
    """

    def preprocessing(inputs: Mapping[str, _Tensor]) -> _Tensors:
        tensors = dict(inputs)
        for message in chain:
            name, config = operations.operation(message)
            if name == "tfidf":
                tensors.update(_tfidf(config, tensors))
            else:
                results = {output: _FUNCTIONS[name](config, tensors[col]) for col, output in outputs_of(config).items()}
                tensors.update(results)
        return {name: tensors[name] for name in makes}

    return preprocessing


def _elementwise(x: _Tensor, config: Any, function: Callable[..., _Tensor]) -> _Tensor:
    """Applies a function that tells elements of rows [rows, elements] apart, or takes all alike."""
    if not config.elementwise or len(x.shape) <= 2:
        return function(x, elementwise=config.elementwise)
    flat = tf.reshape(x, [-1, x.shape[1:].num_elements()])
    return tf.reshape(function(flat, elementwise=True), [-1, *x.shape[1:]])


def _scale_by_min_max(config: operation_pb2.ScaleByMinMax, x: _Tensor) -> _Tensor:
    low, high = config.min_value, config.max_value if config.HasField("max_value") else 1.0

    def scaled(x: _Tensor, elementwise: bool) -> _Tensor:
        return tft.scale_by_min_max(x, low, high, elementwise=elementwise)

    return _elementwise(x, config, scaled)


def _bucketize(config: operation_pb2.BucketizeByQuantiles, x: _Tensor) -> _Tensor:
    return _elementwise(x, config, lambda x, elementwise: tft.bucketize(x, config.buckets, elementwise=elementwise))


def _vocabulary(config: operation_pb2.ComputeAndApplyVocabulary, x: _Tensor) -> _Tensor:
    return tft.compute_and_apply_vocabulary(
        tf.compat.v1.string_split(x, config.delimiters) if config.delimiters else x,
        default_value=config.default_value if config.HasField("default_value") else -1,
        top_k=config.top_k or None,
        frequency_threshold=config.frequency_threshold or None,
        num_oov_buckets=config.oov_buckets,
    )


def _tfidf(config: operation_pb2.TfIdf, tensors: Mapping[str, _Tensor]) -> _Tensors:
    """Returns the indices and weights of each column's words.

    tensorflow-transform has an index for every word. Words outside the vocabulary share the last one, and are dropped.
    """
    results = {}
    for column in config.columns:
        words = _words(config.delimiters, tensors[column])
        known = tft.compute_and_apply_vocabulary(words, top_k=config.vocabulary_size or None, num_oov_buckets=1)
        size = tft.get_num_buckets_for_transformed_feature(known)
        index, weight = tft.tfidf(known, size, smooth=not config.no_smoothing)
        is_known = index.values < size - 1
        results[column + (config.index_suffix or "_vocab_index")] = tf.sparse.retain(index, is_known)
        results[column + (config.weight_suffix or "_tfidf_weight")] = tf.sparse.retain(weight, is_known)
    return results


def _grams(
    config: operation_pb2.NGrams | operation_pb2.BagOfWords, x: _Tensor, function: Callable[..., _Tensor]
) -> _Tensor:
    smallest = config.min_n or 1
    separator = config.separator if config.HasField("separator") else " "
    return function(_words(config.delimiters, x), (smallest, config.max_n or smallest), separator)


def _hash_strings(config: operation_pb2.HashStrings, x: _Tensor) -> _Tensor:
    if isinstance(x, tf.SparseTensor):
        return x.with_values(_hash_strings(config, x.values))
    return tft.hash_strings(x if x.dtype == tf.string else tf.strings.as_string(x), config.buckets)


def _words(delimiters: str, x: _Tensor) -> tf.SparseTensor:
    """Returns the words of each row: its elements, or those of its text."""
    return tf.compat.v1.string_split(x, delimiters or " ") if len(x.shape) == 1 else _sparse(x)


def _sparse(x: _Tensor) -> tf.SparseTensor:
    return x if isinstance(x, tf.SparseTensor) else tf.RaggedTensor.from_tensor(x).to_sparse()


_FUNCTIONS: Mapping[str, Callable[[Any, _Tensor], _Tensor]] = {
    "scale_to_01": lambda config, x: _elementwise(x, config, tft.scale_to_0_1),
    "scale_by_min_max": _scale_by_min_max,
    "scale_to_z_score": lambda config, x: _elementwise(x, config, tft.scale_to_z_score),
    "scale_to_gaussian": lambda config, x: _elementwise(x, config, tft.scale_to_gaussian),
    "compute_and_apply_vocabulary": _vocabulary,
    "bucketize": _bucketize,
    "apply_buckets": lambda config, x: tft.apply_buckets(x, [list(config.boundaries)]),
    "apply_buckets_with_interpolation": lambda config, x: tft.apply_buckets_with_interpolation(
        x, [list(config.boundaries)]
    ),
    "ngrams": lambda config, x: _grams(config, x, tft.ngrams),
    "bag_of_words": lambda config, x: _grams(config, x, tft.bag_of_words),
    "hash_strings": _hash_strings,
    "deduplicate": lambda config, x: tft.deduplicate_tensor_per_row(_sparse(x)),
}

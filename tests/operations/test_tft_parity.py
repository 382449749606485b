# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Operations do what tensorflow-transform does, on real data and on 20,000 generated rows.

Of FP64 all results are equal to 1e-6 and bucketize's are equal, with one exception: TFT rounds boundaries to FP32, so
that a value which is a boundary may lie below it. Of other datatypes TFT computes in FP32: results are equal to 1e-5.

TFT averages the L-moments of batches, which makes its scale_to_gaussian depend on what batches there are; here all rows
are one. Its quantiles are of a sketch; here with an epsilon with which it holds all rows.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from expansion.contract._gen import operation_pb2
from expansion.hooks.bucketize import intervals
from expansion.tensors.columns import Blobs, RaggedBlobs
from expansion.tensors.words import words_of

pytestmark = pytest.mark.framework

BOUNDARIES = [-1.5, 0.0, 2.0, 3.5, 15.0]
DELIMITERS = " .,:;()|"


@pytest.fixture(scope="module")
def tft():
    return pytest.importorskip("tensorflow_transform")


@pytest.fixture(scope="module")
def transformed(tft):
    sys.path.insert(0, str(Path(__file__).parent))
    import tft_run

    return tft_run.transformed


def wine():
    from sklearn.datasets import load_wine

    return load_wine().data


def breast_cancer():
    from sklearn.datasets import load_breast_cancer

    return load_breast_cancer().data


def generated(rows):
    random = np.random.default_rng(7)
    long_tail = random.lognormal(0, 1.5, rows)
    return {
        "skewed": long_tail,
        "skewed_left": 5 - random.exponential(3, rows),
        "long_tails": random.standard_t(2, rows),
        "ties": random.integers(0, 7, rows).astype(np.float64),
        "constant": np.full(rows, 2.5),
        "fp32": long_tail.astype(np.float32),
        "int64": random.poisson(20, rows),
        "int32": (10 * long_tail).astype(np.int32),
        "int16": random.integers(-300, 300, rows).astype(np.int16),
        "int8": random.integers(-100, 100, rows).astype(np.int8),
        "uint8": random.integers(0, 255, rows).astype(np.uint8),
        "uint16": random.integers(0, 2555, rows).astype(np.uint16),
    }


def of_numbers(tft, elementwise):
    """Returns each operation on numbers: its message, and what it is in TFT."""
    x = {"columns": ["x"], "elementwise": elementwise}
    each = {"elementwise": elementwise}
    operations = [
        (operation_pb2.ScaleTo01(**x), lambda x: tft.scale_to_0_1(x, **each)),
        (operation_pb2.ScaleByMinMax(min_value=-1, max_value=3, **x), lambda x: tft.scale_by_min_max(x, -1, 3, **each)),
        (operation_pb2.ScaleToZScore(**x), lambda x: tft.scale_to_z_score(x, **each)),
        (operation_pb2.ScaleToGaussian(**x), lambda x: tft.scale_to_gaussian(x, **each)),
        (operation_pb2.BucketizeByQuantiles(buckets=10, **x), lambda x: tft.bucketize(x, 10, epsilon=1e-6, **each)),
    ]
    x = {"columns": ["x"], "boundaries": BOUNDARIES}
    whole = [
        (operation_pb2.ApplyBuckets(**x), lambda x: tft.apply_buckets(x, [BOUNDARIES])),
        (
            operation_pb2.ApplyBucketsWithInterpolation(**x),
            lambda x: tft.apply_buckets_with_interpolation(x, [BOUNDARIES]),
        ),
    ]
    return operations if elementwise else [*operations, *whole]


def numbers_are_equal(tft, transformed, apply, learned, columns, elementwise):
    cases = {
        f"{name}.{type(config).__name__}": (name, config, in_tft)
        for name in columns
        for config, in_tft in of_numbers(tft, elementwise)
    }
    expected = transformed(
        columns, lambda tensors: {case: in_tft(tensors[name]) for case, (name, _, in_tft) in cases.items()}
    )
    for case, (name, config, _) in cases.items():
        x = columns[name]
        made = apply(config, x=x)["x"].values
        theirs = expected[case].reshape(x.shape)
        if isinstance(config, operation_pb2.BucketizeByQuantiles):
            boundaries = np.array(learned(config, x=x)["x.quantiles"]["boundaries"])
            buckets_are_equal(made, theirs, x, boundaries)
        else:
            tolerance = 1e-6 if x.dtype == np.float64 else 1e-5
            np.testing.assert_allclose(made, theirs, rtol=0, atol=tolerance, err_msg=case)


def buckets_are_equal(made, theirs, x, boundaries):
    """But for values that are boundaries, which are in TFT's bucket where boundaries are rounded as it rounds them."""
    boundaries = boundaries.reshape(-1, boundaries.shape[-1])
    columns = (array.reshape(len(x) if len(boundaries) > 1 else -1, len(boundaries)).T for array in (made, theirs, x))
    for own, other, values, exact in zip(*columns, boundaries, strict=True):
        differ = own != other
        assert np.isin(values[differ], exact).all()
        np.testing.assert_array_equal(other, intervals(exact.astype(np.float32).astype(np.float64), values))


def test_operations_on_each_of_the_13_numbers_of_wines_are_equal(tft, transformed, apply, learned):
    numbers_are_equal(tft, transformed, apply, learned, {"wine": wine()}, elementwise=True)


def test_operations_on_all_numbers_of_tumours_together_are_equal(tft, transformed, apply, learned):
    numbers_are_equal(tft, transformed, apply, learned, {"tumour": breast_cancer()}, elementwise=False)


def test_operations_on_generated_numbers_are_equal(tft, transformed, apply, learned):
    few = {name: values for name, values in generated(2000).items() if name in ("skewed", "int16", "fp32")}
    numbers_are_equal(tft, transformed, apply, learned, few, elementwise=False)


@pytest.mark.soak
def test_operations_on_twenty_thousand_generated_rows_of_all_datatypes_are_equal(tft, transformed, apply, learned):
    numbers_are_equal(tft, transformed, apply, learned, generated(20_000), elementwise=False)
    numbers_are_equal(tft, transformed, apply, learned, {"tumour": breast_cancer()}, elementwise=True)
    numbers_are_equal(tft, transformed, apply, learned, {"wine": wine()}, elementwise=False)


def test_quantiles_are_within_the_epsilon_that_tft_has_by_default(tft, transformed, learned):
    x = generated(20_000)["skewed"]
    expected = transformed({"x": x}, lambda tensors: {"x": tft.bucketize(tensors["x"], 10)})["x"].ravel()
    exact = np.bincount(intervals(learned_boundaries(learned, x), x), minlength=10)
    assert np.abs(np.cumsum(np.bincount(expected, minlength=10)) - np.cumsum(exact)).max() <= 0.01 * len(x)


def learned_boundaries(learned, x):
    return learned(operation_pb2.BucketizeByQuantiles(columns=["x"], buckets=10), x=x)["x.quantiles"]["boundaries"]


def texts():
    """Real texts: what scikit-learn says of its data sets, line by line, and the sentences of an example."""
    from sklearn.datasets import load_breast_cancer, load_wine

    sentences = (Path(__file__).parents[2] / "examples/sentences/sentences.txt").read_text()
    return [*load_wine().DESCR.splitlines(), *load_breast_cancer().DESCR.splitlines(), *sentences.splitlines(), "", "."]


def of_texts(tft, tf):
    """Returns each operation on texts: its message, what it is in TFT, and what is done to our column before."""

    def words(x):
        return tf.compat.v1.string_split(x, DELIMITERS)

    def vocabulary(x, **limits):
        return tft.compute_and_apply_vocabulary(x, **limits)

    def weights(x, size):
        indices = vocabulary(words(x), **({"top_k": size, "num_oov_buckets": 1} if size else {}))
        buckets = size + 1 if size else tft.get_num_buckets_for_transformed_feature(indices)
        index, weight = tft.tfidf(indices, buckets)
        return {"_vocab_index": index, "_tfidf_weight": weight}

    by_words = {"columns": ["x"], "delimiters": DELIMITERS}
    of_words = operation_pb2.ComputeAndApplyVocabulary
    return {
        "texts": (of_words(columns=["x"]), vocabulary),
        "words": (of_words(**by_words), lambda x: vocabulary(words(x))),
        "top": (
            of_words(top_k=100, default_value=-7, **by_words),
            lambda x: vocabulary(words(x), top_k=100, default_value=-7),
        ),
        "frequent": (
            of_words(frequency_threshold=3, oov_buckets=11, **by_words),
            lambda x: vocabulary(words(x), frequency_threshold=3, num_oov_buckets=11),
        ),
        "tfidf": (operation_pb2.TfIdf(**by_words), lambda x: weights(x, 0)),
        "tfidf_top": (operation_pb2.TfIdf(vocabulary_size=50, **by_words), lambda x: weights(x, 50)),
        "ngrams": (operation_pb2.NGrams(min_n=1, max_n=3, **by_words), lambda x: tft.ngrams(words(x), (1, 3), " ")),
        "pairs": (operation_pb2.NGrams(min_n=2, separator="", **by_words), lambda x: tft.ngrams(words(x), (2, 2), "")),
        "bag": (operation_pb2.BagOfWords(max_n=2, **by_words), lambda x: tft.bag_of_words(words(x), (1, 2), " ")),
        "hash": (operation_pb2.HashStrings(columns=["x"], buckets=100), lambda x: tft.hash_strings(x, 100)),
        "integers": (of_words(columns=["n"]), None),
        "deduplicate": (
            operation_pb2.Deduplicate(columns=["words"]),
            lambda x: tft.deduplicate_tensor_per_row(words(x)),
        ),
    }


def rows_of(values):
    return [list(np.atleast_1d(row)) if row is not None else [] for row in values]


def test_operations_on_real_texts_are_equal(tft, transformed, apply):
    import tensorflow as tf

    lines = texts()
    integers = np.random.default_rng(0).integers(-3, 30, len(lines))
    cases = of_texts(tft, tf)

    def preprocessing(tensors):
        made = {}
        for case, (_, in_tft) in cases.items():
            result = in_tft(tensors["x"]) if in_tft else tft.compute_and_apply_vocabulary(tensors["n"])
            made |= (
                {case + key: tensor for key, tensor in result.items()} if isinstance(result, dict) else {case: result}
            )
        return made

    expected = transformed({"x": np.array(lines, object), "n": integers}, preprocessing)
    column = Blobs.of("STRING", lines, len(lines))
    split = apply(operation_pb2.NGrams(columns=["x"], delimiters=DELIMITERS), x=column)["x"]
    for case, (config, _) in cases.items():
        made = apply(config, x=column, n=integers, words=split)
        if case.startswith("tfidf"):
            weights_are_equal(made, expected, case, 50 if case == "tfidf_top" else None)
            continue
        ours = made[config.columns[0]]
        if isinstance(ours, RaggedBlobs):
            assert words_of(ours).to_pylist() == [word for row in rows_of(expected[case]) for word in row], case
            assert ours.shapes[:, 0].tolist() == [len(row) for row in rows_of(expected[case])], case
        else:
            assert rows_of(ours.to_rows()) == rows_of(expected[case]), case


def weights_are_equal(made, expected, case, size):
    """In TFT words outside the vocabulary are one more word, of index ``size``; here they have no index."""
    indices, weights = rows_of(expected[case + "_vocab_index"]), rows_of(expected[case + "_tfidf_weight"])
    known = [[index != size for index in row] for row in indices]
    kept = [
        [[value for value, keep in zip(*rows, strict=True) if keep] for rows in zip(values, known, strict=True)]
        for values in (indices, weights)
    ]
    assert rows_of(made["x_vocab_index"].to_rows()) == kept[0]
    for ours, theirs in zip(made["x_tfidf_weight"].to_rows(), kept[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)

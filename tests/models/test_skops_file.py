# Licensed under the Apache License, Version 2.0; see LICENSE.
import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from expansion.models import skops_file
from expansion.models.sklearn_outputs import METHODS, signature_of
from expansion.models.skops_file import ArrayHeader, SkopsError, read_estimator


@pytest.fixture(scope="module")
def content(skops_file, classifier):
    return Path(skops_file(classifier)).read_bytes()


def archive(schema, **members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("schema.json", schema if isinstance(schema, str) else json.dumps(schema))
        for name, member in members.items():
            zipped.writestr(name, member)
    return file


def test_classes_values_and_arrays_are_read_without_loading_anything(content):
    pipeline = read_estimator(io.BytesIO(content))
    assert (pipeline.module, pipeline.name) == ("sklearn.pipeline", "Pipeline")
    scaler, regression = pipeline.steps()
    assert scaler.name == "StandardScaler"
    assert scaler.size("n_features_in_") == 4
    assert regression.value("C") == 1.0
    assert regression.array("classes_") == ArrayHeader("i", (3,))
    assert regression.array("coef_") == ArrayHeader("f", (3, 4))


def test_what_is_not_there_is_none(content):
    _, regression = read_estimator(io.BytesIO(content)).steps()
    assert regression.value("nothing") is None
    assert regression.array("C") is None
    assert regression.child("coef_") is None
    assert regression.size("coef_") is None
    assert regression.steps() == []


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (io.BytesIO(b"PK\x03\x04"), "damaged zip file, or a part"),
        (io.BytesIO(b""), "no zip file"),
        (archive("{"), "'schema.json' is no JSON"),
        (archive("[" * 100_000), "'schema.json' is no JSON"),
        (archive([1]), "holds no estimator"),
        (archive({"__loader__": "ListNode"}), "holds no estimator"),
    ],
)
def test_a_file_that_is_not_skops_is_refused(file, reason):
    with pytest.raises(SkopsError, match=reason):
        read_estimator(file)


def test_a_zip_file_of_something_else_is_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr("data.pkl", "x")
    with pytest.raises(SkopsError, match=r"without the schema\.json of skops"):
        read_estimator(file)


def test_a_schema_of_immense_size_is_refused(monkeypatch, content):
    monkeypatch.setattr(skops_file, "_MAX_SCHEMA_BYTES", 1 << 10)
    with pytest.raises(SkopsError, match="at most 1024 are read"):
        read_estimator(io.BytesIO(content))


def test_a_missing_or_damaged_array_is_refused():
    def classes(**members):
        node = {"__loader__": "NdArrayNode", "type": "numpy", "file": "c.npy"}
        schema = {"__loader__": "ObjectNode", "content": {"content": {"classes_": node}}}
        return read_estimator(archive(schema, **members))

    for members in ({}, {"c.npy": b"\x93NUMPY\x01"}, {"c.npy": b"nothing"}, {"c.npy": b"\x93NUMPY\x09\x00"}):
        with pytest.raises(SkopsError, match=r"'c.npy' is missing or damaged"):
            classes(**members).array("classes_")
    saved = io.BytesIO()
    np.save(saved, np.arange(3))
    assert classes(**{"c.npy": saved.getvalue()}).array("classes_") == ArrayHeader("i", (3,))


def nodes(depth):
    """Everything that a node of a schema may be, rightly or wrongly."""
    leaves = [None, 1, "x", [], {}, {"content": 1}, {"content": "not json", "__loader__": "JsonNode"}]
    if not depth:
        return leaves
    return [
        *leaves,
        *({"__loader__": "ObjectNode", "content": inner} for inner in nodes(depth - 1)),
        *(
            {"__loader__": "NdArrayNode", "type": "json", "content": inner, "shape": inner}
            for inner in nodes(depth - 1)
        ),
        *({"content": [inner, inner]} for inner in nodes(depth - 1)),
    ]


def test_a_schema_of_any_form_says_nothing_rather_than_fails():
    for node in nodes(3):
        attributes = dict.fromkeys(
            ("steps", "best_estimator_", "classes_", "n_features_in_", "coef_", "components_", "n_outputs_"), node
        )
        schema = {
            "__loader__": "ObjectNode",
            "__module__": "sklearn.linear_model._base",
            "__class__": "LinearRegression",
            "content": {"content": attributes},
        }
        signature = signature_of(read_estimator(archive(schema)), list(METHODS), "numpy")
        assert list(signature.outputs) == list(METHODS)
        assert all(isinstance(size, int) for field in signature.outputs.values() for size in field.shape)


def test_no_more_of_an_array_is_unpacked_than_a_header_may_have():
    node = {"__loader__": "NdArrayNode", "type": "numpy", "file": "a.npy"}
    content = {"__loader__": "DictNode", "content": {"classes_": node}}
    header = b"\x93NUMPY\x02\x00" + (64 << 20).to_bytes(4, "little") + b" " * (64 << 20)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("schema.json", json.dumps({"__loader__": "ObjectNode", "content": content}))
        zipped.writestr("a.npy", header)
    del header
    assert len(file.getvalue()) < 1 << 20
    estimator = read_estimator(file)
    tracemalloc.start()
    try:
        with pytest.raises(SkopsError, match="missing or damaged"):
            estimator.array("classes_")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""What fields() says and what build() returns agree, for every hook, on random columns."""

import atexit
import functools
import io
import runpy
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st
from PIL import Image

from expansion.contract._gen import hook_pb2
from expansion.contract.fields import DATATYPES, NUMPY_DTYPES, Field
from expansion.errors import BadRows, ConfigError
from expansion.hooks import NAMES, build, module_of, operation
from expansion.operations.manifest import LearnedByOne, Manifest
from expansion.tensors.arrays import fits
from expansion.tensors.columns import Blobs, Columns, Dense, Ragged, RaggedBlobs
from expansion.transforms.artifact import write_manifest


def image_file(width, height):
    file = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).save(file, "PNG")
    return file.getvalue()


@functools.cache
def words():
    """The path of a tokenizer.json."""
    folder = Path(tempfile.mkdtemp(prefix="beam-ml-expansion-"))
    atexit.register(shutil.rmtree, folder)
    runpy.run_path(str(Path(__file__).parents[1] / "conformance/tokenizer_models.py"))["write"](folder)
    return str(folder / "words.json")


@functools.cache
def features(datatype, rank):
    """The directory of an artifact that scales column a and says which interval it was in."""
    folder = tempfile.mkdtemp(prefix="beam-ml-expansion-")
    atexit.register(shutil.rmtree, folder)
    shape = (-1,) * rank
    before, scaled = Field("a", datatype, shape), Field("a", "FP64" if datatype == "FP64" else "FP32", shape)
    operations = (
        LearnedByOne({"apply_buckets": {"columns": ["a"], "boundaries": [1], "outputs": ["interval"]}}, {}, {}),
        LearnedByOne({"scale_to_01": {"columns": ["a"]}}, {"a.range": {"min": 0, "max": 2}}, {}),
    )
    after = (scaled, Field("interval", "INT64", shape))
    write_manifest(folder, Manifest((before,), operations, after), overwrite=False)
    return folder


SOURCE = """
import numpy as np

def hook(columns):
    values = next(iter(columns.values()))
    return {"a": np.ones((len(values), 2), np.int8), "out": [str(value) for value in values]}
"""

COLUMNS = ("a", "b", "c")
IMAGES = (image_file(3, 2), image_file(1, 4), image_file(3, 2)[:-30])
TEXTS = ("", "1", "-2", "2.5", "nan", "x", "300")

names = st.sampled_from(COLUMNS)
outputs = st.sampled_from(("", "a", "b", "out"))
several = st.lists(names, min_size=1, max_size=3, unique=True)
sizes = st.integers(0, 3)
datatypes = st.sampled_from(sorted(DATATYPES))

CONFIGS = {
    "select": st.builds(dict, columns=several),
    "cast": st.builds(dict, columns=several, datatype=datatypes),
    "scale": st.builds(
        dict,
        columns=several,
        datatype=st.sampled_from(("", "FP16", "FP32", "FP64")),
    ).flatmap(
        lambda config: st.sampled_from(
            ({**config, "affine": {"factor": 3.0, "offset": 1e6}}, {**config, "min_max": {"min": -1.0, "max": 7.0}})
        )
    ),
    "reshape": st.builds(dict, column=names, shape=st.lists(st.sampled_from((-1, 1, 2, 3)), max_size=3)),
    "pad": st.builds(
        lambda columns, value, axis, mask, size: {
            "columns": columns,
            "value": value,
            "axis": axis,
            "mask_output": mask,
            **size,
        },
        several,
        st.sampled_from((0.0, 1.0, -1.5)),
        st.integers(0, 1),
        outputs,
        st.sampled_from(({"length": 2}, {"multiple": 2}, {"longest": True})),
    ),
    "one_hot": st.builds(
        lambda column, output, datatype, kind: {"column": column, "output": output, "datatype": datatype, **kind},
        names,
        outputs,
        st.sampled_from(("", *NUMPY_DTYPES)),
        st.sampled_from(({"depth": 3}, {"categories": ["1", "x", ""]})),
    ),
    "concat": st.builds(dict, columns=several, output=st.sampled_from(("a", "out")), axis=st.integers(0, 1)),
    "softmax": st.builds(dict, column=names, output=outputs),
    "argmax": st.builds(dict, column=names, output=outputs),
    "top_k": st.builds(
        dict, column=names, k=st.integers(1, 3), values_output=outputs, indices_output=st.sampled_from(("a", "i"))
    ),
    "labels": st.builds(dict, column=names, labels=st.just(["zero", "one", "two"]), output=outputs),
    "threshold": st.builds(dict, column=names, value=st.floats(-1e6, 1e6), output=outputs),
    "standardize": st.builds(
        dict,
        columns=several,
        mean=st.sampled_from(([0.5], [1.0, 2.0])),
        standard_deviation=st.sampled_from(([2.0], [0.0, 3.0])),
        datatype=st.sampled_from(("", "FP16", "FP64")),
    ),
    "impute": st.builds(dict, columns=several, value=st.sampled_from((0.0, 1.0, 2.5)), text=st.sampled_from(("", "x"))),
    "hash": st.builds(dict, columns=several, buckets=st.integers(1, 5)),
    "bucketize": st.builds(dict, columns=several, boundaries=st.sampled_from(([0.5], [-1.0, 0.0, 2.0]))),
    "l2_normalize": st.builds(dict, columns=several),
    "round": st.builds(dict, columns=several, decimals=st.integers(0, 15)),
    "rename": st.builds(dict, columns=st.dictionaries(names, st.sampled_from(("a", "b", "x")), min_size=1)),
    "tokenize": st.builds(
        dict,
        column=st.just("c"),
        pair_column=st.sampled_from(("", "c")),
        uri=st.builds(words),
        max_tokens=st.integers(3, 4),
        padding=st.sampled_from(("", "max_tokens", "none")),
        ids_output=outputs,
        type_ids_output=st.sampled_from(("", "types")),
    ),
    "ml_transform": st.builds(
        lambda datatype, rank: {"read_artifact_location": features(datatype, rank)},
        st.sampled_from(("FP16", "FP32", "FP64")),
        st.sampled_from((1, 2)),
    ),
    "decode_tokens": st.builds(dict, column=names, uri=st.builds(words), output=outputs),
    "custom": st.builds(
        dict,
        source=st.just(SOURCE),
        columns=several,
        outputs=st.just([{"name": "a", "datatype": "FP32", "shape": [2]}, {"name": "out", "datatype": "STRING"}]),
    ),
    "decode_image": st.builds(
        lambda output, size, channels, layout, numbers: {
            "column": "c",
            "output": output,
            "channels": channels,
            "layout": layout,
            **size,
            **numbers,
        },
        outputs,
        st.sampled_from(
            (
                {},
                {"width": 2, "height": 3},
                {"width": 3, "height": 2, "resize": "pad"},
                {"width": 2, "height": 2, "resize": "crop", "crop_fraction": 0.5},
            )
        ),
        st.sampled_from(("", "BGR", "L")),
        st.sampled_from(("", "CHW")),
        st.sampled_from(({}, {"factor": 2.0}, {"datatype": "FP32"})),
    ),
}


@st.composite
def columns(draw):
    rows = draw(st.integers(1, 4))
    random = np.random.default_rng(draw(st.integers(0, 9)))
    # Most hooks take "a" or "b", so that not every example ends in a refusal.
    shape = (rows, *draw(st.lists(st.integers(1, 3), min_size=1, max_size=2)))
    floating = NUMPY_DTYPES[draw(st.sampled_from(("FP16", "FP32", "FP64")))]
    integers = draw(st.sampled_from((np.dtype(np.int64), np.dtype(np.uint8))))
    a, b = Dense(values(random, shape, floating)), Dense(values(random, shape, integers))
    return Columns({"a": a, "b": b, "c": draw(column(rows, random))}, rows)


@st.composite
def column(draw, rows, random):
    shape = draw(st.lists(sizes, max_size=2))
    kind = draw(st.sampled_from(("dense", "dense", "ragged", "strings", "words", "images")))
    if kind == "images":
        return Blobs.of("BYTES", [IMAGES[index] for index in random.integers(0, len(IMAGES), rows)], rows)
    if kind == "words":
        rank = draw(st.integers(1, 2))
        shapes = [random.integers(0, 3, rank) for _ in range(rows)]
        elements = [str(text) for text in random.choice(TEXTS, sum(int(np.prod(each)) for each in shapes))]
        return RaggedBlobs("STRING", Blobs.of("STRING", elements, 1).array, np.array(shapes, np.int32))
    if kind == "strings":
        elements = [str(text) for text in random.choice(TEXTS, int(np.prod([rows, *shape])))]
        return Blobs.of("STRING", elements, rows, tuple(shape))
    dtype = NUMPY_DTYPES[draw(st.sampled_from(sorted(NUMPY_DTYPES)))]
    if kind == "dense":
        return Dense(values(random, (rows, *shape), dtype))
    shapes = [random.integers(0, 4, max(1, len(shape))) for _ in range(rows)]
    return Ragged.of_rows([values(random, each, dtype) for each in shapes], dtype, max(1, len(shape)))


def values(random, shape, dtype):
    numbers = random.integers(0, 4, shape).astype(np.float64)
    if dtype.kind in "if":
        numbers -= random.random(shape) < 0.1
    if dtype.kind == "f":
        numbers[random.random(shape) < 0.1] = np.nan
    return numbers.astype(dtype)


def without_bad_rows(operation, columns):
    try:
        return operation(columns)
    except BadRows as error:
        bad = sorted(error.messages)
    assert bad
    assert set(bad) <= set(range(columns.row_count))
    good = np.setdiff1d(np.arange(columns.row_count), bad)
    return operation(columns.take(good)) if len(good) else None


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_what_a_hook_says_it_returns_is_what_it_returns(name, data):
    hook, batch = hook_pb2.Hook(**{name: data.draw(CONFIGS[name])}), data.draw(columns())
    assume(not list(module_of(hook).check(operation(hook)[1])))
    agrees(hook, batch)


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=3000, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.data())
def test_what_a_hook_says_it_returns_is_what_it_returns_on_thousands_of_batches(name, data):
    hook, batch = hook_pb2.Hook(**{name: data.draw(CONFIGS[name])}), data.draw(columns())
    assume(not list(module_of(hook).check(operation(hook)[1])))
    agrees(hook, batch)


def agrees(hook, batch):
    try:
        said = module_of(hook).fields(operation(hook)[1], batch.fields())
    except ConfigError:
        event("refused")
        return
    event("applied")
    result = without_bad_rows(build(hook), batch)
    if result is None:
        event("all rows are bad")
        return
    assert list(result) == list(said)
    for column_name, field in result.fields().items():
        assert len(result[column_name]) == result.row_count
        assert said[column_name] == Field(column_name, field.datatype, said[column_name].shape)
        assert fits(field.shape, said[column_name].shape)
    # The values are really of the shapes said: they can be read row by row.
    assert all(len(column.to_rows()) == result.row_count for column in result.values())

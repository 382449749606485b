# Licensed under the Apache License, Version 2.0; see LICENSE.
"""MLTransform with engine TFT, run for real on scikit-learn's wines: beside the native engine, and beside Beam's own.

tensorflow-transform computes in FP32, so that results are equal to 1e-5. Its quantiles are of a sketch: some values lie
in the interval beside.
"""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
import textwrap
import zipfile
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import pytest
from sklearn.datasets import load_wine

from expansion import MLTransform
from expansion.contract.fields import Field
from expansion.errors import ConfigError, SystemicError
from expansion.operations.manifest import LearnedByOne, Manifest
from expansion.tensors.columns import Columns, Dense
from expansion.tft.analysis import analyze
from expansion.tft.graph import Graph
from expansion.tft.record_batches import encode
from expansion.tft.transform_fn import load
from expansion.transforms.artifact import written_by

pytestmark = pytest.mark.framework

BEAMS = Path(__file__).with_name("beam_ml_transform.py")


class Wine(NamedTuple):
    """A wine: what was measured, all measures and some of them, which it is, and a line of a text about them."""

    key: int
    alcohol: float
    magnesium: int
    measures: list[float]
    some: list[float]
    cultivar: str
    text: str
    review: str


beam.coders.registry.register_coder(Wine, beam.coders.RowCoder)


def wines():
    data = load_wine()
    lines = data.DESCR.splitlines()
    for key, (measures, target) in enumerate(zip(data.data.tolist(), data.target, strict=True)):
        text, name = lines[key % len(lines)], str(data.target_names[target])
        yield Wine(key, measures[0], int(measures[4]), measures, measures[: key % 4], name, text, text)


WINES = list(wines())
# Another vintage: words and values that nobody has learned from.
OTHERS = [
    WINES[3]._replace(alcohol=99.5, magnesium=-7, cultivar="class_9", text="unheard of: wines", review="unheard wines"),
    WINES[4]._replace(alcohol=0.0, text="", review="the the the", some=[]),
]


def new(name, columns, outputs, **settings):
    return {name: {"columns": columns, "outputs": outputs, **settings}}


NUMBERS = ["alcohol", "magnesium"]
CUTS = {"boundaries": [11.5, 12, 13, 14.25]}
OPERATIONS = [
    new("scale_to_01", NUMBERS, ["a01", "m01"]),
    new("scale_by_min_max", ["measures"], ["measures_range"], min_value=-1, max_value=3, elementwise=True),
    new("scale_to_z_score", ["some"], ["some_z"]),
    new("scale_to_gaussian", ["alcohol"], ["gaussian"]),
    new("bucketize", NUMBERS, ["alcohol_tenth", "magnesium_tenth"], buckets=10),
    new("apply_buckets", ["alcohol"], ["strength"], **CUTS),
    new("apply_buckets_with_interpolation", ["alcohol"], ["strength_01"], **CUTS),
    new("compute_and_apply_vocabulary", ["cultivar", "magnesium"], ["cultivar_index", "magnesium_index"]),
    new("compute_and_apply_vocabulary", ["text"], ["words"], delimiters=" .,:", top_k=30, oov_buckets=4),
    new("scale_to_z_score", ["cultivar_index"], ["cultivar_z"]),
    new("ngrams", ["text"], ["pairs"], min_n=1, max_n=2, separator="_"),
    new("bag_of_words", ["text"], ["bag"], delimiters=" .,:"),
    new("deduplicate", ["words"], ["distinct"]),
    new("hash_strings", ["cultivar", "magnesium"], ["cultivar_hash", "magnesium_hash"], buckets=50),
    {"tfidf": {"columns": ["review"], "vocabulary_size": 40}},
    {"scale_to_z_score": {"columns": ["magnesium"]}},
]
APPROXIMATE = ("alcohol_tenth", "magnesium_tenth")
HOOKS = {"pre_hooks": [{"reshape": {"column": "measures", "shape": [13]}}]}


def run(config, rows=WINES, tag="output"):
    """Returns what comes out of an output, as dicts, in the order of the keys."""
    with tempfile.NamedTemporaryFile("r") as made:
        with beam.Pipeline() as pipeline:
            outputs = pipeline | beam.Create(rows).with_output_types(Wine) | MLTransform(config)
            _ = outputs[tag] | beam.Map(keep, made.name)
        return sorted(map(json.loads, made), key=lambda row: row.get("key", -1))


def keep(row, path):
    with open(path, "a") as file:
        file.write(json.dumps(plain(row)) + "\n")


def plain(value):
    if hasattr(value, "_asdict"):
        return {name: plain(item) for name, item in value._asdict().items()}
    return np.asarray(value).tolist()


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory):
    """Where artifacts of both engines are, of the same operations and rows, and what was made of the rows."""
    folder = tmp_path_factory.mktemp("artifacts")
    return folder, {
        engine: run(
            {"engine": engine, "operations": OPERATIONS, "write_artifact_location": str(folder / engine), **HOOKS}
        )
        for engine in ("TFT", "native")
    }


def read(artifacts, engine, rows=WINES):
    return run({"engine": engine, "read_artifact_location": str(artifacts[0] / engine), **HOOKS}, rows)


def are_equal(made, expected):
    assert len(made) == len(expected)
    for ours, theirs in zip(made, expected, strict=True):
        assert list(ours) == list(theirs)
        for name, value in theirs.items():
            if np.asarray(value).dtype.kind == "f":
                np.testing.assert_allclose(ours[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
            elif name not in APPROXIMATE:
                assert ours[name] == value, name


def test_both_engines_make_the_same_of_the_same_rows(artifacts):
    are_equal(artifacts[1]["TFT"], artifacts[1]["native"])
    for name in APPROXIMATE:
        tft, native = (np.array([row[name] for row in artifacts[1][engine]]) for engine in ("TFT", "native"))
        assert np.abs(tft - native).max() <= 1
        assert (tft != native).mean() < 0.05


def test_a_later_job_makes_the_same_of_what_it_reads(artifacts):
    assert read(artifacts, "TFT") == artifacts[1]["TFT"]


def test_both_engines_make_the_same_of_rows_that_they_have_not_learned_from(artifacts):
    are_equal(read(artifacts, "TFT", OTHERS), read(artifacts, "native", OTHERS))


def test_results_are_of_the_types_that_the_plan_says(artifacts):
    row = artifacts[1]["TFT"][0]
    assert list(row)[:8] == ["key", "alcohol", "magnesium", "measures", "some", "cultivar", "text", "a01"]
    assert row["alcohol"] == WINES[0].alcohol  # FP64 as it came: no result is in its place
    assert row["measures"] == WINES[0].measures
    assert isinstance(row["a01"], float)
    assert isinstance(row["cultivar_index"], int)
    assert np.shape(row["measures_range"]) == (13,)


def test_the_artifact_says_what_it_is_and_the_native_engine_does_not_read_it(artifacts):
    folder = artifacts[0]
    said = json.loads((folder / "TFT/artifact.json").read_text())
    assert sorted(path.name for path in (folder / "TFT").iterdir()) == ["artifact.json", said["transform_fn"]["file"]]
    assert [next(iter(each["operation"])) for each in said["operations"]] == [next(iter(each)) for each in OPERATIONS]
    assert {"name": "alcohol", "datatype": "FP32"} in said["columns_before"]
    for engine, other, path in (("native", "TFT", "read_artifact_location"), ("TFT", "native", "engine")):
        with pytest.raises(ConfigError) as raised:
            run({"engine": engine, "read_artifact_location": str(folder / other), **HOOKS})
        assert [problem.path for problem in raised.value.problems] == [path]


def test_tensorflow_transform_itself_reads_what_is_in_the_zip_file(artifacts, tmp_path):
    [archive] = (artifacts[0] / "TFT").glob("*.zip")
    zipfile.ZipFile(archive).extractall(tmp_path)
    import tensorflow_transform as tft

    names = tft.TFTransformOutput(str(tmp_path)).transformed_feature_spec()
    assert {"a01", "pairs", "review_tfidf_weight"} < set(names)


def test_an_artifact_that_somebody_has_changed_is_not_applied(artifacts, tmp_path):
    folder = shutil.copytree(artifacts[0] / "TFT", tmp_path / "a")
    [archive] = folder.glob("*.zip")
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    sha256 = hashlib.sha256((folder / "artifact.json").read_bytes()).hexdigest()
    graph = Graph({"alcohol": Field("alcohol", "FP32")}, {"a01": Field("a01", "FP32")})
    with pytest.raises(SystemicError, match="is not as it was written"):
        load(str(folder), sha256, graph)


def test_a_bundle_that_is_retried_finds_what_it_has_written_and_no_other_job_does(artifacts):
    location = str(artifacts[0] / "TFT")
    run_of = json.loads((artifacts[0] / "TFT/artifact.json").read_text())["transform_fn"]["run"]
    sha256 = hashlib.sha256((artifacts[0] / "TFT/artifact.json").read_bytes()).hexdigest()
    assert written_by(location, run_of) == sha256
    assert written_by(location, "another run") == ""
    assert written_by(str(artifacts[0] / "native"), run_of) == ""
    assert written_by(str(artifacts[0] / "nothing"), run_of) == ""


def test_rows_that_fail_before_are_error_rows_and_not_learned_from(artifacts):
    """Of the one that is read here: nothing is learned twice in these tests."""
    rows = [WINES[0], WINES[1]._replace(measures=[1.0])]
    config = {"read_artifact_location": str(artifacts[0] / "TFT"), "engine": "TFT", **HOOKS}
    config["error_handling"] = {"output": "errors"}
    assert run(config, rows) == artifacts[1]["TFT"][:1]
    [error] = run(config, rows, "errors")
    assert (error["stage"], error["element"]["key"]) == ("preprocess", 1)


ASKED = Manifest((Field("x", "FP32"),), (LearnedByOne({"scale_to_01": {"columns": ["x"]}}, {}, {}),), ())
ROWS = [encode(Columns({"x": Dense(np.array([1.0, 2.0]))}, 2), {"x": Field("x", "FP32")})]


def test_learning_of_no_rows_is_an_error_that_says_so(tmp_path):
    with pytest.raises(SystemicError, match="there are no rows to learn from"):
        analyze([], ASKED, tmp_path)


def test_a_worker_without_tensorflow_transform_is_told_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "tensorflow_transform.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'tensorflow_transform'\")"
    )
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "folder").mkdir()
    with pytest.raises(SystemicError, match=r"install beam-ml-expansion\[tft\] on the workers"):
        analyze(ROWS, ASKED, tmp_path / "folder")


# Artifacts of Beam's own MLTransform --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """Where Beam's MLTransform has left an artifact, and what it made of the rows."""
    folder = tmp_path_factory.mktemp("old")
    names = ("key", "alcohol", "magnesium", "cultivar", "text")
    lines = [json.dumps({name: getattr(wine, name) for name in names}) for wine in WINES]
    (folder / "rows").write_text("\n".join(lines))
    command = [sys.executable, str(BEAMS), str(folder / "rows"), str(folder / "artifact"), str(folder / "made")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "artifact", sorted(map(json.loads, (folder / "made").open()), key=lambda row: row["key"])


def test_an_artifact_of_beams_makes_what_beam_has_made(old):
    made = run({"engine": "TFT", "read_artifact_location": str(old[0])})
    assert len(made) == len(old[1])
    for ours, theirs in zip(made, old[1], strict=True):
        assert {name: ours[name] for name in theirs} == theirs
        assert set(ours) - set(theirs) == {"measures", "some", "review"}


def test_operations_say_which_results_of_an_artifact_of_beams_are_scalars(old):
    operations = [
        {"scale_to_01": {"columns": ["alcohol"]}},
        {"scale_to_z_score": {"columns": ["magnesium"]}},
        {"compute_and_apply_vocabulary": {"columns": ["cultivar"]}},
    ]
    made = run({"engine": "TFT", "read_artifact_location": str(old[0]), "operations": operations})
    for ours, theirs, wine in zip(made, old[1], WINES, strict=True):
        for name in ("alcohol", "magnesium", "cultivar"):
            assert [ours[name]] == theirs[name]
        assert (ours["key"], ours["text"]) == (wine.key, wine.text)


def test_the_host_that_builds_the_graph_imports_no_framework_and_writes_nothing(old, artifacts, tmp_path):
    configs = [
        {"operations": [OPERATIONS[0]], "write_artifact_location": str(tmp_path / "new")},
        {"read_artifact_location": str(artifacts[0] / "TFT"), **HOOKS},
        {"read_artifact_location": str(old[0])},
    ]
    code = """
        import json, sys
        from expansion.service import frameworks
        frameworks.refuse()
        import apache_beam as beam
        from expansion import MLTransform
        row = json.loads(sys.argv[1])
        for config in json.loads(sys.argv[2]):
            pipeline = beam.Pipeline()
            rows = pipeline | beam.Create([beam.Row(**row)])
            rows | MLTransform({"engine": "TFT", **config})
            pipeline.to_runner_api()
        print(sorted(frameworks.FRAMEWORKS & set(sys.modules)))
    """
    row = {**WINES[0]._asdict(), "measures": [1.0], "some": [1.0]}
    before = sorted(old[0].rglob("*"))
    command = [sys.executable, "-c", textwrap.dedent(code), json.dumps(row), json.dumps(configs)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
    assert not (tmp_path / "new").exists()
    assert sorted(old[0].rglob("*")) == before

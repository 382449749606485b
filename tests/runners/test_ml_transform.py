# Licensed under the Apache License, Version 2.0; see LICENSE.
"""MLTransform on Beam's embedded runner and on Prism: what is learned, written, read and applied."""

import json
import os
import time
from typing import NamedTuple, Optional

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.transforms.external import ExternalTransform
from apache_beam.transforms.periodicsequence import PeriodicImpulse
from apache_beam.transforms.window import FixedWindows, IntervalWindow, Sessions, SlidingWindows, TimestampedValue

from expansion import MLTransform, RunInference
from expansion.contract import urns
from expansion.errors import ConfigError
from expansion.tensors import tensor_batch
from expansion.tensors.columns import Blobs, Columns, Dense
from expansion.transforms.ml_transform_config import read_config

pytestmark = pytest.mark.runner


class Visit(NamedTuple):
    """A row with columns to transform, one that may be null, and one that stays as it is."""

    key: int
    age: float
    city: str
    income: Optional[float]  # noqa: UP045 - Beam does not read the other spelling


beam.coders.registry.register_coder(Visit, beam.coders.RowCoder)

VISITS = [
    Visit(n, float(n % 11), ["Paris", "Rome", "Rome", "Oslo"][n % 4], None if n % 5 == 0 else n * 1e3)
    for n in range(40)
]
SCALE = {"scale_to_01": {"columns": ["age"]}}
VOCABULARY = {"compute_and_apply_vocabulary": {"columns": ["city"], "outputs": ["city_index"]}}
AFTER = {"scale_to_z_score": {"columns": ["city_index"], "outputs": ["rarity"]}}
IMPUTE = {"impute": {"columns": ["income"], "strategy": "median"}}
ERRORS = {"error_handling": {"output": "errors"}}


@pytest.fixture(params=["embedded", "prism"])
def options(request):
    """Options of a runner."""
    if request.param == "embedded":
        return []
    job = request.getfixturevalue("prism")
    return ["--runner=PortableRunner", f"--job_endpoint={job}", "--environment_type=LOOPBACK"]


@pytest.fixture
def run(options, tmp_path):
    """Runs MLTransform, or what else is given, over rows; returns what came out by tag, as dicts, in their order."""

    def run(config, rows=VISITS, windows=None, transform=MLTransform):
        folder = tmp_path / f"{time.monotonic_ns()}"
        folder.mkdir()
        with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
            pcoll = pipeline | beam.Create(rows).with_output_types(Visit)
            if windows:
                stamped = beam.Map(lambda row: TimestampedValue(row, row.key)).with_output_types(Visit)
                pcoll = pcoll | stamped | beam.WindowInto(windows)
            for tag, output in (pcoll | transform(config)).items():
                _ = output | f"Write {tag}" >> beam.Map(write, str(folder / tag))
        return {path.name: sorted(map(json.loads, path.open()), key=key_of) for path in folder.iterdir()}

    return run


def write(row, path, window=beam.DoFn.WindowParam):
    values = {name: plain(value) for name, value in row.as_dict().items()} if hasattr(row, "as_dict") else row._asdict()
    if isinstance(window, IntervalWindow):
        values["window"] = [float(window.start), float(window.end)]
    line = (json.dumps(values) + "\n").encode()
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line)
    os.close(file)


def plain(value):
    if hasattr(value, "_asdict"):
        return {name: plain(item) for name, item in value._asdict().items()}
    return np.asarray(value).tolist() if value is not None else None


def key_of(row):
    return row.get("key", row.get("element", {}).get("key")), row.get("window", [])


def test_what_is_learned_is_applied_and_applied_again_by_who_reads_it(run, tmp_path):
    config = {
        "operations": [IMPUTE, SCALE, VOCABULARY, AFTER],
        "write_artifact_location": str(tmp_path / "a"),
        **ERRORS,
    }
    written = run(config)
    assert list(written) == ["output"]
    rows = written["output"]
    assert [row["key"] for row in rows] == list(range(40))
    assert list(rows[0]) == ["key", "age", "city", "income", "city_index", "rarity"]
    indices = {"Rome": 0, "Paris": 1, "Oslo": 2}  # the most frequent first; of equals the greater
    index_of = np.array([indices[visit.city] for visit in VISITS])
    incomes = [visit.income for visit in VISITS if visit.income is not None]
    for row, visit, rarity in zip(rows, VISITS, (index_of - index_of.mean()) / index_of.std(), strict=True):
        assert row["age"] == pytest.approx(visit.age / 10)
        assert row["city_index"] == indices[visit.city]
        assert row["rarity"] == pytest.approx(rarity, abs=1e-6)
        assert row["income"] == (np.median(incomes) if visit.income is None else visit.income)
    assert run({"read_artifact_location": str(tmp_path / "a"), **ERRORS}) == written


def test_rows_that_fail_are_not_learned_from_and_come_out_once(run, tmp_path):
    rows = [*VISITS, Visit(40, 1e6, "Nowhere", 1.0), Visit(41, float("nan"), "Rome", 1.0)]
    cast = {"cast": {"columns": ["age"], "datatype": "INT8"}}
    config = {
        "operations": [SCALE, VOCABULARY],
        "pre_hooks": [cast],
        "write_artifact_location": str(tmp_path / "a"),
        **ERRORS,
    }
    found = run(config, rows)
    assert [row["element"]["key"] for row in found["errors"]] == [40, 41]
    assert {row["stage"] for row in found["errors"]} == {"preprocess"}
    assert list(found["errors"][0]) == ["element", "stage", "error_type", "message"]
    assert max(row["age"] for row in found["output"]) == 1.0
    [vocabulary] = (tmp_path / "a").glob("vocabulary-*")
    assert vocabulary.read_text() == "Rome\t20\nParis\t10\nOslo\t10\n"


def test_a_row_that_an_operation_refuses_is_an_error_row_of_its_own_stage(run, tmp_path):
    """There is no value to put in the place of nulls, as the rows that are learned from have none."""
    nulls = [visit._replace(income=None) for visit in VISITS[:4]]
    config = {"operations": [IMPUTE, SCALE], "write_artifact_location": str(tmp_path / "a"), **ERRORS}
    assert list(run(config, nulls)) == ["errors"]
    found = run({"read_artifact_location": str(tmp_path / "a"), **ERRORS}, [*nulls, VISITS[6]])
    assert [row["key"] for row in found["output"]] == [6]
    assert {(row["stage"], row["error_type"]) for row in found["errors"]} == {("transform", "ValueError")}
    assert [row["element"] for row in found["errors"]] == [visit._asdict() for visit in nulls]


def test_a_null_in_any_other_column_is_an_error_row(run):
    found = run({"operations": [{"apply_buckets": {"columns": ["income"], "boundaries": [1000]}}], **ERRORS})
    nulls = [visit.key for visit in VISITS if visit.income is None]
    assert [(row["element"]["key"], row["stage"]) for row in found["errors"]] == [(key, "decode") for key in nulls]


def test_two_operations_on_one_column_work_in_their_order(run, tmp_path):
    config = {
        "operations": [{"scale_to_z_score": {"columns": ["age"]}}, SCALE],
        "write_artifact_location": str(tmp_path / "a"),
    }
    ages = [row["age"] for row in run(config)["output"]]
    assert (min(ages), max(ages)) == (0.0, 1.0)
    before = np.array([visit.age for visit in VISITS])
    learned = json.loads((tmp_path / "a" / "artifact.json").read_text())["operations"][1]["learned"]["age.range"]
    assert learned["min"] == pytest.approx(-before.mean() / before.std())


def test_hooks_change_the_row_before_and_after(run, tmp_path):
    config = {
        "pre_hooks": [{"rename": {"columns": {"age": "years"}}}],
        "operations": [{"scale_to_01": {"columns": ["years"]}}],
        "post_hooks": [{"select": {"columns": ["key", "years"]}}, {"round": {"columns": ["years"], "decimals": 1}}],
        "write_artifact_location": str(tmp_path / "a"),
    }
    rows = run(config)["output"]
    assert [list(row) for row in rows] == [["key", "years"]] * 40
    assert rows[3] == {"key": 3, "years": 0.3}


def test_of_no_rows_an_artifact_is_written_too(run, tmp_path):
    config = {"operations": [SCALE, VOCABULARY, AFTER], "write_artifact_location": str(tmp_path / "a")}
    assert run(config, []) == {}
    found = run({"read_artifact_location": str(tmp_path / "a")})
    assert {row["city_index"] for row in found["output"]} == {-1}


def test_windows_of_bounded_input_are_kept_and_learned_from_together(run, tmp_path):
    config = {"operations": [SCALE], "write_artifact_location": str(tmp_path / "a")}
    rows = run(config, windows=FixedWindows(10))["output"]
    assert [row["window"] for row in rows] == [[key // 10 * 10.0, key // 10 * 10.0 + 10] for key in range(40)]
    assert [row["age"] for row in rows] == pytest.approx([visit.age / 10 for visit in VISITS])


def test_each_window_learns_from_its_own_rows_where_that_is_asked_for(run):
    config = {"operations": [SCALE, VOCABULARY, AFTER], "per_window": True, **ERRORS}
    rows = run(config, windows=FixedWindows(4))["output"]
    for start in range(0, 40, 4):
        ages = [visit.age for visit in VISITS[start : start + 4]]
        expected = [(age - min(ages)) / (max(ages) - min(ages)) for age in ages]
        assert [row["age"] for row in rows[start : start + 4]] == pytest.approx(expected)
    rows = run(config, VISITS[:4], windows=SlidingWindows(4, 2))["output"]
    assert [(row["key"], row["window"][0]) for row in rows] == [
        (0, -2),
        (0, 0),
        (1, -2),
        (1, 0),
        (2, 0),
        (2, 2),
        (3, 0),
        (3, 2),
    ]
    assert [row["age"] for row in rows] == pytest.approx([0, 0, 1, 1 / 3, 2 / 3, 0, 1, 1])


def test_expanding_a_pipeline_writes_nothing_and_a_second_one_does_no_harm(tmp_path, options):
    config = {"operations": [SCALE], "write_artifact_location": str(tmp_path / "a")}

    def pipeline_of(rows):
        pipeline = beam.Pipeline(options=PipelineOptions(options))
        _ = pipeline | beam.Create(rows).with_output_types(Visit) | MLTransform(config)
        return pipeline

    first, same, other = pipeline_of(VISITS), pipeline_of(VISITS), pipeline_of(VISITS[:3])
    assert not (tmp_path / "a").exists()
    first.run().wait_until_finish()
    manifest = (tmp_path / "a" / "artifact.json").read_bytes()
    same.run().wait_until_finish()  # it learns and writes the same
    with pytest.raises(Exception, match=r"there is an artifact in|FAILED"):  # as Prism says it in its log only
        other.run().wait_until_finish()
    assert (tmp_path / "a" / "artifact.json").read_bytes() == manifest
    with pytest.raises(ConfigError, match="write_artifact_location: there is an artifact in"):
        pipeline_of(VISITS)


def test_an_artifact_is_written_over_when_that_is_asked_for(run, tmp_path):
    config = {"operations": [SCALE], "write_artifact_location": str(tmp_path / "a"), "overwrite": True}
    assert run(config)["output"][5]["age"] == 0.5
    assert run(config, VISITS[:6])["output"][5]["age"] == 1.0
    assert run({"read_artifact_location": str(tmp_path / "a")})["output"][10]["age"] == 2.0


def test_a_job_that_was_built_for_another_artifact_fails(tmp_path, write_artifact, options):
    rows = [Visit(0, 5.0, "a", None)]
    write_artifact(str(tmp_path))
    pipeline = beam.Pipeline(options=PipelineOptions(options))
    config = {"read_artifact_location": str(tmp_path)}
    _ = pipeline | beam.Create(rows).with_output_types(Visit) | MLTransform(config)
    write_artifact(str(tmp_path), largest=20.0, overwrite=True)
    with pytest.raises(Exception, match=r"is not the one that this pipeline was built for|FAILED"):
        pipeline.run().wait_until_finish()


def test_tensor_batches_become_what_rows_become(run, options, tmp_path):
    operations = [IMPUTE, SCALE, VOCABULARY, AFTER]
    rows = run({"operations": operations, "write_artifact_location": str(tmp_path / "rows")})["output"]
    columns = {
        "age": Dense(np.array([visit.age for visit in VISITS])),
        "city": Blobs.of("STRING", [visit.city for visit in VISITS], 40),
        "income": Dense(np.array([visit.income or 0.0 for visit in VISITS])),
        "key": Blobs.of("BYTES", [f"{visit.key}".encode() for visit in VISITS], 40),
    }
    nulls = {"income": np.array([visit.key for visit in VISITS if visit.income is None])}
    data = tensor_batch.encode(Columns(columns, 40), nulls)
    wire = {
        "columns": [{"name": name, "datatype": columns[name].datatype} for name in ("age", "city", "income")],
        "opaque_columns": ["key"],
        "return_columns": ["city", "income"],
    }
    config = {
        "operations": operations,
        "write_artifact_location": str(tmp_path / "batches"),
        "max_batch_size": 16,
        "tensor_batch": wire,
    }
    with beam.Pipeline(options=PipelineOptions(options)) as pipeline:
        batches = pipeline | beam.Create([data], reshuffle=False).with_output_types(bytes)
        output = (batches | MLTransform(config))["output"]
        _ = output | beam.FlatMap(rows_of) | beam.Map(write, str(tmp_path / "output"))
    found = sorted(map(json.loads, (tmp_path / "output").open()), key=lambda row: int(row["key"]))
    assert [{**row, "key": int(row["key"])} for row in found] == rows
    assert (tmp_path / "batches/artifact.json").read_bytes() == (tmp_path / "rows/artifact.json").read_bytes()


class AsDict(dict):
    def as_dict(self):
        return self


def rows_of(data):
    columns, nulls = tensor_batch.decode(data)
    assert nulls == {}
    names = ["key", "age", "city", "income", "city_index", "rarity"]
    assert set(columns) == set(names)
    values = {name: columns[name].to_rows() for name in names}
    for row in range(columns.row_count):
        of_row = {name: column[row] for name, column in values.items()}
        yield AsDict({**of_row, "key": of_row["key"].decode()})


def test_a_model_is_served_what_it_was_trained_on(run, tmp_path, models):
    """The hook makes of the features what MLTransform makes of the columns, nulls included."""
    operations = [IMPUTE, {"scale_to_z_score": {"columns": ["income"], "outputs": ["x"]}}]
    written = run({"operations": operations, "write_artifact_location": str(tmp_path / "a"), **ERRORS})["output"]
    config = {
        "model": {"onnx": {"uri": str(models / "identity_scalar.onnx")}, "model_id": "identity"},
        "pre_hooks": [{"ml_transform": {"read_artifact_location": str(tmp_path / "a")}}],
        **ERRORS,
    }
    served = run(config, transform=RunInference)
    assert list(served) == ["output"]
    assert [row["y"] for row in served["output"]] == pytest.approx([row["x"] for row in written], abs=1e-6)
    assert [row["income"] for row in served["output"]] == [visit.income for visit in VISITS]


STREAMING = ["--runner=PortableRunner", "--environment_type=LOOPBACK", "--streaming"]


def visit_of(timestamp, start):
    passed = round((float(timestamp) - start) * 10)
    return Visit(passed, float(passed), "a", None)


def test_a_stream_goes_through_what_was_learned_before(prism, tmp_path, write_artifact):
    write_artifact(str(tmp_path / "a"))
    pipeline = beam.Pipeline(options=PipelineOptions([*STREAMING, f"--job_endpoint={prism}"]))
    start = time.time()
    impulses = PeriodicImpulse(start_timestamp=start, stop_timestamp=start + 2, fire_interval=0.2, data=None)
    visits = pipeline | impulses | beam.Map(visit_of, start).with_output_types(Visit)
    output = visits | beam.WindowInto(FixedWindows(1)) | MLTransform({"read_artifact_location": str(tmp_path / "a")})
    _ = output["output"] | beam.Map(write, str(tmp_path / "output"))
    pipeline.run().wait_until_finish()
    rows = [json.loads(line) for line in (tmp_path / "output").open()]
    assert 10 <= len(rows) <= 11
    assert {row["index"] for row in rows} == {1}
    assert len({tuple(row["window"]) for row in rows}) >= 2
    assert all(row["age"] == pytest.approx(row["key"] / 10) for row in rows)


def test_each_window_of_a_stream_learns_from_its_own_rows(prism, tmp_path):
    pipeline = beam.Pipeline(options=PipelineOptions([*STREAMING, f"--job_endpoint={prism}"]))
    start = 2 * (time.time() // 2) + 4  # where a window begins; in time, so that no row is late
    impulses = PeriodicImpulse(start_timestamp=start, stop_timestamp=start + 4, fire_interval=0.5, data=None)
    visits = pipeline | impulses | beam.Map(visit_of, start).with_output_types(Visit)
    config = {"operations": [SCALE, VOCABULARY], "per_window": True}
    output = visits | beam.WindowInto(FixedWindows(2)) | MLTransform(config)
    _ = output["output"] | beam.Map(write, str(tmp_path / "output"))
    pipeline.run().wait_until_finish()
    rows = sorted(map(json.loads, (tmp_path / "output").open()), key=key_of)
    windows = {}
    for row in rows:
        windows.setdefault(tuple(row["window"]), []).append(row["age"])
    assert len(windows) >= 2
    assert all((ages[0], ages[-1]) == (0.0, 1.0) for ages in windows.values() if len(ages) > 1)


def test_what_never_ends_can_not_be_learned_from_as_a_whole():
    rows = beam.Pipeline() | beam.Create(VISITS).with_output_types(Visit)
    rows.is_bounded = False
    sessions = rows | beam.WindowInto(Sessions(5))
    learns, by_window = (
        {"operations": [SCALE], "write_artifact_location": "/a"},
        {"operations": [SCALE], "per_window": True},
    )
    with pytest.raises(ConfigError, match=r"write_artifact_location: the input is unbounded.*read_artifact_location"):
        _ = rows | "Write" >> MLTransform(learns)
    with pytest.raises(ConfigError, match="per_window: the input is unbounded and in the global window"):
        _ = rows | "Global" >> MLTransform(by_window)
    with pytest.raises(ConfigError, match="per_window: the input's windows merge"):
        _ = sessions | "Sessions" >> MLTransform(by_window)


def test_the_service_gives_the_same_rows_and_the_same_artifact(run, options, local_beam, tmp_path):
    addresses = dict(option.removeprefix("--").split("=") for option in local_beam)
    config = {"operations": [IMPUTE, SCALE, VOCABULARY, AFTER], **ERRORS}

    def by_service(config):
        payload = read_config(config).SerializeToString()
        return ExternalTransform(urns.ML_TRANSFORM, payload, addresses["expansionService"])

    if not options:
        options.extend(["--runner=PortableRunner", f"--job_endpoint={addresses['jobEndpoint']}"])
        options.append("--environment_type=LOOPBACK")
    by_python = run({**config, "write_artifact_location": str(tmp_path / "python")})
    served = run({**config, "write_artifact_location": str(tmp_path / "service")}, transform=by_service)
    assert served == by_python
    assert (tmp_path / "service/artifact.json").read_bytes() == (tmp_path / "python/artifact.json").read_bytes()
    by_window = {"operations": [SCALE, VOCABULARY, AFTER], "per_window": True, **ERRORS}
    windows = SlidingWindows(6, 3)
    assert run(by_window, windows=windows, transform=by_service) == run(by_window, windows=windows)

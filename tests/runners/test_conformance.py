# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The conformance cases, each as rows and as a TensorBatch, all of them in one pipeline on the embedded runner."""

import json
import math
import runpy
import sys
from pathlib import Path

import apache_beam as beam
import pytest

from expansion import RunInference
from expansion.contract.fields import Field
from expansion.errors import ConfigError
from expansion.tensors import schemas, tensor_batch
from expansion.tensors.columns import Blobs, Columns
from expansion.tensors.rows import to_column

pytestmark = pytest.mark.runner

CONFORMANCE = Path(__file__).parents[1] / "conformance"
sys.path.insert(0, str(CONFORMANCE))  # where their_package.py is
FILES = {path.stem: path for path in sorted((CONFORMANCE / "run_inference").glob("*.json"))}
REFUSED = {name: path for name, path in FILES.items() if "refused" in json.loads(path.read_text())}
CASES = {name: path for name, path in FILES.items() if name not in REFUSED}
ENDS = ("rows", "tensor_batch")


def load(path, models):
    """Returns a case with ``${models}`` and "NaN" replaced."""

    def replaced(value):
        if isinstance(value, dict):
            return {key: replaced(item) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item) for item in value]
        if value == "NaN":
            return math.nan
        return value.replace("${models}", models) if isinstance(value, str) else value

    return replaced(json.loads(path.read_text()))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """The directory of the cases' models, all of them."""
    folder = tmp_path_factory.mktemp("models")
    runpy.run_path(str(CONFORMANCE / "make_models.py"))["main"](folder)
    return folder


@pytest.fixture(scope="module")
def results(models, tmp_path_factory):
    """Runs every case; returns what came out by (case, end), as {row index: predictions or error}."""
    folder = tmp_path_factory.mktemp("conformance")
    with beam.Pipeline() as pipeline:
        lines = []
        for name, path in CASES.items():
            case = load(path, str(models))
            lines.append(run_rows(pipeline, name, case))
            lines.append(run_tensor_batch(pipeline, name, case))
        _ = lines | beam.Flatten() | beam.Map(json.dumps) | beam.io.WriteToText(str(folder / "results"))
    found = {}
    for part in folder.glob("results*"):
        for line in part.read_text().splitlines():
            name, end, row, value = json.loads(line)
            found.setdefault((name, end), {})[row] = value
    return found


def schema_of(case):
    fields = {"row": Field("row", "INT64")}
    fields.update({c["name"]: Field(c["name"], c["datatype"], tuple(c["shape"])) for c in case["columns"]})
    schema = schemas.schema_with(beam.portability.api.schema_pb2.Schema(), fields)
    for field in schema.fields:
        field.type.nullable = True
    return schema


def run_rows(pipeline, name, case):
    schema = schema_of(case)
    names = [field.name for field in schema.fields]
    rows = [
        beam.Row(**{key: {"row": index, **row}.get(key) for key in names}) for index, row in enumerate(case["rows"])
    ]
    config = {**case["config"], "error_handling": {"output": "errors"}}
    outputs = (
        pipeline
        | f"{name} rows" >> beam.Create(rows, reshuffle=False)
        | f"{name} by row" >> RunInference(config, input_schema=schema)
    )
    good = outputs["output"] | f"{name} good row" >> beam.Map(
        lambda row: (name, "rows", row.row, {k: v for k, v in row.as_dict().items() if k not in names})
    )
    bad = outputs["errors"] | f"{name} bad row" >> beam.Map(
        lambda row: (name, "rows", row.element.row, {"error": {"stage": row.stage, "message": row.message}})
    )
    return (good, bad) | f"{name} all rows" >> beam.Flatten()


def run_tensor_batch(pipeline, name, case):
    columns = {}
    valid = [row for row in case["rows"] if None not in row.values()]  # nulls on the wire: the codec's own cases
    for column in case["columns"]:
        field = Field(
            column["name"], column["datatype"], tuple(-1 if -1 in column["shape"] else s for s in column["shape"])
        )
        values = [row[field.name] for row in valid]
        columns[field.name] = to_column(values, field).column
    index = [str(case["rows"].index(row)) for row in valid]
    columns["index"] = Blobs.of("BYTES", [i.encode() for i in index], len(valid))
    wire = {"columns": case["columns"], "opaque_columns": ["index"]}
    config = {**case["config"], "error_handling": {"output": "errors"}, "tensor_batch": wire}
    outputs = (
        pipeline
        | f"{name} batch" >> beam.Create([tensor_batch.encode(Columns(columns, len(valid)))], reshuffle=False)
        | f"{name} by batch" >> RunInference(config)
    )
    good = outputs["output"] | f"{name} good in batch" >> beam.FlatMap(lambda data: of_batch(name, data, False))
    bad = outputs["errors"] | f"{name} bad in batch" >> beam.FlatMap(lambda data: of_batch(name, data, True))
    return (good, bad) | f"{name} all of batch" >> beam.Flatten()


def of_batch(name, data, is_error):
    columns = {key: column.to_rows() for key, column in tensor_batch.decode(data).columns.items()}
    for position, index in enumerate(columns.pop("index")):
        row = {key: values[position] for key, values in columns.items()}
        value = {"error": {"stage": row["stage"], "message": row["message"]}} if is_error else row
        yield name, "tensor_batch", int(index), value


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("name", CASES)
def test_every_row_gives_what_its_case_says(results, name, end):
    case = load(CASES[name], "")
    found = results[name, end]
    for index, expected in enumerate(case["expected"]):
        if end == "tensor_batch" and None in case["rows"][index].values():
            continue
        got = found[index]
        if "error" in expected:
            assert "error" in got, got
            assert got["error"]["stage"] == expected["error"]["stage"]
            assert expected["error"]["message"] in got["error"]["message"]
        else:
            assert set(got) == {*expected, "model_id"}
            for key, value in expected.items():
                assert (
                    got[key] == pytest.approx(value, abs=1e-6, nan_ok=True) if is_number(value) else got[key] == value
                )


def refusals():
    """Yields the refused cases at each end; not those with arrays as rows, as a Beam schema does not say their size."""
    for name, path in REFUSED.items():
        yield name, "tensor_batch"
        if not any(column["shape"] for column in json.loads(path.read_text())["columns"]):
            yield name, "rows"


@pytest.mark.parametrize(("name", "end"), list(refusals()))
def test_a_case_is_refused_for_the_reason_that_it_says(models, name, end):
    case = load(REFUSED[name], str(models))
    config = dict(case["config"])
    if end == "tensor_batch":
        config["tensor_batch"] = {"columns": case["columns"]}
    with pytest.raises(ConfigError) as raised:
        RunInference(config, input_schema=schema_of(case) if end == "rows" else None).prepare()
    assert case["refused"] in str(raised.value)


def is_number(value):
    return is_number(value[0]) if isinstance(value, list) else isinstance(value, (int, float))

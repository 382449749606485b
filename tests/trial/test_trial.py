# Licensed under the Apache License, Version 2.0; see LICENSE.
"""A trial gives what a pipeline gives: conformance cases, tried and compared with what they expect of every client."""

import base64
import json
import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from expansion.contract.fields import Field
from expansion.errors import ConfigError
from expansion.transforms import config, ml_transform_config
from expansion.trial.inference import try_inference
from expansion.trial.preparation import try_preparation
from expansion.trial.sample import Sample, _arrow_type

CONFORMANCE = Path(__file__).parents[1] / "conformance"
FILES = {f"{path.parent.name}/{path.stem}": path for path in sorted(CONFORMANCE.glob("*_*/*.json"))}
CASES = {name: json.loads(path.read_text()) for name, path in FILES.items() if name.split("/")[0] != "tensor_batch"}
CASES = {name: case for name, case in CASES.items() if "rows" in case}
# Those whose models and packages are quick to make and to load: all hooks and operations are among them.
INFERENCE = [
    name
    for name, case in CASES.items()
    if name.startswith("run_inference")
    and set(case["config"].get("model", ())) <= {"onnx"}
    and not any(word in json.dumps(case["config"]) for word in ("custom", "pytorch", "words.json", "model_uris"))
]
PREPARATION = [name for name in CASES if name.startswith("ml_transform") and "embed" not in name]


def replaced(value, models):
    if isinstance(value, dict):
        return {key: replaced(item, models) for key, item in value.items()}
    if isinstance(value, list):
        return [replaced(item, models) for item in value]
    if isinstance(value, str):
        return math.nan if value == "NaN" else value.replace("${models}", models)
    return value


def sample_of(case):
    fields = {c["name"]: Field(c["name"], c["datatype"], tuple(-1 for _ in c["shape"])) for c in case["columns"]}
    columns = {}
    for name, field in fields.items():
        values = [row[name] for row in case["rows"]]
        if field.datatype == "BYTES":
            values = [value if value is None else base64.b64decode(value) for value in values]
        if "FP" in field.datatype:
            values = [as_floats(value) for value in values]
        columns[name] = pa.array(values, _arrow_type(field))
    columns["row"] = pa.array(range(len(case["rows"])))
    return Sample(pa.table(columns), fields)


def as_floats(value):
    if isinstance(value, list):
        return [as_floats(item) for item in value]
    return None if value is None else float(value)


def check(trial, case):
    """Compares a trial with what a case expects of each row."""
    rows = {row["row"]: row for row in trial.rows}
    errors = {error["element"]["row"]: error for error in trial.errors}
    assert sorted([*rows, *errors]) == list(range(len(case["rows"])))
    for number, expected in enumerate(case["expected"]):
        if "error" in expected or "stage" in expected:
            said = expected.get("error", expected)
            assert errors[number]["stage"] == said["stage"]
            assert said["message"] in errors[number]["message"]
            continue
        for name, value in expected.items():
            got = rows[number][name]
            if isinstance(value, str) or (isinstance(value, list) and value and isinstance(value[0], str)):
                assert (list(got) if isinstance(value, list) else got) == value
            elif value is None:
                assert got is None
            else:
                np.testing.assert_allclose(np.asarray(got, float), np.asarray(value, float), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", INFERENCE)
def test_inference_gives_what_a_pipeline_gives(name, models):
    case = replaced(CASES[name], str(models))
    try:
        message = config.read_config(case["config"])
        sample = sample_of(case)
        for column in case["columns"]:  # of rows of a schema no size is known
            if column["shape"] and -1 not in column["shape"]:
                sample.fields[column["name"]] = Field(column["name"], column["datatype"], tuple(column["shape"]))
        trial = try_inference(message, sample)
    except ConfigError as error:
        pytest.fail(str(error))
    check(trial, case)
    assert set(trial.rows[0] if trial.rows else trial.fields) <= {*trial.fields, "row"}


@pytest.mark.parametrize("name", PREPARATION)
def test_preparation_gives_what_a_pipeline_gives(name, models):
    case = replaced(CASES[name], str(models))
    content = case["config"]
    if "read_artifact_location" not in content:
        content["write_artifact_location"] = "/nowhere/nothing/is/written"
    check(try_preparation(ml_transform_config.read_config(content), sample_of(case)), case)

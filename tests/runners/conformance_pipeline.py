# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Runs conformance cases, each as rows and as a TensorBatch, in one pipeline on the embedded runner, in this process.

Usage: python conformance_pipeline.py MODELS RESULTS CASE.json…   writes a line for each row: [case, end, row, result]
Artifacts of MLTransform go into directories beside RESULTS.
"""

import base64
import json
import math
import sys
from pathlib import Path

import apache_beam as beam
import numpy as np

from expansion import MLTransform, RunInference
from expansion.contract.fields import NUMPY_DTYPES, Field
from expansion.tensors import schemas, tensor_batch
from expansion.tensors.columns import Blobs, Columns
from expansion.tensors.rows import to_column

# By the folder of a case.
TRANSFORMS = {"run_inference": RunInference, "ml_transform": MLTransform}


def main(models, results, *paths):
    sys.path.insert(0, str(Path(__file__).parents[1] / "conformance"))  # where their_package.py is
    with beam.Pipeline() as pipeline:
        lines = []
        for path in map(Path, paths):
            case = load(path, models)
            name = name_of(path)
            lines.append(run_rows(pipeline, name, case, f"{results}-{path.stem}-rows"))
            lines.append(run_tensor_batch(pipeline, name, case, f"{results}-{path.stem}-batch"))
        _ = lines | beam.Flatten() | beam.Map(json.dumps) | beam.io.WriteToText(results, shard_name_template="")


def name_of(path):
    return f"{path.parent.name}/{path.stem}"


def config_of(name, case, artifact):
    """Returns the configuration of a case; what it learns goes to a directory ``artifact``."""
    config = {**case["config"], "error_handling": {"output": "errors"}}
    return {**config, "write_artifact_location": artifact} if transform_of(name) is MLTransform else config


def transform_of(name):
    return TRANSFORMS[name.split("/")[0]]


def load(path, models):
    """Returns a case with ``${models}``, "NaN", and the base64 of BYTES columns replaced."""

    def replaced(value):
        if isinstance(value, dict):
            return {key: replaced(item) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item) for item in value]
        if value == "NaN":
            return math.nan
        return value.replace("${models}", models) if isinstance(value, str) else value

    case = replaced(json.loads(path.read_text()))
    files = {column["name"] for column in case["columns"] if column["datatype"] == "BYTES"}
    for row in case.get("rows", ()):
        row.update({name: base64.b64decode(row[name], validate=True) for name in files if row[name] is not None})
    return case


def schema_of(case):
    fields = {"row": Field("row", "INT64")}
    fields.update({c["name"]: Field(c["name"], c["datatype"], tuple(c["shape"])) for c in case["columns"]})
    schema = schemas.schema_with(beam.portability.api.schema_pb2.Schema(), fields)
    for field in schema.fields:
        field.type.nullable = True
    return schema


def run_rows(pipeline, name, case, artifact):
    schema = schema_of(case)
    names = [field.name for field in schema.fields]
    rows = [
        beam.Row(**{key: {"row": index, **row}.get(key) for key in names}) for index, row in enumerate(case["rows"])
    ]
    transform = transform_of(name)
    source = pipeline | f"{name} rows" >> beam.Create(rows, reshuffle=False)
    by_row = transform(config_of(name, case, artifact), input_schema=schema)
    outputs = inputs(source, name, case) | f"{name} by row" >> by_row
    dropped = names if transform is RunInference else ["row"]
    good = outputs["output"] | f"{name} good row" >> beam.Map(
        lambda row: (name, "rows", row.row, {k: v for k, v in row.as_dict().items() if k not in dropped})
    )
    bad = outputs["errors"] | f"{name} bad row" >> beam.Map(
        lambda row: (name, "rows", row.element.row, {"error": {"stage": row.stage, "message": row.message}})
    )
    return (good, bad) | f"{name} all rows" >> beam.Flatten()


def run_tensor_batch(pipeline, name, case, artifact):
    rows = case["rows"]
    columns, nulls = {}, {}
    for column in case["columns"]:
        field = Field(
            column["name"], column["datatype"], tuple(-1 if -1 in column["shape"] else s for s in column["shape"])
        )
        is_null = [row[field.name] is None for row in rows]
        nulls[field.name] = np.flatnonzero(is_null)
        zero = zero_of(field)
        values = [zero if null else row[field.name] for row, null in zip(rows, is_null, strict=True)]
        columns[field.name] = to_column(values, field).column
    columns["index"] = Blobs.of("BYTES", [str(index) for index in range(len(rows))], len(rows))
    data = tensor_batch.encode(Columns(columns, len(rows)), nulls)
    transform = transform_of(name)
    wire = {"columns": case["columns"], "opaque_columns": ["index"]}
    if transform is MLTransform:  # whose output rows have all columns, also those that nothing transforms
        wire["return_columns"] = [column["name"] for column in case["columns"]]
    config = {**config_of(name, case, artifact), "tensor_batch": wire}
    source = pipeline | f"{name} batch" >> beam.Create([data], reshuffle=False)
    outputs = inputs(source, name, case) | f"{name} by batch" >> transform(config)
    good = outputs["output"] | f"{name} good in batch" >> beam.FlatMap(lambda data: of_batch(name, data, False))
    bad = outputs["errors"] | f"{name} bad in batch" >> beam.FlatMap(lambda data: of_batch(name, data, True))
    return (good, bad) | f"{name} all of batch" >> beam.Flatten()


def inputs(source, name, case):
    """Returns what RunInference is applied to: a collection, and that of the model's uris if there are some."""
    if "model_uris" not in case:
        return source
    label = f"{name} uris of {source.producer.full_label}"
    return {"input": source, "model_uris": source.pipeline | label >> beam.Create(case["model_uris"])}


def zero_of(field):
    """Returns what a column of a TensorBatch holds where a row is null."""
    if field.datatype in ("STRING", "BYTES"):
        return "" if field.datatype == "STRING" else b""
    return np.zeros([max(size, 0) for size in field.shape], NUMPY_DTYPES[field.datatype])


def of_batch(name, data, is_error):
    decoded, nulls = tensor_batch.decode(data)
    columns = {key: column.to_rows() for key, column in decoded.items()}
    for key, rows in nulls.items():
        for row in rows:
            columns[key][row] = None
    for position, index in enumerate(columns.pop("index")):
        row = {key: values[position] for key, values in columns.items()}
        value = {"error": {"stage": row["stage"], "message": row["message"]}} if is_error else row
        yield name, "tensor_batch", int(index), value


if __name__ == "__main__":
    main(*sys.argv[1:])

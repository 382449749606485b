# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Prepare and Serve samples in Python: the same jobs as the Java samples', with the same configuration files.

Usage: python examples/penguins/pipeline.py prepare [--config examples/penguins/prepare.yaml]
    [--input build/penguins/train.csv] [--artifact DIRECTORY, to apply what a job before has learned]
    [--output build/penguins/prepared_python.parquet] [Beam options, such as --runner]
or: python examples/penguins/pipeline.py serve [--config examples/penguins/serve.yaml] [--input build/penguins/test.csv]
    [--output build/penguins/predictions_python.csv] [Beam options]
"""

# ruff: noqa: UP045 - Beam makes no schema of `float | None`
import argparse
import csv
import io
from pathlib import Path
from typing import NamedTuple, Optional

import apache_beam as beam
import pyarrow as pa
import yaml
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from expansion import MLTransform, RunInference

PREPARED = pa.schema([("id", pa.int64()), ("species", pa.string()), ("features", pa.list_(pa.float64()))])


class Penguin(NamedTuple):
    """A penguin, and which one it is in the data."""

    id: int
    species: str
    island: str
    bill_length_mm: Optional[float]
    bill_depth_mm: Optional[float]
    flipper_length_mm: Optional[float]
    body_mass_g: Optional[float]
    sex: Optional[str]
    year: int


beam.coders.registry.register_coder(Penguin, beam.coders.RowCoder)


def main() -> None:
    """Prepares penguins for training, or predicts what they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    jobs = parser.add_subparsers(dest="job", required=True)
    for job, data, output in (("prepare", "train.csv", "prepared.parquet"), ("serve", "test.csv", "predictions.csv")):
        options = jobs.add_parser(job)
        options.add_argument("--config", default=f"examples/penguins/{job}.yaml")
        options.add_argument("--input", default=f"build/penguins/{data}")
        options.add_argument("--output", default=f"build/penguins/{output.replace('.', '_python.')}")
    jobs.choices["prepare"].add_argument("--artifact")
    arguments, beam_arguments = parser.parse_known_args()
    config = yaml.safe_load(Path(arguments.config).read_text())
    config["error_handling"] = {"output": "errors"}

    with beam.Pipeline(options=PipelineOptions(beam_arguments)) as pipeline:
        penguins = (
            pipeline
            | "Read" >> beam.io.ReadFromText(arguments.input, skip_header_lines=1)
            | "Parse" >> beam.Map(_parse).with_output_types(Penguin)
        )
        if arguments.job == "prepare":
            errors = _prepare(penguins, config, arguments)
        else:
            errors = _serve(penguins, config, arguments.output)
        lines = errors | "Describe" >> beam.Map(lambda row: _csv(row.element.id, row.stage, row.message))
        beside = FileSystems.join(FileSystems.split(arguments.output)[0], "errors_python.csv")
        _write(lines, beside, "id,stage,message")


def _prepare(penguins: beam.PCollection, config: dict, arguments: argparse.Namespace) -> beam.PCollection:
    if arguments.artifact:
        del config["write_artifact_location"], config["overwrite"]
        config["read_artifact_location"] = arguments.artifact
    results = penguins | "Prepare" >> MLTransform(config)
    rows = results["output"] | "ToDict" >> beam.Map(lambda row: row.as_dict())
    rows | "WriteParquet" >> beam.io.WriteToParquet(arguments.output, PREPARED, shard_name_template="", num_shards=1)
    return results["errors"]


def _serve(penguins: beam.PCollection, config: dict, output: str) -> beam.PCollection:
    results = penguins | "Classify" >> RunInference(config)
    lines = results["output"] | "Format" >> beam.Map(lambda row: _csv(row.id, row.species, row.predicted, row.score))
    _write(lines, output, "id,species,predicted,score")
    return results["errors"]


def _parse(line: str) -> Penguin:
    number, species, island, *measures, sex, year = next(csv.reader([line]))
    known = [float(measure) if measure else None for measure in measures]
    return Penguin(int(number), species, island, *known, sex or None, int(year))


def _csv(*columns: object) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(columns)
    return line.getvalue()


def _write(lines: beam.PCollection, path: str, header: str) -> None:
    name = f"Write {Path(path).name}"
    lines | name >> beam.io.WriteToText(path, header=header, shard_name_template="", num_shards=1)


if __name__ == "__main__":
    main()

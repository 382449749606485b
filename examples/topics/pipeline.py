# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Topics sample in Python: the same job as the Java sample's, with the same configuration file.

Usage: python examples/topics/pipeline.py [--config examples/topics/chain.yaml] [--input build/topics/test.tsv]
    [--output build/topics/predictions_python.csv] [Beam options, such as --runner]
"""

import argparse
import csv
import io
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import yaml
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from expansion import RunInference


class Line(NamedTuple):
    """A sentence and its topic, which is empty where the line says none."""

    topic: str
    sentence: str


beam.coders.registry.register_coder(Line, beam.coders.RowCoder)


def main() -> None:
    """Reads sentences, predicts their topics, writes predictions and errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="examples/topics/chain.yaml")
    parser.add_argument("--input", default="build/topics/test.tsv")
    parser.add_argument("--output", default="build/topics/predictions_python.csv")
    arguments, beam_arguments = parser.parse_known_args()
    config = yaml.safe_load(Path(arguments.config).read_text())
    config["error_handling"] = {"output": "errors"}

    with beam.Pipeline(options=PipelineOptions(beam_arguments)) as pipeline:
        results = (
            pipeline
            | "Read" >> beam.io.ReadFromText(arguments.input)
            | "Parse" >> beam.Map(_parse).with_output_types(Line)
            | "Classify" >> RunInference(config)
        )
        lines = results["output"] | "Format" >> beam.Map(
            lambda row: _csv(row.sentence, row.topic, row.predicted, row.score)
        )
        _write(lines, arguments.output, "sentence,topic,predicted,score")
        errors = results["errors"] | "Describe" >> beam.Map(
            lambda row: _csv(row.element.sentence, row.stage, row.message)
        )
        beside = FileSystems.join(FileSystems.split(arguments.output)[0], "errors_python.csv")
        _write(errors, beside, "sentence,stage,message")


def _parse(line: str) -> Line:
    topic, tab, sentence = line.partition("\t")
    return Line(topic, sentence) if tab else Line("", line)


def _csv(*columns: object) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(columns)
    return line.getvalue()


def _write(lines: beam.PCollection, path: str, header: str) -> None:
    name = f"Write {Path(path).name}"
    lines | name >> beam.io.WriteToText(path, header=header, shard_name_template="", num_shards=1)


if __name__ == "__main__":
    main()

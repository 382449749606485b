# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Images sample in Python: the same job as the Java sample's, with the same configuration file.

Usage: python examples/images/pipeline.py [--config examples/images/cnn.yaml] [--input 'build/images/test/*.jpg']
    [--labels build/images/labels.csv] [--output build/images/predictions_python.csv] [Beam options, such as --runner]
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import yaml
from apache_beam.io import fileio
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from expansion import RunInference


class Picture(NamedTuple):
    """An image file: its name and its content."""

    file: str
    image: bytes


beam.coders.registry.register_coder(Picture, beam.coders.RowCoder)


def main() -> None:
    """Reads image files, predicts, writes predictions and errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="examples/images/cnn.yaml")
    parser.add_argument("--input", default="build/images/test/*.jpg")
    parser.add_argument("--labels", default="build/images/labels.csv")
    parser.add_argument("--output", default="build/images/predictions_python.csv")
    arguments, beam_arguments = parser.parse_known_args()
    config = yaml.safe_load(Path(arguments.config).read_text())
    config["error_handling"] = {"output": "errors"}

    with beam.Pipeline(options=PipelineOptions(beam_arguments)) as pipeline:
        labels = (
            pipeline
            | "Read labels" >> beam.io.ReadFromText(arguments.labels, skip_header_lines=1)
            | "Split" >> beam.Map(lambda line: tuple(line.split(",")))
        )
        results = (
            pipeline
            | "Match" >> fileio.MatchFiles(arguments.input)
            | "Open" >> fileio.ReadMatches()
            | "Read" >> beam.Map(_read).with_output_types(Picture)
            | "Classify" >> RunInference(config)
        )
        lines = results["output"] | "Format" >> beam.Map(_format, beam.pvalue.AsDict(labels))
        _write(lines, arguments.output, "file,label,predicted,score")
        errors = results["errors"] | "Describe" >> beam.Map(lambda row: f"{row.element.file},{row.stage},{row.message}")
        beside = FileSystems.join(FileSystems.split(arguments.output)[0], "errors_python.csv")
        _write(errors, beside, "file,stage,message")


def _read(file: fileio.ReadableFile) -> Picture:
    return Picture(Path(file.metadata.path).name, file.read())


def _format(row: beam.Row, labels: dict[str, str]) -> str:
    return f"{row.file},{labels[row.file]},{row.predicted},{row.top_scores[0]}"


def _write(lines: beam.PCollection, path: str, header: str) -> None:
    name = f"Write {Path(path).name}"
    lines | name >> beam.io.WriteToText(path, header=header, shard_name_template="", num_shards=1)


if __name__ == "__main__":
    main()

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Digits sample in Python: the same job as the Java sample's, with the same configuration file.

Usage: python examples/digits/pipeline.py [--config examples/digits/onnx.yaml] [--input build/demo/digits_test.csv]
    [--output build/demo/predictions_python.csv] [Beam options, such as --runner]
"""

import argparse
import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import yaml
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions

from expansion import RunInference


class Digit(NamedTuple):
    """A handwritten digit: what it is, and its 64 pixels from 0 to 16."""

    id: int
    label: str
    pixels: Sequence[np.float32]


beam.coders.registry.register_coder(Digit, beam.coders.RowCoder)


def main() -> None:
    """Reads CSV, predicts, writes predictions and errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="examples/digits/onnx.yaml")
    parser.add_argument("--input", default="build/demo/digits_test.csv")
    parser.add_argument("--output", default="build/demo/predictions_python.csv")
    arguments, beam_arguments = parser.parse_known_args()
    config = yaml.safe_load(Path(arguments.config).read_text())
    config["error_handling"] = {"output": "errors"}

    with beam.Pipeline(options=PipelineOptions(beam_arguments)) as pipeline:
        results = (
            pipeline
            | "Read" >> beam.io.ReadFromText(arguments.input, skip_header_lines=1)
            | "Parse" >> beam.Map(_parse).with_output_types(Digit)
            | "Classify" >> RunInference(config)
        )
        _write(results["output"] | "Format" >> beam.Map(_format), arguments.output, "id,label,predicted,score")
        errors = results["errors"] | "Describe" >> beam.Map(lambda row: f"{row.element.id},{row.stage},{row.message}")
        beside = FileSystems.join(FileSystems.split(arguments.output)[0], "errors_python.csv")
        _write(errors, beside, "id,stage,message")


def _parse(line: str) -> Digit:
    row_id, label, *pixels = next(csv.reader([line]))
    return Digit(int(row_id), label, [np.float32(pixel) for pixel in pixels])


def _format(row: beam.Row) -> str:
    return f"{row.id},{row.label},{row.predicted},{row.top_scores[0]}"


def _write(lines: beam.PCollection, path: str, header: str) -> None:
    name = f"Write {Path(path).name}"
    lines | name >> beam.io.WriteToText(path, header=header, shard_name_template="", num_shards=1)


if __name__ == "__main__":
    main()

# Licensed under the Apache License, Version 2.0; see LICENSE.
"""The Sentences sample in Python: the same job as the Java sample's, with the same configuration file.

Usage: python examples/sentences/pipeline.py [--config examples/sentences/minilm.yaml] [--model_uri DIRECTORY]
    [--input examples/sentences/sentences.txt] [--output build/sentences/nearest_python.csv] [Beam options]
"""

import argparse
import csv
import io
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import numpy as np
import yaml
from apache_beam.options.pipeline_options import PipelineOptions

from expansion import RunInference


def main() -> None:
    """Reads sentences, makes embeddings, writes the nearest other sentence of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default="examples/sentences/minilm.yaml")
    parser.add_argument("--model_uri", help="where the model is; default: what the configuration says")
    parser.add_argument("--input", default="examples/sentences/sentences.txt")
    parser.add_argument("--output", default="build/sentences/nearest_python.csv")
    arguments, beam_arguments = parser.parse_known_args()
    config = yaml.safe_load(Path(arguments.config).read_text())
    if arguments.model_uri:
        config["model"]["huggingface"]["uri"] = arguments.model_uri

    with beam.Pipeline(options=PipelineOptions(beam_arguments)) as pipeline:
        results = (
            pipeline
            | "Read" >> beam.io.ReadFromText(arguments.input)
            | "SkipEmpty" >> beam.Filter(str.strip)
            | "ToRow" >> beam.Select(text=str)
            | "Embed" >> RunInference(config)
        )
        sentences = results["output"] | "Gather" >> beam.combiners.ToList()
        lines = sentences | "FindNearest" >> beam.FlatMap(_nearest)
        lines | "Write" >> beam.io.WriteToText(
            arguments.output, header="sentence,nearest,cosine", shard_name_template="", num_shards=1
        )


def _nearest(sentences: list[beam.Row]) -> Iterator[str]:
    embeddings = np.array([sentence.embedding for sentence in sentences])
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, -np.inf)
    for sentence, row in zip(sentences, cosines, strict=True):
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([sentence.text, sentences[row.argmax()].text, row.max()])
        yield line.getvalue()


if __name__ == "__main__":
    main()

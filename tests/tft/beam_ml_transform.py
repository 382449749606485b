# Licensed under the Apache License, Version 2.0; see LICENSE.
"""Writes an artifact with Beam's own MLTransform: beam_ml_transform.py ROWS DIRECTORY OUT.

ROWS holds rows as JSON, with "key", "alcohol", "magnesium", "cultivar" and "text"; what Beam makes of them goes to OUT.
"""

import json
import sys

import apache_beam as beam
import numpy as np
from apache_beam.ml.transforms.base import MLTransform
from apache_beam.ml.transforms.tft import TFIDF, ComputeAndApplyVocabulary, ScaleTo01, ScaleToZScore


def main(rows, directory, out):
    transform = MLTransform(write_artifact_location=directory)
    for operation in (
        ScaleTo01(columns=["alcohol"]),
        ScaleToZScore(columns=["magnesium"]),
        ComputeAndApplyVocabulary(columns=["cultivar"]),
        ComputeAndApplyVocabulary(columns=["text"], split_string_by_delimiter=" .,:"),
        TFIDF(columns=["text"]),
    ):
        transform = transform.with_transform(operation)
    with open(rows) as lines, beam.Pipeline() as pipeline:
        made = pipeline | beam.Create([beam.Row(**json.loads(line)) for line in lines]) | transform
        _ = made | beam.Map(write, out)


def write(row, path):
    with open(path, "a") as file:
        file.write(json.dumps({name: np.asarray(value).tolist() for name, value in row.as_dict().items()}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# The Digits sample from beginning to end: train a classifier, build the Java pipeline, run it, evaluate.
# Usage: tools/demo.sh [options of the sample, such as --config=examples/digits/sklearn.yaml]     (make demo sets up first)
set -euo pipefail
cd "$(dirname "$0")/.."
export BEAM_ML_EXPANSION_COMMAND=${BEAM_ML_EXPANSION_COMMAND:-$PWD/.venv/bin/beam-ml-expansion}

say() { printf '== %s\n' "$*" >&2; }

if [ ! -f build/demo/digits.onnx ] || [ examples/digits/prepare.py -nt build/demo/digits.onnx ]; then
  say "training a classifier of handwritten digits on one half of the data (build/demo)"
  .venv/bin/python examples/digits/prepare.py build/demo
fi
say "building the Java pipeline (java-example; the first time Gradle downloads Beam)"
gradle -p java-example --console=plain -q :samples:installDist
say "running it: CSV → Java → expansion service → ONNX Runtime → Java → build/demo/predictions.csv"
java-example/samples/build/install/samples/bin/samples "$@"
say "wrote build/demo/predictions.csv and build/demo/errors.csv; the same job in Python: examples/digits/pipeline.py"

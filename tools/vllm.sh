#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# Tests what the package takes for granted of vLLM with vLLM itself, in build/vllm: an environment of its own, as vLLM wants
# another PyTorch than ours. It takes two minutes and 9 GB the first time, and make test does without it. The test of a
# server needs an NVIDIA GPU, or vLLM's build for CPUs in that environment; without either it is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/build/uv/bin:$PATH"

if [ ! -x build/vllm/bin/vllm ]; then
  uv venv --quiet --clear build/vllm
  echo "== installing vLLM into build/vllm" >&2
  uv pip install --quiet --python build/vllm/bin/python --editable '.[vllm]' pytest
fi
build/vllm/bin/python -m pytest -q tests/models/test_vllm_package.py "$@"

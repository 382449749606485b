#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# Puts into .venv what models need on NVIDIA GPUs beside what tools/setup.sh installs, which has PyTorch and XGBoost with
# CUDA already: onnxruntime-gpu in place of onnxruntime, and TensorRT, 4 GB. Does nothing where there is no GPU.
# TensorFlow's CUDA libraries and PyTorch's exclude each other: see docs/gpu.md.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/build/uv/bin:$PATH"
python=.venv/bin/python

$python -c 'import sys; from expansion.models.runtime import cuda_gpu_count; sys.exit(not cuda_gpu_count())' ||
  { echo "== no NVIDIA GPU on this machine: nothing more is installed" >&2; exit 0; }
$python -c 'import tensorrt, onnxruntime as o; assert "CUDAExecutionProvider" in o.get_available_providers()' 2>/dev/null && exit 0
echo "== installing onnxruntime-gpu in place of onnxruntime, and TensorRT" >&2
uv pip uninstall --quiet --python "$python" onnxruntime
uv pip install --quiet --python "$python" --constraints constraints.txt \
  'onnxruntime-gpu[cuda,cudnn]' 'tensorrt>=10.3' 'cuda-bindings>=12.8'

#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# Generates the Python stubs from proto/, and comments.json with what their comments say, with the oldest protoc of the supported Beam range (protobuf 4.25), so that they load
# under every protobuf runtime that Beam allows. Usage: generate.sh OUTPUT_DIR   (needs uv; `make gen` calls it)
set -euo pipefail
out=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

cd "$here"
uv_run() { uv run --no-project --isolated --quiet --with 'grpcio-tools==1.62.3' --with 'setuptools<80' "$@"; }
uv_run python -m grpc_tools.protoc -I. --python_out="$scratch" --pyi_out="$scratch" \
  --include_source_info --descriptor_set_out="$scratch/descriptors" beamml/*/*/*.proto

mkdir -p "$out"
uv_run python comments.py "$scratch/descriptors" "$out/comments.json"
for stub in "$scratch"/beamml/*/*/*_pb2.py*; do
  # The stubs live inside the package, not at the top-level name `beamml`: in imports, and where pickle looks for a message.
  sed -e 's/^from beamml\.expansion\.v1 import/from expansion.contract._gen import/' \
      -e "s/'beamml\.[a-z_]*\.v[0-9]*\./'expansion.contract._gen./" "$stub" > "$out/$(basename "$stub")"
done
printf '"""Stubs generated from proto/ by `make gen`; do not edit."""\n' > "$out/__init__.py"

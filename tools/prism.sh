#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# Builds Prism, Beam's local runner for batch and streaming, into build/prism: tests of streaming run on it. Needs Go; without
# it those tests are skipped. Two minutes the first time.
set -euo pipefail
cd "$(dirname "$0")/.."

[ ! -x build/prism/prism ] || exit 0
if ! command -v go >/dev/null; then
  echo "== Go is missing: the tests of streaming are skipped" >&2
  exit 0
fi
echo "== building Prism into build/prism" >&2
GOBIN=$PWD/build/prism go install github.com/apache/beam/sdks/v2/go/cmd/prism@v2.77.0

#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# Makes build/mlserver, a virtual environment with MLServer and its runtime for scikit-learn: a test calls it as a remote
# model. It is one of its own, as MLServer wants other versions than we do. Needs uv and a Python older than 3.13; without
# them that test is skipped. 10 seconds the first time.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/build/uv/bin:$PATH"

[ ! -x build/mlserver/bin/mlserver ] || exit 0
if ! uv venv --quiet --clear --no-python-downloads --python '>=3.10,<3.13' build/mlserver; then
  echo "== no Python older than 3.13: the test of MLServer is skipped" >&2
  exit 0
fi
echo "== installing MLServer into build/mlserver" >&2
# Its worker processes do not start with newer versions of uvloop.
uv pip install --quiet --python build/mlserver/bin/python mlserver==1.7.1 mlserver-sklearn==1.7.1 'uvloop<0.22'
build/mlserver/bin/python -m compileall -q -j 0 -x '/tests?/' build/mlserver/lib >/dev/null || true  # it starts in half the time

#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# Makes everything that the other make targets need: .venv with the package and its extras, a JDK, Gradle. Installs what is
# missing where it can (as root on Debian and its kin), and says what to install where it can't. Quick when all is there.
#
# Usage: tools/setup.sh [EXTRAS]    EXTRAS: onnx,sklearn (default; what the demo needs) or all (every framework but TensorRT and vLLM: 8 GB)
set -euo pipefail
cd "$(dirname "$0")/.."
extras=${1:-onnx,sklearn}

say() { printf '== %s\n' "$*" >&2; }
stop() { printf 'setup: %s\n' "$*" >&2; exit 1; }

# install PACKAGE... : with apt, if we may; fails otherwise.
install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
  say "installing $* (apt)"
  # An old list of packages is better than none: update may fail behind a proxy.
  DEBIAN_FRONTEND=noninteractive apt-get update -qq || true
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

python_at_least_310() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; }

find_python() {
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11 python3.10; do
    if [ -n "$candidate" ] && python_at_least_310 "$candidate"; then echo "$candidate"; return; fi
  done
  return 1
}

java_major() { javac -version 2>&1 | sed -n 's/^javac \([0-9]*\).*/\1/p'; }

python=$(find_python) || { install python3 python3-venv && python=$(find_python); } ||
  stop "Python 3.10 or newer is needed; install it, or set PYTHON to one"

[ "$(java_major)" -ge 11 ] 2>/dev/null || install openjdk-17-jdk-headless ||
  stop "a JDK 11 or newer is needed (javac on PATH), such as Debian's openjdk-17-jdk-headless"

command -v gradle >/dev/null || install gradle ||
  stop "Gradle 4.4 or newer is needed (gradle on PATH), such as Debian's package gradle, or see gradle.org/install"

export PATH="$PWD/build/uv/bin:$PATH"
if ! command -v uv >/dev/null; then
  say "installing uv into build/uv"
  "$python" -m venv build/uv 2>/dev/null || { install python3-venv && "$python" -m venv build/uv; } ||
    stop "$python can't make a virtual environment; install its venv module (Debian: python3-venv)"
  build/uv/bin/pip install --quiet uv
fi

# The stamp names what .venv was made from, so that a second run does nothing and a changed dependency makes it anew.
sources=$(cat pyproject.toml constraints.txt | sha256sum | cut -d' ' -f1)
installed=$(cat .venv/beam-ml-expansion-stamp 2>/dev/null || true)
if [ "$installed" != "$sources all" ] && [ "$installed" != "$sources $extras" ]; then
  case $installed in "$sources "*) ;; *) uv venv --quiet --clear --python "$python" .venv ;; esac
  say "installing Python packages into .venv (extras: $extras)"
  uv pip install --quiet --python .venv/bin/python --constraints constraints.txt --group dev --editable ".[$extras]"
  # Where PYTHONDONTWRITEBYTECODE is set, as in many images, every worker would otherwise compile what it imports: 6 s.
  .venv/bin/python -m compileall -q -j 0 -x '/tests?/' .venv/lib >/dev/null || true
  echo "$sources $extras" > .venv/beam-ml-expansion-stamp
fi

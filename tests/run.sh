#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# All tests, those that fail fastest first: unit tests in Python, lint, unit tests in Java, then pipelines on real runners.
# Runs every part even if one fails, and ends with a table.   (make test sets up first)
set -uo pipefail
cd "$(dirname "$0")/.."
export BEAM_ML_EXPANSION_COMMAND=${BEAM_ML_EXPANSION_COMMAND:-$PWD/.venv/bin/beam-ml-expansion}
export PATH="$PWD/.venv/bin:$PATH"
# Every JVM of the tests lives for a minute or so: the optimizing compiler costs them more than it gains.
export JAVA_TOOL_OPTIONS="-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
reports=build/test
rm -rf "$reports"; mkdir -p "$reports"
failed=()

part() { # part NAME COMMAND... : runs it, says how long it took, remembers if it failed.
  local name=$1 start=$SECONDS; shift
  printf '\n== %s\n' "$name"
  "$@" || failed+=("$name")
  printf '== %s: %d s\n' "$name" $((SECONDS - start))
}

framework_files() { # Two at a time: each uses one core most of the time. What one prints stays together.
  grep -l 'pytest.mark.framework' -r tests --include='test_*.py' | sort |
    xargs -P 2 -I {} bash -c 'name=$(basename "$0" .py)
      output=$(pytest -q -m "framework and not soak" "$0" --junitxml="$1/$name.xml" 2>&1); code=$?
      printf "\n-- %s\n%s\n" "$name" "$output"; exit $code' {} "$reports"
}

part "Python unit tests" pytest -q -n auto -m "not runner and not image and not soak and not framework" --junitxml="$reports/python-unit.xml"
part "lint" make --no-print-directory lint
part "frameworks, a process each" framework_files
part "models of the conformance cases" python tests/conformance/make_models.py build/conformance
part "Java tests" gradle -p java-example --console=plain -q cleanTest test :samples:installDist
part "real services, and pipelines on real runners" pytest -q -n auto --dist loadfile --max-worker-restart=0 -m runner --junitxml="$reports/python-runner.xml"
part "summary" python tests/summary.py "$reports" java-example

if [ ${#failed[@]} -gt 0 ]; then printf 'FAILED: %s\n' "${failed[@]}"; exit 1; fi

#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# Installs Flink into build/flink, with Beam's job server for it: tests run pipelines on a cluster of it. Needs uv, Gradle
# and a JDK, which setup.sh sees to. A minute the first time, 220 MB of disk.
#
#   build/flink/lib          Flink's distribution, from the Python package that holds it
#   build/flink/job-server   what Beam's job server needs besides it
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/build/uv/bin:$PATH"
version=1.19.3

stamp="$version $(cat java-example/flink/build.gradle java-example/gradle.properties | sha256sum | cut -d' ' -f1)"
[ "$(cat build/flink/stamp 2>/dev/null || true)" != "$stamp" ] || exit 0
echo "== installing Flink and Beam's job server for it into build/flink" >&2
rm -rf build/flink
mkdir -p build/flink/lib
uv pip install --quiet --python .venv/bin/python --target build/flink/package --no-deps "apache-flink-libraries==$version"
# Without Flink SQL, which is half of it.
mv build/flink/package/pyflink/lib/{flink-dist,log4j}-*.jar build/flink/lib
rm -rf build/flink/package
gradle -p java-example --console=plain -q :flink:installJobServer
echo "$stamp" > build/flink/stamp

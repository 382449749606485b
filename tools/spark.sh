#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# Installs Spark into build/spark, with Beam's job server for it: a test runs a pipeline on a cluster of it. Needs Gradle and
# a JDK, which setup.sh sees to. Half a minute the first time, 200 MB of disk.
#
#   build/spark/jars   both; Beam's job server does not bring its own classes to Spark's executors
set -euo pipefail
cd "$(dirname "$0")/.."

stamp=$(cat java-example/spark/build.gradle java-example/gradle.properties | sha256sum | cut -d' ' -f1)
[ "$(cat build/spark/stamp 2>/dev/null || true)" != "$stamp" ] || exit 0
echo "== installing Spark and Beam's job server for it into build/spark" >&2
rm -rf build/spark
gradle -p java-example --console=plain -q :spark:installSpark
echo "$stamp" > build/spark/stamp

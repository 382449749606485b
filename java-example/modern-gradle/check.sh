#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# Evaluates the build scripts under a current Gradle (8.11.1), from its classes on Maven Central (186 MB, kept in CACHE_DIR):
# the build runs under Debian's 4.4.1, and this shows that it has not fallen behind.
# Usage: check.sh [CACHE_DIR]            Needs Maven.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=$(realpath -m "${1:-$here/../build/modern-gradle}")
mkdir -p "$cache"

get() { # get GROUP NAME VERSION
  [ -f "$cache/$2-$3.jar" ] || mvn -q -B org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
    -Dartifact="$1:$2:$3" -DoutputDirectory="$cache"
}

get dev.gradleplugins gradle-api 8.11.1
for name in groovy groovy-json groovy-xml groovy-nio groovy-templates groovy-dateutil groovy-datetime groovy-ant \
  groovy-groovydoc groovy-sql; do
  get org.codehaus.groovy "$name" 3.0.22
done
get org.jetbrains.kotlin kotlin-stdlib 2.0.20

opens=()
for package in lang util lang.invoke net nio.charset; do opens+=(--add-opens "java.base/java.$package=ALL-UNNAMED"); done
exec timeout 300 java "${opens[@]}" -cp "$cache/*" "$here/ModernGradleCheck.java" "$here/.." "$cache/home"

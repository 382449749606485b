#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# Builds images and prints their sizes: with Docker where its daemon runs, else with buildah, which needs none.
#
#   docker/build.sh [IMAGE...] [BUILD_OPTION...]     IMAGE: service, worker-cpu (both are the default), worker-gpu, worker-tensorrt,
#                                                    flex-template
#   docker/build.sh worker-cpu --build-arg EXTRAS="onnx pytorch"
#
# They are named beam-ml-expansion (the service) and beam-ml-expansion-worker-cpu and so on, tagged VERSION and latest.
# With buildah, IMAGE_STORE is where they are kept (default: build/images); commands for podman are in docker/store.sh. Where
# no registry can be reached, docker/bases.sh makes what the images are built on.
set -euo pipefail
cd "$(dirname "$0")/.."
images=()
while [ $# -gt 0 ] && [[ $1 != -* ]]; do images+=("$1"); shift; done
[ ${#images[@]} -gt 0 ] || images=(service worker-cpu)
for image in "${images[@]}"; do
  [ -f "docker/$image.Dockerfile" ] || { echo "error: no image $image; got ${images[*]}; expected" \
    "$(cd docker && echo *.Dockerfile | sed 's/\.Dockerfile//g')" >&2; exit 1; }
done
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

if docker info >/dev/null 2>&1; then
  build() { DOCKER_BUILDKIT=1 docker build "$@" .; }
  size() { docker image inspect --format '{{.Size}}' "$1"; }
else
  # shellcheck source=docker/store.sh
  . docker/store.sh
  docker/bases.sh "${images[@]}"
  # --format docker: OCI images have no HEALTHCHECK. chroot isolation: no privileges of the container host needed.
  build() {
    buildah build --quiet --layers --format docker --isolation chroot --network host \
      --ignorefile "docker/$image.Dockerfile.dockerignore" "$@" . >/dev/null
  }
  size() { podman image inspect --format '{{.Size}}' "$1"; }
fi

for image in "${images[@]}"; do
  # It holds the Java samples, which are built here.
  [ "$image" != flex-template ] || gradle -p java-example --console=plain -q -PwithDataflow :samples:installDist
  name=beam-ml-expansion; [ "$image" = service ] || name+=-$image
  start=$SECONDS
  build -t "$name:$version" -t "$name:latest" -f "docker/$image.Dockerfile" \
    --build-arg VERSION="$version" --build-arg REVISION="$revision" "$@"
  echo "$name:$version: $(($(size "$name:$version") / 1000000)) MB, built in $((SECONDS - start)) s"
done

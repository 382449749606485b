#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# Builds the service image: with Docker where its daemon runs, else with buildah, which needs none.
#
#   docker/build.sh [IMAGE_NAME] [BUILD_OPTION...]      default name: beam-ml-expansion
#
# With buildah, IMAGE_STORE is where images are kept (default: build/images). Where no image registry can be reached, the
# base image is made of Debian's own packages with mmdebstrap; that needs root.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${1:-beam-ml-expansion}
shift || true
base=$(sed -n 's/^ARG BASE_IMAGE=//p' docker/service.Dockerfile)
build=(-t "$image" -f docker/service.Dockerfile "$@")

if docker info >/dev/null 2>&1; then
  exec docker build "${build[@]}" .
fi
if ! command -v buildah >/dev/null; then
  echo "error: neither a Docker daemon nor buildah is here; on Debian: apt-get install buildah podman runc mmdebstrap" >&2
  exit 1
fi

store=$(realpath -m "${IMAGE_STORE:-build/images}")
mkdir -p "$store"
cat > "$store/containers.conf" <<CONF
[containers]
# The defaults ask for more than an unprivileged container host may give: "setrlimit: Operation not permitted".
default_ulimits = ["nofile=$(ulimit -Hn):$(ulimit -Hn)", "nproc=4096:4096"]
netns = "host"
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
CONF
# Native overlay: vfs, the default of older versions, copies every layer.
printf '[storage]\ndriver = "overlay"\ngraphroot = "%s/graph"\nrunroot = "%s/run"\n' "$store" "$store" \
  > "$store/storage.conf"
export CONTAINERS_CONF=$store/containers.conf CONTAINERS_STORAGE_CONF=$store/storage.conf

if ! buildah inspect --type image "docker.io/library/$base" >/dev/null 2>&1 \
    && ! buildah pull --quiet "docker.io/library/$base" 2>/dev/null; then
  echo "no registry has $base for us; making it of Debian's packages"
  # With this machine's own certificate authorities, for networks that have some.
  mmdebstrap --variant=minbase --include=ca-certificates,python3,python3-pip,python3-venv \
    --customize-hook='ln -s python3 "$1/usr/bin/python"' \
    --customize-hook='cp /usr/local/share/ca-certificates/*.crt "$1/usr/local/share/ca-certificates/" 2>/dev/null || true' \
    --customize-hook='chroot "$1" update-ca-certificates' \
    bookworm - | podman import --quiet --change 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' \
    --change 'CMD ["python3"]' - "docker.io/library/$base"
fi

# --format docker: OCI images have no HEALTHCHECK. chroot isolation: no privileges of the container host needed.
buildah bud --layers --format docker --isolation chroot --network host "${build[@]}" .
echo "run it:  CONTAINERS_CONF=$CONTAINERS_CONF CONTAINERS_STORAGE_CONF=$CONTAINERS_STORAGE_CONF \\"
echo "         podman run --rm --network host $image"

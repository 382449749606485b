# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# To be sourced: points buildah and podman to a store of images below this repository, and to settings that work without a
# daemon, also inside of a container.
#
#   . docker/store.sh && podman run --rm --network host beam-ml-expansion
if ! command -v buildah >/dev/null || ! command -v podman >/dev/null; then
  echo "error: neither a Docker daemon nor buildah and podman are here; on Debian: apt-get install buildah podman runc mmdebstrap" >&2
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
# Clients of Docker's API find images that are here only by the names under which they were built.
compat_api_enforce_docker_hub = false
CONF
# Native overlay: vfs, the default of older versions, copies every layer. Nothing stays mounted, so that build/ can be removed.
cat > "$store/storage.conf" <<CONF
[storage]
driver = "overlay"
graphroot = "$store/graph"
runroot = "$store/run"
[storage.options.overlay]
skip_mount_home = "true"
CONF
export CONTAINERS_CONF=$store/containers.conf CONTAINERS_STORAGE_CONF=$store/storage.conf

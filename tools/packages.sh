#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# Installs Debian's packages that some tests and targets need. Needs to be root on Debian or its kin; elsewhere it says what is
# missing, and those tests are skipped.
#
#   tools/packages.sh containers    what builds and runs images without a Docker daemon: 15 seconds the first time
#   tools/packages.sh web           a browser for the catalogue page, and the proxy of docs/secure-service.md: half a minute
set -euo pipefail

case ${1:-} in
  containers) commands=(buildah podman runc mmdebstrap) packages=("${commands[@]}") ;;
  web) commands=(chromium nginx) packages=(chromium nginx-light) ;;
  *) echo "error: got '${1:-}'; expected containers or web" >&2; exit 2 ;;
esac
export PATH=$PATH:/usr/sbin # nginx
missing=()
for command in "${commands[@]}"; do
  command -v "$command" >/dev/null || missing+=("$command")
done
[ ${#missing[@]} -gt 0 ] || exit 0
if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "== missing here, and what needs them is skipped: ${missing[*]}" >&2
  exit 0
fi
echo "== installing ${packages[*]} (apt)" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || true
apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null ||
  echo "== they can't be installed, and what needs them is skipped: ${missing[*]}" >&2

#!/usr/bin/env bash
# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# Gets what images are built on, for build.sh where there is no Docker daemon. Where no registry can be reached, makes what
# stands in for it under the same name: Python's image of Debian's packages, which needs root; Beam's of its boot program,
# which needs Go.
#
#   docker/bases.sh IMAGE...     IMAGE: as for build.sh
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=docker/store.sh
. docker/store.sh

python_image() { # Debian 12 has Python 3.11.
  echo "no registry has $1 for us; making it of Debian's packages" >&2
  # With this machine's own certificate authorities, for networks that have some.
  mmdebstrap --quiet --aptopt='Dir::Cache { srcpkgcache ""; pkgcache ""; }' --variant=minbase --include=ca-certificates,python3,python3-venv \
    --customize-hook='ln -s python3 "$1/usr/bin/python"' \
    --customize-hook='cp /usr/local/share/ca-certificates/*.crt "$1/usr/local/share/ca-certificates/" 2>/dev/null || true' \
    --customize-hook='chroot "$1" update-ca-certificates >/dev/null 2>&1' \
    bookworm - | podman import --quiet --change 'ENV PIP_CERT=/etc/ssl/certs/ca-certificates.crt' \
    --change 'ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt' --change 'CMD ["python3"]' - "$1" >/dev/null
}

beam_image() { # No more of it than is copied from it.
  local version=${1##*:} folder
  echo "no registry has $1 for us; building Beam's boot program" >&2
  command -v go >/dev/null || { echo "error: Go builds it and is missing; install it (https://go.dev/dl/)" >&2; exit 1; }
  folder=$(mktemp -d)
  mkdir -p "$folder/opt/apache/beam"
  GOBIN=$folder go install "github.com/apache/beam/sdks/v2/python/container@v$version"
  mv "$folder/container" "$folder/opt/apache/beam/boot"
  cp "$(go env GOMODCACHE)/github.com/apache/beam/sdks/v2@v$version/LICENSE" "$folder/opt/apache/beam"
  tar -C "$folder" -c opt | podman import --quiet - "$1" >/dev/null
  rm -r "$folder"
}

pull() { # Asks first, if only for a minute: where nothing answers, a pull tries for many.
  timeout 60 podman manifest inspect "$1" && podman pull --quiet "$1"
}

for image in "$@"; do
  sed -n 's/^ARG [A-Z]*_IMAGE=//p' "docker/$image.Dockerfile"
done | sort -u | while read -r base; do
  case $base in
    python:3.11-*) name=docker.io/library/$base make=python_image ;;
    apache/beam_python*) name=docker.io/$base make=beam_image ;;
    *) continue ;; # buildah gets it, or says that it can't
  esac
  if ! podman image exists "$name" && ! pull "$name" >/dev/null 2>&1; then $make "$name"; fi
done

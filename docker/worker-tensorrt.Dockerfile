# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# A Python worker of Beam with this package on NVIDIA's TensorRT image, whose TensorRT, CUDA and Python it uses. There is no
# default for the base: it is in NVIDIA's catalogue, not in Docker's. Build it with docker/build.sh:
#
#   docker/build.sh worker-tensorrt --build-arg BASE_IMAGE=NVIDIA_REGISTRY/nvidia/tensorrt:25.10-py3
#
# Images of 2024 and 2025 have Python 3.12. The service has to run on the same:
#
#   docker/build.sh service --build-arg BASE_IMAGE=python:3.12-slim-bookworm
ARG BASE_IMAGE
ARG BEAM_IMAGE=apache/beam_python3.11_sdk:2.77.0

FROM ${BEAM_IMAGE} AS beam
# Of a stage without an instruction buildah 1.28 leaves a container behind, and mounted.
WORKDIR /opt/apache/beam

FROM ${BASE_IMAGE} AS build
# Extras of this package, with spaces between. Not onnx: that is for CPUs, and TensorRT reads ONNX files itself.
ARG EXTRAS="hooks"
# More: NVIDIA's bindings to CUDA, and what Beam needs on Dataflow.
ARG PACKAGES="cuda-bindings apache-beam[gcp]"
# For another package index than PyPI.
ARG UV_DEFAULT_INDEX=
ENV UV_CACHE_DIR=/var/cache/uv
RUN python3 -m pip install --no-cache-dir --disable-pip-version-check --target /opt/build uv==0.13.9
WORKDIR /src
COPY pyproject.toml constraints.txt ./
# Sees the base's TensorRT. With pip, by which Beam's boot installs packages that a job stages.
# hadolint ignore=SC2086
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/build/bin/uv venv --quiet --seed --system-site-packages --python "$(command -v python3)" /opt/worker \
 && set -- && for extra in ${EXTRAS}; do set -- "$@" --extra "$extra"; done \
 && /opt/build/bin/uv pip install --quiet --python /opt/worker --compile-bytecode --constraints constraints.txt \
      --requirements pyproject.toml "$@" ${PACKAGES}

FROM build AS package
COPY README.md LICENSE ./
COPY expansion expansion
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/build/bin/uv build --quiet --wheel --out-dir /dist

FROM ${BASE_IMAGE}
COPY --from=beam /opt/apache/beam/boot /opt/apache/beam/LICENSE /opt/apache/beam/NOTICE* /opt/apache/beam/
COPY --from=build /opt/worker /opt/worker
# In layers of its own: what it depends on is large, and changes seldom. Copied, not mounted: older versions of buildah take
# a step from the cache whatever has changed in what it mounts.
COPY --from=package /dist /dist
RUN --mount=type=bind,from=build,source=/opt/build,target=/opt/build \
    /opt/build/bin/uv pip install --quiet --no-cache --python /opt/worker --no-deps --no-index /dist/*.whl \
 && /opt/worker/bin/python -m compileall -q /opt/worker/lib/python3*/site-packages/expansion
# Without the last, boot makes an environment of its own, which does not see this one: "Apache Beam is not installed".
ENV PATH=/opt/worker/bin:$PATH PYTHONUNBUFFERED=1 RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
# As root, as Beam's own images: boot installs a job's packages, and runners mount credentials for root.
ENTRYPOINT ["/opt/apache/beam/boot"]
# Last, so that another revision alone builds nothing anew.
ARG BASE_IMAGE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="beam-ml-expansion-worker-tensorrt" \
      org.opencontainers.image.description="Python worker of Apache Beam with beam-ml-expansion, for TensorRT" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"

# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# A Python worker of Beam with this package, PyTorch and ONNX Runtime, for NVIDIA's GPUs. Build it with docker/build.sh.
# The base brings CUDA and cuDNN, which ONNX Runtime needs; PyTorch brings its own. The driver is the machine's.
ARG BASE_IMAGE=nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04
ARG PYTHON_IMAGE=python:3.11-slim-bookworm
ARG BEAM_IMAGE=apache/beam_python3.11_sdk:2.77.0

FROM ${BEAM_IMAGE} AS beam
# Of a stage without an instruction buildah 1.28 leaves a container behind, and mounted.
WORKDIR /opt/apache/beam

FROM ${PYTHON_IMAGE} AS build
# Python's version has to be that of the service: the base's is another one, so this one comes along, made to run anywhere.
ARG PYTHON_VERSION=3.11
ARG UV_PYTHON_PREFERENCE=only-managed
ENV UV_PYTHON_INSTALL_DIR=/opt/python
# Extras of this package, with spaces between; onnx is there without being named.
ARG EXTRAS="pytorch hooks"
# More: ONNX Runtime for GPUs, which takes the place of the one that the extra onnx installs; and what Beam needs on Dataflow.
ARG PACKAGES="onnxruntime-gpu==1.31.1 apache-beam[gcp]"
# For another package index than PyPI.
ARG UV_DEFAULT_INDEX=
ENV UV_CACHE_DIR=/var/cache/uv
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check uv==0.13.9 \
 && mkdir -p /opt/python
WORKDIR /src
COPY pyproject.toml constraints.txt ./
# With pip, by which Beam's boot installs packages that a job stages.
# hadolint ignore=SC2086
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/build/bin/uv venv --quiet --seed --python "${PYTHON_VERSION}" /opt/worker \
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
COPY --from=build /opt/python /opt/python
COPY --from=build /opt/worker /opt/worker
# In layers of its own: what it depends on is large, and changes seldom. Copied, not mounted: older versions of buildah take
# a step from the cache whatever has changed in what it mounts.
COPY --from=package /dist /dist
RUN --mount=type=bind,from=build,source=/opt/build,target=/opt/build \
    /opt/build/bin/uv pip install --quiet --no-cache --python /opt/worker --no-deps --no-index /dist/*.whl \
 && /opt/worker/bin/python -m compileall -q /opt/worker/lib/python3*/site-packages/expansion
# RUN_…: else boot makes an environment of its own, which does not see this one: "Apache Beam is not installed".
# NVIDIA_…: what of the driver the container runtime makes visible here.
ENV PATH=/opt/worker/bin:$PATH PYTHONUNBUFFERED=1 RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
# As root, as Beam's own images: boot installs a job's packages, and runners mount credentials for root.
ENTRYPOINT ["/opt/apache/beam/boot"]
# Last, so that another revision alone builds nothing anew.
ARG BASE_IMAGE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="beam-ml-expansion-worker-gpu" \
      org.opencontainers.image.description="Python worker of Apache Beam with beam-ml-expansion, for NVIDIA GPUs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"

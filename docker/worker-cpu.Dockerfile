# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# A Python worker of Beam with this package and the frameworks that need no GPU. Build it with docker/build.sh.
ARG BASE_IMAGE=python:3.11-slim-bookworm
ARG BEAM_IMAGE=apache/beam_python3.11_sdk:2.77.0

FROM ${BEAM_IMAGE} AS beam
# Of a stage without an instruction buildah 1.28 leaves a container behind, and mounted.
WORKDIR /opt/apache/beam

FROM ${BASE_IMAGE} AS build
# Extras of this package, with spaces between. pytorch, tensorflow and huggingface add from 1 to 3 GB.
ARG EXTRAS="onnx sklearn xgboost hooks"
# More, with spaces between: here what Beam needs on Dataflow, and for gs://.
ARG PACKAGES="apache-beam[gcp]"
# For another package index than PyPI. PyTorch has one of its own for builds without CUDA: uv takes those, where asked for.
ARG UV_DEFAULT_INDEX=
ENV UV_CACHE_DIR=/var/cache/uv
ARG UV_TORCH_BACKEND=cpu
# With pip, by which Beam's boot installs packages that a job stages.
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check uv==0.13.9 \
 && python3 -m venv /opt/worker
WORKDIR /src
COPY pyproject.toml constraints.txt ./
# XGBoost brings NVIDIA's library for several GPUs, 300 MB, and runs without it.
# hadolint ignore=SC2086
RUN --mount=type=cache,target=/var/cache/uv \
    printf "nvidia-nccl-cu%s ; sys_platform == 'never'\n" 12 13 > overrides.txt \
 && set -- && for extra in ${EXTRAS}; do set -- "$@" --extra "$extra"; done \
 && /opt/build/bin/uv pip install --quiet --python /opt/worker --compile-bytecode --constraints constraints.txt \
      --overrides overrides.txt --requirements pyproject.toml "$@" ${PACKAGES}

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
LABEL org.opencontainers.image.title="beam-ml-expansion-worker-cpu" \
      org.opencontainers.image.description="Python worker of Apache Beam with beam-ml-expansion, for CPUs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"

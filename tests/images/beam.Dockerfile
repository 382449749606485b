# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# What Beam's own image of Python workers is, as far as tests need it: Beam, pip and boot, and nothing of this repository.
ARG BASE_IMAGE=python:3.11-slim-bookworm
ARG BEAM_IMAGE=apache/beam_python3.11_sdk:2.77.0

FROM ${BEAM_IMAGE} AS beam
# Of a stage without an instruction buildah 1.28 leaves a container behind, and mounted.
WORKDIR /opt/apache/beam

FROM ${BASE_IMAGE}
ENV UV_CACHE_DIR=/var/cache/uv
COPY constraints.txt /tmp/
RUN --mount=type=cache,target=/var/cache/uv \
    python3 -m venv /opt/beam \
 && /opt/beam/bin/pip install --no-cache-dir --disable-pip-version-check uv==0.13.9 \
 && /opt/beam/bin/uv pip install --quiet --python /opt/beam --compile-bytecode --constraints /tmp/constraints.txt \
      apache-beam
COPY --from=beam /opt/apache/beam/boot /opt/apache/beam/
ENV PATH=/opt/beam/bin:$PATH RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1
ENTRYPOINT ["/opt/apache/beam/boot"]

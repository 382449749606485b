# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# The Digits sample as a Flex Template of Dataflow, with the expansion service in it: docs/dataflow.md. There is no default for
# the base, Google's image of the launcher for Java 17. Build it with docker/build.sh:
#
#   docker/build.sh flex-template --build-arg WORKER_IMAGE=REGISTRY/worker-cpu:0.1.0 \
#     --build-arg BASE_IMAGE=GOOGLE_REGISTRY/dataflow-templates-base/java17-template-launcher-base:latest
ARG BASE_IMAGE
ARG PYTHON_IMAGE=python:3.11-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
# Python's version has to be that of the workers. The base has none, so this one comes along, made to run anywhere.
ARG PYTHON_VERSION=3.11
ARG UV_PYTHON_PREFERENCE=only-managed
ENV UV_PYTHON_INSTALL_DIR=/opt/python
# What Beam reads the signatures of models in gs:// with.
ARG PACKAGES="google-cloud-storage google-auth-httplib2 google-apitools"
# For another package index than PyPI.
ARG UV_DEFAULT_INDEX=
ENV UV_CACHE_DIR=/var/cache/uv
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check uv==0.13.9 \
 && mkdir -p /opt/python
WORKDIR /src
COPY pyproject.toml constraints.txt ./
# hadolint ignore=SC2086
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/build/bin/uv venv --quiet --python "${PYTHON_VERSION}" /opt/service \
 && /opt/build/bin/uv pip install --quiet --python /opt/service --compile-bytecode --constraints constraints.txt \
      --requirements pyproject.toml ${PACKAGES}

FROM build AS package
COPY README.md LICENSE ./
COPY expansion expansion
# Without the cache, in which uv finds a directory's package whatever has changed in it.
RUN /opt/build/bin/uv pip install --quiet --no-cache --python /opt/service --no-deps . \
 && /opt/service/bin/python -m compileall -q /opt/service/lib/python3*/site-packages/expansion

FROM ${BASE_IMAGE}
# The image that Python steps run in, built of the same checkout. Further settings of the service: replace /template/server.yaml.
ARG WORKER_IMAGE
COPY --from=build /opt/python /opt/python
COPY --from=package /opt/service /opt/service
COPY java-example/samples/build/install/samples-dataflow/lib /template/lib
COPY examples/digits/onnx.yaml /template/examples/digits/onnx.yaml
# Paths in options are relative to it, such as the default of --config.
WORKDIR /template
# The client starts the service while it builds the pipeline, and stops it: workers never call it.
RUN printf 'environment: docker:%s\n' "${WORKER_IMAGE:?pass --build-arg WORKER_IMAGE=IMAGE}" > /template/server.yaml \
 && printf '#!/bin/sh\nexec /opt/service/bin/beam-ml-expansion "$@" --config /template/server.yaml\n' > /template/service \
 && chmod +x /template/service
ENV BEAM_ML_EXPANSION_COMMAND=/template/service \
    FLEX_TEMPLATE_JAVA_CLASSPATH=/template/lib/* \
    FLEX_TEMPLATE_JAVA_MAIN_CLASS=io.github.beamml.samples.Digits
# Last, so that another revision alone builds nothing anew.
ARG BASE_IMAGE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="beam-ml-expansion-flex-template" \
      org.opencontainers.image.description="Digits, a sample pipeline of beam-ml-expansion, as a Flex Template of Dataflow" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"

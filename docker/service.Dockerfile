# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# The expansion service in its base install, without frameworks: it never loads a model. Build it with docker/build.sh.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
# What Beam reads buckets with, as the service reads the signatures of models: here of gs://. All of apache-beam[gcp] would
# be 400 MB more. Of s3://: boto3; of azfs://: apache-beam[azure].
ARG PACKAGES="google-cloud-storage google-auth-httplib2 google-apitools"
# For another package index than PyPI.
ARG UV_DEFAULT_INDEX=
ENV UV_CACHE_DIR=/var/cache/uv
RUN python3 -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check uv==0.13.9 \
 && python3 -m venv --without-pip /opt/service
WORKDIR /src
COPY pyproject.toml constraints.txt ./
# Compiled, as nothing can be written when the service runs.
# hadolint ignore=SC2086
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/build/bin/uv pip install --quiet --python /opt/service --compile-bytecode --constraints constraints.txt \
      --requirements pyproject.toml ${PACKAGES}

FROM build AS package
COPY README.md LICENSE ./
COPY expansion expansion
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/build/bin/uv build --quiet --wheel --out-dir /dist

FROM ${BASE_IMAGE}
# tini: the service is not PID 1, and what a process that it has started leaves behind is reaped.
RUN apt-get update \
 && apt-get install -y --no-install-recommends 'tini=0.19.*' \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --create-home service
COPY --from=build /opt/service /opt/service
# In layers of its own: what it depends on is large, and changes seldom. Copied, not mounted: older versions of buildah take
# a step from the cache whatever has changed in what it mounts.
COPY --from=package /dist /dist
RUN --mount=type=bind,from=build,source=/opt/build,target=/opt/build \
    /opt/build/bin/uv pip install --quiet --no-cache --python /opt/service --no-deps --no-index /dist/*.whl \
 && /opt/service/bin/python -m compileall -q /opt/service/lib/python3*/site-packages/expansion
ENV PATH=/opt/service/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A number, so that an orchestrator can tell that it is not root. Its root file system may be read-only, with a /tmp.
USER 10001
# gRPC; HTTP, for probes and metrics.
EXPOSE 8097 8098
# Not urllib, which would ask a proxy. Where you configure TLS, give a health check of your own, with HTTPSConnection.
HEALTHCHECK --interval=10s --timeout=10s --start-period=20s CMD ["python", "-c", "import http.client as http; \
ready = http.HTTPConnection('127.0.0.1:8098', timeout=8); ready.request('GET', '/readyz'); \
raise SystemExit(ready.getresponse().status != 200)"]
ENTRYPOINT ["tini", "--", "beam-ml-expansion"]
# A container's loopback is its own: listening there, nobody could reach the service. Who can reach it here is decided by
# what publishes the port, so publish it to this machine only (docker run -p 127.0.0.1:8097:8097) or behind a TLS proxy.
# Clients may name model files in /models, where you mount them, and models of the hub, which workers download. For others,
# such as those in a bucket, and for other workers, give all options: serve --host 0.0.0.0 … --allow-uri-prefix gs://models
CMD ["serve", "--host", "0.0.0.0", "--insecure", "--allow-uri-prefix", "/models", "--allow-uri-prefix", "hf://", \
     "--environment", "docker:beam-ml-expansion-worker-cpu"]
# Last, so that another revision alone builds nothing anew.
ARG BASE_IMAGE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="beam-ml-expansion" \
      org.opencontainers.image.description="Expansion service for Apache Beam's RunInference and MLTransform" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}"

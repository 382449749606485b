# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# The expansion service in its base install, without frameworks: it never loads a model. Build it with docker/build.sh.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
# Set it to install from another package index than PyPI.
ARG PIP_INDEX_URL
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY expansion expansion
RUN python3 -m venv /opt/service \
 && /opt/service/bin/pip install --no-cache-dir --disable-pip-version-check .

FROM ${BASE_IMAGE}
RUN useradd --uid 10001 --create-home service
COPY --from=build /opt/service /opt/service
ENV PATH=/opt/service/bin:$PATH PYTHONUNBUFFERED=1
# A number, so that an orchestrator can tell that it is not root.
USER 10001
EXPOSE 8097
HEALTHCHECK --interval=10s --timeout=10s --start-period=20s CMD ["python", "-c", "import grpc; \
from grpc_health.v1 import health_pb2 as pb, health_pb2_grpc as health; \
raise SystemExit(health.HealthStub(grpc.insecure_channel('127.0.0.1:8097')).Check(pb.HealthCheckRequest()).status != 1)"]
ENTRYPOINT ["beam-ml-expansion"]
# A container's loopback is its own: listening there, nobody could reach the service. Who can reach it here is decided by
# what publishes the port, so publish it to this machine only (docker run -p 127.0.0.1:8097:8097) or behind a TLS proxy.
CMD ["serve", "--host", "0.0.0.0", "--insecure"]

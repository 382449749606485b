# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# What stands in for Google's image that launches Flex Templates: a JDK, and nothing of Python's. Python comes with its base only
# as no build of it that runs anywhere can be got where PyPI is all there is.
FROM python:3.11-slim-bookworm
# hadolint ignore=DL3008
RUN apt-get update \
 && apt-get install -y --no-install-recommends openjdk-17-jre-headless \
 && rm -rf /var/lib/apt/lists/*

# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# make demo    set up, then: a Java pipeline classifies real handwritten digits with a model that Python serves
# make test    set up, then all tests: unit tests first, then Java, then pipelines on real runners
# make test-gpu  set up for NVIDIA GPUs, then: the tests that need one (docs/gpu.md)
# make bench   set up, then: Java → model → Java, ours beside Beam's own RunInference
# make soak    the long tests, then what the service holds, beside Beam's own (build/soak/service.json)
# make lint    ruff, mypy, buf, hadolint
# make gen     Python stubs from proto/
# make image   container images: of the service and of workers; make image IMAGES="worker-gpu" builds others
# make test-images   builds them and runs pipelines in them (10 minutes the first time)
.PHONY: setup setup-all demo test test-gpu test-images bench soak lint gen image clean
.DEFAULT_GOAL := test
SHELL := bash

# build/uv: where setup puts uv on a machine that has none.
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/build/uv/bin:$(PATH)
export BEAM_ML_EXPANSION_COMMAND := $(CURDIR)/.venv/bin/beam-ml-expansion
GRADLE := gradle -p java-example --console=plain -q

setup:
	@tools/setup.sh

# Every framework, a runner for streams, clusters, and a server of models: for tests.
setup-all:
	@tools/setup.sh all
	@tools/packages.sh web
	@tools/prism.sh
	@tools/flink.sh
	@tools/spark.sh
	@tools/mlserver.sh

demo: setup
	@tools/demo.sh

test: setup-all
	@tests/run.sh

# tools/gpu.sh says what GPUs need beside it. Tests for which something is missing are skipped, without a GPU all of them.
test-gpu:
	@tools/setup.sh all
	@tools/gpu.sh
	@python tests/gpu.py

soak: setup-all
	@pytest -q -m soak && python -m benchmarks.service

bench: setup
	@python benchmarks/run_inference.py && python benchmarks/ml_transform.py

lint: setup-all
	@ruff check && ruff format --check
	@mypy
	@cd proto && buf lint
	@hadolint docker/*.Dockerfile
	@proto/generate.sh build/gen && diff -r -x __pycache__ build/gen expansion/contract/_gen

gen: setup
	@proto/generate.sh expansion/contract/_gen

image:
	@docker info >/dev/null 2>&1 || tools/packages.sh containers
	@docker/build.sh $(IMAGES)

test-images: setup-all
	@tools/packages.sh containers
	@pytest -q -m image --timeout=1200  # the first test builds them

clean:
	@rm -rf build .venv java-example/.gradle java-example/build java-example/*/build

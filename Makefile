# Licensed under the Apache License, Version 2.0; see LICENSE.
#
# make demo    set up, then: a Java pipeline classifies real handwritten digits with a model that Python serves
# make test    set up, then all tests: unit tests first, then Java, then pipelines on real runners
# make bench   set up, then: Java → model → Java, ours beside Beam's own RunInference
# make soak    the long tests
# make lint    ruff, mypy, buf
# make gen     Python stubs from proto/
# make image   the container image of the service
.PHONY: setup setup-all demo test bench soak lint gen image clean
.DEFAULT_GOAL := test
SHELL := bash

# build/uv: where setup puts uv on a machine that has none.
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/build/uv/bin:$(PATH)
export BEAM_ML_EXPANSION_COMMAND := $(CURDIR)/.venv/bin/beam-ml-expansion
GRADLE := gradle -p java-example --console=plain -q

setup:
	@tools/setup.sh

# Every framework, a runner for streams, and a server of models: for tests.
setup-all:
	@tools/setup.sh all
	@tools/prism.sh
	@tools/mlserver.sh

demo: setup
	@tools/demo.sh

test: setup-all
	@tests/run.sh

soak: setup-all
	@pytest -q -m soak

bench: setup
	@python benchmarks/run_inference.py

lint: setup-all
	@ruff check && ruff format --check
	@mypy
	@cd proto && buf lint
	@proto/generate.sh build/gen && diff -r -x __pycache__ build/gen expansion/contract/_gen

gen: setup
	@proto/generate.sh expansion/contract/_gen

image:
	@docker/build.sh

clean:
	@rm -rf build .venv java-example/.gradle java-example/build java-example/*/build

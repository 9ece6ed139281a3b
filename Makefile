# `make help` lists the verbs. Those that need the environment set it up themselves.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
INSTALLED := .venv/.installed
ADAPTERS := .venv-adapters
OUT ?= runs/quickstart
WORKERS ?= 2
SCALE ?= smoke

.PHONY: setup quickstart check format test slow adapters bench study mutants docs help

help: ## print this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## make .venv with everything, versions pinned by constraints.txt

$(INSTALLED): pyproject.toml constraints.txt
	@[ -n "$(PYTHON)" ] || { echo "error: no Python 3.11 or newer found; name one with: make setup PYTHON=/path/to/python" >&2; exit 2; }
	[ -x $(BIN)/python ] || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	@touch $@

quickstart: $(INSTALLED) ## a real collection, a teacher, a student and the proof, under 15 minutes on two cores
	$(BIN)/distilrank quickstart --out $(OUT)

check: $(INSTALLED) ## format, lint, types, the direction of imports, known vulnerabilities
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/audit.py

format: $(INSTALLED) ## put the code into the form that `make check` wants
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

test: $(INSTALLED) ## the offline test suite; WORKERS=n sets the processes
	OMP_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false $(BIN)/python -m pytest --numprocesses $(WORKERS) --quiet

slow: $(INSTALLED) ## the tests on real data and the long ones
	$(BIN)/python -m pytest -m slow

adapters: $(ADAPTERS)/.installed ## the adapters against the real frameworks, in an environment of their own
	OMP_NUM_THREADS=1 $(ADAPTERS)/bin/python -m pytest tests/adapters -m 'slow or not slow' --quiet

$(ADAPTERS)/.installed: pyproject.toml constraints.txt
	[ -x $(ADAPTERS)/bin/python ] || $(PYTHON) -m venv $(ADAPTERS)
	$(ADAPTERS)/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[train,evaluate,export,adapters]' langchain-classic pytest
	@touch $@

bench: $(INSTALLED) ## a measurement: BENCHMARK=ranking_speed ARGS="..."; without one, what there are and what they take
	@if [ -n "$(BENCHMARK)" ]; then $(BIN)/python benchmarks/$(BENCHMARK).py $(ARGS); else \
	for benchmark in benchmarks/*.py; do echo "== $$benchmark"; $(BIN)/python "$$benchmark" --help; done; fi

study: $(INSTALLED) ## the papers' claims on real data; SCALE=smoke, cpu or gpu (docs/study.md)
	$(BIN)/python -m study run --scale $(SCALE)
	$(BIN)/python -m study speed --scale $(SCALE)
	$(BIN)/python -m study tables --scale $(SCALE) --page $(if $(filter smoke,$(SCALE)),runs/study/smoke/results.md,docs/results.md)

mutants: $(INSTALLED) ## break the code on purpose, line by line; every break must fail a test
	$(BIN)/python tools/mutants.py --preload numpy,torch,transformers,accelerate,onnxruntime

docs: $(INSTALLED) ## build the documentation into build/docs; broken links are errors
	$(BIN)/mkdocs build --quiet --strict

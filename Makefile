# Thin verbs: what each does is in the program it calls. `make` alone lists them.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

PYTHON ?= python3
PEOPLE ?= 6000
ARRIVAL ?= instant
EDGE ?= json
SLOT ?= in
ROSTER ?=
SCHOOLS ?=
ARGS ?=
export PYTHON

BIN := .venv/bin
HERD = --people $(PEOPLE) --arrival $(ARRIVAL) --edge $(EDGE) --slot $(SLOT)
REAL = $(if $(ROSTER),--roster "$(ROSTER)") $(if $(SCHOOLS),--schools "$(SCHOOLS)")

.PHONY: help
help: ## this list
	@echo 'Hadir. make VERB [VARIABLE=value ...]'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-17s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo 'Variables'
	@printf '  %-16s %s\n' \
	  'PEOPLE=$(PEOPLE)' 'demo, peak: how many phones' \
	  'ARRIVAL=$(ARRIVAL)' 'demo, peak: instant | minute | curve' \
	  'EDGE=$(EDGE)' 'demo, peak: json | grpc | batch' \
	  'SLOT=$(SLOT)' 'demo, peak: in | out' \
	  'ROSTER=' 'demo, run: a roster file (.xlsx) in place of the synthetic regency; with SCHOOLS=' \
	  'SCHOOLS=' 'demo, run: its list of schools (.csv)' \
	  'ARGS=' 'test: what pytest is given, e.g. ARGS="tests/unit -k outbox"; demo, run, peak, bench: more options' \
	  'PYTHON=$(PYTHON)' 'setup: the interpreter, 3.11 or newer'

## What it is for

.PHONY: demo
demo: .venv/.ops-stamp ## a regency's morning on this machine, from nothing to a summary; var/demo/report.json, peak.png
	@$(BIN)/hadir demo $(HERD) $(REAL) $(ARGS)

.PHONY: run
run: .venv/.ops-stamp ## the same stack, left running: addresses, a token, example calls; Ctrl-C stops it
	@$(BIN)/hadir run $(REAL) $(ARGS)

.PHONY: peak
peak: .venv/.ops-stamp ## the herd against the stack that `make run` keeps
	@$(BIN)/hadir peak $(HERD) $(ARGS)

.PHONY: bench
bench: .venv/.ops-stamp ## what a tap costs, measured part by part
	@$(BIN)/hadir bench $(ARGS)

## For who changes it

.PHONY: setup
setup: .venv/.dev-stamp ## .venv with everything, as the lock files say

.PHONY: test
test: .venv/.dev-stamp ## all tests, on the real parts; warnings are errors
	@$(BIN)/pytest $(ARGS)

.PHONY: check
check: check-style check-types check-imports check-protos check-generated check-repository ## all that can be told without running it (make -k check: all findings)

.PHONY: check-style
check-style: .venv/.dev-stamp ## ruff: rules and format
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo 'check-style: not formatted; make fmt does it' >&2; exit 1; }

.PHONY: check-types
check-types: .venv/.dev-stamp ## mypy --strict
	@$(BIN)/mypy

.PHONY: check-imports
check-imports: .venv/.dev-stamp ## the layers of docs/architecture.md (import-linter)
	@$(BIN)/lint-imports --no-logo --no-cache

.PHONY: check-protos
check-protos: .venv/.dev-stamp ## buf: lint, format, nothing broken since the last release
	@$(BIN)/buf lint
	@$(BIN)/buf format protos --diff --exit-code
	@$(BIN)/buf breaking protos --against protos/released.binpb
	@$(BIN)/buf build protos --exclude-source-info --output - | cmp --quiet - protos/released.binpb || \
	  { echo 'check-protos: the surface grew since the last release; make release-protos takes it under protection' >&2; exit 1; }

.PHONY: check-generated
check-generated: .venv/.dev-stamp ## gen/ is what the protos say
	@scratch=$$(mktemp -d); trap 'rm -rf "$$scratch"' EXIT; \
	  .ci/generate "$$scratch/gen"; \
	  diff --recursive --brief --exclude=__pycache__ "$$scratch/gen" gen || \
	  { echo 'check-generated: gen/ is not what the protos say; make proto' >&2; exit 1; }

.PHONY: check-repository
check-repository: .venv/.dev-stamp ## lock files and module lengths
	@$(BIN)/python .ci/check_repository.py

.PHONY: fmt
fmt: .venv/.dev-stamp ## formats code and protos, mends what can be mended
	@$(BIN)/ruff check --fix --quiet || true
	@$(BIN)/ruff format --quiet
	@$(BIN)/buf format protos --write

.PHONY: proto
proto: .venv/.dev-stamp ## gen/ from protos/
	@.ci/generate gen

.PHONY: release-protos
release-protos: .venv/.dev-stamp ## what the protos say now becomes what must not break; refuses what breaks already
	@if [[ -e protos/released.binpb ]]; then $(BIN)/buf breaking protos --against protos/released.binpb; fi
	@$(BIN)/buf build protos --exclude-source-info --output protos/released.binpb

COMPILE = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock'
EXTRA = $(COMPILE) $(UPGRADE) --no-emit-package hadir pyproject.toml
.PHONY: lock
lock: .venv/.dev-stamp ## requirements/*.lock from pyproject.toml (UPGRADE=--upgrade moves what is not pinned there)
	@$(COMPILE) $(UPGRADE) --group bootstrap --output-file requirements/bootstrap.lock
	@$(EXTRA) --extra dev --output-file requirements/dev.lock
	@# Each starts from dev's versions, so that what was tested is what runs.
	@for extra in ops auth checkin reporting; do \
	  cp requirements/dev.lock requirements/$$extra.lock; \
	  $(filter-out --upgrade,$(EXTRA)) --extra $$extra --output-file requirements/$$extra.lock; \
	done

.PHONY: clean
clean: ## takes away var/, caches and .venv
	@rm -rf var .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.dev-stamp: requirements/dev.lock requirements/bootstrap.lock pyproject.toml .ci/setup
	@.ci/setup dev

.venv/.ops-stamp: requirements/ops.lock requirements/bootstrap.lock pyproject.toml .ci/setup
	@.ci/setup ops

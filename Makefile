# What one does with a clone of Gatepost. Everything goes into .venv; `make test` alone may install packages by apt, as root.

SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c
BIN := .venv/bin
ARGS ?=
# Where compiled modules may not be written, each of the hundreds of processes that tests start compiles its own.
export PYTHONDONTWRITEBYTECODE :=
# Tests run on all cores, in one process more than there are, since many of them wait; PARALLEL= for one after the other.
# What takes longest begins first (tests/support/side_by_side.py), whatever the number of its tests.
PARALLEL ?= -n $(shell echo $$(( $$(nproc) < 4 ? $$(nproc) + 1 : 4 ))) --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup check test test-long test-live test-faults bench soak fuzz fuzz-properties demo run clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

setup: .venv/.ready ## install Gatepost and all that its tests need into .venv

.venv/.ready: pyproject.toml .ci/setup
	@bash .ci/setup
	@touch $@

check: setup ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Servers for the live tests come from the distribution, which only root can install; without them those tests are
# skipped, and the last lines say so.
servers:
	@if [ ! -f tests/live/install.sh ]; then :; \
	elif [ "$$(id -u)" = 0 ]; then bash tests/live/install.sh; \
	else echo "not root: live tests run only as far as their servers are installed already (tests/live/install.sh)"; fi
	@if [ -f tests/live/scanner.sh ]; then bash tests/live/scanner.sh; fi
.PHONY: servers

test: setup servers ## the tests; ARGS="-k cut" for some
	$(BIN)/pytest $(PARALLEL) $(ARGS)

test-long: setup servers ## the tests that take long, as they do not run with each commit
	$(BIN)/pytest $(PARALLEL) --long -m long $(ARGS)

test-live: setup servers ## only the tests against real servers
	$(BIN)/pytest --long -m live $(ARGS)

test-faults: setup servers ## every fault of tests/faults; ARGS="--times=50 --jobs=2", ARGS=--kills-of-control=2000
	$(BIN)/python -m tests.faults $(ARGS)

fuzz: setup ## everything that reads octets against other readers; ARGS=--help says how
	@$(BIN)/python -m tests.fuzz $(ARGS)

fuzz-properties: setup ## the property tests with many more examples; takes hours
	HYPOTHESIS_PROFILE=fuzz $(BIN)/pytest -m hypothesis --timeout 0 $(ARGS)

bench: setup ## the benchmarks of bench/README.md, side by side; ARGS="requests --quick" for some
	@bash bench/install.sh
	$(BIN)/python -m bench $(ARGS)

soak: setup ## the whole gateway under mixed load for an hour; ARGS="--hours 8" or "--minutes 3"
	$(BIN)/python -m tests.soak $(ARGS)

demo: setup ## the whole story on the terminal; ARGS=--once ends by itself
	@$(BIN)/gatepost demo $(ARGS)

run: setup ## the gateway, with ./gatepost.toml if it is there
	@$(BIN)/gatepost run $(ARGS)

clean: ## remove what was built and cached, not .venv and not var
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find gateway tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

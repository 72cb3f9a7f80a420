# Everything a developer or an operator on trial needs. `make help` lists it.
# Only Python >= 3.11 is needed; the environment is made in .venv from PyPI.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: help setup run test check peers flow soak proto fmt bench bench-quick bench-two bench-soak clean

help:  ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "smsproxy needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { rm -rf $(VENV); echo "python3 -m venv does not work here. On Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.run: pyproject.toml | $(BIN)/python
	@echo "installing smsproxy into $(VENV) ..."
	@$(PIP) install --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "installing smsproxy and its test tools into $(VENV) ..."
	@$(PIP) install --editable '.[dev]'
	@touch $(VENV)/.run $@

setup: $(VENV)/.dev  ## make the environment (.venv) with all test tools

run: $(VENV)/.run  ## simulator + daemon up, one message sent, its road printed; Ctrl-C ends it
	@exec $(BIN)/python -m scripts.demo

test: $(VENV)/.dev  ## every fast test, with coverage (under 3 minutes)
	@$(BIN)/python -m pytest -n 4 --dist loadfile --cov --cov-report=term:skip-covered -m "not long"

check: $(VENV)/.dev  ## format, lint, types, import contracts, generated-code drift (under 1.5 minutes)
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python protos/generate.py --check

peers:  ## fetch node-smpp, grpc-js, buf and tshark, where that is possible: `make test` then runs tests/peers, too
	@scripts/peers.sh

flow: $(VENV)/.dev  ## every test that drives the daemon over real sockets, the longer ones too; the longer fuzz
	@$(BIN)/python -m pytest --timeout 600 tests/flow tests/fuzz tests/wire tests/peers

soak: $(VENV)/.dev  ## the same at full length
	@SMSPROXY_SOAK=1 $(BIN)/python -m pytest --timeout 7200 -m long tests/flow tests/fuzz tests/wire

proto: $(VENV)/.dev  ## generate smsproxy/rpc/gen from protos/
	@$(BIN)/python protos/generate.py

fmt: $(VENV)/.dev  ## format and fix what can be fixed
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: $(VENV)/.dev  ## ratios to the bare gRPC echo, latency, growth, on one core: build/bench.json, bench.svg
	@$(BIN)/python -m tests.bench.run $(BENCH)

bench-quick: $(VENV)/.dev  ## is the pipeline as fast as it was? Ratios to the echo against the committed ones, a minute
	@$(BIN)/python -m tests.bench.gate

bench-two: $(VENV)/.dev  ## CPU per message of two instances that share a link's rate over Redis, against one
	@$(BIN)/python -m tests.bench.instances $(BENCH)

bench-soak: $(VENV)/.dev  ## one rate for half an hour: rate, latency and memory every 10 s; writes build/soak.json
	@$(BIN)/python -m tests.bench.soak $(SOAK)

clean:  ## remove the environment and everything built
	@rm -rf $(VENV) build dist var *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.*

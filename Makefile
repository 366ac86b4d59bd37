# The only commands anyone needs. Each makes .venv and installs the pinned set first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
# Dozens of programs that tests start would compile the package again, each for itself.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo test test-all coverage lint docs package format bench torture clean

help:  ## show these commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(STAMP)  ## train, attack, compare; writes rootbound-demo/report.html (four minutes)
	$(BIN)/rootbound demo

test: $(STAMP)  ## the tests to run after every change (at most five minutes on two cores)
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow"

test-all: $(STAMP)  ## every test: Ray, torchrun, kills, the browser, every example, other libraries' networks
	$(BIN)/python -m pytest -n auto --dist worksteal

coverage: $(STAMP)  ## the lines and branches that no test of `make test` runs
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow" --cov --cov-report=term

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(STAMP)  ## the documentation, into site/; a warning is an error
	$(BIN)/python -m docs.pages
	$(BIN)/zensical build --strict --clean

package: $(STAMP)  ## the wheel and the source distribution, into dist/, and a check of what they say
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	! tar --extract --to-stdout --wildcards --file dist/*.tar.gz '*/PKG-INFO' | grep -E '\]\((docs|benchmarks|examples|[A-Z]+)'

format: $(STAMP)  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)  ## the first numbers of docs/results.md (minutes)
	$(BIN)/python -m benchmarks.claims.demo

torture: $(STAMP)  ## the fault tests many times: kills, damaged files, odd settings (hours)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt atheris || true
	$(BIN)/python -m benchmarks.torture.torture

clean:  ## remove the environment and caches
	rm -rf $(VENV) site .cache .mypy_cache .ruff_cache .pytest_cache .coverage

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "rootbound needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

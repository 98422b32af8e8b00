# gnomon's commands. `make` alone prints this help. Everything runs in .venv, made on first use.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install demo test check format tables bench clean

help:  ## print this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed  ## make .venv with gnomon and all that development needs

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

demo: install  ## the flights example, end to end, in about a minute
	$(BIN)/gnomon demo

test: install check  ## lint, types, import rules, then every test, doctest and docs page
	$(BIN)/python -m pytest -n 2 --dist worksteal

check: install  ## lint, format, types and import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: install  ## put every file into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

tables: install  ## write the pages that are made from code: docs/what-works-where.md
	$(BIN)/python docs/what_works_where.py

bench: install  ## measure the usual groups, and write their tables into bench/README.md
	$(BIN)/python -m bench

clean:  ## remove .venv and caches
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache dist

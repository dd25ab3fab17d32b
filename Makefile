# Two commands do everything on a fresh machine: make demo, make test.
# They need Python 3.11 (or newer), git and make; the rest goes into .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
DURATION ?= 60
BIN := .venv/bin

.PHONY: demo test check tests slow clean

demo: .venv/installed
	$(BIN)/autosteer run examples/jet_alignment/experiment.yaml --mode auto \
		--duration $(DURATION) --report

test: check tests

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

tests: .venv/installed
	$(BIN)/pytest -q

slow: .venv/installed
	$(BIN)/pytest -q -m slow

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[epics,ray,peers,dev]"
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build

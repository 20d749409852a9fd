# Two commands are enough: `make demo` to see it work, `make test` to see that it does.
.PHONY: setup demo run test check format bench docs build clean

PYTHON ?= python3
BIN := .venv/bin

setup:
	@PYTHON=$(PYTHON) requirements/install.sh

demo: setup
	@$(BIN)/python examples/demo.py

run: setup
	@$(BIN)/inver up

test: setup
	@$(BIN)/pytest

check: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python docs/generate.py --check

format: setup
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

bench: setup
	@cat benchmarks/README.md

docs: setup
	@$(BIN)/python docs/generate.py

build: setup
	@$(BIN)/python -m build --no-isolation

clean:
	rm -rf .venv dist build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# `make demo` and `make test` do everything on a fresh machine with Python >= 3.11, git and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test test-everyday test-exact test-long lint docs format constraints clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*##/ { printf "%-16s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --editable '.[dev]'
	touch $(READY)

demo: $(READY) ## install, then run the whole pipeline on generated phantoms
	$(BIN)/c2fnas demo

test: lint test-everyday test-exact test-long ## every check: lint, types, imports, tests, doctests, README commands

test-everyday: $(READY) ## the tests that take minutes together
	$(BIN)/pytest -n 2 --dist loadfile -m 'not long' --doctest-modules

# A processor without AVX-512, made of a better one.
LESSER := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2
EXACT := $(BIN)/pytest -n 2 --dist loadfile -m 'exact and not long'

# Only stages ask for the precision `auto`; other tests name theirs, bf16 among them. test-everyday runs them all as it is.
test-exact: $(READY) ## the tests of exactness as without AVX-512, and stages in fp32 where bf16 is the default
	$(LESSER) $(EXACT) --precision fp32 tests
	$(EXACT) --precision fp32 tests/stages

test-long: $(READY) ## the long, marked set
	$(BIN)/pytest -n 2 --dist loadfile -m long tests

lint: $(READY) ## ruff, the type checker and the import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY) ## build the documentation's site in site/, without warnings
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

format: $(READY) ## let ruff fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

constraints: $(READY) ## pin what is installed now
	$(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//' > constraints.txt

clean: ## remove the environment and caches
	rm -rf $(VENV) site .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

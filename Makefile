# Two commands for a fresh machine:  make demo   and   make test
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PYTEST := $(BIN)/python -m pytest -n 2 --dist worksteal

.PHONY: demo test lint types layers native unit slow docs serve-docs mutation bench bench-prepare \
	bench-page bench-throughput bench-error bench-data bench-inference bench-startup bench-memory clean

demo: $(INSTALLED)  ## Train on scikit-learn's digits and say how good it is.
	$(BIN)/striate train digits

test: lint types layers unit docs  ## All checks.

$(INSTALLED): requirements.txt pyproject.toml setup.py
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(INSTALLED)
	$(BIN)/mypy

layers: $(INSTALLED)
	$(BIN)/lint-imports

native: $(INSTALLED)  ## Compile what changed of the native kernels.
	$(BIN)/python setup.py -q build_ext --inplace

unit: native
	$(PYTEST) $(PYTEST_ARGS)

slow: native  ## Minutes of training, crashes by the dozen.
	$(PYTEST) -m slow $(PYTEST_ARGS)

docs: $(INSTALLED)  ## Build the documents; pictures that the package did not change are kept in build/docs.
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

serve-docs: $(INSTALLED)
	$(BIN)/mkdocs serve

mutation: native  ## Put 100 small faults into the code; which do the tests notice? An hour.
	$(BIN)/python tests/mutation.py $(MUTATION_ARGS)

bench: $(INSTALLED)  ## Measure beside the peers; hours. BENCH_ARGS="--quick" or others go along.
	$(BIN)/python -m benchmarks all $(BENCH_ARGS)

bench-prepare bench-page bench-throughput bench-error bench-data bench-inference bench-startup \
bench-memory: bench-%: $(INSTALLED)  ## One part of it.
	$(BIN)/python -m benchmarks $* $(BENCH_ARGS)

clean:
	rm -rf $(VENV) build dist src/striate/kernels/_native site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

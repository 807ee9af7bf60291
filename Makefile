# Two commands for a fresh clone: `make demo` and `make test`. Both make their own environment.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test lint quick oldest clean

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

demo: $(VENV)/.installed  ## Cluster scikit-learn's digits: a table, and pictures in build/demo/
	$(BIN)/python examples/plot_digits.py --output build/demo

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo

quick: $(VENV)/.installed  ## The tests without scikit-learn's checks
	$(BIN)/python -m pytest -q --ignore tests/test_common.py

test: lint  ## Everything CI does
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

# scikit-learn's checks on the lowest versions that pyproject.toml admits (torch as installed).
oldest:
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install --quiet --disable-pip-version-check -c constraints-oldest.txt -e ".[test]"
	OMP_NUM_THREADS=1 .venv-oldest/bin/python -m pytest -q -n 2 --dist worksteal tests

clean:
	rm -rf $(VENV) .venv-oldest build dist *.egg-info

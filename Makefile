# Every target sets itself up: a virtual environment in .venv with everything that was tested, pinned.
# Needs Python 3.10 to 3.13 and make, nothing else.
#
#   make quickstart PYTHON=python3.12     another interpreter
#   make test VENV=~/envs/edgewright      another place for the environment

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=

export PATH := $(abspath $(VENV))/bin:$(PATH)
unexport PYTHONPATH
STAMP := $(VENV)/.edgewright-installed

.DEFAULT_GOAL := help
.PHONY: help quickstart test test-slow gate check format clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

quickstart: $(STAMP) ## train, export, prove and time a classifier on bundled real images
	edgewright quickstart

test: $(STAMP) ## every test that fits in a quarter of an hour on two cores
	pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

test-slow: $(STAMP) ## the long tests
	pytest -m slow $(PYTEST_ARGS)

gate: $(STAMP) ## is this revision slower than the one before?
	bash .ci/gate $(REF)

check: $(STAMP) ## lint, formatting, types and import contracts
	ruff check .
	ruff format --check .
	mypy
	lint-imports

format: $(STAMP) ## apply what `make check` asks for, where it can be applied
	ruff check --fix .
	ruff format .

clean: ## remove the environment, caches and what the quickstart wrote
	rm -rf .venv quickstart build dist ./*.egg-info .mypy_cache .pytest_cache .ruff_cache \
		.import_linter_cache .hypothesis .coverage htmlcov
	find sdk runtimes train export demos tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: no '$(PYTHON)' here. Install Python 3.10 to 3.13, or name one: make PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "make: $(PYTHON) is $$($(PYTHON) -V 2>&1), expected Python 3.10 to 3.13. Name another: make PYTHON=/path/to/python3" >&2; exit 2; }
	@test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV) \
		|| { echo "make: $(PYTHON) cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
	@echo "Installing into $(VENV): about 7 GB and some minutes, once."
	$(VENV)/bin/python -m pip install --quiet -c constraints.txt -e '.[all]'
	$(VENV)/bin/edgewright build-native --if-possible
	@touch $@

# The everyday commands; CI runs the same ones.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Tests wait for most of their time, for a server, a pause or a grace: six of them keep two cores at work.
JOBS   ?= 6
# Where influxd is not on the PATH it comes from Debian's package, unpacked under build/ (OFFLINE=1 fetches nothing).
# What had to be skipped, and why, stands at the end of the tests' output.
# Without its files of bytecode every worker would compile all tests anew, and every program that they start its modules.
PYTEST := folder=$$(tests/servers/influxd1.sh || true); unset PYTHONDONTWRITEBYTECODE; \
          PATH="$$PATH$${folder:+:$$folder}" $(BIN)/python -m pytest -q

.DEFAULT_GOAL := help
.PHONY: help install demo test test-failed test-all influxd2 check fix cov bench bench-micro bench-peers clean

help:  ## show this
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

install: $(VENV)/.installed  ## make the virtual environment and install laklak with its development tools

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "error: laklak needs Python 3.11 or newer, $(PYTHON) is older"; \
	    echo "hint: install one and say which: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "error: this Python cannot make virtual environments (no ensurepip)"; \
	    echo "hint: apt-get install -y python3-venv"; exit 1; }
	@echo "making $(VENV) (once)"
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@

demo: install  ## real recorded candles through the whole program, into a store of its own under build/
	@$(BIN)/python tests/demo.py

test: install check  ## lint, types and all everyday tests
	@$(PYTEST) -n $(JOBS) --dist worksteal

test-failed: install  ## what failed last time, one test after the other
	@$(PYTEST) --last-failed --last-failed-no-failures none --maxfail 1

test-all: install check  ## the long tests too, and many more examples of those that try random ones
	@$(PYTEST) -n $(JOBS) --dist worksteal -m "not live" --hypothesis-profile thorough

influxd2:  ## build the InfluxDB 2.x server that the tests of influxdb2:// use
	@tests/servers/influxd2/build.sh

check: install  ## only look: format, lint, types
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy --no-error-summary

fix: install  ## format and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

cov: install  ## branch coverage of the everyday tests
	@$(PYTEST) -n $(JOBS) --dist worksteal --cov --cov-report=term-missing:skip-covered

bench: install  ## how fast a backfill is on this machine, and how near to what is possible; the quick form
	@$(BIN)/laklak bench --quick

bench-micro: install  ## what one call of each hot function costs
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --group bench
	@$(BIN)/python -m pytest -q benchmarks/micro

bench-peers: install  ## laklak beside the programs that people use today; half an hour, makes an environment of 800 MB
	@$(BIN)/python benchmarks/peers/run.py

clean:  ## remove what was made here
	rm -rf $(VENV) build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache

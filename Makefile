# asyncnet: `make serve` runs the daemon, `make test` proves it.  Both set up what they need.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: serve demo test check format bench chromium clean help

help:            ## this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

$(VENV)/bin/python:
	@echo 'Setting up $(VENV)/; this happens once.'
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "asyncnet needs Python 3.11 or newer")'
	@$(PYTHON) -m venv $(VENV)

# A stamp each, so that a second run starts at once.
$(VENV)/serve.stamp: $(VENV)/bin/python pyproject.toml constraints.txt
	@$(PIP) install --constraint constraints.txt --editable '.[sink]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/bin/python pyproject.toml constraints.txt
	@$(PIP) install --constraint constraints.txt --editable '.[sink,dev]'
	@touch $@ $(VENV)/serve.stamp

serve: $(VENV)/serve.stamp  ## install what is needed, then run the daemon with config/asyncnet.toml
	@exec $(BIN)/python -m asyncnet serve --config config/asyncnet.toml

demo: $(VENV)/serve.stamp  ## the whole tour in a folder of its own: daemon, jobs, mails, results, pages
	@$(BIN)/python -m asyncnet.cli.demo

test: $(VENV)/dev.stamp chromium  ## all tests
	$(BIN)/python -m pytest

check: $(VENV)/dev.stamp  ## format, lint, strict types, and who may import whom
	$(BIN)/ruff format --check asyncnet tests
	$(BIN)/ruff check asyncnet tests
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_house.py

format: $(VENV)/dev.stamp  ## put the code in its form
	$(BIN)/ruff format asyncnet tests
	$(BIN)/ruff check --fix asyncnet tests

bench: $(VENV)/dev.stamp  ## memory with 25 MB, drop-to-sink time, jobs per second
	$(BIN)/python -m tests.bench.daemon

# The browser test drives Debian's Chromium.  Where it cannot be installed, the test says so.
chromium:
	@command -v chromium chromium-browser google-chrome >/dev/null 2>&1 || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium >/dev/null; \
	  elif command -v apt-get >/dev/null && sudo -n true 2>/dev/null; then \
	    sudo apt-get -qq update && sudo apt-get -qq install -y --no-install-recommends chromium >/dev/null; \
	  else \
	    echo '*** No Chromium here and no right to install it: the browser test will be left out.' >&2; \
	  fi; }

clean:           ## remove the environment and what tests left (never the spool)
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis

# asyncnet: `make serve` runs the daemon, `make test` proves it.  Both set up what they need.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: serve demo test check format bench bench-send bench-http bench-machines fuzz mutants storm storm-machines crash-points debian clean help

help:            ## this list
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

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

test: $(VENV)/dev.stamp debian  ## all tests
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder

check: $(VENV)/dev.stamp  ## format, lint, strict types, and who may import whom
	$(BIN)/ruff format --check asyncnet tests
	$(BIN)/ruff check asyncnet tests
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_house.py

format: $(VENV)/dev.stamp  ## put the code in its form
	$(BIN)/ruff format asyncnet tests
	$(BIN)/ruff check --fix asyncnet tests

bench: $(VENV)/dev.stamp  ## the daemon (memory, drop-to-sink time, jobs a second), composing, sending
	$(BIN)/python -m tests.bench.daemon
	$(BIN)/python -m tests.bench.waiting
	$(BIN)/python -m tests.bench.doubt
	$(BIN)/python -m tests.bench.composing
	$(BIN)/python -m tests.bench.job_reader
	$(MAKE) bench-send

bench-send: $(VENV)/dev.stamp debian  ## sending beside smtplib, aiosmtplib, nodemailer and smtp-source (C)
	$(BIN)/python -m tests.bench.sending

bench-http: $(VENV)/dev.stamp debian  ## the pages beside nginx, granian, uvicorn, aiohttp, http.server and the loop's limit
	$(BIN)/python -m tests.bench.http

bench-machines: $(VENV)/dev.stamp debian  ## one PostgreSQL queue with 1, 2 and 3 daemons; intake and delivery apart
	$(BIN)/python -m tests.bench.machines
	$(BIN)/python -m tests.bench.machines --split

SECONDS_EACH ?= 60
fuzz: $(VENV)/dev.stamp  ## all that reads what others wrote: SECONDS_EACH=60 each
	$(BIN)/python -m tests.fuzz.job_reader --seconds $(SECONDS_EACH)
	$(BIN)/python -m tests.fuzz.address_reader --seconds $(SECONDS_EACH)
	$(BIN)/python -m tests.fuzz.header_writer --seconds $(SECONDS_EACH)
	$(BIN)/python -m tests.fuzz.login_words --seconds $(SECONDS_EACH)
	$(BIN)/python -m tests.fuzz.token_answer --seconds $(SECONDS_EACH)
	$(BIN)/python -m tests.fuzz.certificate_reader --seconds $(SECONDS_EACH)
	$(BIN)/python -m tests.fuzz.request_head --seconds $(SECONDS_EACH)

NAMES ?=
mutants: $(VENV)/dev.stamp  ## take each protection away in a copy (NAMES="…" for some): a test must fail for every one
	$(BIN)/python -m tests.mutants $(NAMES)

KILLS ?= 200
storm: $(VENV)/dev.stamp  ## the daemon under load, killed at random KILLS=200 times, at a server that misbehaves
	$(BIN)/python -m tests.storm.kill --kills $(KILLS) --jobs $$((20 * $(KILLS)))

BLOWS ?= 200
storm-machines: $(VENV)/dev.stamp  ## three daemons on one PostgreSQL, killed, stopped and cut off BLOWS=200 times
	$(BIN)/python -m tests.storm.machines --blows $(BLOWS) --jobs $$((12 * $(BLOWS)))

crash-points: $(VENV)/dev.stamp debian  ## each system call of one job's life meets SIGKILL, EIO, ENOSPC, EMFILE, short writes
	$(BIN)/python -m tests.storm.crash_points

# From Debian: Chromium for the browser test, Perl's Email::MIME, which judges our messages, a C
# compiler for the sink that counts what our client sends, strace and libfaketime, which make the
# system calls and the clock fail.
# Postfix, Exim and OpenSMTPD are unpacked into build/peers/ and never installed.
# Where they cannot be had, their tests say that they were left out.
debian: $(VENV)/bin/python
	@{ command -v chromium chromium-browser google-chrome && perl -MEmail::MIME -e1 \
	     && command -v cc && command -v strace && ls /usr/lib/*/faketime/libfaketime.so.1; } >/dev/null 2>&1 || { \
	  if ! command -v apt-get >/dev/null; then sudo=none; elif [ "$$(id -u)" = 0 ]; then sudo=; \
	  elif sudo -n true 2>/dev/null; then sudo=sudo; else sudo=none; fi; \
	  if [ "$$sudo" = none ]; then \
	    echo '*** Chromium, Email::MIME, a C compiler, strace and libfaketime cannot be installed here: their tests will be left out.' >&2; \
	  else \
	    $$sudo apt-get -qq update && DEBIAN_FRONTEND=noninteractive $$sudo apt-get -qq install -y \
	      --no-install-recommends chromium libemail-mime-perl gcc libc6-dev strace libfaketime >/dev/null; \
	  fi; }
	@$(BIN)/python -m tests.support.peers.fetch || \
	  echo '*** The tests against real mail servers will be left out.' >&2

clean:           ## remove the environment and what tests left (never the spool)
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis

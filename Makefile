# Everything a contributor runs. It needs make, git, Python 3.11 or newer and pip; the environment goes to .venv.

PYTHON ?= python3
VENV := .venv
LIBRARIES := .venv-libraries
OLDER_LOGFIRE := .venv-older-logfire
PY := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK = 1
export PIP_ROOT_USER_ACTION = ignore

# Debian keeps ensurepip in a package of its own; without it the environment has no pip, and the system's installs into it from outside.
PIP = $(shell $(PY) -m pip --version >/dev/null 2>&1 && echo '$(PY) -m pip' || echo '$(PYTHON) -m pip --python $(PY)')
INSTALL = $(PIP) install --quiet --no-input --no-compile

# Processes, as many as tests/conftest.py says, each with a part of the tests and then what the others have left; in another order each time, which the
# seed repeats.
INSIDE = $(wildcard tests/test_*.py) tests/trace tests/sinks tests/autostart tests/delivery/test_live.py tests/e2e/test_exits.py
PARALLEL = --numprocesses=auto --dist=worksteal

.DEFAULT_GOAL := help
.PHONY: help web demo demo-massgen massgen collector percli binaries clickhouse libraries agents older-logfire jaeger-demo test test-all test-versions check lint types contracts bench lock environment clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r name text; do printf '%-16s %s\n' "$$name" "$$text"; done

demo: environment ## several agents on one question, without any key: what they did, drawn and asked in SQL
	@$(PY) -m massgen_tracing.demo

demo-massgen: environment ## the same with real MassGen (about 1.5 GB, once)
	@$(INSTALL) uv
	@$(PY) -m rehearsal.environments --newest
	@$(PY) -m rehearsal.demo

massgen: environment ## three versions of MassGen for the tests, into .venv-massgen (about 1.5 GB each, once)
	@$(INSTALL) uv
	@$(PY) -m rehearsal.environments

collector: environment ## the Collector and Jaeger that collector/ configures, without Docker, by Go (nine minutes of processor time, once)
	@$(PY) -m tools.backends.binaries collector

percli: environment ## what Perses checks the dashboards for Logfire with, by Go (about two minutes, once)
	@$(PY) -m tools.backends.binaries percli

binaries: environment ## what Go builds: the Collector, Jaeger and percli
	@$(PY) -m tools.backends.binaries

clickhouse: environment ## ClickHouse's own engine for the tests (half a gigabyte, once)
	@$(INSTALL) --require-hashes --requirement requirements.clickhouse.lock

libraries: environment $(LIBRARIES)/.packages ## clients, agents and their instrumentors for the tests, into .venv-libraries (700 MB, once)

agents: .agents/.packages ## coding agents by npm for the tests, into .agents (1.1 GB, once)

older-logfire: environment $(OLDER_LOGFIRE)/.packages ## the last logfire-mcp that works, with Logfire 4, for the tests, into .venv-older-logfire (50 MB, once)

web: ## the pages of `view` and `serve`, from web/ into the package (Node.js 20.19 or newer)
	@cd web && npm ci --no-audit --no-fund --silent && npm run --silent build

jaeger-demo: environment ## a dry run through the real Collector into the real Jaeger, and what Jaeger says of it
	@$(PY) -m tools.backends.demo

test: environment ## the tests, but for soaks and long searches (more options: make test ARGS="-k name -x")
	@$(PY) -m pytest $(PARALLEL) -m "not long" $(ARGS)

test-all: environment ## all tests
	@$(PY) -m pytest $(PARALLEL) $(ARGS)

test-versions: environment ## the tests of what runs inside a program, on the other versions of Python that are here, in .venv-3.*
	@$(INSTALL) uv
	@$(PY) -m tools.pythons $(PARALLEL) -m "not long and not massgen" $(INSIDE) $(ARGS)

check: lint types contracts ## all that is checked without running: lint, types, contracts

lint: environment ## ruff: rules and format
	@$(PY) -m ruff check --quiet .
	@$(PY) -m ruff format --check --quiet . || { $(PY) -m ruff format --diff --quiet .; exit 1; }

types: environment ## mypy, strict
	@$(PY) -m mypy

contracts: environment ## import-linter: who may import whom
	@$(VENV)/bin/lint-imports --no-cache >$(VENV)/contracts.txt || { cat $(VENV)/contracts.txt; exit 1; }

bench: environment ## the benchmarks: each figure as a ratio to a peer, in one run
	@for each in span stream startup first_session exit store foreign many_runs push serve scrub status report page watch; do $(PY) -m benchmarks.$$each || exit 1; done

lock: environment ## write requirements.lock anew, from pyproject.toml, and the price list
	@$(INSTALL) uv
	@printf 'hatchling\neditables\n' | $(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-header --no-annotate --no-emit-index-url --extra coordinator --extra mcp --extra serve --extra watch --group dev --output-file requirements.lock pyproject.toml -
	@$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-header --no-annotate --no-emit-index-url --group clickhouse --output-file requirements.clickhouse.lock
	@$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-header --no-annotate --no-emit-index-url --extra instrument --group libraries --output-file requirements.libraries.lock pyproject.toml
	@$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
		--no-header --no-annotate --no-emit-index-url --group older-logfire --output-file requirements.older-logfire.lock
	@$(MAKE) --no-print-directory environment
	@$(PY) -m tools.price_list

environment: $(VENV)/.project ## install all of that into .venv (the others do it themselves)

clean: ## remove the environment and everything generated, but no recordings
	@rm -rf $(VENV) .venv-3.* .agents $(LIBRARIES) $(OLDER_LOGFIRE) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.project: pyproject.toml $(VENV)/.packages
	@$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.packages: requirements.lock | $(PY)
	@echo 'Installing requirements.lock into $(VENV) (once; about a minute) …' >&2
	@$(INSTALL) --require-hashes --requirement requirements.lock
	@touch $@

$(LIBRARIES)/.packages: requirements.libraries.lock | $(VENV)/.project
	@$(INSTALL) uv
	@$(PY) -m uv venv --quiet --clear --python $(PY) $(LIBRARIES)
	@$(PY) -m uv pip install --quiet --python $(LIBRARIES)/bin/python --require-hashes --requirement requirements.libraries.lock
	@touch $@

# `npm ci` misses packages of other platforms in the lock that npm itself has written (npm 11.19).
.agents/.packages: rehearsal/coding_agents/package-lock.json
	@mkdir -p .agents && cp rehearsal/coding_agents/package*.json .agents && cd .agents && npm install --no-audit --no-fund --silent
	@touch $@

$(OLDER_LOGFIRE)/.packages: requirements.older-logfire.lock | $(VENV)/.project
	@$(INSTALL) uv
	@$(PY) -m uv venv --quiet --clear --python $(PY) $(OLDER_LOGFIRE)
	@$(PY) -m uv pip install --quiet --python $(OLDER_LOGFIRE)/bin/python --require-hashes --requirement requirements.older-logfire.lock
	@touch $@

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'massgen_tracing needs Python 3.11 or newer, and $(PYTHON) is older or missing. Name one: make PYTHON=python3.12' >&2; exit 1; }
	@if $(PYTHON) -c 'from ensurepip import version' 2>/dev/null && $(PYTHON) -m venv $(VENV); then :; \
	elif $(PYTHON) -m venv --clear --without-pip $(VENV) && $(PYTHON) -m pip --python $(PY) --version >/dev/null 2>&1; then :; \
	else rm -rf $(VENV); echo 'Neither ensurepip nor pip 22.3 or newer was found. On Debian: apt-get install python3-pip' >&2; exit 1; fi

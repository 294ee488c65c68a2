# Two commands matter: `make serve` and `make test`. Both need Python >= 3.11 and make.
# Every target installs what it needs into .venv, again whenever pyproject.toml changes.

# The system's before another on the PATH: distributions build Python with profiles of its
# use, and one that was built without (as pyenv does unless told) takes half as much again
# for everything. If neither will do, what is wrong is said where it is used.
PYTHON ?= $(shell for python in /usr/bin/python3 python3; do \
	"$$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' \
		2>/dev/null && break; done; echo "$$python")
VENV ?= .venv
BIN := $(VENV)/bin
# Test processes at once; each has a PostgreSQL of its own.
WORKERS ?= 2
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check \
	--root-user-action=ignore $(PIP_OPTIONS) --editable
# Ahead of the first start, and also where PYTHONDONTWRITEBYTECODE is set: it takes half
# of the time that the server needs to start.
COMPILE := $(BIN)/python -m compileall -q src

# What runs against a cluster, of what can.
CLUSTER_TESTS ?= tests/features tests/federation tests/rooms tests/conformance \
	tests/clients
# What runs on another Python, which has an environment of its own.
PYTHON_TESTS ?= tests/cli tests/infra tests/rooms
PYTHON_VENV := .pythons/$(notdir $(PYTHON))

# An environment that has Synapse already; otherwise it is installed into one of its own.
ifeq ($(origin SYNAPSE_VENV),undefined)
SYNAPSE_VENV := .interop
SYNAPSE_INSTALLED := $(SYNAPSE_VENV)/.installed
endif

# Environments with bridges, and what ours are made with; and one of ours in Go.
BRIDGE_ENVIRONMENTS := .bridges/public/.installed .bridges/own/.installed
GROVE := .bridges/grove/grove
GO := GOTOOLCHAIN=local CGO_ENABLED=1 go

.PHONY: serve test collect lint types contracts format test-js test-browser test-interop \
	test-cluster test-bridges test-media test-python synapse bridges bench clean

serve: $(VENV)/.installed
	$(BIN)/tremula serve

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n $(WORKERS)

# Finds all tests, and leaves them compiled; says what cannot be imported.
collect: $(VENV)/.installed-test
	$(BIN)/python -m pytest --collect-only -qq

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(VENV)/.installed-dev
	$(BIN)/mypy
	$(BIN)/basedpyright

contracts: $(VENV)/.installed-dev
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

# A second client library, matrix-js-sdk, against real servers; needs Node and npm. With a
# Synapse only where `make synapse` or `make test-interop` has installed one.
test-js: $(VENV)/.installed
	cd tests/js && npm install --no-audit --no-fund
	cd tests/js && TREMULA=$(abspath $(BIN)/tremula) \
		SYNAPSE_VENV=$(abspath $(SYNAPSE_VENV)) npm test

# Web clients in Chromium (Debian's package, or CHROMIUM=PATH), which leave pictures of
# what they showed in build/pictures.
test-browser: $(VENV)/.installed
	cd tests/js && npm install --no-audit --no-fund
	cd tests/js && TREMULA=$(abspath $(BIN)/tremula) npm run test-browser

# Federation over TLS: three Tremulas and a Synapse, for each test process.
test-interop: $(VENV)/.installed-test synapse
	SYNAPSE_VENV=$(abspath $(SYNAPSE_VENV)) $(BIN)/python -m pytest -n $(WORKERS) \
		-m interop tests/interop

# Real bridges, from PyPI; with those to IRC only where Debian's ngircd is installed, and
# with one in Go only where Go is.
test-bridges: $(VENV)/.installed-test bridges
	$(BIN)/python -m pytest -n $(WORKERS) -m bridges tests/bridges

# A server of several processes: the tests of features against two of them, and three
# that are killed, stopped and cut off (CHAOS_S seconds, CHAOS_SEED).
test-cluster: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m cluster tests/cluster
	TEST_BACKEND=cluster $(BIN)/python -m pytest -n $(WORKERS) $(CLUSTER_TESTS)

# Files of a gigabyte, which take disk and some time.
test-media: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m large tests/crash

# Whether the server installs and works on another Python: PYTHON=python3.14. Wheels alone
# are installed, since many a machine has no compiler; nkeys has none but is all Python.
test-python:
	$(MAKE) --no-print-directory VENV=$(PYTHON_VENV) \
		PIP_OPTIONS='--only-binary=:all: --no-binary=nkeys' $(PYTHON_VENV)/.installed-test
	$(PYTHON_VENV)/bin/python -m pytest -n $(WORKERS) $(PYTHON_TESTS)

synapse: $(SYNAPSE_INSTALLED)

bridges: $(BRIDGE_ENVIRONMENTS) $(GROVE)

# ARGS="run --quick" takes a minute or two; see `python -m bench run --help`.
bench: $(VENV)/.installed-bench
	$(BIN)/python -m bench $(ARGS)

clean:
	rm -rf $(VENV) .interop .bridges .pythons .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo 'Tremula needs Python 3.11 or newer: set PYTHON=... to one.' >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo 'Python cannot make virtual environments here.' >&2; \
		echo 'On Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

.interop/.installed: tests/interop/requirements.txt
	$(PYTHON) -m venv .interop
	@echo 'Installing Synapse from PyPI into .interop ...'
	@.interop/bin/python -m pip install --quiet --disable-pip-version-check \
		--requirement tests/interop/requirements.txt || { \
		echo 'Synapse cannot be installed: is PyPI out of reach? Set SYNAPSE_VENV to an' >&2; \
		echo 'environment that has it, or to nothing to test Tremulas alone.' >&2; exit 1; }
	@touch $@

.bridges/%/.installed: tests/bridges/requirements-%.txt
	$(PYTHON) -m venv .bridges/$*
	@echo 'Installing bridges from PyPI into .bridges/$* ...'
	@.bridges/$*/bin/python -m pip install --quiet --disable-pip-version-check \
		--requirement $<
	@touch $@

$(GROVE): $(wildcard tests/bridges/programs/grove/*)
	@rm -f $@
	@if ! { command -v go && command -v cc; } >/dev/null; then \
		echo 'Go or a C compiler is not installed: no bridge in Go will be tested' >&2; \
	elif ! $(GO) -C $(<D) mod download; then \
		echo 'Go is older than 1.24, or its proxy is out of reach:' \
			'no bridge in Go will be tested' >&2; \
	else \
		echo 'Building a bridge in Go into $(@D) ...'; \
		$(GO) -C $(<D) build -buildvcs=false -tags goolm -o $(abspath $@) .; \
	fi

$(VENV)/.installed: pyproject.toml $(VENV)/.created
	$(PIP_INSTALL) .
	@$(COMPILE)
	@touch $@

$(VENV)/.installed-test: pyproject.toml $(VENV)/.created
	$(PIP_INSTALL) '.[test]'
	@$(COMPILE)
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-bench: pyproject.toml $(VENV)/.created
	$(PIP_INSTALL) '.[bench]'
	@$(COMPILE)
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.created
	$(PIP_INSTALL) '.[dev]'
	@$(COMPILE)
	@touch $@ $(VENV)/.installed-bench $(VENV)/.installed-test $(VENV)/.installed

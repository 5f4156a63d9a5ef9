# Everything below installs into .venv with the exact versions of constraints.txt.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
VOILA := --template=offline --Voila.ip=127.0.0.1
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# without PostgreSQL its half of the history is not covered
UNCOVERED := $(if $(shell command -v initdb)$(wildcard /usr/lib/postgresql/*/bin/initdb),,--cov-fail-under=0)
# tests of single functions; the others start servers, browsers or processes
UNIT := backupkit tests/analysis tests/causes tests/display tests/policy tests/tables tests/test_errors.py \
	tests/test_fleet.py tests/test_protocol.py tests/test_settings.py tests/test_wire.py
# where the table of `make bench` is written
MARKDOWN ?= artefacts/performance.md
ROOT_FLAG := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)

# without bytecode, each worker and each process of a test would compile all modules again
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo check test test-long lint platforms lab dashboard docs dist bundle bench bench-quick clean help
.DEFAULT_GOAL := help

help: ## say what there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

demo: $(VENV)/.core ## simulate 12 appliances over HTTPS, collect, keep, judge, write demo/report.html
	$(BIN)/backupkit demo --out demo

check: lint ## quick checks while working: style, types, layers, prose, unit tests
	$(BIN)/pytest --numprocesses 4 $(UNIT)

test: $(VENV)/.test ## all checks and tests, the rare ones in a short form
	@$(MAKE) --no-print-directory --jobs 2 --output-sync lint platforms
	$(BIN)/pytest --numprocesses 4 --cov --cov-report=term $(UNCOVERED)

test-long: $(VENV)/.test ## the rare ones at full length: kills, generated data, all notebooks
	LONG=1 $(BIN)/pytest --numprocesses 4 -m "long or property"

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.prose

platforms: $(VENV)/.test
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32 backupkit
	$(BIN)/mypy --platform darwin --cache-dir .mypy_cache/darwin backupkit

lab: $(VENV)/.lab ## open JupyterLab on the first notebook
	$(BIN)/jupyter lab $(ROOT_FLAG) notebooks/01_first_look.ipynb

dashboard: $(VENV)/.lab ## serve the first notebook on this machine: no code, nothing from the internet
	JUPYTER_PATH=notebooks $(BIN)/voila $(VOILA) notebooks/01_first_look.ipynb

docs: $(VENV)/.docs ## build the documentation site, runs its notebooks; needs no network
	$(BIN)/python -m sphinx -W --keep-going -b html -c docs . docs/_build/html
	@echo "Open docs/_build/html/index.html"

dist: $(VENV)/.test ## build wheel and source archive into dist/, with SHA256SUMS
	$(BIN)/python .ci/dist.py

bundle: $(VENV)/.test ## also an archive that installs without internet (EXTRAS=lab: with JupyterLab)
	$(BIN)/python .ci/bundle.py $(if $(EXTRAS),--extras $(EXTRAS))

bench: $(VENV)/.test ## measure against peers, as ratios in one run; 40 minutes (ONLY=judge,process: parts)
	$(BIN)/python -m tests.benchmarks.run $(if $(ONLY),--only $(ONLY)) --json artefacts/performance.json --markdown $(MARKDOWN)

bench-quick: $(VENV)/.test ## the same in small, 3 minutes: before and after a change
	$(BIN)/python -m tests.benchmarks.run --scale quick $(if $(ONLY),--only $(ONLY))

clean: ## remove what the targets above made
	rm -rf $(VENV) demo artefacts build dist docs/_build docs/reference/generated .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(VENV)/bin/python pyproject.toml constraints.txt
	@echo "Installing backupkit into $(VENV) ..."
	@$(PIP) install --constraint constraints.txt --editable '.[demo]'
	@touch $@

$(VENV)/.lab: $(VENV)/.core
	@echo "Installing JupyterLab into $(VENV) ..."
	@$(PIP) install --constraint constraints.txt --editable '.[lab]'
	@touch $@

$(VENV)/.docs: $(VENV)/.lab
	@echo "Installing Sphinx into $(VENV) ..."
	@$(PIP) install --constraint constraints.txt --editable '.[docs]'
	@touch $@

$(VENV)/.test: $(VENV)/.core
	@echo "Installing the test tools into $(VENV) ..."
	@$(PIP) install --constraint constraints.txt --editable '.[test]'
	@touch $@

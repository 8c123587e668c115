# Everything a reader or a developer runs. The first target makes its own environment:
# needed are Python >= 3.11 (with venv) and a network for pip, once.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CORES ?= 2
PROFILE ?= laptop
# Test workers; each gets one thread, so that two workers do not fight over two cores.
WORKERS ?= 2
# The interpreter that creates .venv: the first of these that is new enough.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo "$$p" && break; done)

VENV := .venv
BIN := $(VENV)/bin
PY := $(BIN)/python
INSTALLED := $(VENV)/.installed
STRIP := $(PY) -m nbstripout \
	--extra-keys "metadata.papermill metadata.widgets cell.metadata.papermill cell.metadata.execution" \
	--drop-tagged-cells injected-parameters
NOTEBOOKS := $(wildcard notebooks/*.ipynb)

export PYTHONHASHSEED := 0
# The environment of a calling shell must not leak another interpreter into ours.
unexport PYTHONPATH PYTHONHOME

.PHONY: help
help: ## list the targets
	@echo "make <target>    (PYTHON=python3.13 picks an interpreter, CORES=8 more cores, PROFILE=smoke a small book)"
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  \1|/' | awk -F'|' '{printf "%-10s %s\n", $$1, $$2}'

.PHONY: book
book: $(INSTALLED) ## write the data, run the notebooks, build and check _build/html/index.html
	$(PY) -m snakemake --cores $(CORES) --config profile=$(PROFILE)
	@echo "The book: _build/html/index.html"

.PHONY: test
test: $(INSTALLED) ## style, types, import layers, stripped notebooks, tests
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(BIN)/python $(BIN)/lint-imports --no-logo
	$(if $(NOTEBOOKS),$(STRIP) --verify $(NOTEBOOKS))
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(WORKERS)

.PHONY: look
look: $(INSTALLED) ## open every built page in Chromium: script errors, cut code, pale letters
	$(PY) -m workflow.check_browser _build/html

.PHONY: lab
lab: $(INSTALLED) ## open the notebooks in JupyterLab
	$(PY) -m jupyterlab notebooks/00_start_here.ipynb

.PHONY: text
text: $(INSTALLED) ## the notebooks as Python files in _build/text, to read and to compare
	mkdir -p _build/text
	for n in $(NOTEBOOKS); do \
		$(BIN)/jupytext --quiet --to py:percent --output "_build/text/$$(basename "$$n" .ipynb).py" "$$n"; done

.PHONY: print
print: $(INSTALLED) ## the built book as _build/print/book.pdf, and one PDF a page (needs Chromium)
	$(PY) -m workflow.check_browser _build/html --print _build/print

.PHONY: strip
strip: $(INSTALLED) ## remove outputs and run metadata from the notebooks, before a commit
	$(STRIP) $(NOTEBOOKS)

.PHONY: lock
lock: $(INSTALLED) ## write requirements.lock anew from pyproject.toml
	$(PY) -m uv pip compile --universal --python-version 3.11 --fork-strategy fewest --upgrade --quiet \
		--extra all --no-annotate --no-header --no-emit-index-url --no-emit-find-links \
		pyproject.toml --output-file requirements.lock

.PHONY: clean
clean: ## remove what was built (_build, caches); data, runs and the environment stay
	rm -rf _build .snakemake .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find reidlab tests workflow data_scripts -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "Kept: data/ and runs/ (yours to delete) and .venv/ (rm -rf .venv makes the next target install again)."

$(INSTALLED): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ] || ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo "reidlab needs Python >= 3.11; '$(or $(PYTHON),python3)' is $$("$(or $(PYTHON),python3)" --version 2>&1 || true)." >&2; \
		echo "Install one and name it: make <target> PYTHON=/path/to/python3.11" >&2; exit 1; fi
	@if [ -x $(PY) ] && ! $(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo ".venv was made with $$($(PY) --version 2>&1); remove it (rm -rf .venv) and run make again." >&2; exit 1; fi
	$(if $(wildcard $(PY)),,"$(PYTHON)" -m venv $(VENV))
	$(PY) -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@touch $(INSTALLED)

# Thin names for `cxr …`; the work is in the package. See README.md.

STUDY ?= demo
PYTHON ?= python3
CORES ?=
SNAKEMAKE ?=
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.complete
# `make … CPU=1` takes torch's build without CUDA, from where uv knows it to be; all else is as locked, by hashes.
CPU ?=
CUDA := ^(torch|torchvision|triton)==|^(cuda|nvidia)-
TORCH = $(shell sed -nE 's/^((torch|torchvision)==[^ ]+).*/\1/p' requirements.lock)
# What a JupyterHub needs besides Python: its proxy, from npm. Only a test and several readers at once ask for it.
HUB := $(VENV)/hub
PROXY_READY := $(HUB)/.complete

ifdef DATA
export CXR_DATA := $(abspath $(DATA))
endif

.PHONY: report pdf test test-all proxy lab review hub lint lines lock setup moved audit

report: setup
	@$(BIN)/cxr report $(STUDY) $(if $(CORES),--cores $(CORES)) $(if $(SNAKEMAKE),-- $(SNAKEMAKE))

test: proxy
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not long"

# Everything, and which lines of the library no test reaches.
test-all: proxy
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --cov cxrlib --cov-report term:skip-covered

proxy: setup
	@if command -v npm > /dev/null; then $(MAKE) --no-print-directory hub || echo "No proxy: the test of several readers is skipped."; fi

# The book as one PDF, printed by Chromium or Chrome.
pdf: setup
	@$(BIN)/python -m cxrlib.publishing.pdf $(STUDY)

lab: setup
	@$(BIN)/jupyter lab --ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/notebooks/01_data.ipynb

review: setup
	@$(BIN)/cxr review $(STUDY) $(if $(READER),--reader $(READER)) $(if $(PORT),--port $(PORT))

hub: setup $(PROXY_READY)

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

# Lines of Python, part by part, and of the notebooks' code.
lines: setup
	@$(BIN)/python tests/house.py

# Exact versions for every system, from pyproject.toml.
lock: setup
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --extra dev --output-file requirements.lock pyproject.toml

# Licences of the locked packages, and a bill of materials of them beside the lock.
audit: setup
	@$(BIN)/python tests/supply.py

setup: $(READY)

# The stamp holds the folder's own address, since a virtual environment breaks when it is moved.
ifneq ($(shell cat $(READY) 2>/dev/null),$(CURDIR))
$(READY): moved
endif

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Found $$($(PYTHON) --version), but Python 3.11 or later is needed; try: make PYTHON=python3.12"; exit 2; }
	@echo "Setting up $(VENV): about $(if $(CPU),2.1,7) GB, a few minutes, once."
	@$(PYTHON) -m venv --clear $(VENV)
	@awk '/^[A-Za-z0-9]/ { kept = !($(if $(CPU),/$(CUDA)/,0)) } kept' requirements.lock > $(VENV)/requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/requirements.lock
	$(if $(CPU),@$(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend cpu --no-deps $(TORCH))
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@printf '%s' "$(CURDIR)" > $(READY)

$(PROXY_READY): hub/package-lock.json $(READY)
	@command -v npm > /dev/null || { echo "Found no npm, but the hub's proxy comes from it; install Node.js 18 or later"; exit 2; }
	@mkdir -p $(HUB)
	@cp hub/package.json hub/package-lock.json $(HUB)
	@npm ci --prefix $(HUB) --ignore-scripts --no-audit --no-fund --loglevel error
	@touch $(PROXY_READY)

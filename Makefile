# Sets itself up on first use: a virtual environment in .venv from requirements.lock. Needs git, make, a C compiler and
# Python 3.11 or later.
PYTHON ?= python3
CORES ?= all
CONFIG ?= config/config.yaml
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SNAKEMAKE = $(BIN)/snakemake --cores $(CORES) --configfile $(CONFIG)
ONLY = $(if $(LOSSES)$(DATASETS),--config $(if $(LOSSES),only_losses="$(LOSSES)") $(if $(DATASETS),only_datasets="$(DATASETS)"))

.PHONY: help setup figures check test lint format loss lock docs clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: $(READY) ## the virtual environment, pinned by requirements.lock

$(READY): requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@touch $@

figures: $(READY) $(CONFIG) ## run the study and draw every figure; LOSSES="ncc mind" DATASETS=cells CONFIG=… CORES=…
	$(SNAKEMAKE) $(ONLY)

check: $(READY) ## validate configuration and images; print jobs per rule, disk and time to expect
	@$(BIN)/python workflow/scripts/check.py --configfile $(CONFIG) $(ONLY)

test: $(READY) ## every test
	$(BIN)/python -m pytest

lint: $(READY) ## ruff, mypy, snakefmt and snakemake --lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

format: $(READY) ## let ruff and snakefmt format the code
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

loss: $(READY) ## the two files of a new loss: make loss NAME=my_loss
	@$(BIN)/python workflow/scripts/new_loss.py "$(NAME)"

docs: $(READY) ## the tables in README.md and docs/, from the schemas and the losses' cards
	$(BIN)/python workflow/scripts/configuration_reference.py

lock: ## requirements.lock anew from pyproject.toml
	bash workflow/scripts/lock.sh "$(PYTHON)"

clean: ## remove results, keep the environment
	find results -mindepth 1 -not -name README.md -delete; rm -rf .snakemake

# Sets itself up on first use: a virtual environment in .venv from requirements.lock and requirements.itk.lock. Needs git,
# make, a C compiler and Python 3.11 or later.
PYTHON ?= python3
CORES ?= all
WORKERS ?= 2
CONFIG ?= config/config.yaml
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# packages that only the benchmark compares with, beside the environment and not in it
PEERS := .peers
METHODS := .peers-methods
SNAKEMAKE = $(BIN)/snakemake --cores $(CORES) --configfile $(CONFIG)
ONLY = $(if $(LOSSES)$(DATASETS),--config $(if $(LOSSES),only_losses="$(LOSSES)") $(if $(DATASETS),only_datasets="$(DATASETS)"))
# a program, and the packages of Debian's that have it
define needs
@command -v $(1) > /dev/null || $(if $(filter-out 0,$(shell id -u)),sudo -n) sh -c 'apt-get -qq update && \
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $(2)' > /dev/null 2>&1 || \
    { echo "make $@ needs the packages $(2): install them, or run it as root or with sudo"; exit 1; }
endef

.PHONY: help setup figures check test test-slow test-slurm test-kubernetes test-conda lint format loss losses upgrade-dataset envs lock docs clean merge bench bench-methods bench-scale
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

setup: $(READY) ## the virtual environment, pinned by requirements.lock

$(READY): requirements.lock requirements.itk.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or later is needed: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements.itk.lock
	@touch $@

figures: $(READY) ## run the study and draw every figure; LOSSES="ncc mind" DATASETS=cells CONFIG=… CORES=…
	@$(BIN)/python workflow/tools/preflight.py $(CONFIG)
	$(SNAKEMAKE) $(ONLY)

check: $(READY) ## validate configuration and images; print jobs, time, disk and memory to expect; QUICK=1 measures nothing
	@$(BIN)/python workflow/tools/check.py $(if $(QUICK),--quick) --configfile $(CONFIG) $(ONLY)

merge: $(READY) ## into the results of CONFIG those of parts that ran elsewhere: make merge FROM="results-a results-b"
	@$(BIN)/python workflow/tools/merge.py --configfile $(CONFIG) $(FROM)

test: $(READY) ## every test that needs no more than the virtual environment, but the long ones; WORKERS=4
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-slow: $(READY) ## the long tests: a study killed at ten moments, the benchmark of large studies, a new loss typed
	$(BIN)/python -m pytest -m campaign -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-slurm: $(READY) ## the smoke study on a Slurm of one node; what was submitted stays in .pytest_cache/d/slurm
	$(call needs,/usr/sbin/slurmctld,slurm-wlm munge)
	$(BIN)/python -m pytest -m slurm tests/clusters/test_slurm.py

test-kubernetes: $(READY) ## jobs on a stand-in for a cluster with Kubernetes
	$(call needs,rsync,rsync)
	$(BIN)/python -m pytest -m kubernetes tests/clusters/test_kubernetes.py

test-conda: $(READY) ## the smoke study with an environment for every rule, made by a stand-in for conda
	$(BIN)/python -m pytest -m conda tests/project/test_conda.py

bench: $(READY) $(PEERS)/.ready ## speed and memory of every loss beside other libraries'; LOSSES="ncc mind" OPTIONS="--rounds 1"
	$(BIN)/python benchmarks/losses.py $(if $(LOSSES),--losses $(LOSSES)) $(OPTIONS)

$(PEERS)/.ready: benchmarks/requirements.txt $(READY)
	rm -rf $(PEERS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(PEERS) -r $<
	@touch $@

bench-methods: $(READY) $(METHODS)/.ready ## our optimisation beside SyN, demons and others on real pairs; OPTIONS="--data folder --pairs 4"
	$(BIN)/python benchmarks/methods.py $(if $(LOSSES),--losses $(LOSSES)) $(if $(DATASETS),--datasets $(DATASETS)) $(OPTIONS)

$(METHODS)/.ready: benchmarks/requirements.methods.txt $(READY)
	rm -rf $(METHODS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(METHODS) -r $<
	@touch $@

bench-scale: $(READY) ## time the dry run of a study of ten thousand jobs, before and after it ran
	$(BIN)/python benchmarks/dry_run.py

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

losses: $(READY) ## every loss, what it compares and needs, and its options
	@$(BIN)/python workflow/tools/losses.py

loss: $(READY) ## the two files of a new loss: make loss NAME=my_loss
	@$(BIN)/python workflow/tools/new_loss.py "$(NAME)"

upgrade-dataset: $(READY) ## rename a dataset folder of the layout with subjects.csv: make upgrade-dataset FOLDER=data/mine
	@$(BIN)/python workflow/tools/upgrade_dataset.py "$(FOLDER)"

docs: $(READY) ## the tables in README.md and docs/ and the schemas for editors, from the models and cards
	$(BIN)/python workflow/tools/docs.py

envs: $(READY) ## the versions in envs/, from requirements.lock
	$(BIN)/python workflow/tools/environments.py

lock: ## requirements.lock anew from pyproject.toml, and the versions in envs/
	bash workflow/tools/lock.sh "$(PYTHON)"

clean: ## remove results, keep the environment
	find results -mindepth 1 -not -name README.md -delete; rm -rf .snakemake

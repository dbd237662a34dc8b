# Sets itself up on first use: a virtual environment in .venv from requirements.lock and requirements.itk.lock. Needs git,
# make, a C compiler and Python 3.11 or later.
PYTHON ?= python3
# Where torch alone is installed from; empty: from where everything else is. For the build without CUDA:
# https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
CORES ?= all
WORKERS ?= 2
CONFIG ?= config/config.yaml
VENV := .venv
BIN := $(VENV)/bin
# for what needs no package: that of the environment where there is one
ANY_PYTHON = $(or $(wildcard $(BIN)/python),$(PYTHON))
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
TOO_OLD := Python 3.11 or later is needed: add PYTHON=python3.12, or where it is, to the call
READY := $(VENV)/.ready
# packages that only the benchmark compares with, beside the environment and not in it
PEERS := .peers
METHODS := .peers-methods
PIP = $(BIN)/python -m pip install --quiet --disable-pip-version-check
# the sizes of the wheels that pip chose on Linux x86-64 for Python 3.11 and torch 2.13.0; installed, 2.2 GB without CUDA
SIZE_CPU := 0.57 GB
SIZE_CUDA := 3.1 GB
# losses of config/claims.yaml that need published weights and a GPU
DIFFUSION := diffusion_adm diffusion_sd
SNAKEMAKE = $(BIN)/snakemake --cores $(CORES) --configfile $(CONFIG)
ONLY = $(if $(LOSSES)$(WITHOUT)$(DATASETS),--config $(if $(LOSSES),only_losses="$(LOSSES)") \
    $(if $(WITHOUT),skip_losses="$(WITHOUT)") $(if $(DATASETS),only_datasets="$(DATASETS)"))
# a program, and the packages of Debian's that have it
define needs
@command -v $(1) > /dev/null || $(if $(filter-out 0,$(shell id -u)),sudo -n) sh -c 'apt-get -qq update && \
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $(2)' > /dev/null 2>&1 || \
    { echo "make $@ needs the packages $(2): install them, or run it as root or with sudo"; exit 1; }
endef

.PHONY: help setup try figures report claims claim-dgir calibration check test test-slow test-release test-slurm test-kubernetes test-conda test-report lint format loss losses upgrade-dataset envs lock docs clean merge bench bench-methods bench-metrics bench-scale
.DEFAULT_GOAL := help

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

setup: $(READY) ## install everything into .venv; TORCH_INDEX=https://download.pytorch.org/whl/cpu for torch without CUDA

$(READY): requirements.lock requirements.itk.lock
	@$(PYTHON) -c '$(NEW_ENOUGH)' || { echo "$(TOO_OLD)"; exit 1; }
# Snakemake calls the interpreter by its path, which it does not quote; venv takes no colon
	@case "$$(pwd -P)" in *[][[:space:]\'\"\`\\\$$\&\;\|\<\>\(\)\{\}\*\?\:]*) \
	    printf '%s: Snakemake cannot work in a path with a space, a quote or another character that a shell interprets; %s\n' \
	    "$$(pwd -P)" "move the project to a path without one"; exit 1;; esac
	@echo "Installing into $(VENV): pip downloads about $(if $(TORCH_INDEX),$(SIZE_CPU) if $(TORCH_INDEX) has a build of torch \
	without CUDA,$(SIZE_CUDA) on Linux, most of it CUDA for torch. Without an NVIDIA GPU interrupt now and add \
	TORCH_INDEX=https://download.pytorch.org/whl/cpu to the command: then it is $(SIZE_CPU))."
	$(PYTHON) -m venv $(VENV)
	$(if $(TORCH_INDEX),$(PIP) --no-deps --index-url $(TORCH_INDEX) $(shell grep '^torch==' requirements.lock))
	$(PIP) -r requirements.lock
	$(PIP) --no-deps -r requirements.itk.lock
	@touch $@

try: $(READY) ## a first figure in two minutes: three losses register twelve simulated pairs; LOSSES="mse my_loss"
	@$(BIN)/python workflow/tools/preflight.py config/try.yaml
	$(BIN)/snakemake results/try/figures/img_sample.png results/try/figures/scores.png --cores $(CORES) --quiet rules host \
	    --configfile config/try.yaml $(ONLY)
	@echo "Look at results/try/figures/img_sample.png: one pair, as every loss registers it."
	@echo "Then at results/try/figures/scores.png: the scores of all twelve. README says how to read both, docs/evaluation.md what its intervals are."

figures: $(READY) ## run the study and draw every figure; LOSSES="ncc mind" WITHOUT=mse DATASETS=cells CONFIG=… CORES=…
	@$(BIN)/python workflow/tools/preflight.py $(CONFIG)
	$(SNAKEMAKE) $(ONLY)

report: $(READY) ## after `make figures`: report.html, one page with the answer, a leaderboard and a viewer, and its tables
	$(BIN)/snakemake report --cores $(CORES) --configfile $(CONFIG) $(ONLY)

claims: ## decide whether the papers' claims hold, as far as two cores can: two hours, results/claims/tables/claims.csv
	@$(MAKE) --no-print-directory figures CONFIG=config/claims.yaml WITHOUT="$(DIFFUSION)"

claim-dgir: ## the same for diffusion models with published weights, for a GPU; make merge joins the results
	@$(MAKE) --no-print-directory figures CONFIG=config/claims.yaml \
	    LOSSES="$(DIFFUSION) ncc_masked lncc ncc_extracted" DATASETS="dose-0 dose-50 dose-100"

calibration: $(READY) ## simulate whether the tests of CONFIG keep their level on its pairs: tables/calibration.csv
	@$(BIN)/python workflow/tools/preflight.py $(CONFIG)
	$(SNAKEMAKE) $(ONLY) --until calibration

check: $(READY) ## validate configuration and images; print jobs, time, disk and memory to expect; QUICK=1 measures nothing
	@$(BIN)/python workflow/tools/check.py $(if $(QUICK),--quick) --configfile $(CONFIG) $(ONLY)

merge: $(READY) ## add results of parts that ran elsewhere to those of CONFIG: make merge FROM="results-a results-b"
	@$(BIN)/python workflow/tools/merge.py --configfile $(CONFIG) $(FROM)

test: $(READY) ## run the tests, but the long ones and those below; WORKERS=4 runs four at once
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-slow: $(READY) ## run the long tests: the examples of CONTRIBUTING, one new file of each kind, make try
	$(BIN)/python -m pytest -m campaign -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-release: $(READY) ## repeat at length, before a release: a study killed at ten moments, ten times the search, merged halves
	$(BIN)/python -m pytest -m release -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-slurm: $(READY) ## run the smoke study on a Slurm of one node; what was submitted stays in .pytest_cache/d/slurm
	$(call needs,/usr/sbin/slurmctld,slurm-wlm munge)
	$(BIN)/python -m pytest -m slurm tests/clusters/test_slurm.py

test-kubernetes: $(READY) ## run jobs on a stand-in for a Kubernetes cluster
	$(call needs,rsync,rsync)
	$(BIN)/python -m pytest -m kubernetes tests/clusters/test_kubernetes.py

test-conda: $(READY) ## run the smoke study with an environment per rule, made by a stand-in for conda
	$(BIN)/python -m pytest -m conda tests/project/test_conda.py

test-report: $(READY) ## open the page of the smoke study in a browser: its script, viewer, address; screenshots are kept
	$(call needs,chromium,chromium)
	$(BIN)/python -m pytest -n 0 -m browser tests/report/test_browser.py

bench: $(READY) $(PEERS)/.ready ## measure time and memory of every loss beside other libraries'; LOSSES="ncc mind" OPTIONS="--rounds 1"
	$(BIN)/python benchmarks/losses.py $(if $(LOSSES),--losses $(LOSSES)) $(OPTIONS)

$(PEERS)/.ready: benchmarks/requirements.txt $(READY)
	rm -rf $(PEERS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(PEERS) -r $<
	@touch $@

bench-methods: $(READY) $(METHODS)/.ready ## measure the optimisation beside SyN, demons and others on real pairs; OPTIONS="--data folder --pairs 4"
	$(BIN)/python benchmarks/methods.py $(if $(LOSSES),--losses $(LOSSES)) $(if $(DATASETS),--datasets $(DATASETS)) $(OPTIONS)

$(METHODS)/.ready: benchmarks/requirements.methods.txt $(READY)
	rm -rf $(METHODS)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target $(METHODS) -r $<
	@touch $@

bench-metrics: $(READY) ## time every metric on one large pair; OPTIONS="--labels 4"
	$(BIN)/python benchmarks/metrics.py $(OPTIONS)

bench-scale: $(READY) ## time the dry run of a study of ten thousand jobs, before and after it ran
	$(BIN)/python benchmarks/dry_run.py

lint: $(READY) ## check the code with ruff, mypy, snakefmt and snakemake --lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

format: $(READY) ## format the code with ruff and snakefmt
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

losses: $(READY) ## list every loss with what it compares, what it needs, and its options
	@$(BIN)/python workflow/tools/losses.py

loss: ## write the two files of a new loss, before or after set-up: make loss NAME=my_loss
	@$(ANY_PYTHON) -c '$(NEW_ENOUGH)' || { echo "$(TOO_OLD)"; exit 1; }
	@$(ANY_PYTHON) workflow/tools/new_loss.py "$(NAME)"

upgrade-dataset: $(READY) ## bring a dataset folder with subjects.csv to today's layout: make upgrade-dataset FOLDER=data/mine
	@$(BIN)/python workflow/tools/upgrade_dataset.py "$(FOLDER)"

docs: $(READY) ## write the tables in README.md and docs/, and the schemas for editors, from the models and cards
	$(BIN)/python workflow/tools/docs.py

envs: $(READY) ## update the versions in envs/ from requirements.lock
	$(BIN)/python workflow/tools/environments.py

lock: ## resolve requirements.lock from pyproject.toml again, and update envs/
	bash workflow/tools/lock.sh "$(PYTHON)"

clean: ## delete results, keep the environment
	find results -mindepth 1 -not -name README.md -delete; rm -rf .snakemake

# All of matprop on one machine. Everything lives in .venv and ./state. Outside of them nothing is
# touched, but for one thing: as root on Debian and Ubuntu, `make` installs with apt-get what is
# missing of Python's venv, a C compiler and Python's headers; for images, of Podman and debootstrap.
#
#   make up       set up what is missing, start everything, predict once, stay until Ctrl-C
#   make up PORT=9000 HOST=0.0.0.0 STATE=/data/matprop WORKERS=4
#   make setup PYTHON=python3.12
#   make setup TORCH_INDEX=ADDRESS      torch from another index, for example PyTorch's own for
#                                       CPUs, whose torch is much smaller

VENV    ?= .venv
PYTHON  ?=
TORCH   ?= torch==2.13.0
TORCH_INDEX ?=
HOST    ?= 127.0.0.1
PORT    ?= 8000
STATE   ?= state
WORKERS ?=
DATA    ?=

BIN   := $(VENV)/bin
# A moved folder is set up again: programs in a virtual environment know their place by heart.
READY := $(VENV)/.ready-$(shell pwd | cksum | cut -d' ' -f1)
PIP   := $(BIN)/python -m pip --disable-pip-version-check -qq
ONE   := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 MKL_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help setup up test test-all test-faults images test-images lint bench tables openapi reference clean

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | \
	  while IFS="$$(printf '\t')" read -r name what; do printf '  make %-12s %s\n' "$$name" "$$what"; done

setup: $(READY) ## install everything into .venv (instant when nothing changed)

$(READY): pyproject.toml constraints.txt .ci/venv .ci/compiler $(wildcard models/*/*.c)
	@.ci/venv "$(VENV)" "$(PYTHON)"
	@.ci/compiler "$(BIN)/python"
	@echo "Installing torch (the largest part; once) …"
	@$(PIP) install $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) "$(TORCH)"
	@echo "Installing matprop and the rest …"
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $(READY)
	@echo "Ready: $(BIN)/matprop"

up: $(READY) ## start everything on this machine and stay until Ctrl-C (HOST, PORT, STATE, WORKERS)
	@exec $(BIN)/matprop up --host "$(HOST)" --port "$(PORT)" --state "$(STATE)" $(if $(WORKERS),--workers "$(WORKERS)")

# Two processes, a file's tests in one of them: much of the time is waiting.
test test-all: PYTEST := $(ONE) $(BIN)/python -m pytest -q -n 2 --dist loadfile

test: $(READY) ## all tests but the slow ones
	$(PYTEST) -m "not slow and not images"

test-all: $(READY) ## all tests but those of the images
	$(PYTEST) -m "not images"

# Hours, on a machine that does nothing else. Each test appends its row to benchmarks/results/faults.jsonl as it
# ends, so they may be run some at a time: ONLY="broker and not kills", in the words of pytest's -k.
test-faults: $(READY) ## break everything, a lot (ONLY); figures to docs/explanation/faults.md
	MATPROP_FAULTS=acceptance $(ONE) $(BIN)/python -m pytest -q tests/faults $(if $(ONLY),-k "$(ONLY)"); \
	  ended=$$?; $(BIN)/python -m benchmarks.faults && exit $$ended

# IMAGES="service worker-cpu" are some of them. worker-cuda is large: some gigabytes of NVIDIA's libraries.
IMAGES  ?= service worker-cpu worker-cuda broker
images: ## build the images with podman (IMAGES)
	@.ci/podman
	@TORCH_INDEX="$(TORCH_INDEX)" docker/build $(IMAGES)

test-images: $(READY) ## start the built images, predict, train, kill containers
	@.ci/podman
	@! command -v podman >/dev/null || TORCH_INDEX="$(TORCH_INDEX)" docker/build service worker-cpu broker
	$(ONE) $(BIN)/python -m pytest -q -m images tests/docker

lint: $(READY) ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# DATA: a folder with the public data sets; each program tells in its first lines what it looks for.
bench: $(READY) ## measure against the bars; more with DATA=folder of the data sets
	$(ONE) $(BIN)/python -m benchmarks.parsing $(if $(DATA),--data "$(DATA)")
	$(ONE) $(BIN)/python -m benchmarks.images
	$(ONE) $(BIN)/python -m benchmarks.table
	$(if $(DATA),$(foreach name,neighbours forward epoch end_to_end ensemble released_reference published,\
	  $(ONE) $(BIN)/python -m benchmarks.$(name) --data "$(DATA)" &&) true)
	$(ONE) $(BIN)/python -m benchmarks.serving
	$(ONE) $(BIN)/python -m benchmarks.together

# Takes many hours in full: docs/explanation/papers.md tells how many. ONLY="grid bonds" are some of them, QUICK=1 shortened ones.
tables: $(READY) ## the papers' tables, as far as the data sets in DATA allow, to docs/explanation/papers.md
	$(ONE) $(BIN)/python -m benchmarks.paper_tables $(if $(DATA),--data "$(DATA)") $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) --draw

openapi: $(READY) ## write openapi.yaml from the service
	$(BIN)/python -m service.openapi > openapi.yaml.new && mv openapi.yaml.new openapi.yaml

reference: $(READY) ## write docs/reference from the code
	$(BIN)/python -m service.cli.reference

clean: ## remove .venv and caches; state stays
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +

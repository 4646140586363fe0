# Every target sets up what it needs: a virtual environment in .venv with the pinned packages.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What runs, and what tests, lints and measures besides.
READY := $(VENV)/.ready
DEV_READY := $(VENV)/.ready-dev

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast lint reference-models bench bench-quick gpu-proof chaos screenshots compare clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 20

# uv, as it takes a third of pip's time; patient, as some packages are of hundreds of megabytes.
define install
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	UV_HTTP_TIMEOUT=$${UV_HTTP_TIMEOUT:-180} $(BIN)/uv pip install --quiet --python $(BIN)/python \
		--compile-bytecode --constraint constraints.txt --editable '$(1)'
endef

$(READY): pyproject.toml constraints.txt
	@echo "Installing the pinned packages into $(VENV): 6.1 GB, a minute or more."
	$(call install,.)
	touch $@

$(DEV_READY): pyproject.toml constraints.txt
	@echo "Installing the pinned packages into $(VENV), those of development too: 6.9 GB, a minute or more."
	$(call install,.[dev])
	touch $(READY) $@

demo: $(READY) ## watch the method work: corpus, captions, filter, judgement, pre-training
	$(BIN)/tagscribe demo --out runs/demo
	$(BIN)/tagscribe-train demo --run runs/demo

# Two files at a time, as many of their tests wait for processes of their own. So one thread is enough
# for each, and threads without work sleep: spinning, they take the cores from other processes.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

test: $(DEV_READY) ## run all tests
	$(PYTEST)

test-fast: $(DEV_READY) ## run the unit tests: no Ray, no S3 server, no browser; five minutes on two cores
	$(PYTEST) -m 'not cluster and not storage and not browser and not chaos and not slow'

lint: $(DEV_READY) ## ruff, mypy, the layers of the architecture, names and words
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tests.lint_names

reference-models: $(READY) ## train the built-in captioner and CLAP anew on procedural sounds
	$(BIN)/tagscribe-train captioner --out curation/models/reference/captioner
	$(BIN)/tagscribe-train pretrain --out curation/models/reference/clap

# The GPU proof has a target of its own; `results` measures nothing.
BENCHMARKS := $(filter-out __init__ gpu_proof results,$(basename $(notdir $(wildcard benchmarks/*.py))))

bench: $(DEV_READY) ## run every benchmark; each prints a table and a line of JSON
	@for name in $(BENCHMARKS); do \
		echo "== $$name"; $(BIN)/python -m benchmarks.$$name || exit 1; done

SIZE ?= full

gpu-proof: $(DEV_READY) ## measure every model on one GPU, 25 minutes at most; SIZE=toy: tiny models, also on a CPU
	$(BIN)/python -m benchmarks.gpu_proof --size $(SIZE)

bench-quick: $(DEV_READY) ## the engine's figures in a few minutes, beside those of the last run
	$(BIN)/python -m benchmarks.quick

chaos: $(DEV_READY) ## kill and disturb runs on a cluster over S3, twenty seeds; docs/chaos.md
	$(BIN)/python -m tests.chaos --seeds 20 --out docs/chaos.md

screenshots: $(DEV_READY) ## make the pictures of README and docs from a small run, in Chromium
	$(BIN)/python -m tests.screenshots

compare: $(DEV_READY) ## compare the runs of revision BASE with those of the working tree, row by row
	$(BIN)/python -m tests.compare_revisions $(BASE)

clean: ## remove the virtual environment and what tools left
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache *.egg-info

# `make` alone lists the targets: lines of the form "target: ... ## text", in groups that start with "##@".
# Targets install what they need into a virtual environment: make VENV=/elsewhere to put it elsewhere.
.DEFAULT_GOAL := help
VENV ?= .venv
ifeq ($(OS),Windows_NT)
PYTHON ?= python
BIN := $(VENV)/Scripts
else
PYTHON ?= python3
BIN := $(VENV)/bin
endif

EMPTY := $(VENV)-dist
EMPTY_BIN := $(EMPTY)/$(notdir $(BIN))
UV := $(BIN)/uv run --isolated --no-project --with-editable ".[test]"
TESTS ?= -n auto
INPUTS ?= 100000
MUTANTS ?=
MINUTES ?= 10
PLAN ?= results/plans/conv4.toml
REHEARSE ?=

# Without byte code, each process of a test would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help quickstart test test-slow test-load test-real test-gpu test-browser test-docs test-versions test-lowest
.PHONY: bench lint pages docs leaderboard check-results campaign gpu-results fuzz audit mutants dist

help:
	@echo "Usage: make TARGET"
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	    /^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

##@ Try it
quickstart: $(BIN)/.ready  ## train, evaluate and rank on embedded synthetic images
	$(BIN)/fsbench quickstart

##@ Check a change
test: $(BIN)/.test  ## the default tests: two to five minutes on two cores
	$(BIN)/python -m pytest -n auto

lint: $(BIN)/.test $(BIN)/.lint  ## style, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-results: $(BIN)/.ready  ## result files, and the tables that follow from them
	$(BIN)/fsbench validate results --readme README.md

##@ More tests
test-slow: $(BIN)/.test  ## the tests that take longer
	$(BIN)/python -m pytest -m slow

test-docs: $(BIN)/.test $(BIN)/.docs  ## the documentation: links, numbers, no requests
	$(BIN)/python -m pytest -m docs

test-browser: $(BIN)/.test  ## pages in a browser; needs chromium and chromium-driver
	$(BIN)/python -m pytest -m browser

test-gpu: $(BIN)/.test  ## what needs a CUDA device
	$(BIN)/python -m pytest -m gpu

test-real: $(BIN)/.test  ## real images, in the folder that FSBENCH_REAL_DATA names
	$(BIN)/python -m pytest -m real

test-load: $(BIN)/.test  ## 10.6 GB of features in little memory; 11 GB of disk
	$(BIN)/python -m pytest -m load -s

test-versions: test-3.11 test-3.12 test-3.13 test-lowest  ## the default tests on each Python, and test-lowest

test-3.%: $(BIN)/uv  # the default tests on one Python, newest packages; 3 GB of wheels the first time
	$(UV) --python 3.$* python -m pytest $(TESTS)

test-lowest: $(BIN)/uv  ## the default tests with the lowest allowed versions
	$(UV) --python 3.11 --resolution lowest-direct python -m pytest $(TESTS)

bench: $(BIN)/.test  ## speed, as ratios within one run
	$(BIN)/python -m pytest tests/bench/bench_*.py -m bench --benchmark-enable --benchmark-only -s

fuzz: $(BIN)/.test $(BIN)/.fuzz  ## damaged files for all readers, 20 minutes; or INPUTS=1000
	$(BIN)/python tests/fuzz/fuzz.py --inputs $(INPUTS)

# mutants/ is there before Python looks for modules in it; tests that start processes find the mutants, too.
mutants: $(BIN)/.test $(BIN)/.mutants  ## changed code that no test notices; hours; or MUTANTS=...
	mkdir -p mutants
	PYTHONPATH="$(CURDIR)/mutants" OMP_NUM_THREADS=1 $(BIN)/mutmut run $(MUTANTS)
	$(BIN)/python tests/mutants/report.py

audit: $(BIN)/.test $(BIN)/.lint $(BIN)/.audit  ## known vulnerabilities of the installed packages
	$(BIN)/python -m pip freeze --exclude-editable > $(BIN)/.installed
	$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement $(BIN)/.installed

##@ Results
leaderboard: $(BIN)/.ready  ## the tables and web page that follow from results/
	$(BIN)/fsbench leaderboard results --readme README.md
	$(BIN)/python -m results.budgets

campaign: $(BIN)/.ready  ## a plan: PLAN=results/plans/conv4.toml MINUTES=60
	$(BIN)/python -m results.campaign $(PLAN) --minutes $(MINUTES)

# A machine with a GPU may have neither a virtual environment nor a network to make one.
gpu-results:  ## measure on a GPU: MINUTES=10; REHEARSE=1 tries it on a CPU
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m results.gpu --minutes $(MINUTES) $(if $(REHEARSE),--rehearse)

##@ Publish
pages: $(BIN)/.ready  ## the parts of docs/ that follow from code and results/
	$(BIN)/python docs/generate.py

docs: $(BIN)/.docs  ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

dist: $(BIN)/.test $(BIN)/.dist  ## the packages in dist/, checked; the wheel runs quickstart
	rm -rf dist $(EMPTY)
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*
	FSBENCH_DIST=dist $(BIN)/python -m pytest tests/project/test_wheel.py
	@echo "Installing the wheel into an empty environment, $(EMPTY)/: as long as the first installation."
	$(PYTHON) -m venv $(EMPTY)
	$(EMPTY_BIN)/python -m pip install dist/*.whl
	cd $(EMPTY) && env -u PYTHONPATH FSBENCH_CACHE=cache $(abspath $(EMPTY_BIN))/fsbench quickstart --out quickstart
	test -s $(EMPTY)/quickstart/results/leaderboard.html
	rm -rf $(EMPTY)

$(BIN)/.ready: pyproject.toml
	@echo "Installing fsbench and PyTorch into $(VENV)/. This is done once. On Linux, it takes 3.2 GB of downloads"
	@echo "and 6 GB of disk, since PyTorch brings its libraries for GPUs, and three minutes on a fast connection."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --editable .
	touch $@

$(BIN)/.test $(BIN)/.lint $(BIN)/.docs $(BIN)/.dist $(BIN)/.fuzz $(BIN)/.audit $(BIN)/.mutants: $(BIN)/.%: $(BIN)/.ready
	@echo "Installing the extra '$*' of pyproject.toml into $(VENV)/, once."
	$(BIN)/python -m pip install --editable ".[$*]"
	touch $@

$(BIN)/uv: $(BIN)/.ready
	$(BIN)/python -m pip install uv
	touch $@

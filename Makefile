# Each target makes its own virtual environment when there is none: make VENV=/elsewhere to put it elsewhere.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

UV := $(BIN)/uv run --isolated --no-project --with-editable ".[test]"
TESTS ?= -n auto
INPUTS ?= 100000
MUTANTS ?=
MINUTES ?= 10
PLAN ?= results/plans/conv4.toml
REHEARSE ?=

.PHONY: quickstart test test-slow test-load test-real test-gpu test-browser test-docs test-versions test-lowest
.PHONY: bench lint pages docs leaderboard check-results campaign gpu-results fuzz audit mutants

quickstart: $(BIN)/.ready  ## train, evaluate and rank on embedded synthetic images
	$(BIN)/fsbench quickstart

test: $(BIN)/.ready  ## the default tests: no network, two to four minutes on two cores
	$(BIN)/python -m pytest -n auto

test-slow: $(BIN)/.ready  ## the tests that take longer
	$(BIN)/python -m pytest -m slow

test-load: $(BIN)/.ready  ## 10.6 GB of features in half a gigabyte of memory; takes 11 GB of disk
	$(BIN)/python -m pytest -m load -s

test-real: $(BIN)/.ready  ## regressions on real images; FSBENCH_REAL_DATA names their folder
	$(BIN)/python -m pytest -m real

test-gpu: $(BIN)/.ready  ## what needs a CUDA device
	$(BIN)/python -m pytest -m gpu

test-browser: $(BIN)/.ready  ## the leaderboard page in headless Chromium; needs chromium and chromium-driver
	$(BIN)/python -m pytest -m browser

test-docs: $(BIN)/.docs  ## the site builds, its links lead somewhere, it asks nothing of the network
	$(BIN)/python -m pytest -m docs

test-versions: test-3.11 test-3.12 test-3.13 test-lowest  ## the default tests on each Python and with old packages

test-3.%: $(BIN)/uv  ## the default tests on one Python, newest packages; 3 GB of wheels the first time
	$(UV) --python 3.$* python -m pytest $(TESTS)

test-lowest: $(BIN)/uv  ## the default tests on the oldest Python with the lowest versions that pyproject.toml allows
	$(UV) --python 3.11 --resolution lowest-direct python -m pytest $(TESTS)

bench: $(BIN)/.ready  ## speed, as ratios in one run
	$(BIN)/python -m pytest tests/bench/bench_*.py -m bench --benchmark-enable --benchmark-only -s

fuzz: $(BIN)/.fuzz  ## a million mutated files over all readers: 20 minutes on one core; INPUTS=1000 for fewer
	$(BIN)/python tests/fuzz/fuzz.py --inputs $(INPUTS)

# mutants/ is there before Python looks for modules in it; tests that start processes find the mutants, too.
mutants: $(BIN)/.mutants  ## change the code and see a test fail, some hours; MUTANTS='fsbench.stats.*' for a part
	mkdir -p mutants
	PYTHONPATH="$(CURDIR)/mutants" OMP_NUM_THREADS=1 $(BIN)/mutmut run $(MUTANTS)
	$(BIN)/python tests/mutants/report.py

audit: $(BIN)/.audit  ## known holes in what is installed; needs the network
	$(BIN)/python -m pip freeze --exclude-editable > $(BIN)/.installed
	$(BIN)/pip-audit --strict --no-deps --disable-pip --progress-spinner off --requirement $(BIN)/.installed

lint: $(BIN)/.ready  ## style, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

pages: $(BIN)/.ready  ## the parts of docs/ that follow from the code and from results/
	$(BIN)/python docs/generate.py

docs: $(BIN)/.docs  ## the documentation as a site, in site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

leaderboard: $(BIN)/.ready  ## the tables and pages that follow from results/
	$(BIN)/fsbench leaderboard results --readme README.md
	$(BIN)/python -m results.budgets

check-results: $(BIN)/.ready  ## fail when a result file or a committed table is not what it should be
	$(BIN)/fsbench validate results --readme README.md

campaign: $(BIN)/.ready  ## trainings and evaluations of a plan, for some minutes: PLAN=results/plans/conv4.toml MINUTES=60
	$(BIN)/python -m results.campaign $(PLAN) --minutes $(MINUTES)

# A machine with a GPU may have neither a virtual environment nor a network to make one.
gpu-results:  ## tests, speeds and results of a GPU, most valuable first: MINUTES=10; REHEARSE=1 on a CPU
	$(or $(wildcard $(BIN)/python),$(PYTHON)) -m results.gpu --minutes $(MINUTES) $(if $(REHEARSE),--rehearse)

$(BIN)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[test,lint]"
	touch $@

$(BIN)/.fuzz $(BIN)/.audit $(BIN)/.mutants: $(BIN)/.%: $(BIN)/.ready
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@

$(BIN)/.docs: $(BIN)/.ready
	$(BIN)/python -m pip install --quiet --editable ".[docs]"
	touch $@

$(BIN)/uv: $(BIN)/.ready
	$(BIN)/python -m pip install --quiet uv
	touch $@

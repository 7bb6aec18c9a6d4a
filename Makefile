# Each target makes its own virtual environment when there is none: make VENV=/elsewhere to put it elsewhere.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: quickstart test test-slow test-real test-gpu test-browser bench lint leaderboard check-results

quickstart: $(BIN)/.ready  ## train, evaluate and rank on embedded synthetic images
	$(BIN)/fsbench quickstart

test: $(BIN)/.ready  ## the default tests: no network, under three minutes on two cores
	$(BIN)/python -m pytest -n auto

test-slow: $(BIN)/.ready  ## the tests that take longer
	$(BIN)/python -m pytest -m slow

test-real: $(BIN)/.ready  ## regressions on real images; FSBENCH_REAL_DATA names their folder
	$(BIN)/python -m pytest -m real

test-gpu: $(BIN)/.ready  ## what needs a CUDA device
	$(BIN)/python -m pytest -m gpu

test-browser: $(BIN)/.ready  ## the leaderboard page in headless Chromium; needs chromium and chromium-driver
	$(BIN)/python -m pytest -m browser

bench: $(BIN)/.ready  ## speed, as ratios in one run
	$(BIN)/python -m pytest tests/bench_*.py -m bench --benchmark-enable --benchmark-only -s

lint: $(BIN)/.ready  ## style, types, import layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

leaderboard: $(BIN)/.ready  ## the tables and pages that follow from results/
	$(BIN)/fsbench leaderboard results --readme README.md

check-results: $(BIN)/.ready  ## fail when a result file or a committed table is not what it should be
	$(BIN)/fsbench validate results --readme README.md

$(BIN)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[test,lint]"
	touch $@

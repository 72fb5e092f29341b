# Two ways in: `make demo` (set-up and the main job) and `make test` (set-up and the tests).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test test-browser test-corpus test-fuzz scoreboard check benchmark format docs clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: setup
	$(BIN)/runbook demo

test: setup
	$(BIN)/pytest -n 2 --dist worksteal -m "not browser and not corpus and not docker and not ssh"

# JupyterLab and the archive's pages in a real Chromium (on Debian: apt-get install chromium).
test-browser: setup
	@test -n "$${CHROMIUM:-$$(command -v chromium)}" || \
	  { echo "This needs a Chromium: apt-get install chromium (or set CHROMIUM to its path)."; exit 2; }
	$(BIN)/pytest -m browser

# The larger cross product of faults and trees, and the real trees.
test-corpus: setup
	$(BIN)/pytest -n 2 --dist worksteal -m corpus

# Many invented trees in invented states; RUNBOOK_SEEDS=FIRST:LAST chooses which.
test-fuzz: setup
	$(BIN)/pytest -n 2 --dist worksteal -m "corpus or not corpus" tests/fuzz

# Every fault beside what is usually tried instead; writes docs/scoreboard.md and .json.
scoreboard: setup
	rm -rf build/scoreboard.*
	-RUNBOOK_SCOREBOARD=$(CURDIR)/build/scoreboard.json $(BIN)/pytest -n 2 --dist worksteal tests/faults
	cd tests && ../$(BIN)/python -m faults.scoreboard ../build/scoreboard.json ../docs/scoreboard.md

# What everything costs, beside its peer in the same run; fails when a limit is broken.
benchmark: setup
	$(BIN)/python -m benchmarks

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The reference is generated from the code first; the pages need no network, built or read.
docs: setup
	$(BIN)/python docs/generate.py
	$(BIN)/zensical build --clean --strict
	rm -f site/*.py

clean:
	rm -rf $(VENV) .demo .runbook .cache site .mypy_cache .ruff_cache .pytest_cache

# The two commands are `make lab` and `make test`; `make help` lists the rest. They need Python 3.10
# or newer and make. On Windows run them in Git Bash or in WSL.

ifeq ($(OS),Windows_NT)
PYTHON ?= python
RUN := .venv/Scripts/python
else
PYTHON ?= python3
RUN := .venv/bin/python
endif

# What is installed: the extras of pyproject.toml. A reader who only wants the course: EXTRAS=course.
EXTRAS ?= test,grading
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
START := notebooks/00_start_here.ipynb
# Test files run side by side in this many processes; 0: one after the other, for a debugger.
WORKERS ?= 2
PYTEST_FLAGS ?=
NBVAL_FLAGS ?=
LAB_FLAGS ?=
BENCH_FLAGS ?=
BROWSER_FLAGS ?= -s
REPO ?=
RESULTS ?=
NOTEBOOK_FLAGS ?=
CONSTRAINTS_FLAGS ?=

.PHONY: help lab test test-browser test-offline lint check stability bench results notebooks picture \
  badges constraints setup clean assignments
.NOTPARALLEL:

help:
	@echo "make lab          install if needed, then open JupyterLab on $(START)"
	@echo "make test         install if needed, then run pytest and strict nbval over all notebooks"
	@echo "make test-browser the widgets in JupyterLab in Chromium; skipped, aloud, without Chromium"
	@echo "make test-offline make test without a network (Linux)"
	@echo "make check        are the notebooks executed, linked, laid out as CONTRIBUTING.md says?"
	@echo "make stability    strict nbval five times: other hash seeds, other numbers of threads"
	@echo "make lint         ruff check, ruff format --check, mypy"
	@echo "make bench        time the averages against other libraries and against the floor"
	@echo "make results      make the stored long runs again (minutes to hours; goes on where it stopped)"
	@echo "make notebooks    execute all notebooks and store their outputs"
	@echo "make assignments  make what students get, notebooks/assignments/release, from source/"
	@echo "make picture      draw the picture of the README again"
	@echo "make badges       all links name the repository of pyproject.toml; REPO=owner/name: a fork"
	@echo "make constraints  write constraints.txt again (CONSTRAINTS_FLAGS=--upgrade for the newest)"
	@echo "make setup        only install, in .venv"
	@echo "make clean        remove caches and built files (to start anew, remove .venv as well)"
	@echo "Settings: PYTHON=python3.12  EXTRAS=course  RESULTS=circles  WORKERS=0  LAB_FLAGS=...  PYTEST_FLAGS=...  NBVAL_FLAGS=..."

# Prints nothing and takes a moment when everything is installed. It compares the contents of
# pyproject.toml and constraints.txt with those of the last complete installation.
setup:
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "There is no '$(PYTHON)' here. Install Python 3.10 or newer, or name one: make lab PYTHON=..."; \
	  exit 1; }
	@"$(PYTHON)" tools/setup_env.py --extras "$(EXTRAS)"

lab: setup
	@test -f $(START) || { echo "$(START) is missing from this checkout."; exit 1; }
	$(RUN) -m jupyterlab --LabApp.default_url=/lab/tree/$(START) $(LAB_FLAGS)

# Either run decides the exit code, and so does a run without a single test (pytest's exit code 5).
# --nbval-current-env: the kernel is the Python that runs pytest, whatever kernels named "python3"
# this user has installed elsewhere.
# loadfile: the tests of one file, and the cells of one notebook, stay together.
test: PARALLEL := -n $(WORKERS) --dist loadfile
test: override EXTRAS := $(EXTRAS),test
test: setup
	@test -n "$(NOTEBOOKS)" || { echo "There is no notebook in notebooks/ to test."; exit 1; }
	$(RUN) -m pytest $(PARALLEL) $(PYTEST_FLAGS)
	$(RUN) -m pytest --nbval --nbval-current-env $(PARALLEL) $(NBVAL_FLAGS) $(NOTEBOOKS)

# In a folder of their own, which plain pytest leaves out: they need a browser and take minutes.
test-browser: override EXTRAS := $(EXTRAS),browser
test-browser: setup
	$(RUN) -m pytest tests/browser $(BROWSER_FLAGS)

test-offline: override EXTRAS := $(EXTRAS),test
test-offline: setup
	$(RUN) tools/offline.py $(MAKE) test

check: setup
	$(RUN) tools/check_notebooks.py

stability: setup
	$(RUN) tools/stability.py

lint: setup
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy

bench: setup
	$(RUN) tools/bench.py $(BENCH_FLAGS)
	$(RUN) tools/bench_training.py $(BENCH_FLAGS)

results: setup
	$(RUN) tools/results.py $(RESULTS)

notebooks: setup
	$(RUN) tools/run_notebooks.py $(NOTEBOOK_FLAGS)

assignments: setup
	$(RUN) tools/assignments.py

picture: setup
	$(RUN) tools/picture.py

badges: setup
	$(RUN) tools/badges.py "$(REPO)"

# One file for every platform and every Python from 3.10 on; names, versions and markers only.
# Without --upgrade the versions that still fit are kept.
constraints: setup
	$(RUN) -m uv pip compile pyproject.toml --all-extras --universal --python-version 3.10 \
	  --no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet \
	  $(CONSTRAINTS_FLAGS) --output-file constraints.txt

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	rm -rf notebooks/.ipynb_checkpoints
	find sema_lite tests tools -name __pycache__ -type d -prune -exec rm -rf {} +

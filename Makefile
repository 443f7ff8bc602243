# make demo     sets up and runs the main job        make test    everything CI runs
# make setup    the environment alone                make lint    ruff and mypy
# make check    lint and the fast tests, with their coverage: before every commit
# make one T=tests/parity/test_gate.py               one test file, folder or test
# make map      rewrites the tree in CONTRIBUTING.md from the packages' docstrings
# make docs     builds the documentation site into build/site
# make wheel    builds the wheel and starts its commands with the base dependencies alone
# make dist     builds what is published, the wheel and the source distribution, and checks both
# make image-test  builds and runs the container for CPUs; needs root, buildah and debootstrap
# make test-gpu on a GPU host: five minutes, and a table of what ran and what was skipped, and why
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
# One more than the two cores of CI: tests of servers wait for much of their time.
PYTEST_WORKERS ?= 3
PYTEST := $(BIN)/python -m pytest
PARALLEL := --numprocesses $(PYTEST_WORKERS) --dist worksteal
T ?= tests

.PHONY: setup demo lint check one test test-gpu image-test map docs wheel dist clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info >= (3, 13) and \
		"The server needs Python 3.11 or 3.12: make $(MAKECMDGOALS) PYTHON=python3.12")'
	@echo "setting up $(VENV): the first time this downloads about 600 MB"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python examples/demo.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@# Its workers have three seconds to start, which a busy host may exceed (exit code 2).
	$(BIN)/mypy --num-workers 2 || { test $$? -eq 2 && $(BIN)/mypy; }

check: lint
	$(PYTEST) $(PARALLEL) -m 'not slow and not triton and not perf_analyzer and not gpu' --cov

one: setup
	$(PYTEST) --numprocesses 0 $(T)

test: lint
	$(PYTEST) $(PARALLEL)

test-gpu: setup
	$(PYTEST) --numprocesses 0 tests/gpu --gpu-results benchmarks/results

image-test: setup
	$(BIN)/python benchmarks/cpu_image.py

map: setup
	$(BIN)/python tests/support/tree_map.py

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

wheel:
	rm -rf dist build/wheel
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir dist .
	$(PYTHON) -m venv build/wheel
	build/wheel/bin/python -m pip install --quiet dist/*.whl
	set -e; for command in resnet-convert resnet-serve resnet-classify; do \
		build/wheel/bin/$$command --help > /dev/null; \
	done

dist: setup
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/twine check --strict dist/*

clean:
	rm -rf $(VENV) build dist demo_output .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis

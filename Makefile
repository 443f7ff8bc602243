# make demo   sets up and runs the main job        make test   everything CI runs
# make setup  the environment alone                make lint   ruff and mypy
# make test-gpu   on a GPU host: engines, inspection, parity, Triton (needs '.[tensorrt]' in $(VENV))
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PYTEST_WORKERS ?= 2

.PHONY: setup demo test test-gpu lint clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@echo "setting up $(VENV): the first time this downloads about 600 MB"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python examples/demo.py

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	$(BIN)/python -m pytest --numprocesses $(PYTEST_WORKERS) --dist loadfile

test-gpu: setup
	$(BIN)/python -m pytest tests/gpu

clean:
	rm -rf $(VENV) demo_output .pytest_cache .mypy_cache .ruff_cache .hypothesis

# `make demo` and `make test` need only python3 with venv; everything else is installed into .venv.
PYTHON ?= python3
VENV ?= .venv
# The CPU build of TensorFlow unless this machine shows an NVIDIA GPU. Override: make TENSORFLOW=tensorflow …
GPU := $(shell nvidia-smi -L 2>/dev/null | grep -c GPU)
TENSORFLOW ?= $(if $(filter-out 0,$(GPU)),tensorflow,tensorflow-cpu)
comma := ,
EXTRAS := $(if $(filter-out 0,$(GPU)),dev$(comma)gpu,dev)
PY := $(VENV)/bin/python
DEMO_DIR ?= build/demo

.PHONY: all env test test-fast lint format demo clean
all: test

env: $(VENV)/.installed

$(VENV)/.installed: setup.cfg setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	JPEGKERAS_TENSORFLOW=$(TENSORFLOW) $(PY) -m pip install --quiet -e '.[$(EXTRAS)]'
	$(PY) -m pip check
	touch $@

lint: env
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: env
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

test: lint
	$(PY) -m pytest

test-fast: lint
	$(PY) -m pytest -m "not slow"

demo: env
	$(PY) -m preprocess.demo --output_dir $(DEMO_DIR)

clean:
	rm -rf build .pytest_cache .ruff_cache *.egg-info

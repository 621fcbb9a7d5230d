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
DEMO_IMAGE = $(DEMO_DIR)/images/discs/discs_00003.jpg
CORPUS ?= ../shared/data/imagenet_samples
FUZZ_INPUTS ?= 1000000
FUZZ_SEED ?= 0
# Tests run in so many processes; those of one file stay together, since they share what they make.
TEST_PROCESSES ?= $(shell nproc)
PYTEST = $(PY) -m pytest --numprocesses=$(TEST_PROCESSES) --dist=loadfile

.PHONY: all env test test-fast test-long lint format demo bench check-corpus fuzz clean
all: test

env: $(VENV)/.installed

$(VENV)/.installed: setup.cfg setup.py pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet --upgrade pip
	JPEGKERAS_TENSORFLOW=$(TENSORFLOW) $(PY) -m pip install --quiet -e '.[$(EXTRAS)]'
	$(PY) -m pip check
	@$(PY) -m pip show --quiet $(TENSORFLOW) || { echo "expected $(TENSORFLOW), got another build of TensorFlow"; exit 1; }
	touch $@

lint: env
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .

format: env
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

test: lint
	$(PYTEST) -m "not long"

test-fast: lint
	$(PYTEST) -m "not slow and not long"

# What would make `make test` too long for every commit: whole studies, and slow tests with further settings.
test-long: env
	$(PYTEST) -m long

# The main job on pictures that the project draws itself: each step is a command that a user would type.
demo: env
	$(PY) -m preprocess.sample_data --output_dir=$(DEMO_DIR)/images --images_per_class=200
	$(PY) -m preprocess.main --input_dir=$(DEMO_DIR)/images --labels=$(DEMO_DIR)/images/labels.csv \
	  --output_dir=$(DEMO_DIR)/records --smallest_side=64 --num_frequencies=16
	$(PY) train_main.py --mode=train --preset=smoke --data_dir=$(DEMO_DIR)/records --workdir=$(DEMO_DIR)/run
	$(PY) train_main.py --mode=evaluate --data_dir=$(DEMO_DIR)/records --workdir=$(DEMO_DIR)/run --min_top1=0.8
	$(PY) train_main.py --mode=export --workdir=$(DEMO_DIR)/run
	$(PY) train_main.py --mode=predict --workdir=$(DEMO_DIR)/run --images=$(DEMO_IMAGE)
	@echo
	@echo "images      $(DEMO_DIR)/images       JPEGs in class folders, and labels.csv"
	@echo "records     $(DEMO_DIR)/records      shards of coefficients, dataset.json, rejected.csv"
	@echo "run         $(DEMO_DIR)/run          checkpoints, log.csv, evaluation-test.json, saved_model"
	@echo "curves      $(VENV)/bin/tensorboard --logdir $(DEMO_DIR)/run/tensorboard"
	@echo "your images $(PY) -m preprocess.main --input_dir=DIR_OF_CLASS_FOLDERS --output_dir=records --smallest_side=256"

# Speed of the reader, the resizing, the job, the pipeline and the networks, on pictures that the project draws: results in build/benchmarks.
bench: env
	$(PY) -m benchmarks.readers
	$(PY) -m benchmarks.readers --startup
	$(PY) -m benchmarks.resizing --output=build/benchmarks/resizing.json
	$(PY) -m benchmarks.preprocessing
	$(PY) -m benchmarks.preprocessing --memory --output=build/benchmarks/memory.json
	$(PY) -m benchmarks.pipeline
	$(PY) -m benchmarks.networks

# Every coefficient beside libjpeg's, over the JPEGs in the folders of CORPUS and some 80 forms of each.
check-corpus: env
	$(PY) -m tests.trust.corpus $(addprefix --input_dir=,$(CORPUS)) --variants \
	  --output=build/trust/corpus.json
	$(PY) -m tests.trust.corpus $(addprefix --input_dir=,$(CORPUS)) --variants --boundscheck \
	  --output=build/trust/corpus-boundscheck.json

# A million damaged JPEGs under bounds checking: make fuzz FUZZ_SEED=1 for a million others.
fuzz: env
	$(PY) -m tests.trust.fuzz --inputs=$(FUZZ_INPUTS) --seed=$(FUZZ_SEED) --output_dir=build/fuzz

clean:
	rm -rf build .pytest_cache .ruff_cache *.egg-info

# Everything runs in a virtual environment beside the code; README and docs/ have the plain commands behind each target.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

PLOTS ?= show
TO ?= mlflow
REV ?= HEAD

.PHONY: run test test-slow test-all lint plots track hub app experiments faults bench
.DELETE_ON_ERROR:

run: $(VENV)/run.stamp  ## the whole pipeline at a small size, as a DVC experiment
	$(BIN)/python -m how_deep run

test: $(VENV)/dev.stamp  ## the tests that take no more than seconds each, offline
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

test-slow: $(VENV)/dev.stamp  ## whole pipelines, browsers, fuzzing at length; what needs Ray, MLflow or Gradio, where they are
	$(BIN)/python -m pytest -q -n 2 -m "slow or optional"

test-all: test test-slow

lint: $(VENV)/dev.stamp  ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

plots: $(VENV)/run.stamp  ## dvc plots as one page that needs no network; PLOTS="diff HEAD~1" compares
	$(BIN)/python -m how_deep plots $(PLOTS)

track: $(VENV)/track.stamp  ## the committed run, or REV=quickstart, to MLflow; TO=wandb to Weights & Biases
	$(BIN)/python -m how_deep track $(TO) $(REV)

hub: $(VENV)/run.stamp  ## the published model as the Hugging Face hub expects it, in runs/hub; sends nothing
	$(BIN)/python -m how_deep hub

app: $(VENV)/app.stamp  ## the networks in a browser, on pictures and a webcam; listens on this machine alone
	$(BIN)/python -m how_deep app

experiments: $(VENV)/run.stamp  ## studies of augmentation, data size and other systems; a stopped one carries on
	$(BIN)/python -m how_deep experiments

faults: $(VENV)/dev.stamp  ## every fault tried many times on a small study, into lab/faults/RESULTS.md
	$(BIN)/python -m how_deep faults

bench: $(VENV)/bench.stamp  ## speed beside what people would use instead, into lab/benchmarks/RESULTS.md; first, the model to serve
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro export
	$(BIN)/python -m how_deep bench

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: pyproject.toml requirements.txt requirements/numeric.txt requirements/constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --editable .
	touch $@

$(VENV)/track.stamp: requirements.txt requirements/numeric.txt requirements/constraints.txt requirements/track.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement requirements/track.txt
	touch $@

$(VENV)/ray.stamp: requirements.txt requirements/numeric.txt requirements/constraints.txt requirements/ray.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement requirements/ray.txt
	touch $@

$(VENV)/app.stamp: requirements.txt requirements/numeric.txt requirements/constraints.txt requirements/app.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements/app.txt
	touch $@

$(VENV)/bench.stamp: requirements.txt requirements/numeric.txt requirements/constraints.txt requirements/bench.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements/bench.txt
	touch $@

$(VENV)/dev.stamp: requirements.txt requirements/numeric.txt requirements/constraints.txt requirements/dev.txt requirements/dev-nodeps.txt requirements/timm.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements/dev-nodeps.txt
	touch $@

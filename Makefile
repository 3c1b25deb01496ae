# Everything runs in a virtual environment beside the code; README has the plain commands behind each target.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

PLOTS ?= show
TO ?= mlflow
REV ?= HEAD

.PHONY: run test lint plots track ablation faults bench
.DELETE_ON_ERROR:

run: $(VENV)/run.stamp  ## the whole pipeline at a small size, as a DVC experiment
	$(BIN)/python quickstart.py

test: $(VENV)/dev.stamp  ## the test suite, offline
	$(BIN)/python -m pytest -q -n 2

plots: $(VENV)/run.stamp  ## dvc plots as one page that needs no network; PLOTS="diff HEAD~1" compares
	$(BIN)/python plots.py $(PLOTS)

track: $(VENV)/track.stamp  ## the committed run, or REV=quickstart, to MLflow; TO=wandb to Weights & Biases
	$(BIN)/python track.py $(TO) $(REV)

ablation: $(VENV)/run.stamp  ## studies of augmentation, data size and other systems; a stopped one carries on
	$(BIN)/python ablation.py

faults: $(VENV)/dev.stamp  ## every fault tried many times on a small study, into faults/RESULTS.md
	$(BIN)/python -m faults

bench: $(VENV)/bench.stamp  ## speed beside what people would use instead, into benchmarks/RESULTS.md; first, the model to serve
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro export
	$(BIN)/python -m benchmarks

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.txt constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	touch $@

$(VENV)/track.stamp: requirements.txt constraints.txt requirements-track.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement requirements-track.txt
	touch $@

$(VENV)/bench.stamp: requirements.txt constraints.txt requirements-bench.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement requirements.txt
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements-bench.txt
	touch $@

$(VENV)/dev.stamp: requirements.txt constraints.txt requirements-dev.txt requirements-nodeps.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --requirement requirements-dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --requirement requirements-nodeps.txt
	touch $@

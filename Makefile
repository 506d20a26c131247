# `make demo` and `make test` set everything up by themselves: environment, package, run.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEMO := demo

.PHONY: demo test lint types setup clean
.DEFAULT_GOAL := setup

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

# Draws a crack data set, trains on it for a minute, evaluates, infers, and leaves a report.
demo: $(READY)
	test -f $(DEMO)/cracks/test/_annotations.coco.json || $(BIN)/faultline synthesize $(DEMO)/cracks
	$(BIN)/faultline doctor data=$(DEMO)/cracks --save $(DEMO)/doctor
	$(BIN)/faultline train data=$(DEMO)/cracks output_dir=$(DEMO)/runs experiment=demo trainer.max_time=60s
	$(BIN)/faultline evaluate --weights $(DEMO)/runs/demo/latest
	$(BIN)/faultline infer --weights $(DEMO)/runs/demo/latest --input $(DEMO)/cracks/test --save $(DEMO)/masks
	@echo
	@echo "Report:   $(DEMO)/runs/demo/latest/report.html"
	@echo "Overlays: $(DEMO)/masks"

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -n auto

clean:
	rm -rf $(DEMO) .pytest_cache .mypy_cache .ruff_cache build src/*.egg-info

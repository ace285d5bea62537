# Everything runs in .venv, which is made on first use and again when the dependencies change.
PYTHON ?= python3
RUN ?= runs/resnet18-mnist
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: help train test test-slow test-cuda demo lint format clean

help:
	@echo "make train      train ResNet18 on MNIST, export it to ONNX and TorchScript"
	@echo "make demo       open the exported model in the browser"
	@echo "make test       the test suite"
	@echo "make test-slow  the tests that take minutes"
	@echo "make test-cuda  the tests that need a GPU, and why each of the others was left out"
	@echo "make lint       ruff, import-linter and mypy"
	@echo "make clean      remove .venv and caches; runs/ stays"

$(INSTALLED): pyproject.toml constraints.txt plugins/visionzoo-efficientnet-lite/pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]' --editable plugins/visionzoo-efficientnet-lite
	@touch $@

train: $(INSTALLED)
	@test ! -e $(RUN) || { echo "$(RUN) exists: remove it, or name another folder: make train RUN=runs/other"; exit 1; }
	$(BIN)/zoo train resnet18 mnist --output $(RUN)
	$(BIN)/zoo export $(RUN) --onnx --torchscript
	@echo
	@echo "Results are in $(RUN): report.html, metrics.csv, export/model.onnx, export/model.pt"
	@echo "Next:"
	@echo "  make demo                                         draw digits in the browser"
	@echo "  $(BIN)/zoo predict $(RUN)/export/model.onnx FILE   classify pictures"
	@echo "  $(BIN)/zoo info $(RUN)/export/model.onnx           what the file says of itself"
	@echo "  $(BIN)/zoo train resnet18 ./photos                 train on a folder with one sub-folder per class"

demo: $(INSTALLED)
	$(BIN)/zoo demo

test: $(INSTALLED)
	$(BIN)/pytest

test-slow: $(INSTALLED)
	$(BIN)/pytest -m slow

test-cuda: $(INSTALLED)
	$(BIN)/pytest -m cuda -rs

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

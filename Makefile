# Everything runs in .venv, which is made on first use and again when the dependencies change.
PYTHON ?= python3
RUN ?= runs/resnet18-mnist
BIN := .venv/bin
# Processes that share the test suite: most tests compute on one core.
JOBS ?= 2
# What .venv holds: enough to train and export; and the demo; and all that development needs.
TRAIN := .venv/.train
DEMO := .venv/.demo
INSTALLED := .venv/.installed
RELEASE := .venv/.release
ONNX_GPU := .venv/onnx-gpu/bin/python
LOWEST := .venv/lowest/.installed
# Distributions of their own, which development needs too.
PLUGINS := plugins/visionzoo-efficientnet-lite plugins/visionzoo-timm plugins/visionzoo-web
# What a version of a dependency may change. int8 needs a newer onnxruntime than the lowest, and tests/exporters says so.
LOWEST_TESTS := tests/test_metrics.py tests/images tests/transforms tests/artifacts/test_artifact.py tests/models \
	tests/exporters/test_exporters.py tests/exporters/test_onnx.py tests/exporting/test_exporting.py \
	tests/parity/test_sabotage.py tests/parity/test_verify.py tests/training/test_transfer.py \
	tests/training/test_schedule.py tests/cli/test_cli_predict.py tests/cli/test_cli_errors.py tests/demo/test_demo.py
PIP := $(BIN)/pip install $(if $(CI),--quiet) --constraint constraints.txt

.PHONY: help train test test-fast test-slow test-cuda test-lowest coverage demo lint format release-check clean

help:
	@echo "make train          train ResNet18 on MNIST, export it to ONNX and TorchScript"
	@echo "make demo           open the exported model in the browser"
	@echo "make test           the test suite"
	@echo "make test-fast      the tests of what differs from the last commit, for at most a minute"
	@echo "make test-slow      the tests that take minutes"
	@echo "make test-cuda      what a GPU changes, and a table of what was and was not run"
	@echo "make test-lowest    some of the tests, with the oldest dependencies that are supported"
	@echo "make coverage       the test suite, and the share of the code that it runs"
	@echo "make lint           ruff, import-linter, mypy and zizmor"
	@echo "make release-check  wheels and sdists into empty environments, and the main job from there"
	@echo "make clean          remove .venv and caches; runs/ stays"

# The figures: an empty environment on Linux x86-64. pip keeps what it fetched, and a second time fetches nothing.
$(TRAIN): pyproject.toml constraints.txt
	@echo "Installing what training and exporting need: 75 packages. pip fetches up to 3.1 GB,"
	@echo "2.5 GB of it CUDA for Linux; 0.7 GB without."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable '.[onnx,train]'
	@touch $@

$(DEMO): pyproject.toml constraints.txt | $(TRAIN)
	@echo "Installing what the demo needs beside: 30 packages. pip fetches up to 55 MB."
	$(PIP) --editable '.[all]'
	@touch $(TRAIN) $@

$(INSTALLED): pyproject.toml constraints.txt $(PLUGINS:=/pyproject.toml)
	@echo "Installing all that development needs: 174 packages. pip fetches up to 3.4 GB,"
	@echo "3.1 GB of it what training needs, once for both."
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) --editable '.[dev]' $(PLUGINS:%=--editable %)
	@touch $(TRAIN) $(DEMO) $@

$(RELEASE): pyproject.toml constraints.txt | $(INSTALLED)
	@echo "Installing what checks a release: 24 packages. pip fetches up to 8 MB."
	$(PIP) --editable '.[release]'
	@touch $@

# An environment of its own, without PyTorch: onnxruntime-gpu and onnxruntime exclude each other.
$(ONNX_GPU): pyproject.toml constraints.txt
	@echo "Installing onnxruntime for GPUs: 27 packages. pip fetches up to 1.6 GB, 1.3 GB of it what training needs too."
	$(PYTHON) -m venv .venv/onnx-gpu
	.venv/onnx-gpu/bin/pip install --quiet --constraint constraints.txt --editable '.[onnx-gpu]'
	@touch $@

# An environment of its own, made anew when the bounds change.
$(LOWEST): pyproject.toml constraints-lowest.txt
	@echo "Installing the oldest supported versions: 107 packages. pip fetches about 4 GB, most of it CUDA for Linux."
	$(PYTHON) -m venv --clear .venv/lowest
	.venv/lowest/bin/pip install --quiet --constraint constraints-lowest.txt --editable '.[all]' \
		--editable plugins/visionzoo-efficientnet-lite pytest pyyaml
	@touch $@

train: $(TRAIN)
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

demo: $(DEMO)
	$(BIN)/zoo demo

test: $(INSTALLED)
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadfile

test-fast: $(INSTALLED)
	$(BIN)/python -m tests.fast

test-slow: $(INSTALLED)
	$(BIN)/pytest -m slow

test-cuda: $(INSTALLED)
	@! command -v nvidia-smi >/dev/null || $(MAKE) --no-print-directory $(ONNX_GPU)
	@test ! -x $(ONNX_GPU) || export ZOO_ONNX_GPU_PYTHON="$(abspath $(ONNX_GPU))"; \
	$(BIN)/pytest -m cuda --tb=short --durations=10 tests/cuda

test-lowest: $(LOWEST)
	@echo "Testing exports, sabotage, pictures, trainings, predictions and the demo: about 5 minutes on one core."
	OMP_NUM_THREADS=1 .venv/lowest/bin/python -m pytest -k "not int8" $(LOWEST_TESTS)

coverage: $(INSTALLED)
	$(BIN)/coverage erase
	$(BIN)/coverage run $(BIN)/pytest --numprocesses $(JOBS) --dist loadfile
	-$(BIN)/coverage combine --quiet  # a process that a test killed leaves a broken file
	$(BIN)/coverage report

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/mypy
	$(BIN)/zizmor --quiet --offline .github

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

release-check: $(RELEASE)
	$(BIN)/python .ci/release_check.py $(if $(TAG),--tag "$(TAG)")

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# `make` alone lists the targets. Everything runs in .venv, which the first call creates from constraints.txt.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
JOBS ?= 2

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The stamp is newer than the files that say what to install, or the installation runs again.
$(STAMP): setup.py pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 10) or sys.exit("anymask needs Python 3.10 or newer, $(PYTHON) is " + sys.version.split()[0] + ": call make with PYTHON=python3.11, say")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

.PHONY: docs
docs: $(VENV)/.docs ## build the site into build/site; a broken link, anchor or reference is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

$(VENV)/.docs: $(STAMP) constraints-docs.txt
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --constraint constraints-docs.txt --editable '.[docs]'
	@touch $@

.PHONY: demo
demo: $(STAMP) ## mask every object of examples/chelsea.jpg, and the tulip by a click; name the files written
	$(BIN)/anymask segment examples/chelsea.jpg --output demo
	$(BIN)/anymask segment examples/tulip.jpg --point 160,130 --output demo

.PHONY: test
test: $(STAMP) ## run the tests: unit and parity, no network
	$(BIN)/python -m pytest --numprocesses $(JOBS)

.PHONY: quality
quality: $(STAMP) ## lint, formatting, types, layering
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format
format: $(STAMP) ## rewrite the files as `make quality` wants them
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.PHONY: test-slow
test-slow: $(STAMP) ## run the tests that take minutes
	$(BIN)/python -m pytest -m slow

.PHONY: test-node
test-node: $(STAMP) tests/node/node_modules ## load exported files in transformers.js (needs node)
	$(BIN)/python -m pytest -m node tests/node

tests/node/node_modules: tests/node/package-lock.json
	npm --prefix tests/node ci --ignore-scripts
	@touch $@

TOOLS := $(addprefix .venv-tools/,labelme x-anylabeling label-studio)

.PHONY: test-tools
test-tools: $(STAMP) $(addsuffix /.installed,$(TOOLS)) ## load exported files in annotation tools themselves, 2 GB of them
	$(BIN)/python -m pytest -m tools tests/tools

.venv-tools/%/.installed: tests/tools/%.txt
	$(PYTHON) -m venv .venv-tools/$*
	.venv-tools/$*/bin/python -m pip install --disable-pip-version-check --quiet --requirement $<
	@touch $@

.PHONY: test-gpu
test-gpu: $(STAMP) ## run the tests that need a CUDA device
	$(BIN)/python -m pytest -m gpu

.PHONY: test-browser
test-browser: $(VENV)/.browser /usr/bin/chromium ## run the tests of the demo's page in Chromium (Debian, as root: installs it)
	$(BIN)/python -m pytest -m browser tests/browser

$(VENV)/.browser: $(STAMP) constraints-browser.txt
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --constraint constraints.txt --constraint constraints-browser.txt playwright
	@touch $@

/usr/bin/chromium:
	apt-get update -qq
	apt-get install --yes --no-install-recommends -qq chromium

.PHONY: test-minimum
test-minimum: .venv-minimum/.installed ## run the tests on the oldest supported versions, in .venv-minimum
	.venv-minimum/bin/python -m pytest --numprocesses $(JOBS)

.venv-minimum/.installed: setup.py pyproject.toml constraints-minimum.txt
	$(PYTHON) -m venv .venv-minimum
	.venv-minimum/bin/python -m pip install --disable-pip-version-check --quiet --constraint constraints-minimum.txt --editable '.[minimum]'
	@touch $@

.PHONY: web
web: web/node_modules ## build the page of `anymask demo` from web/ (needs node)
	npm --prefix web run build

.PHONY: check-web
check-web: web/node_modules ## type-check and test web/, compare the committed page with a fresh build (needs node)
	npm --prefix web test
	npm --prefix web run check

web/node_modules: web/package-lock.json
	npm --prefix web ci
	@touch $@

.PHONY: bench
bench: $(STAMP) ## run the benchmarks, bring the tables of README and docs up to date
	$(BIN)/python benchmarks/run.py

.PHONY: train
train: $(STAMP) ## train sam-vit-nano on: on drawn scenes, and with DATA=FOLDER on photographs too (hours)
	$(BIN)/python -m anymask.training.nano.train --output runs/nano --start sam-vit-nano $(if $(DATA),--data '$(DATA)') \
		--num-prompts 8 --learning-rate 8e-4 --average-decay 0.99 --stage 192:50m --stage 320:40m --decay 75m

.PHONY: demo-training
demo-training: $(STAMP) ## fine-tune sam-vit-nano on drawn ultrasound, a few minutes on two cores
	rm -rf demo-training
	$(BIN)/python examples/train_ultrasound.py demo-training

.PHONY: lock
lock: ## write constraints.txt anew from setup.py (needs uv)
	utils/lock.sh

.PHONY: clean
clean: ## remove the environments and what the tools left
	rm -rf .venv .venv-minimum .venv-tools build dist src/*.egg-info .pytest_cache .ruff_cache .mypy_cache .import_linter_cache demo demo-training web/node_modules tests/node/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

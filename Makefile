# What a person runs. Every target installs what it needs into .venv first.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
QUESTION ?= What is a comet?
PREFERENCE ?= simple words, keep it short, be warm

.PHONY: demo test test-slow lint reproduce evaluate compare bench

demo: $(VENV)/.decode ## install, and stream a personalised answer from the shipped bundle
	$(BIN)/python decode.py "$(QUESTION)" --preference "$(PREFERENCE)"

test: $(VENV)/.dev ## install, and run the fast tests
	$(BIN)/python -m pytest

test-slow: $(VENV)/.dev ## what takes longer: the chain twice, commands of the README, compiled passes
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.dev ## formatting, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .

reproduce: $(VENV)/.dev ## rebuild the shipped bundle from nothing
	$(BIN)/python -m experts.miniature --ship bundles/miniature

evaluate: $(VENV)/.dev ## the README's figures: gold judge, held-out questions
	$(BIN)/python compare.py --config configs/miniature/results.yaml

compare: $(VENV)/.dev ## every method on held-out questions, with soups, mixtures and yardsticks
	$(BIN)/python compare.py --config configs/miniature/compare.yaml

bench: $(VENV)/.dev ## what a mixture costs on this machine, beside soups, PEFT and separate models
	TORCH_CPP_LOG_LEVEL=ERROR MALLOC_MMAP_THRESHOLD_=4194304 MALLOC_TRIM_THRESHOLD_=8589934592 $(BIN)/python -m comparison.bench --profile

$(VENV)/.decode: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

$(VENV)/.dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ $(VENV)/.decode

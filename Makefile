# The two commands: `make demo` and `make test`. Both set up .venv first (scripts/bootstrap.sh), once.
BIN := .venv/bin
DEMO_CONFIG ?= pipelines/configs/demo.yaml
# Tests trace graphs on one core each: two files at a time take little more memory and half the time.
PYTEST_ARGS ?=

.PHONY: demo test setup lint clean

demo: setup
	@$(BIN)/seminar-tf demo --config $(DEMO_CONFIG)

test: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

setup:
	@scripts/bootstrap.sh

clean:
	rm -rf .venv .tools runs build *.egg-info

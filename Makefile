# The two commands: `make demo` and `make test`. Both set up .venv first (scripts/bootstrap.sh), once.
BIN := .venv/bin
DEMO_CONFIG ?= pipelines/configs/demo.yaml
PYTEST_ARGS ?=
TESTS ?= tests/e2e/test_killed_runs.py tests

.PHONY: demo test setup lint clean

demo: setup
	@$(BIN)/seminar-tf demo --config $(DEMO_CONFIG)

# Two files at a time: most of a test's time is tracing, on one core. In their order, the longest file first.
test: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TESTS) $(PYTEST_ARGS)

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

setup:
	@scripts/bootstrap.sh

clean:
	rm -rf .venv .tools runs build *.egg-info

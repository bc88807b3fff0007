# The two commands: `make demo` and `make test`. Both set up .venv first (scripts/bootstrap.sh), once.
BIN := .venv/bin
DEMO_CONFIG ?= pipelines/configs/demo.yaml
PYTEST_ARGS ?=
# The longest files come first: two of them at the end would keep one process waiting for the other.
LONGEST = tests/e2e/test_killed_runs.py tests/pipelines/test_experiment_run.py $(patsubst %,tests/training/test_%.py,strategy precision parameter_server resume)
TESTS ?= $(LONGEST) tests

.PHONY: demo test setup lint clean

demo: setup
	@$(BIN)/seminar-tf demo --config $(DEMO_CONFIG)

# Two files at a time: most of a test's time is tracing, on one core. In the order given.
test: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TESTS) $(PYTEST_ARGS)

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

setup:
	@scripts/bootstrap.sh

clean:
	rm -rf .venv .tools runs build *.egg-info

# The two commands: `make demo` and `make test`. Both set up .venv first (scripts/bootstrap.sh), once.
BIN := .venv/bin
DEMO_CONFIG ?= pipelines/configs/demo.yaml
PYTEST_ARGS ?=
# The longest files come first: two of them at the end would keep one process waiting for the other. Each file is an
# argument of its own: pytest takes `tests` to mean the files before it as well, and their order is lost.
LONGEST = $(patsubst %,tests/%.py,e2e/test_killed_runs pipelines/test_experiment_run training/test_precision \
  pipelines/test_trainers models/rivals/test_rivals training/test_strategy serving/test_without_python \
  training/test_parameter_server components/test_quantizer e2e/test_pipeline retrieval/test_served \
  pipelines/test_portable pipelines/test_warm_trainers)
TESTS ?= $(LONGEST) $(filter-out $(LONGEST),$(sort $(shell find tests -name 'test_*.py')))

# Folder that holds ml-1m and ml-latest-small as published.
MOVIELENS ?=

.PHONY: demo test report setup lint clean

demo: setup
	@$(BIN)/seminar-tf demo --config $(DEMO_CONFIG)

# Two files at a time: most of a test's time is tracing, on one core. In the order given.
test: setup
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(TESTS) $(PYTEST_ARGS)

# Every ranker on four datasets, and what came of it: docs/experiments.md.
report: setup
	@test -n "$(MOVIELENS)" || { echo "make report MOVIELENS=DIR: DIR holds the published ml-1m and ml-latest-small."; exit 2; }
	@test -d runs/ml-1m/data || $(BIN)/seminar-tf prepare movielens --src "$(MOVIELENS)/ml-1m" --out runs/ml-1m/data
	@test -d runs/movielens/data || \
	  $(BIN)/seminar-tf prepare movielens --src "$(MOVIELENS)/ml-latest-small" --out runs/movielens/data
	@$(BIN)/seminar-tf experiment --config pipelines/configs/experiments/rivals.yaml

lint: setup
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

setup:
	@scripts/bootstrap.sh

clean:
	rm -rf .venv .tools runs build *.egg-info

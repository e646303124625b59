# Everything here sets itself up. After the first time no network is needed.
#
#   make demo       convert the pictures of the quickstart on this machine
#   make test       all tests, with everything they need
#   make check      format, lint, types
#   make soak       kill runs and servers at random for about twenty minutes; KILLS=n SEED=s
#   make bench      measure; ratios in one run
#   make test-all   the tests on every supported Python that is here
#   make lock       resolve the dependencies anew

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

.PHONY: demo test test-all check format bench soak lock clean

demo: $(VENV)/ready-run
	@$(BIN)/runner run recipes/quickstart.recipe.toml --endpoint local --verbose

test: $(VENV)/ready
	@tools/debian-packages
	@tools/test-servers
	@$(BIN)/python -m pytest -q -n auto --dist loadgroup

test-all:
	@tools/test-all

check: $(VENV)/ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/ready-bench
	@tools/debian-packages
	@tools/test-servers
	@$(BIN)/python -m bench

soak: $(VENV)/ready
	@$(BIN)/python -m tests.soak.soak --kills $(or $(KILLS),2000) $(if $(SEED),--seed $(SEED))
	@SOAK=1 $(BIN)/python -m pytest -q tests/execute/test_promises.py $(if $(SEED),--hypothesis-seed=$(SEED))

COMPILE = $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-header --quiet

lock: $(VENV)/ready
	$(COMPILE) --extra all --group dev --group bench -o requirements/bench.txt
	$(COMPILE) --extra all --group dev -c requirements/bench.txt -o requirements/dev.txt
	$(COMPILE) --group build -c requirements/bench.txt -o requirements/run.txt

clean:
	rm -rf $(VENV) .venvs dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# What a run needs, what the tests need on top, what the benchmarks need on top.
$(VENV)/ready-run: requirements/run.txt pyproject.toml tools/set-up
	@tools/set-up "$(PYTHON)" "$(VENV)" run

$(VENV)/ready: requirements/dev.txt pyproject.toml tools/set-up
	@tools/set-up "$(PYTHON)" "$(VENV)" dev && touch "$(VENV)/ready-run"

$(VENV)/ready-bench: requirements/bench.txt $(VENV)/ready
	@tools/set-up "$(PYTHON)" "$(VENV)" bench

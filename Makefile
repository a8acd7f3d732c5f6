# Every target makes the environment it needs in .venv; PYTHON chooses the interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

LOWEST := .venv-lowest
# The others hold sessions and jobs of today's LiveKit.
LOWEST_TESTS := $(addprefix tests/,spool deliver store config dialects otlp_json read doctor \
	test_cli.py test_setup.py test_handle.py test_own_backend.py test_replay.py)

.PHONY: demo test test-lowest lint typecheck faults bench integration browser paths clean

demo: $(VENV)/.demo ## one offline call, then its table
	$(BIN)/python agent_entry.py demo

test: $(VENV)/.dev ## the tests, with coverage of tracing/
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -m "not integration and not faults and not browser"
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=90

test-lowest: ## the tests with the lowest versions that pyproject.toml admits, in a new environment
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python \
		--resolution lowest-direct --group test --editable .
	$(LOWEST)/bin/python -m pytest -m "not integration and not faults" $(LOWEST_TESTS)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

typecheck: $(VENV)/.dev
	$(BIN)/mypy

faults: $(VENV)/.dev ## every way to lose a span, against the docs' snippet and the Langfuse SDK
	$(BIN)/python -m tests.faults

bench: $(VENV)/.dev ## speed and memory, against the same two
	$(BIN)/python -m bench

integration: $(VENV)/.dev ## against real programs, built once where Go is; the rest skips
	$(BIN)/python -m tests.integration.programs
	$(BIN)/python -m pytest -m integration

browser: $(VENV)/.dev ## the pages in Debian's Chromium; without one they skip
	$(BIN)/python -m pytest -m browser -p no:cacheprovider

paths: $(VENV)/.dev ## the README's ways in, in fresh environments, with uv and with pip
	$(BIN)/python -m tests.paths

clean:
	rm -rf $(VENV) $(LOWEST) .tracing .coverage* dist build

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --group demo --editable .
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --group dev --editable .
	touch $@ $(VENV)/.demo

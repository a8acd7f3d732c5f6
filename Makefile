# Every target makes the environment it needs in .venv; PYTHON chooses the interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

NEWEST := .venv-newest
LOWEST := .venv-lowest
# The others hold sessions and jobs of today's LiveKit.
LOWEST_TESTS := $(addprefix tests/,spool deliver store config dialects otlp_json read doctor \
	test_cli.py test_setup.py test_handle.py test_own_backend.py test_replay.py)

HERE := not integration and not faults and not browser and not package

.PHONY: demo test coverage test-lowest test-newest lint typecheck faults bench integration browser \
	package paths licences audit dist check-tag clean

demo: $(VENV)/.demo ## one offline call, then its table
	$(BIN)/python agent_entry.py demo

test: $(VENV)/.dev ## the tests, with coverage of tracing/
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest -n 2 -m "$(HERE)"
	$(MAKE) coverage

coverage: ## what the last `make test` ran of tracing/
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=90

test-lowest: ## the tests with the lowest versions that pyproject.toml admits, in a new environment
	$(PYTHON) -m venv --clear $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python \
		--resolution lowest-direct --group test --editable .
	$(LOWEST)/bin/python -m pytest -m "$(HERE)" $(LOWEST_TESTS)

test-newest: ## the tests with the newest of everything, LiveKit's pre-releases too, in a new environment
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet "pip>=25.1" uv
	$(NEWEST)/bin/uv pip install --quiet --python $(NEWEST)/bin/python --upgrade \
		--group test --group demo --editable . "livekit-agents>=0.dev0"
	$(NEWEST)/bin/uv pip freeze --python $(NEWEST)/bin/python
	$(NEWEST)/bin/python -m pytest -m "$(HERE)" tests

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

package: $(VENV)/.package ## wheel and sdist: built, installed elsewhere, used and type-checked there
	$(BIN)/python -m pytest -m package -p no:cacheprovider tests/package

licences: $(VENV)/.dev ## the licence of all that comes with the package
	$(BIN)/python -m tests.licences

audit: $(VENV)/.package ## known vulnerabilities; asks a service, and what it cannot tell fails too
	$(BIN)/pip-audit --strict --progress-spinner off .

dist: $(VENV)/.package ## what is published, in dist/
	rm -rf dist
	$(BIN)/uv build --quiet --out-dir dist

check-tag: $(VENV)/.dev ## whether TAG is the version, and the changelog has it
	$(BIN)/python -m tests.release "$(TAG)"

clean:
	rm -rf $(VENV) $(LOWEST) $(NEWEST) .tracing .coverage* dist build

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"

$(VENV)/.demo: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --group demo --editable .
	touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --group dev --editable .
	touch $@ $(VENV)/.demo

$(VENV)/.package: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --group package
	touch $@

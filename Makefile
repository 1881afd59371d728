# The commands of portside. `make run` and `make test` work on a fresh machine with Python.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# A stamp is named after what was installed, so another lock installs anew and the same one never does.
runtime := $(VENV)/.installed-$(shell cat requirements/runtime.txt pyproject.toml | cksum | tr -d ' ')
dev := $(VENV)/.developing-$(shell cat requirements/runtime.txt requirements/dev.txt pyproject.toml | cksum | tr -d ' ')

.PHONY: help install run test tools families engines check bench soak cluster docs clean

help: ## Say what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/'

install: $(runtime) ## Create the environment, with the portside command in it

run: install ## Serve the example on port 3000 and say what to try next
	@echo "Next, in another terminal:  $(BIN)/python examples/call.py http://127.0.0.1:3000/mcp" >&2
	@MCP_ENV=development exec $(BIN)/portside serve examples/notebook/server.py --port 3000

test: $(dev) ## Run the whole suite
	@$(MAKE) --no-print-directory --jobs 3 tools families engines
	$(BIN)/python -m pytest

# What tests need beside Python, at the same time: none of the three knows of the others.
tools:
	@tests/install-tools
families:
	@tests/install-families
engines: # on a laptop, tests of what is missing are skipped
	@tests/install-servers || [ -z "$$CI" ]
	@tests/install-engine || [ -z "$$CI" ]

check: $(dev) ## Format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --project .
	$(BIN)/python -m pytest -q tests/test_layers.py tests/test_docs.py

bench: $(dev) ## Measure against the official SDK, other proxies and nginx
	@tests/install-tools
	$(BIN)/python bench/run.py

soak: $(dev) ## Run the tests that promise counts and kills at their full length; some two hours
	@tests/install-tools
	@tests/install-servers
	@tests/install-engine
	$(BIN)/python -m pytest --timeout 900 tests/engine/soak_apply.py
	PORTSIDE_AUDIT_KILLS=500 $(BIN)/python -m pytest --timeout 3600 tests/audit/test_kill.py
	SOAK_OPERATIONS=100000 SOAK_KILLS=500 $(BIN)/python -m pytest --timeout 3600 tests/protected/test_isolation.py tests/protected/test_audit_killed.py
	SOAK_KILLS=1000 $(BIN)/python -m pytest -s --timeout 14000 tests/faults/test_killed_streams.py tests/faults/test_killed_calls.py
	SOAK_STRICT=1 SOAK_OPERATIONS=20000 $(BIN)/python -m pytest --timeout 3600 tests/faults/test_redis_state.py tests/faults/test_redis_once.py tests/faults/test_sick_redis.py tests/faults/test_sick_failover.py
	SOAK_ROLLS=3 SOAK_REQUESTS=50000 SOAK_RATE=200 $(BIN)/python -m pytest -s --timeout 1500 tests/fleet/test_load.py
	$(BIN)/python -m tests.hostile.slow_clients 1000
	SOAK_SESSIONS=10000 $(BIN)/python -m tests.journeys.test_big_bodies 10000
	SOAK_OPERATIONS=10000 SOAK_SESSIONS=10000 SOAK_SECONDS=3600 $(BIN)/python -m pytest --timeout 7200 tests/faults/test_rotation.py tests/faults/test_limiter.py tests/faults/test_many_sessions.py

cluster: $(dev) ## Apply, roll and break the Kubernetes files on a real cluster, which is built first
	@tests/install-tools
	@tests/install-servers
	@tests/install-engine
	@tests/install-cluster
	$(BIN)/python -m pytest -s tests/cluster/soak_cluster.py

docs: install ## Make the references from the code
	$(BIN)/portside settings document > docs/settings.md
	$(BIN)/portside settings document --env-example > .env.example
	$(BIN)/python -m portside.cli.document > docs/cli.md

clean: ## Remove the environment and everything made
	rm -rf $(VENV) .cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "portside needs Python 3.11 or newer; say which with make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment; install its venv module" >&2; exit 1; }

# Bytecode is made now, so that the first start is as quick as every other.
$(runtime): | $(BIN)/python
	@rm -f $(VENV)/.installed*
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q src
	@touch $@

$(dev): | $(runtime)
	@rm -f $(VENV)/.developing*
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

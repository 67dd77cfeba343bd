# On a machine with git, make and a Python 3.10 to 3.13, `make demo` and `make test` do all the set-up themselves.
# Everything is installed into .venv; once that is done, nothing here needs the network until pyproject.toml changes.

SHELL := /bin/sh
VENV ?= .venv
PY := $(VENV)/bin/python
ARGS ?=
INGEST ?=
PAGES ?=
QUERIES ?=
CURVES ?=
# Test processes at the same time (tests/conftest.py says how many); `make test JOBS=0` runs them all in one.
JOBS ?= auto
# The interpreter that makes .venv; left empty, the newest suitable one is found by running it.
PYTHON ?=

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONNOUSERSITE := 1

SUITABLE := import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info[:2] < (3, 14))

comma := ,

# $(call install,EXTRAS): the project, editable, with some extras.
define install
	@echo "Installing tom-followup[$(1)] into $(VENV); this takes a few minutes the first time."
	@$(PY) -m pip install --quiet --quiet --editable '.[$(1)]'
	@touch $@
endef

.DEFAULT_GOAL := help
.PHONY: help demo test prove world coverage lint format types check docs screenshots bench compare clean

help:  ## list what can be made
	@sed -n 's/^\([a-z]*\):.*  ## /\1|/p' Makefile | while IFS='|' read -r name text; do printf '  make %-10s %s\n' "$$name" "$$text"; done

# A usable .venv is kept as it is; one that is missing, half made or of another Python is made anew.
$(VENV)/.made:
	@if $(PY) -c '$(SUITABLE)' >/dev/null 2>&1 && $(PY) -m pip --version >/dev/null 2>&1; then touch $@; exit 0; fi; \
	for python in $(if $(PYTHON),$(PYTHON),python3.13 python3.12 python3.11 python3.10 python3 python); do \
		if "$$python" -c '$(SUITABLE)' >/dev/null 2>&1; then \
			echo "Making $(VENV) with $$("$$python" --version)"; \
			"$$python" -m venv --clear $(VENV) && touch $@ && exit 0; \
		fi; \
	done; \
	echo "No suitable Python: $(if $(PYTHON),$(PYTHON) is not,none of python3.13 to python3.10 and python3 is) a Python 3.10 to 3.13 with venv and pip." >&2; \
	echo "Install one (Debian and Ubuntu: the package python3-venv), or name it: make PYTHON=/path/to/python3" >&2; \
	exit 1

$(VENV)/.demo: $(VENV)/.made pyproject.toml
	$(call install,example)

$(VENV)/.test: $(VENV)/.made pyproject.toml
	$(call install,test)

$(VENV)/.dev: $(VENV)/.made pyproject.toml
	$(call install,example$(comma)dev)

$(VENV)/.docs: $(VENV)/.made pyproject.toml
	$(call install,docs)

demo: $(VENV)/.demo  ## ten nights at a simulated observatory, then a TOM on 127.0.0.1:8000 (ARGS=--no-serve ends before)
	@$(PY) example_tom/manage.py demo $(ARGS)

test: $(VENV)/.test  ## everything once, in some minutes (ARGS='tests/cadence/core -k window' for some)
	@$(PY) -m pytest -n $(JOBS) --dist worksteal -m 'not prove' $(ARGS)

# The property tests run in both: here with ten times as many examples.
prove: $(VENV)/.test  ## what takes long: the proofs that `make test` leaves out, and 500 examples of each property
	@HYPOTHESIS_PROFILE=$${HYPOTHESIS_PROFILE:-prove} $(PY) -m pytest -n $(JOBS) --dist worksteal -m 'prove or hypothesis' $(ARGS)

# Without a seed: as many months as SEEDS says, in as many processes as there are.
world: $(VENV)/.test  ## a month of a TOM in which anything may happen, replayed to the letter (SEED=7), or many (SEEDS=500)
	@WORLD_SEED='$(SEED)' WORLD_SEEDS='$(if $(SEED),,$(or $(SEEDS),20))' $(PY) -m pytest -n $(if $(SEED),0 -s,$(JOBS) --dist worksteal) tests/world/test_replay.py

coverage: $(VENV)/.test  ## test and prove, and which lines and branches they reach
	@$(PY) -m pytest -n $(JOBS) --dist worksteal --cov --cov-report=term --cov-report=html $(ARGS)

lint: $(VENV)/.dev  ## ruff: rules and format
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

format: $(VENV)/.dev  ## let ruff put right what it can
	@$(PY) -m ruff check --fix .
	@$(PY) -m ruff format .

types: $(VENV)/.dev  ## mypy on both packages
	@PYTHONPATH=example_tom $(PY) -m mypy

# Credentials that are none: a service without them is warned of.
check: export ATLAS_FORCED_PHOTOMETRY_API_KEY := example
check: export ZTF_FORCED_PHOTOMETRY_EMAIL := example
check: export ZTF_FORCED_PHOTOMETRY_USERPASS := example
check: $(VENV)/.demo  ## missing migrations, and Django's checks on the example TOM
	@$(PY) example_tom/manage.py makemigrations --check --dry-run
	@$(PY) example_tom/manage.py check --fail-level WARNING

docs: $(VENV)/.docs  ## the documentation, in docs/_build/html; a warning is an error
	@$(PY) -m sphinx -W --keep-going -q -b html docs docs/_build/html
	@echo "docs/_build/html/index.html"

screenshots: $(VENV)/.test  ## the pictures of docs/cadence-pages.md, from the example TOM (ARGS='overview preview' for some)
	@$(PY) docs/screenshots.py $(ARGS)

bench: $(VENV)/.test  ## measure cadences and stored photometry against the toolkit, the time of the pages, and the simulation
	@$(PY) tests/benchmarks/run.py $(ARGS)
	@$(PY) tests/benchmarks/ingest.py $(INGEST)
	@$(PY) tests/benchmarks/pages.py $(PAGES)
	@$(PY) tests/benchmarks/queries.py $(QUERIES)
	@$(PY) tests/benchmarks/lightcurve.py $(CURVES)
	@$(PY) tests/benchmarks/simulation.py

compare: $(VENV)/.test  ## the same beside the last release, in turns (ARGS='--scripts run pages --turns 5' for some)
	@$(PY) tests/benchmarks/compare.py $(ARGS)

clean:  ## remove the virtual environment and everything that was built or measured
	rm -rf $(VENV) .tox build dist docs/_build example_tom/var htmlcov .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

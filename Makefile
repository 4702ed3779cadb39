# Everything works in a fresh clone with Python 3.11+ and git: each target installs what it needs into .venv.
# ARGS goes to the command behind a target: make demo ARGS="--provider openai --keep /tmp/demo"

SHELL := bash
ARGS ?=
VENV := .venv
PYTHON := $(VENV)/bin/python
RUN := $(PYTHON) -I -m runner
TOOLS := scripts/install-locked scripts/find-python requirements/uv.txt
# Tests that run more cases when AI_RUNNER_FULL is set; `make test` runs the others whole.
FULL := tests/agent/test_edits.py tests/agent/test_tools.py tests/reliability
STORIES := tests/shapes tests/test_demo.py
# Tests that draw lots: AI_RUNNER_SCALE multiplies their seeds.
LOTS := test_interleavings.py::test_runs_switched_at_any_request_end_as_one_run \
	test_interleavings.py::test_a_family_that_runs_at_once_starts_nothing_twice test_meanwhile.py
WORKFLOWS := $(wildcard .github/workflows/*.yml) docs/workflow/ai-runner.yml

.PHONY: help demo test test-full test-soak test-stories check format bench lock clean
.DEFAULT_GOAL := help

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

# `--via act` needs act, which comes with the development tools.
demo: $(VENV)/$(if $(findstring act,$(ARGS)),dev,sandbox).stamp ## A ticket's whole story on embedded services, offline
	@$(RUN) demo $(ARGS)

test: $(VENV)/dev.stamp ## The tests
	@$(PYTHON) -m pytest -q -n auto $(ARGS)

test-full: $(VENV)/dev.stamp ## Every crash, fault, race and edit
	@AI_RUNNER_FULL=1 $(PYTHON) -m pytest -q -n auto $(FULL) $(ARGS)

test-soak: $(VENV)/dev.stamp ## Races by thousands of seeds
	@AI_RUNNER_FULL=1 AI_RUNNER_SCALE=8 $(PYTHON) -m pytest -q -n auto $(LOTS:%=tests/reliability/%) $(ARGS)

test-stories: $(VENV)/dev.stamp ## Every story with every exchange checked, then one through act
	@AI_RUNNER_FULL=1 $(PYTHON) -m pytest -q -n auto $(STORIES) $(ARGS)
	$(RUN) demo --via act --provider anthropic
	$(RUN) demo --via act --provider openai

check: $(VENV)/dev.stamp ## Linters, types, import directions, workflows
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/zizmor --offline --quiet action.yml .github $(WORKFLOWS)
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-actions action.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-workflows $(WORKFLOWS)
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

format: $(VENV)/dev.stamp ## Format, and fix what can be fixed
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

bench: $(VENV)/dev.stamp ## Measurements
	@$(PYTHON) -m bench $(ARGS)

lock: $(VENV)/dev.stamp ## Resolve the locks of requirements/ again
	scripts/lock

clean: ## Remove what was installed and cached
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .demo

$(VENV)/%.stamp: requirements/%.txt $(TOOLS)
	@scripts/install-locked $(VENV) $*
	@touch $@

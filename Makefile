# Everything works in a fresh clone with Python 3.11+ and git: each target installs what it needs into .venv.
# ARGS goes to the command behind a target: make demo ARGS="--provider openai --keep /tmp/demo"

SHELL := bash
ARGS ?=
VENV := .venv
PYTHON := $(VENV)/bin/python
RUN := $(PYTHON) -I -m runner
TOOLS := scripts/install-locked scripts/find-python requirements/uv.txt
# Tests that run more cases when AI_RUNNER_FULL is set; `make test` runs the others whole.
FULL := tests/agent/test_edits.py tests/agent/test_tools.py tests/reliability tests/shapes tests/test_demo.py
WORKFLOWS := $(wildcard .github/workflows/*.yml) docs/workflow/ai-runner.yml

.PHONY: help demo test test-full check format bench lock clean
.DEFAULT_GOAL := help

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

# `--via act` needs act, which comes with the development tools.
demo: $(VENV)/$(if $(findstring act,$(ARGS)),dev,sandbox).stamp ## A ticket's whole story on embedded services, offline
	@$(RUN) demo $(ARGS)

test: $(VENV)/dev.stamp ## The tests
	@$(PYTHON) -m pytest -q -n auto $(ARGS)

test-full: $(VENV)/dev.stamp ## Every crash, fault, race and edit, then the story through act
	@AI_RUNNER_FULL=1 $(PYTHON) -m pytest -q -n auto $(FULL) $(ARGS)
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

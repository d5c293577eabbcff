# Each target sets up what it needs on its first run, and again when requirements change. `make help` lists them.

PYTHON ?=
VENV ?= .venv
HOST ?= 127.0.0.1
PORT ?= 7411
HTTP ?= 127.0.0.1:7412
STORE ?= state.db
SIZE ?= small
DIFFSYNC ?= ../diffsync
ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
COMPILE := $(BIN)/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --custom-compile-command "make requirements" $(if $(UPGRADE),--upgrade)
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.PHONY: help setup serve test docs site lint format types bench soak browser diffsync requirements clean

help:  ## List the targets.
	@sed -n 's/^\([a-z]*\):.*##  *\(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F '|' '{ printf "  make %-14s %s\n", $$1, $$2 }'
	@echo
	@echo '  PYTHON=python3.12  which Python makes the environment    VENV=.venv    where it lies'
	@echo '  ARGS="-k delta"    what is added to the command'

setup: $(VENV)/.dev  ## Make the environment with all that development needs.

serve: $(VENV)/.dev  ## Serve a store and its console: STORE=state.db HOST=127.0.0.1 PORT=7411 HTTP=127.0.0.1:7412.
	@exec $(BIN)/palimpsest serve "$(STORE)" --host "$(HOST)" --port "$(PORT)" --http "$(HTTP)" $(ARGS)

test: $(VENV)/.dev  ## Run the tests, on all cores.
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

docs: $(VENV)/.dev  ## Check the documents: links, tables, and that their examples run.
	$(BIN)/python -m pytest -n auto --dist worksteal tests/test_docs.py tests/test_readme.py tests/test_blocks_kit.py $(ARGS)

site: $(VENV)/.dev  ## Build the documentation as a site, in site/, and check it. Warnings are errors.
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict $(ARGS)
	$(BIN)/python -m pytest -m site tests/test_site.py

lint: $(VENV)/.dev  ## Check style and formatting.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.dev  ## Put style and formatting right, as far as that can be done automatically.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.dev  ## Check types, strictly.
	$(BIN)/mypy

bench: $(VENV)/.dev $(VENV)/.bench  ## Measure beside Redis: SIZE=tiny, small or full. Needs redis-server and a C compiler.
	$(BIN)/python -m bench.run --size $(SIZE) $(ARGS)

soak: $(VENV)/.dev  ## Run the long tests, which kill servers and break disks for minutes.
	$(BIN)/python -m pytest -m soak $(ARGS)

browser: $(VENV)/.dev  ## Drive the console in Chromium: ARGS=--screenshots writes the images of the documents anew.
	$(BIN)/python -m pytest -n auto --dist worksteal -m browser tests/browser $(ARGS)

diffsync: $(VENV)/.dev  ## Run DiffSync's own tests on our classes: DIFFSYNC=path of a checkout.
	$(BIN)/python tests/sync/upstream.py "$(DIFFSYNC)" $(ARGS)

requirements: $(BIN)/pip  ## Pin the dependencies of pyproject.toml again: UPGRADE=1 takes the newest of each.
	$(PIP) uv
	$(COMPILE) --extra dev --output-file requirements/dev.txt
	$(COMPILE) --extra bench --constraint requirements/dev.txt --output-file requirements/bench.txt
	$(COMPILE) --extra web --constraint requirements/dev.txt --output-file requirements/serve.txt
	$(subst pyproject.toml,requirements/build.in,$(COMPILE)) --constraint requirements/dev.txt --output-file requirements/build.txt

clean:  ## Remove what the tools made. The environment and all stores stay.
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build bench/out bench/build
	find bench palimpsest tests -name __pycache__ -type d -prune -exec rm -rf {} +

# `bin/pip` is the last thing that making an environment makes: where it is missing, the environment is not whole.
$(BIN)/pip:
	@python=; for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11); do \
		if "$$candidate" -c '$(NEW_ENOUGH)' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "Python 3.11 or newer is needed, and $(or $(PYTHON),python3) is not: make ... PYTHON=/path/to/python3.11" >&2; exit 1; \
	fi; \
	echo "making $(VENV) with $$("$$python" --version)"; \
	"$$python" -m venv "$(VENV)"

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(BIN)/pip
	@$(BIN)/python -c '$(NEW_ENOUGH)' || { \
		echo "$(VENV) was made with $$($(BIN)/python --version), and 3.11 or newer is needed: remove it, and try again" >&2; exit 1; }
	$(PIP) --require-hashes --requirement requirements/dev.txt
	$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.bench: requirements/bench.txt $(VENV)/.dev
	$(PIP) --require-hashes --requirement requirements/bench.txt
	@touch $@

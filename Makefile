# Every target works on a fresh machine with Rust, Python 3 and make. What else is needed is installed into .tools.

PYTHON ?= python3
FUNCTION ?= spot-drainer
EVENT ?= events/spot-drainer/spot-interruption-terminate.json

TOOLS := .tools
.DEFAULT_GOAL := help

.PHONY: help demo invoke serve test check bench build clean

help: ## Show the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  \1\t/'

# cargo-lambda comes from PyPI, for `cargo lambda` and for the compiler that it needs to cross-compile.
$(TOOLS)/bin/cargo-lambda: scripts/requirements.txt
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

demo: $(TOOLS)/bin/cargo-lambda ## Play a Spot interruption on the simulated Region, with the real function
	cargo build --quiet --package ebb-region
	cargo build --quiet --package spot-drainer
	$(PYTHON) scripts/local.py demo

invoke: $(TOOLS)/bin/cargo-lambda ## Run FUNCTION on the sample EVENT (or several)
	cargo build --quiet --package ebb-region
	cargo build --quiet --package $(FUNCTION)
	$(PYTHON) scripts/local.py invoke $(FUNCTION) $(EVENT)

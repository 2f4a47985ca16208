# Every target works on a fresh machine with Rust, Python 3 and make. What else is needed is installed into .tools.

PYTHON ?= python3
FUNCTION ?= spot-drainer
EVENT ?= events/spot-drainer/spot-interruption-terminate.json
# What `make build` builds for: arm64 or x86-64.
ARCH ?= arm64
# How many seeds `make simulate` runs.
SEEDS ?= 1000
# Where terraform finds the AWS provider if the registry is out of reach: a folder as `terraform providers mirror` makes
# it. Unset, terraform asks the registry, or its own configuration.
TF_PLUGIN_DIR ?=
CARGO_HOME ?= $(HOME)/.cargo
export TF_PLUGIN_DIR

TARGET := $(or $(CARGO_TARGET_DIR),target)
TOOLS := .tools
TOOLS_LOCAL := $(TOOLS)/requirements.installed
TOOLS_TEST := $(TOOLS)/requirements-test.installed
TOOLS_BUILD := $(TOOLS)/requirements-build.installed
AUDIT := $(TOOLS)/audit
FUNCTIONS := spot-drainer lifecycle-drainer scale-in-reaper
.DEFAULT_GOAL := help

.PHONY: help demo invoke serve events test simulate check rehearse audit bench build programs local clean
# Cargo runs in parallel by itself; two installations into .tools at once would break it.
.NOTPARALLEL:

help: ## Show the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  \1\t/'

$(TOOLS)/bin/pip:
	$(PYTHON) -m venv $(TOOLS)

# A file of requirements is installed when it is newer than its stamp.
$(TOOLS)/%.installed: scripts/%.txt | $(TOOLS)/bin/pip
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) --requirement $<
	@touch $@

$(TOOLS_LOCAL): PIP_OPTIONS := --no-deps

programs:
	cargo build --quiet --locked --bins

# What runs on this machine: the simulated Region, and the functions as `cargo lambda watch` will
# build them.
local: programs $(TOOLS_LOCAL)

demo: local ## Play a Spot interruption, a scale-in and sweeps on the simulated Region, with the real functions
	$(PYTHON) scripts/local.py demo

invoke: local ## Run FUNCTION on the sample EVENT (or several)
	$(PYTHON) scripts/local.py invoke $(FUNCTION) $(EVENT)

serve: local ## Serve the simulated Region and the functions until Ctrl-C
	$(PYTHON) scripts/local.py serve

events: local ## Run each function on each of its sample events; only malformed ones may fail
	$(PYTHON) scripts/local.py events

test: local $(TOOLS_TEST) ## Run everything: no AWS account, no Docker
	cargo test --workspace --locked
	EBB_REGION=$(TARGET)/debug/ebb-region $(TOOLS)/bin/python crates/region/tests/boto3/test_region.py
	$(PYTHON) scripts/local.py events
	$(PYTHON) scripts/local.py demo

simulate: ## Run the first SEEDS seeds of the simulation (or the one SEED)
	SEEDS=$(SEEDS) $(if $(SEED),SEED=$(SEED)) cargo test --quiet --locked --package lifecycle-drainer \
		--package scale-in-reaper --test it what_must_hold_holds_for_every_seed -- --nocapture | grep -v '"_aws"'

check: ## Check format, lints, documentation and the Terraform module
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet
	$(PYTHON) infra/tests/check.py

rehearse: programs $(TOOLS_TEST) ## Apply the Terraform examples to a pretended account, and destroy them (some minutes)
	$(TOOLS)/bin/python infra/tests/rehearse.py

audit: ## Look for what is insecure in the Terraform module, with checkov
	test -x $(AUDIT)/bin/checkov || $(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/pip install --quiet --disable-pip-version-check --requirement scripts/requirements-audit.txt
	$(AUDIT)/bin/checkov --directory infra --framework terraform --skip-download --compact --quiet

bench: programs ## Measure calls, mass interruptions and cold start
	cargo bench --quiet --locked --profile dev --package spot-drainer --bench mass | grep -v '"_aws"'
	cargo bench --quiet --locked --profile dev --package lifecycle-drainer --bench drains | grep -v '"_aws"'
	cargo bench --quiet --locked --profile dev --package scale-in-reaper --bench sweeps | grep -v '"_aws"'
	cargo bench --quiet --locked --profile release --package ebb-core --bench planner
	for function in $(FUNCTIONS); do cargo build --quiet --locked --release --package $$function || exit 1; done
	for function in $(FUNCTIONS); do $(PYTHON) scripts/cold_start.py $$function \
		events/$$function/foreign-sns-plain-text.json || exit 1; done
	$(PYTHON) scripts/cold_start.py spot-drainer events/spot-drainer/spot-interruption-terminate.json

# The paths of this machine stay out of the programs, so that every machine builds the same ones. cargo-lambda's own
# optimizations are off: Cargo.toml says what a release is, and theirs would end a program that panics.
build: export RUSTFLAGS += --remap-path-prefix=$(CURDIR)=/ebb --remap-path-prefix=$(CARGO_HOME)=/cargo
build: $(TOOLS_LOCAL) $(TOOLS_BUILD) ## Build release zips into target/lambda, for ARCH (arm64 or x86-64)
	PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" cargo lambda build --release --disable-optimizations --$(ARCH) \
		--locked $(foreach function,$(FUNCTIONS),--package $(function))
	$(PYTHON) scripts/package.py $(FUNCTIONS)

clean: ## Remove what was built and installed
	cargo clean
	rm -rf $(TOOLS)

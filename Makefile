# Every target works on a fresh machine with Rust, a C compiler, Python 3 and make;
# scripts/prerequisites.sh looks for them. What else a target needs is installed into .tools.

PYTHON ?= python3
FUNCTION ?= spot-drainer
# The events that `make invoke` runs it on: one that shows what it does, unless you name others.
EVENT ?= $(EVENT_OF_$(FUNCTION))
EVENT_OF_spot-drainer := events/spot-drainer/spot-interruption-terminate.json
EVENT_OF_lifecycle-drainer := events/lifecycle-drainer/sns-terminating.json
EVENT_OF_scale-in-reaper := events/scale-in-reaper/plan.json
# What `make build` builds for: arm64 or x86-64.
ARCH ?= arm64
# `make demo WITHOUT_EBB=1` plays the same story without Ebb.
WITHOUT_EBB ?=
# `make demo STORY=rules` plays the longer story, of what operators may rule.
STORY ?=
# What `make plan` looks at, and more options for it: see `ebb plan --help`.
CLUSTER ?=
OPTIONS ?=
# How many seeds `make simulate` and `make days` run, and whether the former prints what came of each
# mishap: REPORT=1.
SEEDS ?= 1000
REPORT ?=
NOW := $(shell date +%s)
# What its properties draw from, and how many cases of each; another each time, unless you say.
PROPERTY_SEED ?= $(NOW)
CASES ?= 2000
# The drainer that `make versus` plays the trials with instead of ours: a command that serves one
# function, and how it is deployed (see docs/side-by-side.md).
PEER ?=
DEPLOYMENT ?=
# What `make fuzz` searches, for how many inputs each: see crates/fuzz.
TARGETS ?= events carried_state settings expressions marks inventories recordings
INPUTS ?= 1500000
# Which files `make mutants` breaks: all decisions, unless you say. What carries them out is played in
# stories and matrices, which take minutes. SHARD=0/8 is the first eighth.
FILES ?= crates/planner/src/**/*.rs crates/core/src/**/*.rs
SHARD ?=
# Where terraform finds the AWS provider if the registry is out of reach: a folder such as
# `terraform providers mirror` makes. Unset, terraform looks where it always does.
TF_PLUGIN_DIR ?=
# Whoever has no Terraform can skip what needs it, with SKIP_TERRAFORM=1.
SKIP_TERRAFORM ?=
CARGO_HOME ?= $(HOME)/.cargo
export PYTHON TF_PLUGIN_DIR SKIP_TERRAFORM

TARGET := $(or $(CARGO_TARGET_DIR),target)
TOOLS := .tools
TOOLS_LOCAL := $(TOOLS)/requirements.installed
TOOLS_TEST := $(TOOLS)/requirements-test.installed
TOOLS_BUILD := $(TOOLS)/requirements-build.installed
AUDIT := $(TOOLS)/audit
# Puts the list of a program's crates into it. The registry's checksum holds the version to its text.
AUDITABLE := cargo-auditable@0.7.5
CARGO_FUZZ := cargo-fuzz@0.13.2
CARGO_MUTANTS := cargo-mutants@27.1.0
FUNCTIONS := spot-drainer lifecycle-drainer scale-in-reaper
MSRV = $(shell sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
.DEFAULT_GOAL := help

.PHONY: help prerequisites programs local demo story plan invoke pictures serve events test simulate days versus fuzz mutants \
	check rehearse audit deny msrv bench build clean
# Cargo runs in parallel by itself; two installations into .tools at once would break it.
.NOTPARALLEL:

help: ## Show the targets
	@sed -nE 's/^([a-z]+):[^#]*## /\1\t/p' $(MAKEFILE_LIST) | \
		awk -F '\t' '{ printf "  %-10s %s\n", $$1, $$2 }'

prerequisites:
	@scripts/prerequisites.sh
	@$(if $(PLAYS),echo "$(PLAYS)")

# An interrupted venv would print a traceback: its messages wait in a file, in case it fails.
$(TOOLS)/bin/pip: | prerequisites
	@mkdir -p $(TOOLS)
	@$(PYTHON) -m venv $(TOOLS) 2> $(TOOLS)/venv.log || { cat $(TOOLS)/venv.log; exit 1; }

# A file of requirements is installed when it is newer than its stamp.
$(TOOLS)/%.installed: scripts/%.txt | $(TOOLS)/bin/pip
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check $(PIP_OPTIONS) --requirement $<
	@touch $@

$(TOOLS_LOCAL): PIP_OPTIONS := --no-deps

$(TOOLS)/bin/cargo-auditable: | prerequisites
	cargo install --quiet --locked --root $(TOOLS) $(AUDITABLE)

$(TOOLS)/bin/cargo-fuzz: | prerequisites
	cargo install --quiet --locked --root $(TOOLS) $(CARGO_FUZZ)

$(TOOLS)/bin/cargo-mutants: | prerequisites
	cargo install --quiet --locked --root $(TOOLS) $(CARGO_MUTANTS)

programs: prerequisites
	cargo build --locked --bins

# What runs on this machine: the simulated Region, and the functions as `cargo lambda watch` will
# build them.
local: programs $(TOOLS_LOCAL)

demo: PLAYS := Builds first: 4 to 5 minutes on 2 cores the first time, seconds after that. \
	Then plays $(if $(STORY),days in seconds,for a minute).
demo: $(if $(STORY),story,local) ## Play a Spot interruption, a scale-in and sweeps, with the real functions or WITHOUT_EBB=1
	@$(if $(STORY),$(PLAY_STORY),$(PYTHON) scripts/local.py demo $(if $(WITHOUT_EBB),--without-ebb)) $(if $(SEED),--seed $(SEED))

# In virtual time, and with the functions in one program: days take seconds.
PLAY_STORY = $(TARGET)/debug/examples/$(STORY) --page $(TARGET)/demo-$(STORY).html
story: prerequisites
	@$(if $(filter-out rules,$(STORY)),echo "STORY is $(STORY): rules is the only one beside that of \`make demo\`."; exit 1)
	cargo build --locked --workspace --example $(STORY)

plan: prerequisites ## Plan your own CLUSTER (or every one), without changing anything
	cargo run --quiet --locked --package ebb -- plan $(if $(CLUSTER),--cluster $(CLUSTER)) $(OPTIONS)

invoke: local ## Run FUNCTION on the sample EVENT (or several)
	@$(PYTHON) scripts/local.py invoke $(FUNCTION) $(EVENT)

pictures: local ## Take the pictures of the README anew (needs Chromium)
	$(PYTHON) scripts/local.py demo
	cargo run --quiet --locked --package ebb-page --example plan > $(TARGET)/plan.html
	scripts/picture.sh $(TARGET)/plan.html docs/plan.png 1280,900
	scripts/picture.sh $(TARGET)/demo.html docs/run.png 1280,1120

serve: local ## Serve the simulated Region and the functions until Ctrl-C, on PORT (4599)
	$(PYTHON) scripts/local.py serve $(if $(PORT),--port $(PORT)) $(if $(SPEED),--speed $(SPEED))

events: local ## Run each function on each of its sample events; only malformed and unknown ones may fail
	$(PYTHON) scripts/local.py events

# What is played by the clock mostly waits, so the tests run beside it. They are built before: what
# Cargo builds would keep it from starting the functions.
test: local $(TOOLS_TEST) ## Run all tests: no AWS account, no Docker
	@rm -f $(TARGET)/requests.jsonl
	cargo test --workspace --locked --no-run
	($(PYTHON) scripts/local.py demo && $(PLAY_TRIAL)) > $(TARGET)/played.log 2>&1 & played=$$!; \
		EBB_REQUESTS=$(abspath $(TARGET))/requests.jsonl cargo test --workspace --locked; tested=$$?; \
		wait $$played; played=$$?; cat $(TARGET)/played.log; [ $$tested = 0 ] && [ $$played = 0 ]
	EBB_REGION=$(TARGET)/debug/ebb-region EBB_REQUESTS=$(TARGET)/requests.jsonl \
		$(TOOLS)/bin/python -m unittest discover --start-directory crates/region/tests/boto3
	$(PYTHON) scripts/local.py events
	$(MAKE) --no-print-directory demo STORY=rules

PLAY_TRIAL = $(PYTHON) scripts/versus.py --trial never-joined --speed 50 $(TARGET)/debug/lifecycle-drainer

simulate: ## Run SEEDS seeds of the simulation, or the one SEED and leave pages of it; the fault matrix (REPORT=1 prints it); properties
	SEEDS=$(SEEDS) $(if $(SEED),SEED=$(SEED) PAGES=$(abspath $(TARGET))) cargo test --quiet --locked --package spot-drainer \
		--package lifecycle-drainer --package scale-in-reaper --test it what_must_hold_holds_for_every_seed -- --nocapture
	$(if $(SEED),,WHOLE=1 REPORT=$(REPORT) cargo test --quiet --locked --package spot-drainer \
		--package lifecycle-drainer --package scale-in-reaper --test it matrix:: -- --nocapture)
	$(if $(SEED),,@echo "Properties, with PROPERTY_SEED=$(PROPERTY_SEED) and CASES=$(CASES)")
	$(if $(SEED),,PROPTEST_RNG_SEED=$(PROPERTY_SEED) PROPTEST_CASES=$(CASES) \
		cargo test --quiet --locked --package ebb-planner --package ebb-core)

days: ## Play days beside cluster auto scaling: the first SEEDS, SEEDS=first..end, or the one SEED
	SEEDS=$(SEEDS) $(if $(SEED),SEED=$(SEED)) cargo test --quiet --locked \
		--package scale-in-reaper --test it for_the_same_load -- --nocapture

versus: prerequisites ## Put Ebb, or another drainer as PEER, through the trials of docs/side-by-side.md
	$(if $(PEER),cargo build --quiet --locked --package ebb-region --example trial)
	$(if $(PEER),$(PYTHON) scripts/versus.py $(DEPLOYMENT) '$(PEER)',cargo test --quiet --locked \
		--package lifecycle-drainer --package spot-drainer --test it trials:: -- --nocapture)

# What is found on the way stays in target, and is where the next search begins. Without a sanitizer,
# as `unsafe` is forbidden: what is looked for are panics, overflows and inputs that take long.
fuzz: $(TOOLS)/bin/cargo-fuzz ## Search INPUTS hostile inputs of each of TARGETS for one that breaks a claim
	for target in $(TARGETS); do mkdir -p $(TARGET)/corpus/$$target && \
		PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" CARGO_TARGET_DIR=$(TARGET)/fuzz \
		cargo fuzz run --fuzz-dir crates/fuzz/libfuzzer --sanitizer none $$target \
			$(abspath $(TARGET))/corpus/$$target crates/fuzz/corpus/$$target \
			$$([ $$target != events ] || echo events) -- \
			-runs=$(INPUTS) -timeout=10 -print_final_stats=1 -verbosity=0 \
			$$([ $$target = inventories ] || echo -dict=crates/fuzz/libfuzzer/words.dict) || exit 1; done

# A mutant costs a build of its crate and its tests, so properties draw few cases. What is built and found
# stays in target.
mutants: $(TOOLS)/bin/cargo-mutants ## Break the decisions, or FILES, one thing at a time: a test must notice each
	PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" CARGO_TARGET_DIR=$(abspath $(TARGET))/mutants PROPTEST_CASES=32 \
		cargo mutants --output $(TARGET) $(if $(SHARD),--shard $(SHARD)) $(foreach file,$(FILES),--file '$(file)')

check: $(TOOLS_TEST) ## Check format, lints, documentation, dependencies and the Terraform module
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" cargo doc --workspace --no-deps --document-private-items --locked --quiet
	$(PYTHON) scripts/module_circles.py
	$(PYTHON) scripts/module_tables.py --check
	$(PYTHON) scripts/grafana.py --check
	$(PYTHON) scripts/costs.py --check
	$(PYTHON) infra/tests/check.py
	$(TOOLS)/bin/python scripts/cloudformation.py --check
	$(TOOLS)/bin/cfn-lint infra/cloudformation/ebb.yaml
	@if command -v cargo-deny > /dev/null; then cargo deny --locked check bans licenses sources; \
		else echo "SKIPPED: cargo-deny is not installed, so licences and sources were not checked."; fi

rehearse: programs $(TOOLS_TEST) ## Apply the Terraform examples to a simulated account
	$(TOOLS)/bin/python infra/tests/rehearse.py

audit: ## Look for insecure settings in the Terraform module, with checkov
	test -x $(AUDIT)/bin/checkov || $(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/pip install --quiet --disable-pip-version-check --requirement scripts/requirements-audit.txt
	$(AUDIT)/bin/checkov --directory infra --framework terraform --skip-download --compact --quiet

# Advisories are in a database that must be fetched, and change without any change here: `make check`
# leaves them out.
deny: ## Check licences, sources and advisories of the dependencies (needs cargo-deny)
	cargo deny --locked check

msrv: ## Build with the oldest Rust that Cargo.toml allows (needs rustup)
	RUSTUP_TOOLCHAIN=$(MSRV) cargo check --workspace --all-targets --locked

bench: programs $(TOOLS_TEST) ## Measure calls, mass interruptions and cold start
	cargo bench --quiet --locked --profile dev --package spot-drainer --bench mass
	cargo bench --quiet --locked --profile dev --package lifecycle-drainer --bench drains
	cargo bench --quiet --locked --profile dev --package scale-in-reaper --bench sweeps
	cargo bench --quiet --locked --profile release --package ebb-planner --bench planner
	for function in $(FUNCTIONS); do cargo build --quiet --locked --release --package $$function || exit 1; done
	for function in $(FUNCTIONS); do $(PYTHON) scripts/cold_start.py $$function \
		events/$$function/foreign-sns-plain-text.json || exit 1; done
	$(PYTHON) scripts/cold_start.py spot-drainer events/spot-drainer/spot-interruption-terminate.json

# The paths of this machine stay out of the programs, so that every machine builds the same ones.
# cargo-lambda's own optimizations are off: Cargo.toml says what a release is, and theirs would end
# a program that panics.
build: export RUSTFLAGS += --remap-path-prefix=$(CURDIR)=/ebb --remap-path-prefix=$(CARGO_HOME)=/cargo
build: prerequisites $(TOOLS_LOCAL) $(TOOLS_BUILD) $(TOOLS)/bin/cargo-auditable ## Build release zips for ARCH (arm64 or x86-64)
	PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" cargo auditable lambda build --release --disable-optimizations --$(ARCH) \
		--locked $(foreach function,$(FUNCTIONS),--package $(function))
	$(PYTHON) scripts/package.py $(ARCH) $(FUNCTIONS)

clean: ## Remove what was built and installed
	cargo clean
	rm -rf $(TOOLS)

# Every command of the project; `make help` lists them. Tools and libtorch are fetched into
# ${XDG_CACHE_HOME:-~/.cache}/cambrian, once per machine and without root; as root, `make setup` also installs
# PostgreSQL.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# The steps of one command share cargo's build directory and its lock: side by side they only wait.
.NOTPARALLEL:

TARGET_DIR := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
TOOLS = PATH="$$(deploy/setup-tools):$$PATH"
# cargo-nextest runs tests in parallel processes where it is installed; cargo test needs nothing.
RUN_TESTS := $(if $(shell command -v cargo-nextest),cargo nextest run,cargo test --lib --bins --tests)
DEMO = $(TARGET_DIR)/release/cambrian run configs/campaigns/fashion-mnist.yaml --workers 2 --output runs/fashion-mnist

##@ Use

.PHONY: setup
setup: libtorch dataset python postgresql ## Fetch what is missing: libtorch, Fashion-MNIST, protobuf for Python, PostgreSQL

.PHONY: build
build: libtorch ## Build all programs in release mode into target/release
	cargo build --release --workspace --bins

.PHONY: demo
demo: libtorch dataset build ## Fetch libtorch and Fashion-MNIST, build and run the demo campaign with two workers (minutes)
	$(DEMO)

.PHONY: libtorch
libtorch: ## Find or fetch libtorch alone; respects LIBTORCH
	deploy/setup-libtorch

.PHONY: dataset
dataset: ## Fetch Fashion-MNIST alone; respects CAMBRIAN_DATA
	deploy/fetch-fashion-mnist

.PHONY: python
python: ## Find or fetch protobuf for the tests of sdk/python alone
	@deploy/setup-python >/dev/null

.PHONY: postgresql
postgresql: ## Find or install PostgreSQL alone, for the tests of several coordinators
	@deploy/setup-postgresql >/dev/null

##@ Check

.PHONY: test
test: setup format shell units planted deny lint documents python-tests run-tests ## Run every check and every test

.PHONY: format
format: ## Check the formatting of all Rust sources
	cargo fmt --all -- --check

.PHONY: shell
shell: ## Check the shell scripts
	$(TOOLS) shellcheck .ci/run $$(grep -d skip -lE '^#!.*bash' deploy/* bench/*/* sdk/*/*)

.PHONY: units
units: ## Check the systemd units, where systemd-analyze is installed
	deploy/check-systemd-units

.PHONY: planted
planted: ## Check that the defects that chaos must catch can still be planted
	for defect in bench/chaos/planted/*.patch; do git apply --check "$$defect"; done

.PHONY: deny
deny: ## Check the dependencies: bans, licences, sources
	$(TOOLS) cargo deny --log-level error check --hide-inclusion-graph bans licenses sources

# The program that libFuzzer drives is no member of the workspace, and names files of the evaluator.
.PHONY: lint
lint: libtorch ## Run clippy over everything; warnings are errors
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --locked --manifest-path bench/fuzz/libfuzzer/Cargo.toml \
	    --target-dir "$${CARGO_TARGET_DIR:-target}" -- -D warnings

.PHONY: documents
documents: libtorch ## Build the API documentation; warnings are errors
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps

.PHONY: tidy
tidy: ## Check the rules about the repository: arrows, purity of the core, links
	cargo test --package tidy

# End-to-end tests start the programs themselves, so all of them are built first. The documentation's
# examples run before the tests, so that the last lines of the output are the tests' summary.
.PHONY: run-tests
run-tests: setup ## Run all tests, those of the evaluator with the real libtorch
	cargo build --workspace --bins
	cargo test --workspace --doc
	$(RUN_TESTS) --workspace

# The tests of torch.nn.Module run where PYTHON, python3 by default, has torch; elsewhere they are skipped.
PYTHON = python3
.PHONY: python-tests
python-tests: ## Test sdk/python and bench/tables; PYTHON=... with torch installed tests networks as modules, too
	cd sdk/python/tests && PYTHONPATH="../src:$$($(CURDIR)/deploy/setup-python)" $(PYTHON) -m unittest --verbose
	cd bench/tables && $(PYTHON) -m unittest --verbose

PYTHON_CHECKS = $${XDG_CACHE_HOME:-$$HOME/.cache}/cambrian/sdk/checks
.PHONY: python-lint
python-lint: ## Check types and style of sdk/python, with mypy and ruff from the package index
	python3 -m venv "$(PYTHON_CHECKS)"
	"$(PYTHON_CHECKS)/bin/pip" install --quiet --disable-pip-version-check --requirement sdk/python/checks.txt
	cd sdk/python && "$(PYTHON_CHECKS)/bin/ruff" format --check && "$(PYTHON_CHECKS)/bin/ruff" check
	cd sdk/python && "$(PYTHON_CHECKS)/bin/mypy"

# A directory of its own, so that no program built with libtorch is at hand, and a LIBTORCH that
# leads nowhere, which wins over .cargo/local.toml: whatever needs libtorch fails here. The dependency trees
# prove it of the libraries, whose tests `make test` runs; the programs' tests are run once more.
WITHOUT_LIBTORCH = LIBTORCH=/nonexistent CARGO_TARGET_DIR="$(TARGET_DIR)/without-libtorch"
OTHERS = --workspace --exclude cambrian-evaluator
LIBTORCH_IN_TREE = --edges all --target all --prefix none | grep -E '^(tch|torch-sys) ' | sort -u

.PHONY: check-without-libtorch
check-without-libtorch: ## Prove that everything but the evaluator builds and runs without libtorch
	@echo "checking that libtorch is in no dependency tree but the evaluator's"
	@found=$$(cargo tree --package cambrian-evaluator $(LIBTORCH_IN_TREE) || true); \
	if [[ -z $$found ]]; then echo "the evaluator's tree has no libtorch: this check is blind" >&2; exit 1; fi
	@found=$$(cargo tree $(OTHERS) $(LIBTORCH_IN_TREE) || true); \
	if [[ -n $$found ]]; then echo "libtorch outside the evaluator: $$found" >&2; exit 1; fi
	$(WITHOUT_LIBTORCH) cargo build $(OTHERS) --bins
	$(WITHOUT_LIBTORCH) cargo test $(OTHERS) --test command_line --test 'run_*' --test simulate --test worker_stream

##@ Prove, in hours instead of minutes

.PHONY: prove-simulation
prove-simulation: ## Simulate the engine under faults for a million seeds
	CAMBRIAN_SIMULATION_SEEDS=$${CAMBRIAN_SIMULATION_SEEDS:-1000000} \
		cargo test --release --package cambrian-core --test fault_simulation -- --nocapture

.PHONY: prove-chaos
prove-chaos: libtorch postgresql ## Inject a hundred faults of each kind into real processes and check that nothing is lost
	cargo build --workspace --bins
	$(TARGET_DIR)/debug/cambrian-chaos
	$(TARGET_DIR)/debug/cambrian-chaos --postgres

.PHONY: prove-network
prove-network: ## Simulate the network between coordinator and workers for ten thousand seeds
	CAMBRIAN_NETWORK_SEEDS=$${CAMBRIAN_NETWORK_SEEDS:-10000} \
		cargo test --release --package cambrian-chaos --test network -- --nocapture

.PHONY: prove-readers
prove-readers: ## Feed ten million inputs to every reader of outside input
	bench/fuzz/run

##@ Other

.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-23s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

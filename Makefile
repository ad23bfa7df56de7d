# What people and CI do here. `make help` shows the targets that carry a comment after two number signs.
#
# Everything uses one target folder and the dev profile, so that dependencies are compiled once; only `bench` makes
# release builds. Builds read checked SQL from crates/store/.sqlx and need no database; `generate` writes it.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:

CARGO ?= cargo
SERVICES := deploy/dev/services
SQLX_CACHE := crates/store/.sqlx
# What `generate` writes and `verify` compares with the committed state.
GENERATED := $(SQLX_CACHE)

export SQLX_OFFLINE ?= true

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build the programs (debug)
	@$(CARGO) build --workspace --bins

.PHONY: demo
demo: ## See it work: six mailboxes, a few dozen messages, a reply; about a minute after the build
	@.ci/demo

.PHONY: check
check: ## Type-check everything
	@$(CARGO) check --workspace --all-targets

.PHONY: lint
lint: ## Format, clippy, documentation, and licences where cargo-deny is installed; warnings are errors
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets -- -D warnings
	@RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --quiet
	@if command -v cargo-deny >/dev/null; then \
		$(CARGO) deny --offline --log-level error check bans licenses sources; \
	else \
		echo "cargo-deny is not installed: licences and banned crates are not checked"; \
	fi

.PHONY: test
test: ## Run every test against real servers, which it starts; T=filter for some
	@.ci/test $(T)

.PHONY: test-clients
test-clients: ## Let clients of others (exchangelib, DavMail) judge the simulated Exchange; fetches them
	@deploy/dev/exchangelib >/dev/null
	@deploy/dev/davmail >/dev/null
	@$(CARGO) nextest run -p lockstep-exchange-sim --run-ignored all

.PHONY: bench
bench: services-up ## Measure two ratios against simpler programs (release build); docs/benchmarks.md
	@$(SERVICES) install mpop
	@$(CARGO) build --release --workspace --bins
	@target/release/bench

.PHONY: services-up
services-up: ## Start PostgreSQL, RabbitMQ, Redis, Dovecot and Exim under target/services; installs what is missing
	@$(SERVICES) install
	@$(SERVICES) up

.PHONY: services-down
services-down: ## Stop them
	@$(SERVICES) down

.PHONY: generate
generate: ## Write the cache of checked SQL (needs PostgreSQL, which it starts)
	@$(SERVICES) install
	@$(SERVICES) up postgres
	@.ci/generate $(SQLX_CACHE)

.PHONY: verify
verify: generate ## Fail when what is generated differs from what is committed
	@changed=$$(git status --porcelain -- $(GENERATED)); \
	if [[ -n $$changed ]]; then \
		printf 'Generated files are not up to date; commit what "make generate" wrote:\n%s\n' "$$changed" >&2; \
		exit 1; \
	fi

.PHONY: ci
ci: ## What CI runs: lint, test, demo without a terminal
	@.ci/run

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help run test e2e e2e-long lint audit image chart crds fuzz bench

TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)
FUZZ_SECONDS ?= 60
REPEATS ?= 10

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## the server and the reconciler on the sample manifests, with an embedded database in .keywright
	@cargo build --release -p keywright --bin keywright
	@exec $(TARGET_DIR)/release/keywright dev --manifests config/samples --data .keywright

test: ## all tests, with a PostgreSQL and Kubernetes API servers started for them
	@if command -v python3 >/dev/null; then charts/check.sh; else echo "no Python: the chart is not tested" >&2; fi
	@assets=$$(e2e/cluster/build.sh kube-controller-manager); \
	KEYWRIGHT_KUBE_ASSETS=$$assets exec e2e/postgres.sh cargo test --workspace --no-fail-fast

e2e: ## relying parties, Ory's client library, the built-in pages in a real browser, an installation on a cluster
	@e2e/relying_parties/run.sh
	@e2e/sdk/run.sh
	@e2e/browser/run.sh
	@e2e/install/run.sh

e2e-long: ## the operator with thousands of resources, without rest and behind slow connections; then all tests REPEATS times
	@cargo build --release -p keywright --bin keywright
	@KEYWRIGHT=$(TARGET_DIR)/release/keywright e2e/scale/run.sh
	@assets=$$(e2e/cluster/build.sh); export KEYWRIGHT_KUBE_ASSETS=$$assets; \
	for ((run = 1; run <= $(REPEATS); run++)); do \
	  echo "all tests, $$run of $(REPEATS)" >&2; e2e/postgres.sh cargo test --workspace --quiet; done

lint: ## formatting, clippy without warnings; shellcheck and cargo-deny where they are installed
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	@if command -v shellcheck >/dev/null; then set -x; \
	  shellcheck -x -P SCRIPTDIR .ci/run e2e/*.sh e2e/*/*.sh e2e/cluster/node/*.sh bench/*.sh charts/*.sh image/*.sh; fi
	@if command -v cargo-deny >/dev/null; then set -x; \
	  cargo deny check bans licenses sources; fi

audit: ## known vulnerabilities of the dependencies, with cargo-deny and the advisories fetched from the network
	cargo deny check advisories

image: ## the image, with docker or podman, else an archive of it in target/image; and what it is made of
	@image/build.sh

chart: ## the chart's README and schema from its values, and the kustomize bases from the chart
	@HELM=$$(e2e/cluster/build.sh helm)/helm; export HELM; charts/describe.py; charts/kustomize.py

crds: ## crds/ anew from the Rust types
	UPDATE_CRDS=1 cargo test --quiet -p keywright-crd --test definitions

fuzz: ## every fuzz target for FUZZ_SECONDS
	for target in $$(cargo +nightly fuzz list); do \
	  cargo +nightly fuzz run --all-features "$$target" -- -max_total_time=$(FUZZ_SECONDS); done

bench: ## how fast the server is, into docs/performance.md; BENCH_SECONDS for each operation
	@cargo build --release -p keywright --bin keywright
	@cargo build --release -p keywright-bench
	@KEYWRIGHT=$(TARGET_DIR)/release/keywright BENCH=$(TARGET_DIR)/release/keywright-bench exec bench/run.sh

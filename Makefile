# The two commands: `make demo` builds gpudeck and shows its main job; `make test` passes every test.
# Both install what is missing and say what. Rust itself must be there (https://rustup.rs).

.PHONY: demo run test lint bench fixtures docs help

help:
	@echo 'make demo      build, and show a recorded incident (the deck in a terminal, its diagnosis without one)'
	@echo 'make run       build, and open the deck on this machine'
	@echo 'make test      lints and every test'
	@echo 'make bench     ratios, measured in one run'
	@echo 'make fixtures  record the replay fixtures anew'

demo:
	@scripts/needs.sh build
	@cargo build --release --quiet --bin gpudeck
	@target/release/gpudeck demo

run:
	@scripts/needs.sh build
	@cargo build --release --quiet --bin gpudeck
	@target/release/gpudeck

test: lint
	cargo build --workspace --all-targets
	cargo test --workspace --no-fail-fast

lint:
	@scripts/needs.sh test
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo deny --all-features check bans licenses sources

bench:
	@scripts/needs.sh build
	@cargo build --release --quiet -p gpudeck -p nvml-sim --bin gpudeck --lib
	@cargo bench --quiet -p gpudeck --bench ratios
	@cargo bench --quiet -p gpudeck --bench recording
	@scripts/bench-cost.sh

fixtures:
	@scripts/needs.sh test
	cargo build --workspace
	replay-fixtures/make.sh

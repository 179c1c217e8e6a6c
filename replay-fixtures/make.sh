#!/usr/bin/env bash
# Records the fixtures anew with the built program: all of them, or those named. Needs root for the FUSE mount.
set -euo pipefail
cd "$(dirname "$0")/.."
cargo build --quiet --bin gpudeck -p gpudeck -p testbed -p nvml-sim
cargo run --quiet -p testbed --bin make-fixtures -- replay-fixtures "$@"

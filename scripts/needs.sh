#!/usr/bin/env bash
# Installs what building (`build`) or testing (`test`) needs and this machine lacks, and says what. Uses sudo only when
# not root. What cannot be installed is named; the tests that need it then say that they were skipped.
set -euo pipefail

purpose=${1:-build}
missing=()

need() { # need COMMAND PACKAGE
    command -v "$1" >/dev/null 2>&1 || missing+=("$2")
}

if ! command -v cargo >/dev/null 2>&1; then
    echo 'needs: Rust is missing; install it from https://rustup.rs and run this again' >&2
    exit 69
fi

need cc gcc
if [ "$purpose" = test ]; then
    need fusermount3 fuse3
    need unshare util-linux
    need ip iproute2
    need slurmctld slurmctld
    need slurmd slurmd
    need scontrol slurm-client
    need munged munge
    need python3 python3
    python3 -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv python3-pip)
fi

if [ ${#missing[@]} -gt 0 ]; then
    echo "needs: installing ${missing[*]}"
    as_root=()
    [ "$(id -u)" = 0 ] || as_root=(sudo)
    if command -v apt-get >/dev/null 2>&1; then
        "${as_root[@]}" apt-get update -qq || true
        for package in "${missing[@]}"; do
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" \
                >/dev/null || echo "needs: could not install $package; tests that need it will be skipped" >&2
        done
    else
        echo "needs: no apt-get here; please install: ${missing[*]}" >&2
    fi
fi
command -v cc >/dev/null 2>&1 || { echo 'needs: no C compiler (cc); Rust cannot link without one' >&2; exit 69; }

if [ "$purpose" = test ] && ! command -v cargo-deny >/dev/null 2>&1; then
    echo 'needs: installing cargo-deny (checks licences and duplicate dependencies; a few minutes)'
    cargo install cargo-deny --locked --quiet
fi

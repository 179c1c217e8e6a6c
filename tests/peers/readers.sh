#!/bin/bash
# Other people's readers for what gpudeck writes: a Python environment with DuckDB, mcap, prometheus_client (readers.txt
# names the versions), made once below the build directory.
#
#     tests/peers/readers.sh DIRECTORY SCRIPT ARG...
#
# runs SCRIPT with it. Exit status: the script's own; 77 when the environment cannot be had here (no Python, no package
# index), the reason on stderr. Where CI is set that is a failure (70): there the readers must be had.
set -euo pipefail

here=$(dirname "$(readlink -f "$0")")
home=$1
shift

skip() {
    if [ -n "${CI:-}" ]; then
        echo "readers: $*" >&2
        exit 70
    fi
    echo "skipped: $*" >&2
    exit 77
}

# Two test programs may come at once, and one of them may have been killed half way: the copy of readers.txt is written
# last and says what is there.
mkdir -p "$home"
exec 9> "$home/lock"
flock 9
if ! cmp -s "$here/readers.txt" "$home/installed.txt"; then
    command -v python3 > /dev/null || skip 'python3 is not installed; apt-get install python3 python3-venv'
    rm -rf "$home/venv"
    python3 -m venv "$home/venv" >&2 || skip 'python3 has no venv; apt-get install python3-venv'
    "$home/venv/bin/pip" install --quiet --disable-pip-version-check --timeout 20 --retries 1 \
        --requirement "$here/readers.txt" >&2 || skip 'the package index cannot be reached, or lacks what readers.txt names'
    cp "$here/readers.txt" "$home/installed.txt"
fi
flock --unlock 9
exec 9>&-

exec "$home/venv/bin/python" "$@"

#!/usr/bin/env bash
# What watching a node of eight GPUs costs: CPU and memory of gpudeck with all its workers, beside other monitors reading
# the same simulated driver once a second, one after the other, on this machine. `scripts/bench-cost.sh [SECONDS]`.
#
# CPU: user and system time of every process of the tool, over the window, in per cent of one core.
# PSS: proportional set size of the same processes at the end of the window (/proc/PID/smaps_rollup).
# Driver calls: counted by the simulated driver in a run of its own, since counting costs time.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-20}
warm_up=3
target=$(realpath "${CARGO_TARGET_DIR:-target}")
gpudeck=$target/release/gpudeck
driver=$target/release/libnvml_sim.so
work=$(mktemp -d)
children=()

clean() {
    for pid in "${children[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap clean EXIT

export GPUDECK_NVML_SIM=$PWD/tests/nvml-sim/scenarios/healthy-8xh100.toml
mkdir "$work/lib"
ln -s "$driver" "$work/lib/libnvidia-ml.so.1"

# PID and every process below it, parents first.
tree() {
    cat /proc/[0-9]*/stat 2>/dev/null | sed 's/ (.*) / /' | awk -v top="$1" '
        $2 != "Z" { runs[$1] = 1; children[$3] = children[$3] " " $1 }
        function walk(pid,    list, i, n) { if (pid in runs) print pid; n = split(children[pid], list); for (i = 1; i <= n; i++) walk(list[i]) }
        END { walk(top) }'
}

# The processes of the tool that was started, without the terminal that it sits in.
tool() {
    tree "$started" | grep -vx "${terminal_pid:-none}" || true
}

# Clock ticks that these processes, and those of their children that have ended, have used.
ticks() {
    local pid
    for pid in "$@"; do sed 's/.*) //' "/proc/$pid/stat" 2>/dev/null || true; done | awk '{ sum += $12 + $13 + $14 + $15 } END { print sum + 0 }'
}

pss() {
    local pid
    for pid in "$@"; do grep '^Pss:' "/proc/$pid/smaps_rollup" 2>/dev/null || true; done | awk '{ sum += $2 } END { printf "%.1f", sum / 1024 }'
}

# A terminal of 160 columns and 48 rows that nobody looks at.
terminal='
import fcntl, os, pty, struct, sys, termios
pid, screen = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 48, 160, 0, 0))
    os.environ["TERM"] = "xterm-256color"
    os.execvp(sys.argv[1], sys.argv[1:])
try:
    while os.read(screen, 65536):
        pass
except OSError:
    pass
'

# Starts a tool, headless or in a terminal.
start() { # start headless|terminal COMMAND…
    local how=$1
    shift
    if [ "$how" = terminal ]; then set -- python3 -c "$terminal" "$@"; fi
    "$@" >/dev/null 2>&1 </dev/null &
    started=$! terminal_pid=''
    if [ "$how" = terminal ]; then terminal_pid=$started; fi
    children+=("$started")
}

# Ends a tool as an operator would; its workers and its terminal end with it.
stop() {
    local first
    first=$(tool | sed -n 1p)
    kill "${first:-$started}" 2>/dev/null || true
    wait "$started" 2>/dev/null || true
}

ours_cpu='' ours_pss=''
measure() { # measure NAME headless|terminal COMMAND…
    local name=$1 calls before after began ended processes
    shift
    calls=$(cat "$work/$(echo "$name" | tr ' ' -)" 2>/dev/null || echo '?')
    start "$@"
    sleep "$warm_up"
    processes=$(tool)
    if [ -z "$processes" ]; then
        echo "$name did not stay up; not measured" >&2
        return
    fi
    # shellcheck disable=SC2086 # a list of numbers
    { before=$(ticks $processes); began=$(date +%s%N); }
    sleep "$seconds"
    # shellcheck disable=SC2086
    { after=$(ticks $processes); ended=$(date +%s%N); memory=$(pss $processes); }
    stop
    cpu=$(awk -v t=$((after - before)) -v hz="$(getconf CLK_TCK)" -v ns=$((ended - began)) 'BEGIN { printf "%.2f", t / hz / (ns / 1e9) * 100 }')
    ours_cpu=${ours_cpu:-$cpu} ours_pss=${ours_pss:-$memory}
    awk -v name="$name" -v n="$(echo "$processes" | wc -w)" -v cpu="$cpu" -v pss="$memory" -v calls="$calls" \
        -v ours_cpu="$ours_cpu" -v ours_pss="$ours_pss" 'BEGIN {
            printf "%-22s %9d %8.2f %% %7.1f× %8.1f MiB %6.1f× %12s\n",
                name, n, cpu, (ours_cpu > 0 ? cpu / ours_cpu : 0), pss, pss / ours_pss, calls }'
}

# Counts a tool's driver calls a second, over five seconds; in the background, since nothing here is timed.
count() { # count NAME headless|terminal COMMAND…
    local name
    name=$(echo "$1" | tr ' ' -)
    shift
    (
        trap - EXIT
        export GPUDECK_NVML_SIM_TRACE=$work/$name.trace
        start "$@"
        sleep "$warm_up"
        before=$(wc -l <"$GPUDECK_NVML_SIM_TRACE")
        sleep 5
        echo $((($(wc -l <"$GPUDECK_NVML_SIM_TRACE") - before) / 5)) >"$work/$name"
        stop
    ) 2>/dev/null &
}

# nvitop from PyPI, in an environment of its own below the build directory.
nvitop=$target/bench-nvitop/bin/nvitop
if [ ! -x "$nvitop" ]; then
    { python3 -m venv "$target/bench-nvitop" && "$target/bench-nvitop/bin/pip" install --quiet --timeout 10 nvitop; } >/dev/null 2>&1 ||
        echo 'nvitop: cannot be installed from PyPI; not compared' >&2
fi

each() { # each COMMAND: for every tool
    "$1" 'gpudeck record' headless "$gpudeck" record --nvml-lib "$driver" --out "$work/$1.gdk" --for 10m
    "$1" 'the same, driver only' headless "$gpudeck" record --nvml-lib "$driver" --out "$work/$1-driver.gdk" --for 10m \
        --without kernel_log,pcie,rdma,fuse,process,host
    "$1" 'gpudeck, the deck' terminal "$gpudeck" --nvml-lib "$driver"
    if [ -x "$nvitop" ]; then
        "$1" 'nvitop' terminal env LD_LIBRARY_PATH="$work/lib" "$nvitop" -m full --interval 1
    fi
    if command -v nvtop >/dev/null 2>&1; then
        "$1" 'nvtop' terminal env LD_LIBRARY_PATH="$work/lib" nvtop -d 10
    else
        "${2:-true}" 'nvtop: not installed; not compared' >&2
    fi
}

each count
wait
echo
echo "Watching 8 simulated GPUs once a second, for $seconds s each, one after the other:"
printf '%-22s %9s %10s %8s %12s %7s %12s\n' tool processes CPU '' PSS '' 'calls/s'
each measure echo

#!/bin/bash
# A real Slurm of one node with four made-up GPUs, for the length of one command:
#
#     tests/peers/slurm.sh CMD ARG...
#
# The cluster gets namespaces of its own (network, host name, mounts, process ids), and its files lie on a tmpfs that
# only they see: when CMD ends, or when this process is killed, the kernel takes all of it down. Nothing of it can reach
# a Slurm that the machine itself may have, and nothing is left behind but the empty folder that the tmpfs covered.
#
# CMD finds `gpu01` idle in partition `main`, and in its environment
#     SLURM_CONF        the cluster's slurm.conf
#     SLURM_PEER_CTLD   the pid of slurmctld, to stop or kill it
#     SLURM_PEER_DIR    the scratch folder, gone afterwards
# Exit status: CMD's own; 77 when the cluster cannot be had here (not root, Slurm not installed), the reason on stderr;
# 70 when it does not come up.
set -euo pipefail

skip() { echo "skipped: $*" >&2; exit 77; }
fail() { echo "slurm peer: $*" >&2; exit 70; }

needed=(slurmctld slurmd scontrol squeue sinfo munged ip unshare)
scratch=/run/gpudeck-slurm-peer

outside() {
    [ $# -gt 0 ] || fail "no command given; usage: $0 CMD ARG..."
    [ "$(id -u)" = 0 ] || skip "a cluster of one's own needs root (namespaces, device nodes)"
    local program
    for program in "${needed[@]}"; do
        type -P "$program" > /dev/null ||
            skip "$program is not installed; apt-get install slurmctld slurmd slurm-client munge iproute2"
    done
    mkdir -p "$scratch"
    # --kill-child: whoever kills unshare kills the cluster's process 1, and with it every process inside.
    SLURM_PEER_STAGE=inside exec unshare --net --uts --mount --pid --fork --kill-child --mount-proc \
        --propagation private "$(readlink -f "$0")" "$@"
}

# slurmd finds its own address through the resolver, which passes over loopback: hence a veth pair that leads nowhere.
lay_out_network() {
    hostname gpu01
    ip link set lo up
    ip link add inner0 type veth peer name inner1
    ip addr add 10.213.0.1/30 dev inner0
    ip link set inner0 up
    ip link set inner1 up
    printf '127.0.0.1 localhost gpu01\n' > "$scratch/hosts"
    mount --bind "$scratch/hosts" /etc/hosts
}

# One processor core is enough; the GPUs are /dev/null under other names, which is all that gres.conf looks at.
write_configuration() {
    mkdir "$scratch"/{dev,log,run,spool,state}
    local minor
    for minor in 0 1 2 3; do mknod "$scratch/dev/nvidia$minor" c 1 3; done
    (umask 077 && head -c 256 /dev/urandom > "$scratch/munge.key")
    {
        echo "ClusterName=peer"
        echo "SlurmctldHost=gpu01(127.0.0.1)"
        echo "SlurmUser=root"
        echo "SlurmdUser=root"
        echo "AuthType=auth/munge"
        echo "CryptoType=crypto/munge"
        echo "AuthInfo=socket=$scratch/run/munge"
        echo "StateSaveLocation=$scratch/state"
        echo "SlurmdSpoolDir=$scratch/spool"
        echo "SlurmctldPidFile=$scratch/run/slurmctld.pid"
        echo "SlurmdPidFile=$scratch/run/slurmd.pid"
        # No accounting, no cgroups, no MPI: what a machine without systemd can run.
        echo "ProctrackType=proctrack/linuxproc"
        echo "TaskPlugin=task/none"
        echo "MpiDefault=none"
        echo "JobAcctGatherType=jobacct_gather/none"
        echo "AccountingStorageType=accounting_storage/none"
        echo "SelectType=select/cons_tres"
        echo "SelectTypeParameters=CR_Core"
        # The default scheduler looks every 30 s; tests do not wait that long.
        echo "SchedulerType=sched/builtin"
        echo "SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0"
        echo "ReturnToService=2"
        echo "SlurmdParameters=config_overrides"
        echo "GresTypes=gpu"
        echo "NodeName=gpu01 NodeAddr=127.0.0.1 CPUs=2 RealMemory=8000 Gres=gpu:h200:4 State=UNKNOWN"
        echo "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP"
    } > "$scratch/slurm.conf"
    echo "NodeName=gpu01 Name=gpu Type=h200 File=$scratch/dev/nvidia[0-3]" > "$scratch/gres.conf"
    printf 'CgroupAutomount=no\nCgroupPlugin=cgroup/v1\n' > "$scratch/cgroup.conf"
}

# await SECONDS WHAT TEST...: until TEST succeeds.
await() {
    local tries=$(($1 * 20)) what=$2
    shift 2
    while ! "$@"; do
        tries=$((tries - 1))
        if [ "$tries" -le 0 ]; then
            tail -n 15 "$scratch"/log/* >&2
            fail "$what"
        fi
        sleep 0.05
    done
}

node_is_idle() { [ "$(timeout 2 sinfo --noheader --format=%T 2> /dev/null)" = idle ]; }

start_daemons() {
    munged --foreground --force --num-threads=2 --key-file="$scratch/munge.key" --socket="$scratch/run/munge" \
        --pid-file="$scratch/run/munged.pid" --seed-file="$scratch/run/munge.seed" \
        --log-file="$scratch/log/munged" &> "$scratch/log/munged.out" &
    await 5 "munged did not open its socket" test -S "$scratch/run/munge"
    slurmctld -D &> "$scratch/log/slurmctld" &
    export SLURM_PEER_CTLD=$!
    slurmd -D -N gpu01 &> "$scratch/log/slurmd" &
    await 20 "gpu01 did not become idle" node_is_idle
}

inside() {
    export SLURM_CONF=$scratch/slurm.conf SLURM_PEER_DIR=$scratch
    unset SLURM_PEER_STAGE
    mount -t tmpfs -o mode=0755 slurm-peer "$scratch"
    lay_out_network
    write_configuration
    start_daemons
    # As process 1 this shell ends the namespace, and every daemon in it, by ending.
    local status=0
    "$@" || status=$?
    exit "$status"
}

if [ "${SLURM_PEER_STAGE:-outside}" = inside ]; then inside "$@"; else outside "$@"; fi

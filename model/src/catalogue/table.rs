//! The table itself, in sections by source; what NVML tells is in [`gpu`]. A line reads: name in code, name, entity kind,
//! kind, unit, recording quantum, column label, OpenMetrics name, meaning.

use super::{EntityKind, Kind, Metric, Unit};

const GAUGE: Kind = Kind::Gauge;
const COUNTER: Kind = Kind::Counter { wrap: None };
const COUNTER_32: Kind = Kind::Counter { wrap: Some(32) };
const STATE: Kind = Kind::State;
const INFO: Kind = Kind::Info;

macro_rules! catalogue {
    ($list:ident: $($id:ident $name:literal $entity:ident $kind:ident $unit:ident $quantum:literal $label:literal
        $openmetrics:literal $meaning:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $meaning, ".")]
            pub static $id: &Metric = &Metric {
                name: $name,
                entity: EntityKind::$entity,
                kind: $kind,
                unit: Unit::$unit,
                quantum: $quantum,
                label: $label,
                meaning: $meaning,
                openmetrics: concat!("gpudeck_", $openmetrics),
            };
        )*

        pub(in crate::catalogue::table) static $list: &[&Metric] = &[$($id),*];
    };
}

mod gpu;
pub use gpu::*;

// PCIe functions (sysfs, Linux Documentation/ABI/testing/sysfs-bus-pci and -devices-aer_stats).
catalogue! { PCIE:
    PCIE_SPEED "pcie.speed" Pci GAUGE GigatransfersPerSecond 0.0 "speed" "pcie_link_speed_gigatransfers"
        "Link speed now (current_link_speed); drops when idle";
    PCIE_SPEED_MAX "pcie.speed_max" Pci INFO GigatransfersPerSecond 0.0 "speed max" "pcie_link_speed_max_gigatransfers"
        "Highest link speed of this end (max_link_speed)";
    PCIE_WIDTH "pcie.width" Pci GAUGE Lanes 0.0 "width" "pcie_link_width_lanes"
        "Lanes in use now (current_link_width)";
    PCIE_WIDTH_MAX "pcie.width_max" Pci INFO Lanes 0.0 "width max" "pcie_link_width_max_lanes"
        "Most lanes of this end (max_link_width)";
    PCIE_SLOT_SPEED "pcie.slot_speed" Pci INFO GigatransfersPerSecond 0.0 "slot speed" "pcie_slot_speed_gigatransfers"
        "Highest link speed that both ends have";
    PCIE_SLOT_WIDTH "pcie.slot_width" Pci INFO Lanes 0.0 "slot width" "pcie_slot_width_lanes"
        "Most lanes that both ends have";
    PCIE_AER_CORRECTABLE "pcie.aer_correctable" Pci COUNTER None 0.0 "AER corr" "pcie_aer_correctable_errors"
        "Correctable errors that the device reported (TOTAL_ERR_COR)";
    PCIE_AER_NONFATAL "pcie.aer_nonfatal" Pci COUNTER None 0.0 "AER nonfatal" "pcie_aer_nonfatal_errors"
        "Uncorrectable errors from which the link survives (TOTAL_ERR_NONFATAL)";
    PCIE_AER_FATAL "pcie.aer_fatal" Pci COUNTER None 0.0 "AER fatal" "pcie_aer_fatal_errors"
        "Uncorrectable errors after which the link is not reliable (TOTAL_ERR_FATAL); many kernels count these at the root port only";
    PCIE_ROOT_CORRECTABLE "pcie.root_correctable" Pci COUNTER None 0.0 "root corr" "pcie_root_correctable_errors"
        "Correctable error messages at this root port (aer_rootport_total_err_cor)";
    PCIE_ROOT_NONFATAL "pcie.root_nonfatal" Pci COUNTER None 0.0 "root nonfatal" "pcie_root_nonfatal_errors"
        "Non-fatal error messages at this root port";
    PCIE_ROOT_FATAL "pcie.root_fatal" Pci COUNTER None 0.0 "root fatal" "pcie_root_fatal_errors"
        "Fatal error messages at this root port";
    PCIE_NAME "pcie.name" Pci INFO None 0.0 "device" "pcie_name"
        "Vendor and device name (pci.ids)";
    PCIE_CLASS "pcie.class" Pci INFO None 0.0 "class" "pcie_class"
        "PCI class: gpu, accelerator, infiniband, ethernet, nvme, nvswitch, bridge, other";
    PCIE_ID "pcie.id" Pci INFO None 0.0 "id" "pcie_id"
        "vendor:device, hexadecimal";
    PCIE_DRIVER "pcie.driver" Pci STATE None 0.0 "driver" "pcie_driver"
        "Kernel driver bound to it; empty when none";
    PCIE_POWER_STATE "pcie.power_state" Pci STATE None 0.0 "power" "pcie_power_state"
        "PCI power state: D0, D3hot, D3cold, unknown";
    PCIE_CONFIG_GONE "pcie.config_gone" Pci STATE None 0.0 "gone" "pcie_config_gone"
        "Configuration space reads all ones: the device does not answer";
}

// RDMA ports (sysfs, Linux Documentation/ABI/stable/sysfs-class-infiniband).
catalogue! { RDMA:
    RDMA_STATE "rdma.state" RdmaPort STATE None 0.0 "state" "rdma_state"
        "Logical state: down, init, armed, active";
    RDMA_PHYS_STATE "rdma.phys_state" RdmaPort STATE None 0.0 "phys" "rdma_physical_state"
        "Physical state: link_up, polling, disabled, …";
    RDMA_RATE "rdma.rate" RdmaPort GAUGE GigabitsPerSecond 0.0 "rate" "rdma_rate_gigabits_per_second"
        "Signalling rate";
    RDMA_LINK_LAYER "rdma.link_layer" RdmaPort INFO None 0.0 "layer" "rdma_link_layer"
        "InfiniBand or Ethernet";
    RDMA_NETDEV "rdma.netdev" RdmaPort INFO None 0.0 "netdev" "rdma_netdev"
        "Network interface of the port";
    RDMA_DRIVER "rdma.driver" RdmaPort INFO None 0.0 "driver" "rdma_driver"
        "Kernel driver of the device";
    RDMA_FIRMWARE "rdma.firmware" RdmaPort INFO None 0.0 "firmware" "rdma_firmware"
        "Firmware version of the adapter";
    RDMA_TX "rdma.tx" RdmaPort COUNTER Bytes 1_048_576.0 "tx" "rdma_transmit_bytes"
        "Bytes sent (port_xmit_data, which counts octets divided by 4, times 4)";
    RDMA_RX "rdma.rx" RdmaPort COUNTER Bytes 1_048_576.0 "rx" "rdma_receive_bytes"
        "Bytes received (port_rcv_data times 4)";
}

// FUSE and network mounts (mountinfo, fusectl: Linux Documentation/filesystems/fuse.rst) and cache providers.
catalogue! { FUSE:
    FUSE_TYPE "fuse.type" Mount INFO None 0.0 "type" "fuse_type"
        "File system type and subtype, as mountinfo has it";
    FUSE_SOURCE "fuse.source" Mount INFO None 0.0 "source" "fuse_source"
        "Source, as mountinfo has it";
    FUSE_PROVIDER "fuse.provider" Mount INFO None 0.0 "cache" "fuse_provider"
        "Whose cache statistics are read: juicefs, rclone, none";
    FUSE_WAITING "fuse.waiting" Mount GAUGE None 0.0 "waiting" "fuse_waiting_requests"
        "Requests that wait for the daemon (fusectl waiting)";
    FUSE_MAX_BACKGROUND "fuse.max_background" Mount INFO None 0.0 "max bg" "fuse_max_background_requests"
        "Background requests that the kernel lets wait";
    FUSE_STATE "fuse.state" Mount STATE None 0.0 "state" "fuse_state"
        "ok, hung (the daemon does not answer), congested, disconnected";
    FUSE_ANSWER_TIME "fuse.answer_time" Mount GAUGE Microseconds 10.0 "answer" "fuse_answer_microseconds"
        "Time that the last statfs or statistics read took";
    FUSE_HITS "fuse.cache_hits" Mount COUNTER None 0.0 "hits" "fuse_cache_hits"
        "Reads served from the cache";
    FUSE_MISSES "fuse.cache_misses" Mount COUNTER None 0.0 "misses" "fuse_cache_misses"
        "Reads that went to the remote";
    FUSE_HIT_BYTES "fuse.cache_hit_bytes" Mount COUNTER Bytes 65_536.0 "hit bytes" "fuse_cache_hit_bytes"
        "Bytes served from the cache";
    FUSE_MISS_BYTES "fuse.cache_miss_bytes" Mount COUNTER Bytes 65_536.0 "miss bytes" "fuse_cache_miss_bytes"
        "Bytes fetched from the remote";
    FUSE_HIT_RATIO "fuse.cache_hit_ratio" Mount GAUGE Percent 0.1 "hit ratio" "fuse_cache_hit_ratio_percent"
        "Share of bytes served from the cache over the last interval with traffic";
    FUSE_CACHE_BYTES "fuse.cache_bytes" Mount GAUGE Bytes 1_048_576.0 "cache" "fuse_cache_size_bytes"
        "Size of the cache";
    FUSE_CACHE_EVICTS "fuse.cache_evicts" Mount COUNTER None 0.0 "evicts" "fuse_cache_evicts"
        "Blocks thrown out of the cache";
    FUSE_REMOTE_ERRORS "fuse.remote_errors" Mount COUNTER None 0.0 "remote errors" "fuse_remote_errors"
        "Requests to the remote that failed";
    FUSE_UPTIME "fuse.uptime" Mount GAUGE Seconds 1.0 "uptime" "fuse_uptime_seconds"
        "How long the daemon has run";
}

// The host (procfs: proc(5), Linux Documentation/accounting/psi.rst).
catalogue! { HOST:
    HOST_CPU "host.cpu" Node GAUGE Percent 0.1 "CPU" "host_cpu_percent"
        "Share of all CPUs in use over the last interval";
    HOST_CPUS "host.cpus" Node INFO None 0.0 "CPUs" "host_cpus"
        "CPUs online";
    HOST_IOWAIT "host.iowait" Node GAUGE Percent 0.1 "iowait" "host_iowait_percent"
        "Share of CPU time idle with I/O outstanding";
    HOST_LOAD1 "host.load1" Node GAUGE None 0.01 "load" "host_load1"
        "Load average over one minute";
    HOST_MEM_TOTAL "host.mem_total" Node INFO Bytes 0.0 "mem total" "host_memory_total_bytes"
        "Memory installed";
    HOST_MEM_AVAILABLE "host.mem_available" Node GAUGE Bytes 1_048_576.0 "mem avail" "host_memory_available_bytes"
        "Memory that can be given out without swapping";
    HOST_MEM_USED "host.mem_used_percent" Node GAUGE Percent 0.1 "mem" "host_memory_used_percent"
        "Share of memory that is not available";
    HOST_SWAP_USED "host.swap_used" Node GAUGE Bytes 1_048_576.0 "swap" "host_swap_used_bytes"
        "Swap in use";
    HOST_PSI_CPU "host.psi_cpu" Node GAUGE Percent 0.01 "PSI cpu" "host_pressure_cpu_percent"
        "Share of the last 10 s in which some task waited for a CPU";
    HOST_PSI_MEMORY "host.psi_memory" Node GAUGE Percent 0.01 "PSI mem" "host_pressure_memory_percent"
        "Share of the last 10 s in which some task waited for memory";
    HOST_PSI_MEMORY_FULL "host.psi_memory_full" Node GAUGE Percent 0.01 "PSI mem full" "host_pressure_memory_full_percent"
        "Share of the last 10 s in which every task waited for memory";
    HOST_PSI_IO "host.psi_io" Node GAUGE Percent 0.01 "PSI io" "host_pressure_io_percent"
        "Share of the last 10 s in which some task waited for I/O";
    HOST_PSI_IO_FULL "host.psi_io_full" Node GAUGE Percent 0.01 "PSI io full" "host_pressure_io_full_percent"
        "Share of the last 10 s in which every task waited for I/O";
    HOST_SHM_TOTAL "host.shm_total" Node INFO Bytes 0.0 "shm total" "host_shm_total_bytes"
        "Size of /dev/shm";
    HOST_SHM_USED "host.shm_used" Node GAUGE Bytes 65_536.0 "shm" "host_shm_used_bytes"
        "Bytes in /dev/shm";
    HOST_SHM_PERCENT "host.shm_percent" Node GAUGE Percent 0.1 "shm" "host_shm_used_percent"
        "Share of /dev/shm in use";
    HOST_TCP_SEGMENTS "host.tcp_segments" Node COUNTER None 256.0 "tcp out" "host_tcp_segments_sent"
        "TCP segments sent (snmp OutSegs)";
    HOST_TCP_RETRANSMITS "host.tcp_retransmits" Node COUNTER None 0.0 "tcp retrans" "host_tcp_retransmits"
        "TCP segments sent again (snmp RetransSegs)";
    HOST_BLOCKED "host.blocked_tasks" Node GAUGE None 0.0 "D state" "host_blocked_tasks"
        "Tasks in uninterruptible sleep for two samples in a row";
    HOST_OOM_KILLS "host.oom_kills" Node COUNTER None 0.0 "oom kills" "host_oom_kills"
        "Processes killed for lack of memory (vmstat oom_kill)";
    HOST_UPTIME "host.uptime" Node GAUGE Seconds 1.0 "uptime" "host_uptime_seconds"
        "Time since boot";
    HOST_KERNEL "host.kernel" Node INFO None 0.0 "kernel" "host_kernel"
        "Kernel release";
    HOST_NAME "host.name" Node INFO None 0.0 "host" "host_name"
        "Name of the host (hostname(7))";
}

// Processes on the GPUs (proc(5), cgroups(7)).
catalogue! { PROCESS:
    PROCESS_GPU_MEM "process.gpu_mem" Process GAUGE Bytes 1_048_576.0 "GPU mem" "process_gpu_memory_bytes"
        "GPU memory of the process over all its GPUs";
    PROCESS_COMMAND "process.command" Process INFO None 0.0 "command" "process_command"
        "Name of the process (comm)";
    PROCESS_USER "process.user" Process INFO None 0.0 "user" "process_user"
        "User it runs as";
    PROCESS_CONTAINER "process.container" Process INFO None 0.0 "container" "process_container"
        "Container that its control group names";
    PROCESS_POD "process.pod" Process INFO None 0.0 "pod" "process_pod"
        "Kubernetes pod UID that its control group names";
    PROCESS_JOB "process.job" Process INFO None 0.0 "job" "process_job"
        "Slurm job that its control group or environment names";
    PROCESS_STATE "process.state" Process STATE None 0.0 "state" "process_state"
        "R running, S sleeping, D uninterruptible, Z zombie, T stopped";
    PROCESS_WCHAN "process.wchan" Process STATE None 0.0 "waits in" "process_wait_channel"
        "Kernel function that a process in D state waits in";
    PROCESS_RSS "process.rss" Process GAUGE Bytes 1_048_576.0 "RSS" "process_resident_bytes"
        "Host memory in use";
    PROCESS_CPU "process.cpu" Process GAUGE Percent 0.1 "CPU" "process_cpu_percent"
        "CPU use in per cent of one CPU";
    PROCESS_NUMA_FAR "process.numa_far" Process STATE None 0.0 "far" "process_numa_far"
        "Whether it may only run on CPUs of another NUMA node than its GPU";
}

// gpudeck's own probes.
catalogue! { PROBE:
    PROBE_STATE "probe.state" Probe STATE None 0.0 "state" "probe_state"
        "ok, stuck, crashed, denied, missing, degraded";
    PROBE_TOOK "probe.took" Probe GAUGE Microseconds 100.0 "took" "probe_duration_microseconds"
        "Time that the last reading took";
    PROBE_FAULTS "probe.faults" Probe GAUGE None 0.0 "faults" "probe_faults"
        "Calls that failed in the last reading";
    PROBE_SLOWEST "probe.slowest" Probe GAUGE Microseconds 100.0 "slowest" "probe_slowest_call_microseconds"
        "Time that the slowest call of the last reading took";
    PROBE_LOST_RECORDS "probe.lost_records" Probe COUNTER None 0.0 "lost" "probe_lost_records"
        "Records that were overwritten before they could be read";
    PROBE_CPU "probe.cpu" Probe GAUGE Percent 0.1 "CPU" "probe_cpu_percent"
        "CPU use of the worker in per cent of one CPU";
    PROBE_RSS "probe.rss" Probe GAUGE Bytes 262_144.0 "RSS" "probe_resident_bytes"
        "Memory of the worker";
}

// Families: names that a driver or the kernel makes up; the first that fits.
catalogue! { FAMILY:
    RDMA_COUNTER_PACKETS "rdma.counter.*_packets" RdmaPort COUNTER None 256.0 "" "rdma_counter_packets"
        "Packets of one kind, sent or received, by the file below ports/N/counters";
    RDMA_COUNTER_DATA "rdma.counter.*_data" RdmaPort COUNTER None 262_144.0 "" "rdma_counter_data"
        "Data sent or received in units of 4 octets, by the file below ports/N/counters";
    RDMA_COUNTER "rdma.counter.*" RdmaPort COUNTER None 0.0 "" "rdma_counter"
        "A file below ports/N/counters, by its own name";
    RDMA_HW "rdma.hw.*" RdmaPort COUNTER_32 None 0.0 "" "rdma_hw_counter"
        "A file below ports/N/hw_counters, by its own name; mlx5 queue counters are 32 bits wide";
    PCIE_AER "pcie.aer.*" Pci COUNTER None 0.0 "" "pcie_aer"
        "One kind of AER error of the device, by the kernel's name for it";
}

/// Every metric by section, in the order of the table.
pub static SECTIONS: &[&[&Metric]] = &[NVML_GPU, NVML_FACTS, NVLINK, MIG, PCIE, RDMA, FUSE, HOST, PROCESS, PROBE];

/// Families of names, each ending in `*`.
pub static FAMILIES: &[&Metric] = FAMILY;

//! A node made of files. The layout follows Linux' `Documentation/ABI/testing/sysfs-bus-pci`,
//! `Documentation/ABI/stable/sysfs-class-infiniband` and proc(5); values are those of an eight-GPU server.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::mono_ns;

/// The buses at which the simulated driver places its GPUs, in its order.
const GPU_BUSES: [u8; 8] = [0x1b, 0x43, 0x52, 0x61, 0x9d, 0xc3, 0xd1, 0xdf];

/// A GPU's place: its own address and that of the root port above it.
#[derive(Clone, Debug)]
pub struct GpuSlot {
    /// `0000:1b:00.0`
    pub address: String,
    /// `0000:1a:01.0`
    pub port: String,
}

/// An adapter's place.
#[derive(Clone, Debug)]
pub struct Adapter {
    /// `mlx5_0`
    pub device: String,
    /// Its address.
    pub address: String,
}

/// A node made of files, deleted when dropped.
#[derive(Debug)]
pub struct Sysroot {
    directory: TempDir,
    sequence: std::sync::atomic::AtomicU64,
}

impl Sysroot {
    /// A node with this host name and nothing on its buses.
    pub fn new(host: &str) -> Self {
        let root = Self { directory: TempDir::new().expect("a temporary directory"), sequence: 0.into() };
        for (path, text) in [
            ("proc/sys/kernel/hostname", host),
            ("proc/sys/kernel/osrelease", "6.8.0-60-generic"),
            ("proc/sys/kernel/random/boot_id", "6f1c3f0e-5a58-4f0e-9f3c-2f8f5d0a7b11"),
            ("proc/stat", &stat_since_boot()),
            ("proc/meminfo", include_str!("../data/proc-meminfo.txt")),
            ("proc/vmstat", "pgmajfault 88512\noom_kill 0\n"),
            ("proc/loadavg", "41.07 40.88 40.12 43/4127 918231\n"),
            ("proc/uptime", "1209600.00 98765432.10\n"),
            ("proc/pressure/cpu", "some avg10=0.40 avg60=0.35 avg300=0.31 total=91234567\n"),
            ("proc/pressure/memory", PRESSURE),
            ("proc/pressure/io", PRESSURE),
            ("proc/net/snmp", include_str!("../data/proc-net-snmp.txt")),
            ("proc/self/mountinfo", "22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p2 rw\n"),
            ("sys/devices/system/node/node0/cpulist", "0-55,112-167\n"),
            ("sys/devices/system/node/node1/cpulist", "56-111,168-223\n"),
        ] {
            root.write(path, text);
        }
        root.write("dev/kmsg", "");
        fs::create_dir_all(root.path("sys/bus/pci/devices")).expect("writable");
        root
    }

    /// A node with eight GPUs where the simulated driver has them, each below a root port of its own, and four
    /// InfiniBand adapters.
    pub fn hgx(host: &str) -> Self {
        let root = Self::new(host);
        root.write("sys/module/nvidia/version", "570.124.06\n");
        for index in 0..GPU_BUSES.len() {
            root.add_gpu(index);
        }
        for index in 0..4 {
            root.add_adapter(index);
        }
        root
    }

    /// The directory for `--root`.
    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    /// A file of the node.
    pub fn path(&self, relative: &str) -> PathBuf {
        self.root().join(relative.trim_start_matches('/'))
    }

    /// Writes a file of the node.
    pub fn write(&self, relative: &str, text: &str) {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().expect("files lie in directories")).expect("writable");
        // A reader must never see half a file: sysfs files change at once.
        let fresh = path.with_extension("fresh");
        fs::write(&fresh, text).expect("writable");
        fs::rename(&fresh, &path).expect("writable");
    }

    /// Removes a file or a directory of the node.
    pub fn remove(&self, relative: &str) {
        let path = self.path(relative);
        if path.is_dir() && !path.is_symlink() {
            fs::remove_dir_all(path).expect("removable");
        } else {
            fs::remove_file(path).expect("removable");
        }
    }

    /// Appends a record to the kernel log as the kernel itself writes it: facility 0, the next sequence number, now.
    pub fn kernel_says(&self, priority: u8, text: &str) {
        self.log(u32::from(priority), text);
    }

    /// Appends a record as it looks when user space has written it: facility 1.
    pub fn user_says(&self, priority: u8, text: &str) {
        self.log(8 | u32::from(priority), text);
    }

    fn log(&self, prefix: u32, text: &str) {
        let sequence = self.sequence.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 4_000;
        let record = format!("{prefix},{sequence},{},-;{text}\n", mono_ns() / 1_000);
        let mut log = OpenOptions::new().append(true).open(self.path("dev/kmsg")).expect("the log is there");
        log.write_all(record.as_bytes()).expect("writable");
    }

    /// Where the GPU of this index sits.
    pub fn gpu(&self, index: usize) -> GpuSlot {
        let bus = GPU_BUSES[index];
        GpuSlot { address: format!("0000:{bus:02x}:00.0"), port: format!("0000:{:02x}:01.0", bus - 1) }
    }

    /// The directory of a GPU, or of the root port above it, relative to the root.
    pub fn gpu_directory(&self, index: usize) -> String {
        let slot = self.gpu(index);
        format!("{}/{}", self.port_directory(index), slot.address)
    }

    /// The directory of the root port above a GPU.
    pub fn port_directory(&self, index: usize) -> String {
        let slot = self.gpu(index);
        format!("sys/devices/pci0000:{:02x}/{}", GPU_BUSES[index] - 1, slot.port)
    }

    fn add_gpu(&self, index: usize) {
        let numa = usize::from(index >= 4);
        let port = self.port_directory(index);
        let gpu = self.gpu_directory(index);
        self.add_function(&port, "0x8086", "0x352a", "0x060400", numa, Some(("32.0 GT/s PCIe", "16")));
        for (name, count) in [("cor", "0"), ("nonfatal", "0"), ("fatal", "0")] {
            self.write(&format!("{port}/aer_rootport_total_err_{name}"), &format!("{count}\n"));
        }
        self.add_function(&gpu, "0x10de", "0x2330", "0x030200", numa, Some(("32.0 GT/s PCIe", "16")));
        self.bind(&gpu, "nvidia");
        let address = self.gpu(index).address;
        let information =
            format!("Model: \t\t NVIDIA H100 80GB HBM3\nBus Location: \t {address}\nDevice Minor: \t {index}\n");
        self.write(&format!("proc/driver/nvidia/gpus/{address}/information"), &information);
        self.bind(&port, "pcieport");
    }

    fn add_adapter(&self, index: usize) -> Adapter {
        let numa = index / 2;
        let bus = 0x29 + 0x10 * u8::try_from(index).expect("few adapters");
        let address = format!("0000:{bus:02x}:00.1");
        let device = format!("mlx5_{index}");
        let function = format!("sys/devices/pci0000:{0:02x}/0000:{0:02x}:01.0/{address}", bus - 1);
        self.add_function(&function, "0x15b3", "0x1021", "0x020700", numa, Some(("32.0 GT/s PCIe", "16")));
        self.bind(&function, "mlx5_core");
        let infiniband = format!("{function}/infiniband/{device}");
        let port = format!("{infiniband}/ports/1");
        for (path, text) in [
            (format!("{infiniband}/fw_ver"), "28.41.1000"),
            (format!("{infiniband}/hca_type"), "MT4129"),
            (format!("{infiniband}/board_id"), "MT_0000000838"),
            (format!("{port}/state"), "4: ACTIVE"),
            (format!("{port}/phys_state"), "5: LinkUp"),
            (format!("{port}/rate"), "400 Gb/sec (4X NDR)"),
            (format!("{port}/link_layer"), "InfiniBand"),
        ] {
            self.write(&path, &format!("{text}\n"));
        }
        for name in COUNTERS {
            self.write(&format!("{port}/counters/{name}"), "0\n");
        }
        for name in HW_COUNTERS {
            self.write(&format!("{port}/hw_counters/{name}"), "0\n");
        }
        symlink(format!("../../../{address}"), self.path(&format!("{infiniband}/device"))).expect("writable");
        fs::create_dir_all(self.path("sys/class/infiniband")).expect("writable");
        let target = format!("../../{}", infiniband.trim_start_matches("sys/"));
        symlink(target, self.path(&format!("sys/class/infiniband/{device}"))).expect("writable");
        Adapter { device, address }
    }

    /// The directory of an adapter's only port, relative to the root.
    pub fn adapter_port(&self, index: usize) -> String {
        format!("sys/class/infiniband/mlx5_{index}/ports/1")
    }

    fn add_function(
        &self,
        directory: &str,
        vendor: &str,
        device: &str,
        class: &str,
        numa: usize,
        link: Option<(&str, &str)>,
    ) {
        for (name, text) in
            [("vendor", vendor), ("device", device), ("class", class), ("power_state", "D0"), ("enable", "1")]
        {
            self.write(&format!("{directory}/{name}"), &format!("{text}\n"));
        }
        self.write(&format!("{directory}/numa_node"), &format!("{numa}\n"));
        self.write(
            &format!("{directory}/local_cpulist"),
            if numa == 0 { "0-55,112-167\n" } else { "56-111,168-223\n" },
        );
        let mut config = vec![0u8; 64];
        let id = |text: &str| u16::from_str_radix(text.trim_start_matches("0x"), 16).expect("an id").to_le_bytes();
        config[..2].copy_from_slice(&id(vendor));
        config[2..4].copy_from_slice(&id(device));
        fs::write(self.path(&format!("{directory}/config")), config).expect("writable");
        if let Some((speed, width)) = link {
            for (name, text) in [
                ("current_link_speed", speed),
                ("max_link_speed", speed),
                ("current_link_width", width),
                ("max_link_width", width),
            ] {
                self.write(&format!("{directory}/{name}"), &format!("{text}\n"));
            }
        }
        self.set_aer(directory, "correctable", &[]);
        self.set_aer(directory, "nonfatal", &[]);
        self.set_aer(directory, "fatal", &[]);
        let address = directory.rsplit('/').next().expect("directories have names");
        let target = format!("../../../{}", directory.trim_start_matches("sys/"));
        symlink(target, self.path(&format!("sys/bus/pci/devices/{address}"))).expect("writable");
    }

    fn bind(&self, directory: &str, driver: &str) {
        fs::create_dir_all(self.path(&format!("sys/bus/pci/drivers/{driver}"))).expect("writable");
        let up = "../".repeat(directory.split('/').count() - 1);
        symlink(format!("{up}bus/pci/drivers/{driver}"), self.path(&format!("{directory}/driver"))).expect("writable");
    }

    /// A process that holds these GPUs, in a Slurm job and a container, run by uid 1000.
    pub fn add_process(&self, pid: u32, command: &str, job: u32, gpus: std::ops::Range<usize>) {
        let cgroup = format!("0::/system.slice/slurmstepd.scope/job_{job}/step_0/user/task_0\n");
        let numbers = "0 ".repeat(12);
        for (name, text) in [
            ("comm", format!("{command}\n")),
            ("cgroup", cgroup),
            (
                "stat",
                format!("{pid} ({command}) R 1 {pid} {pid} 0 -1 4194560 {numbers}120960000 34359738368 2097152\n"),
            ),
            ("statm", "8388608 2097152 65536 1024 0 2162688 0\n".to_owned()),
            (
                "status",
                format!(
                    "Name:\t{command}\nState:\tR (running)\nPid:\t{pid}\nUid:\t1000\t1000\t1000\t1000\n\
                     Cpus_allowed_list:\t0-223\nVmRSS:\t 8388608 kB\n"
                ),
            ),
            ("cmdline", format!("{command}\0train.py\0")),
        ] {
            self.write(&format!("proc/{pid}/{name}"), &text);
        }
        fs::create_dir_all(self.path(&format!("proc/{pid}/fd"))).expect("writable");
        for (fd, gpu) in gpus.enumerate() {
            let link = self.path(&format!("proc/{pid}/fd/{}", fd + 10));
            symlink(format!("/dev/nvidia{gpu}"), link).expect("writable");
        }
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/bash\nmaria:x:1000:1000::/home/maria:/bin/bash\n");
    }

    /// Sets a device's AER counts of one severity; names not given are 0.
    pub fn set_aer(&self, directory: &str, severity: &str, counts: &[(&str, u64)]) {
        let (names, total): (&[&str], &str) = match severity {
            "correctable" => (
                &["RxErr", "BadTLP", "BadDLLP", "Rollover", "Timeout", "NonFatalErr", "CorrIntErr", "HeaderOF"],
                "TOTAL_ERR_COR",
            ),
            "nonfatal" => (UNCORRECTABLE, "TOTAL_ERR_NONFATAL"),
            _ => (UNCORRECTABLE, "TOTAL_ERR_FATAL"),
        };
        let count = |name: &str| counts.iter().find(|(known, _)| *known == name).map_or(0, |(_, count)| *count);
        let mut text: String = names.iter().map(|name| format!("{name} {}\n", count(name))).collect();
        text.push_str(&format!("{total} {}\n", counts.iter().map(|(_, count)| count).sum::<u64>()));
        self.write(&format!("{directory}/aer_dev_{severity}"), &text);
    }
}

/// `/proc/stat` with the boot time of this machine, by whose clock the records of the log are stamped.
fn stat_since_boot() -> String {
    let real = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
    let up = i64::try_from(mono_ns() / 1_000_000_000).expect("seconds since boot fit");
    let lines = include_str!("../data/proc-stat.txt").lines();
    let told = lines.map(|line| match line.split_once(' ') {
        Some(("btime", _)) => format!("btime {}\n", real - up),
        _ => format!("{line}\n"),
    });
    told.collect()
}

const PRESSURE: &str =
    "some avg10=0.00 avg60=0.02 avg300=0.01 total=812345\nfull avg10=0.00 avg60=0.01 avg300=0.00 total=512345\n";

const UNCORRECTABLE: &[&str] = &[
    "Undefined",
    "DLP",
    "SDES",
    "TLP",
    "FCP",
    "CmpltTO",
    "CmpltAbrt",
    "UnxCmplt",
    "RxOF",
    "MalfTLP",
    "ECRC",
    "UnsupReq",
    "ACSViol",
    "UncorrIntErr",
    "BlockedTLP",
    "AtomicOpBlocked",
    "TLPBlockedErr",
    "PoisonTLPBlocked",
];

const COUNTERS: &[&str] = &[
    "port_xmit_data",
    "port_rcv_data",
    "port_xmit_packets",
    "port_rcv_packets",
    "symbol_error",
    "link_error_recovery",
    "link_downed",
    "port_rcv_errors",
    "port_rcv_remote_physical_errors",
    "local_link_integrity_errors",
    "excessive_buffer_overrun_errors",
    "port_xmit_discards",
    "port_xmit_wait",
    "VL15_dropped",
];

const HW_COUNTERS: &[&str] = &[
    "duplicate_request",
    "implied_nak_seq_err",
    "local_ack_timeout_err",
    "out_of_buffer",
    "out_of_sequence",
    "packet_seq_err",
    "req_cqe_error",
    "req_cqe_flush_error",
    "resp_cqe_error",
    "rnr_nak_retry_err",
    "roce_adp_retrans",
    "rx_icrc_encapsulated",
    "rx_read_requests",
    "rx_write_requests",
    "lifespan",
];

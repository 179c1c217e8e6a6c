//! Records the replay fixtures anew: `make-fixtures DIRECTORY [NAME…]`.
//!
//! Each is made by running the built `gpudeck record` on a node made of files, with a simulated driver that plays a
//! scenario, kernel records as the kernel writes them, and where the fixture says so a real FUSE mount whose daemon is
//! stopped. What it should be diagnosed as stands in `truth.toml` beside it, written by hand from how it was made.

#![allow(clippy::expect_used, clippy::exit, reason = "a maker of test data: it stops with a message")]
#![allow(clippy::print_stdout, reason = "it tells what it makes")]

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use testbed::{CacheFs, Deck, Sysroot, mono_ns};

/// A fixture: its name, how long it is recorded, what the driver plays, what happens on the node.
struct Fixture {
    name: &'static str,
    seconds: u64,
    gpus: usize,
    /// With a real FUSE mount.
    mount: bool,
    scenario: &'static str,
    happens: fn(&Stage),
}

/// The node while it is being recorded.
struct Stage {
    node: Sysroot,
    files: Option<CacheFs>,
    began: u64,
    gpus: usize,
}

impl Stage {
    /// Waits until so many seconds after the beginning.
    fn at(&self, seconds: f64) {
        let goal = self.began + Duration::from_secs_f64(seconds).as_nanos().try_into().unwrap_or(0);
        thread::sleep(Duration::from_nanos(goal.saturating_sub(mono_ns())));
    }

    /// `PCI:0000:61:00`, as the driver writes a GPU's place.
    fn place(&self, gpu: usize) -> String {
        self.node.gpu(gpu).address.trim_end_matches(".0").to_owned()
    }

    /// The kernel says a line of the NVIDIA driver's.
    fn xid(&self, gpu: usize, rest: &str) {
        self.node.kernel_says(3, &format!("NVRM: Xid (PCI:{}): {rest}", self.place(gpu)));
    }
}

const TRAINING: &str = r#"
[[process]]
pid = 918231
memory_mib = 70144
"#;

const FIXTURES: &[Fixture] = &[
    Fixture {
        name: "xid79-fell-off",
        seconds: 36,
        gpus: 8,
        mount: false,
        scenario: r#"
            [[fault]]
            at = 18.0
            gpu = 3
            kind = "xid"
            code = 79
            [[fault]]
            at = 18.05
            gpu = 3
            kind = "gpu_lost"
            [[load]]
            profile = "idle"
            from = 20.0
        "#,
        happens: |stage| {
            let node = &stage.node;
            stage.at(17.9);
            fs::write(node.path(&format!("{}/config", node.gpu_directory(3))), [0xff; 64]).expect("writable");
            stage.at(18.0);
            stage.xid(3, "79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.");
            node.kernel_says(3, &format!("NVRM: GPU {}: GPU has fallen off the bus.", node.gpu(3).address));
            stage.xid(3, "154, pid='<unknown>', name=<unknown>, GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)");
            stage.at(18.4);
            for gpu in [0, 1, 2, 4, 5, 6, 7] {
                stage
                    .xid(gpu, "45, pid=918231, name=python, Ch 00000008, errorString CTX SWITCH TIMEOUT, Info 0x3c01c");
            }
        },
    },
    Fixture {
        name: "pcie-surprise-down",
        seconds: 30,
        gpus: 4,
        mount: false,
        scenario: r#"
            [[fault]]
            at = 14.05
            gpu = 3
            kind = "gpu_lost"
            [[load]]
            profile = "idle"
            from = 16.0
        "#,
        happens: |stage| {
            let node = &stage.node;
            let port = node.gpu(3).port;
            stage.at(13.6);
            node.kernel_says(
                4,
                &format!(
                    "pcieport {port}: AER: Uncorrectable (Fatal) error message received from {}",
                    node.gpu(3).address
                ),
            );
            node.kernel_says(3, &format!("pcieport {port}: PCIe Bus Error: severity=Uncorrectable (Fatal), type=Transaction Layer, (Receiver ID)"));
            node.kernel_says(3, &format!("pcieport {port}:   device [8086:352a] error status/mask=00000020/00100000"));
            node.kernel_says(3, &format!("pcieport {port}:    [ 5] SDES                   (First)"));
            node.write(&format!("{}/aer_rootport_total_err_fatal", node.port_directory(3)), "1\n");
            fs::write(node.path(&format!("{}/config", node.gpu_directory(3))), [0xff; 64]).expect("writable");
            stage.at(14.0);
            stage.xid(3, "79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.");
            node.kernel_says(3, &format!("NVRM: GPU {}: GPU has fallen off the bus.", node.gpu(3).address));
        },
    },
    Fixture {
        name: "xid48-row-remap",
        seconds: 30,
        gpus: 4,
        mount: false,
        scenario: r#"
            [[fault]]
            at = 12.0
            gpu = 2
            kind = "ecc"
            uncorrected = 1
            [[fault]]
            at = 12.0
            gpu = 2
            kind = "remap"
            uncorrectable = 1
            pending = true
            [[fault]]
            at = 12.2
            gpu = 2
            kind = "recovery_action"
            action = "drain_and_reset"
        "#,
        happens: |stage| {
            stage.at(12.0);
            stage.xid(2, "48, pid='<unknown>', name=<unknown>, An uncorrectable double bit error (DBE) has been detected on GPU in the framebuffer at partition 6, subpartition 0.");
            stage.at(12.05);
            stage.xid(
                2,
                "63, pid=918231, name=python, Row Remapper: New row marked for remapping, reset gpu to activate.",
            );
            stage.xid(2, "94, pid=918231, name=python, Contained: CE User Channel (0x9). RST: No, D-RST: No");
            stage.at(12.3);
            stage.xid(2, "154, pid='<unknown>', name=<unknown>, GPU recovery action changed from 0x0 (None) to 0x4 (Drain and Reset)");
        },
    },
    Fixture {
        name: "xid13-application",
        seconds: 24,
        gpus: 2,
        mount: false,
        scenario: r#"
            [[fault]]
            at = 10.0
            gpu = 1
            kind = "xid"
            code = 13
            [[load]]
            profile = "idle"
            from = 11.0
        "#,
        happens: |stage| {
            stage.at(10.0);
            stage.xid(
                1,
                "13, pid=918231, name=python, Graphics SM Warp Exception on (GPC 2, TPC 1, SM 0): Out Of Range Address",
            );
            stage.xid(1, "13, pid=918231, name=python, Graphics Exception: ESR 0x515e48=0x11000e 0x515e50=0x20 0x515e44=0xd3eff2 0x515e4c=0x17f");
            stage.at(10.1);
            stage.xid(1, "43, pid=918231, name=python, Ch 00000008");
        },
    },
    Fixture {
        name: "thermal-slowdown",
        seconds: 40,
        gpus: 4,
        mount: false,
        scenario: r#"
            [[fault]]
            at = 8.0
            gpu = 1
            kind = "temperature"
            offset = 45
            [[fault]]
            at = 14.0
            gpu = 1
            kind = "throttle"
            reason = ["hw_slowdown", "hw_thermal"]
            clock = 0.45
        "#,
        happens: |_| {},
    },
    Fixture {
        name: "nvlink-down",
        seconds: 30,
        gpus: 4,
        mount: false,
        scenario: r#"
            [[fault]]
            at = 12.0
            gpu = 2
            kind = "nvlink_down"
            link = 14
            [[fault]]
            at = 12.0
            gpu = 2
            kind = "xid"
            code = 74
            [[fault]]
            at = 10.0
            for = 2.0
            gpu = 2
            kind = "nvlink_errors"
            link = 14
            replay = 40
            crc = 900
        "#,
        happens: |stage| {
            stage.at(12.0);
            stage.xid(2, "74, pid='<unknown>', name=<unknown>, NVLink: fatal error detected on link 14(0x0, 0x0, 0x10000, 0x0, 0x0, 0x0, 0x0)");
            stage.at(12.2);
            stage.xid(2, "45, pid=918231, name=python, Ch 00000012 caused by previous Xid 74");
        },
    },
    Fixture {
        name: "driver-call-hangs",
        seconds: 34,
        gpus: 4,
        mount: false,
        scenario: r#"
            [[fault]]
            at = 10.0
            for = 60.0
            gpu = 1
            kind = "hang"
            call = "*"
        "#,
        happens: |stage| {
            stage.at(16.0);
            stage.xid(1, "119, pid=918231, name=python, Timeout after 6s of waiting for RPC response from GPU1 GSP! Expected function 76 (GSP_RM_CONTROL) (0x20801702 0x4).");
            stage.at(22.0);
            stage.xid(1, "119, pid=2211, name=nvidia-smi, Timeout after 6s of waiting for RPC response from GPU1 GSP! Expected function 76 (GSP_RM_CONTROL) (0x2080110b 0x4).");
        },
    },
    Fixture {
        name: "pcie-link-degraded",
        seconds: 52,
        gpus: 4,
        mount: false,
        scenario: r#"
            [[fault]]
            at = 10.0
            gpu = 0
            kind = "pcie_width"
            width = 8
            [[fault]]
            at = 6.0
            gpu = 0
            kind = "pcie_replay"
            rate = 25
        "#,
        happens: |stage| {
            let node = &stage.node;
            let (gpu, port) = (node.gpu_directory(0), node.port_directory(0));
            for tick in 0..44u64 {
                stage.at(6.0 + f64::from(u32::try_from(tick).unwrap_or(0)));
                let errors = (tick + 1) * 40;
                node.set_aer(&port, "correctable", &[("RxErr", errors), ("BadTLP", errors / 4)]);
                node.write(&format!("{port}/aer_rootport_total_err_cor"), &format!("{}\n", errors + errors / 4));
                if tick == 1 {
                    let address = node.gpu(0).port;
                    node.kernel_says(
                        4,
                        &format!(
                            "pcieport {address}: AER: Multiple Correctable error message received from {}",
                            node.gpu(0).address
                        ),
                    );
                    node.kernel_says(4, &format!("pcieport {address}: PCIe Bus Error: severity=Correctable, type=Physical Layer, (Receiver ID)"));
                    node.kernel_says(4, &format!("pcieport {address}:    [ 0] RxErr                  (First)"));
                }
                if tick == 4 {
                    for directory in [&gpu, &port] {
                        node.write(&format!("{directory}/current_link_width"), "8\n");
                    }
                }
            }
        },
    },
    Fixture {
        name: "rdma-link-down",
        seconds: 30,
        gpus: 2,
        mount: false,
        scenario: "",
        happens: |stage| {
            let node = &stage.node;
            let port = node.adapter_port(1);
            for tick in 0..12u64 {
                stage.at(1.0 + f64::from(u32::try_from(tick).unwrap_or(0)));
                for index in 0..4 {
                    let words = (tick + 1) * 11_000_000_000;
                    node.write(&format!("{}/counters/port_xmit_data", node.adapter_port(index)), &format!("{words}\n"));
                    node.write(&format!("{}/counters/port_rcv_data", node.adapter_port(index)), &format!("{words}\n"));
                }
                if tick > 6 {
                    node.write(&format!("{port}/counters/symbol_error"), &format!("{}\n", (tick - 6) * 31));
                }
            }
            stage.at(13.0);
            node.write(&format!("{port}/state"), "1: DOWN\n");
            node.write(&format!("{port}/phys_state"), "2: Polling\n");
            node.write(&format!("{port}/counters/link_downed"), "1\n");
            node.kernel_says(
                4,
                "mlx5_core 0000:39:00.1: Port module event[error]: module 1, Cable error, Bad or shorted cable/module",
            );
            node.kernel_says(6, "mlx5_core 0000:39:00.1 ibs1: Link down");
        },
    },
    Fixture {
        name: "fuse-daemon-hangs",
        seconds: 34,
        gpus: 1,
        mount: true,
        scenario: "",
        happens: |stage| {
            let files = stage.files.as_ref().expect("mounted before the recording began");
            for tick in 0..8u32 {
                stage.at(2.0 + f64::from(tick));
                files.read(u64::from(tick % 4 + 1) << 20);
            }
            stage.at(12.0);
            files.stop();
            stage.at(30.0);
            files.go_on();
            stage.at(33.0);
        },
    },
    Fixture {
        name: "host-out-of-memory",
        seconds: 24,
        gpus: 1,
        mount: false,
        scenario: "",
        happens: |stage| {
            let node = &stage.node;
            stage.at(6.0);
            let meminfo = fs::read_to_string(node.path("proc/meminfo")).expect("readable");
            let total: u64 = meminfo.split_whitespace().nth(1).and_then(|word| word.parse().ok()).expect("MemTotal");
            let tight: String = meminfo
                .lines()
                .map(|line| match line.split_once(':') {
                    Some(("MemAvailable", _)) => format!("MemAvailable: {} kB\n", total / 100),
                    _ => format!("{line}\n"),
                })
                .collect();
            node.write("proc/meminfo", &tight);
            node.write("proc/pressure/memory", "some avg10=78.20 avg60=31.02 avg300=8.01 total=99812345\nfull avg10=61.00 avg60=22.01 avg300=6.00 total=71512345\n");
            stage.at(10.0);
            node.kernel_says(4, "python invoked oom-killer: gfp_mask=0x140cca(GFP_HIGHUSER_MOVABLE|__GFP_COMP), order=0, oom_score_adj=0");
            node.kernel_says(3, "Out of memory: Killed process 918231 (python) total-vm:412341234kB, anon-rss:198123412kB, file-rss:12kB, shmem-rss:0kB, UID:1000 pgtables:401234kB oom_score_adj:0");
            node.write("proc/vmstat", "pgmajfault 91220\noom_kill 1\n");
            node.write("proc/meminfo", &meminfo);
            node.write("proc/pressure/memory", "some avg10=2.00 avg60=21.02 avg300=9.01 total=99912345\nfull avg10=1.00 avg60=15.01 avg300=7.00 total=71612345\n");
        },
    },
    Fixture {
        name: "driver-unloaded",
        seconds: 30,
        gpus: 4,
        mount: false,
        scenario: r#"
            [[fault]]
            at = 10.0
            for = 12.0
            kind = "driver_gone"
        "#,
        happens: |_| {},
    },
    Fixture {
        name: "healthy-training",
        seconds: 40,
        gpus: 8,
        mount: false,
        scenario: "",
        happens: |stage| {
            stage.at(5.0);
            stage.node.kernel_says(
                6,
                "perf: interrupt took too long (2502 > 2500), lowering kernel.perf_event_max_sample_rate to 79750",
            );
            stage.node.user_says(
                3,
                "NVRM: Xid (PCI:0000:1b:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.",
            );
        },
    },
];

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let Some(directory) = arguments.next().map(PathBuf::from) else {
        eprintln!("usage: make-fixtures DIRECTORY [NAME…]");
        std::process::exit(64);
    };
    let wanted: Vec<String> = arguments.map(|name| name.to_string_lossy().into_owned()).collect();
    let chosen = FIXTURES.iter().filter(|fixture| wanted.is_empty() || wanted.iter().any(|name| name == fixture.name));
    // Two at a time: each is mostly waiting.
    let chosen: Vec<&Fixture> = chosen.collect();
    for pair in chosen.chunks(2) {
        thread::scope(|scope| {
            for fixture in pair {
                scope.spawn(|| make(fixture, &directory));
            }
        });
    }
}

fn make(fixture: &Fixture, directory: &Path) {
    let folder = directory.join(fixture.name);
    fs::create_dir_all(&folder).expect("writable");
    let out = folder.join("recording.gdk");
    let _first_time = fs::remove_file(&out);
    let node = Sysroot::hgx("gpu-node-07");
    node.add_process(918_231, "python", 4711, 0..fixture.gpus);
    let scenario = format!(
        "seed = 7\n[gpus]\ncount = {}\nmodel = \"H100 SXM5 80GB\"\nload = \"training\"\n{TRAINING}\n{}",
        fixture.gpus, fixture.scenario
    );
    let files = fixture.mount.then(|| CacheFs::mount_at(Path::new("/tmp/models")));
    let files = files.map(|mounted| mounted.expect("this fixture needs a FUSE mount, so root"));
    let stage = Stage { node, files, began: mono_ns(), gpus: fixture.gpus };
    let record = Deck::new(["record"]).arg("--out").arg(&out).arg("--for").arg(format!("{}s", fixture.seconds));
    let record = if fixture.mount {
        // A mount is the kernel's, not a tree's: this one is recorded on the machine itself, which must not show.
        record.arg("--without").arg("kernel_log,pcie,rdma,process").driver(&scenario).on_host("gpu-node-07")
    } else {
        record.root(stage.node.root()).driver(&scenario)
    };
    let run = record.start();
    (fixture.happens)(&stage);
    let output = run.finish(Duration::from_secs(fixture.seconds + 20));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}", fixture.name);
    let bytes = fs::metadata(&out).expect("it was recorded").len();
    println!("{:<22} {} GPUs, {} s, {} kB", fixture.name, stage.gpus, fixture.seconds, bytes / 1000);
}

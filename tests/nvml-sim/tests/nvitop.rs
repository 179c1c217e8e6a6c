//! An unmodified monitor from PyPI reads the simulated node: what it accepts, a driver's ABI has to be.
#![allow(unsafe_code)] // `common` changes the environment for the tests that load the library themselves.
#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]
#![allow(clippy::disallowed_methods)] // Starts Python.

mod common;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The version this was tried with; any that PyPI no longer has is a skip.
const NVITOP: &str = "nvitop==1.6.2";

/// nvitop and what it needs, in a folder of the build; none when PyPI cannot be reached.
fn installed() -> Option<PathBuf> {
    static INSTALLED: OnceLock<Option<PathBuf>> = OnceLock::new();
    INSTALLED.get_or_init(install).clone()
}

fn install() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("nvitop");
    if folder.join("nvitop").exists() {
        return Some(folder);
    }
    // Into a folder of its own first: an interrupted installation must not look complete.
    let fresh = folder.with_extension("new");
    let installed = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--no-warn-script-location", "--timeout", "20", "--retries", "1"])
        .arg("--target")
        .arg(&fresh)
        .arg(NVITOP)
        .output();
    match installed {
        Ok(output) if output.status.success() => std::fs::rename(&fresh, &folder).ok().map(|()| folder),
        Ok(output) => {
            let _nobody_reads = writeln!(
                std::io::stderr(),
                "skipped: PyPI not reachable: {}",
                String::from_utf8_lossy(&output.stderr).trim()
            );
            None
        }
        Err(error) => {
            let _nobody_reads = writeln!(std::io::stderr(), "skipped: no python3: {error}");
            None
        }
    }
}

fn python(nvitop: &Path, scenario: &str, age: f64, arguments: &[&str]) -> Output {
    let lib = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(common::library(), lib.path().join("libnvidia-ml.so.1")).unwrap();
    Command::new("timeout")
        .args(["60", "python3"])
        .args(arguments)
        .env("PYTHONPATH", nvitop)
        .env("LD_LIBRARY_PATH", lib.path())
        .env("GPUDECK_NVML_SIM", common::scenario(scenario))
        .env("GPUDECK_NVML_SIM_EPOCH", common::epoch(age).to_string())
        .env("TERM", "xterm-256color")
        .env("COLUMNS", "120")
        .env("LINES", "60")
        .output()
        .unwrap()
}

#[test]
fn nvitop_draws_every_card() {
    let Some(nvitop) = installed() else { return };
    let output = python(&nvitop, "healthy-8xh100.toml", 30.0, &["-m", "nvitop", "--once", "--no-unicode"]);
    let (screen, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{screen}\n{complaints}");
    assert!(screen.contains("570.124.06"), "{screen}\n{complaints}");
    for bus in ["1B", "43", "52", "61", "9D", "C3", "D1", "DF"] {
        assert!(screen.contains(&format!("{bus}:00.0")), "no card at {bus}\n{screen}\n{complaints}");
    }
    assert!(screen.contains("/ 79.65GiB") || screen.contains("/ 81559MiB"), "{screen}");
}

#[test]
fn nvitops_library_reads_every_value_of_a_straggler_node() {
    let Some(nvitop) = installed() else { return };
    let script = "
from nvitop import Device
for d in Device.all():
    print(d.index, d.name(), d.uuid(), d.memory_total(), d.gpu_utilization(), d.power_usage(), d.temperature(),
          d.sm_clock(), d.total_volatile_uncorrected_ecc_errors(), sep='|')
";
    let output = python(&nvitop, "straggler.toml", 30.0, &["-c", script]);
    let (lines, complaints) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{lines}\n{complaints}");
    assert_eq!(lines.lines().count(), 8, "{lines}\n{complaints}");
    for (index, line) in lines.lines().enumerate() {
        assert!(line.starts_with(&format!("{index}|NVIDIA H100 80GB HBM3|GPU-")), "{line}");
        assert!(!line.contains("N/A"), "{line}\n{complaints}");
    }
}

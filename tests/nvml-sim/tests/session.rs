//! What lasts longer than one call: sessions and their clock, settings, event sets, the trace.
#![allow(unsafe_code)] // `common` changes the environment; raw calls where the wrapper has none.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::assertions_on_result_states)]
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod common;

use std::io::Write;
use std::time::Duration;

use common::{Played, Since, library};
use nvml_wrapper::Nvml;
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::{ComputeMode, DetachGpuState, PcieLinkState};
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;

/// Changing a card takes root, here as with the driver.
fn root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        let _nobody_reads = writeln!(std::io::stderr(), "skipped: not root");
    }
    root
}

#[test]
fn without_a_scenario_a_healthy_node_is_played() {
    let played = Played::open("".as_ref(), Since::Age(5.0), None).unwrap();
    assert_eq!(played.nvml.device_count().unwrap(), 8);
    let gpu = played.nvml.device_by_index(7).unwrap();
    assert_eq!(gpu.running_compute_processes().unwrap()[0].pid, std::os::unix::process::parent_id());
}

#[test]
fn the_clock_goes_on_when_a_session_ends_and_another_begins() {
    let played = Played::written("[gpus]\ncount = 1\nload = \"steady\"\n", Since::Init, None);
    std::thread::sleep(Duration::from_millis(300));
    let before = played.nvml.device_by_index(0).unwrap().total_energy_consumption().unwrap();
    let played = played.reopened();
    let after = played.nvml.device_by_index(0).unwrap().total_energy_consumption().unwrap();
    assert!(before > 10_000 && after >= before, "{before} mJ, then {after} mJ");
}

#[test]
fn an_event_set_tells_the_latest_xid_for_all_since_the_last_call() {
    let text = "
        [gpus]
        count = 2
        [[fault]]
        at = 1.0
        gpu = 1
        kind = \"xid\"
        code = 13
        [[fault]]
        at = 1.1
        gpu = 1
        kind = \"xid\"
        code = 31
        [[fault]]
        at = 1.2
        gpu = 0
        kind = \"event\"
        bits = 0x8000
        data = 2
    ";
    let played = Played::text(text, 0.1);
    let nvml = &played.nvml;
    let mut set = nvml.create_event_set().unwrap();
    for index in 0..2 {
        let types = EventTypes::from_bits_retain(0x8008);
        set = nvml.device_by_index(index).unwrap().register_events(types, set).unwrap();
    }
    std::thread::sleep(Duration::from_millis(1_300));
    let mut told = Vec::new();
    while let Ok(event) = set.wait(20) {
        let xid = match event.event_data {
            Some(XidError::Value(value)) => value,
            _ => 0,
        };
        told.push((event.device.index().unwrap(), xid));
    }
    // The wrapper knows no bit 0x8000: the event of card 0 arrives without its type and data.
    assert_eq!(told, [(0, 0), (1, 31), (1, 31)]);
}

#[test]
fn a_card_can_be_drained_removed_and_found_again() {
    if !root() {
        return;
    }
    let played = Played::text("[gpus]\ncount = 3\n", 1.0);
    let nvml = &played.nvml;
    let mut gpu = nvml.device_by_index(1).unwrap();
    let (uuid, pci) = (gpu.uuid().unwrap(), gpu.pci_info().unwrap());
    assert!(!gpu.is_drain_enabled(pci.clone()).unwrap());
    gpu.set_drain(true, pci.clone()).unwrap();
    assert!(gpu.is_drain_enabled(pci.clone()).unwrap());
    let (removed, _) = gpu.remove(pci.clone(), DetachGpuState::Remove, PcieLinkState::Keep);
    removed.unwrap();
    assert_eq!(nvml.device_count().unwrap(), 2);
    assert!(matches!(nvml.device_by_uuid(uuid.as_str()), Err(NvmlError::NotFound)));
    assert_ne!(nvml.device_by_index(1).unwrap().uuid().unwrap(), uuid, "the next card moves up");
    nvml.discover_gpus(pci).unwrap();
    assert_eq!(nvml.device_by_index(1).unwrap().uuid().unwrap(), uuid);
}

#[test]
fn a_card_in_use_is_neither_removed_nor_split() {
    if !root() {
        return;
    }
    let played = Played::text("[gpus]\ncount = 1\n[[process]]\npid = \"self\"\nto = 2.0\n", 1.0);
    let gpu = played.nvml.device_by_index(0).unwrap();
    assert!(matches!(gpu.set_mig_mode(true), Err(NvmlError::InUse)));
    std::thread::sleep(Duration::from_millis(1_100));
    gpu.set_mig_mode(true).unwrap();
    assert_eq!(gpu.mig_mode().unwrap().current, 1);
    assert!(matches!(gpu.utilization_rates(), Err(NvmlError::NotSupported)), "a split card has no utilization");
    assert!(matches!(gpu.mig_device_by_index(0), Err(NvmlError::NotFound)));
}

#[test]
fn what_root_sets_is_read_back() {
    if !root() {
        return;
    }
    let played = Played::text("[gpus]\ncount = 1\npersistence = false\n", 1.0);
    let mut gpu = played.nvml.device_by_index(0).unwrap();
    assert!(!gpu.is_in_persistent_mode().unwrap());
    gpu.set_persistent(true).unwrap();
    assert!(gpu.is_in_persistent_mode().unwrap());
    gpu.set_compute_mode(ComputeMode::ExclusiveProcess).unwrap();
    assert_eq!(gpu.compute_mode().unwrap(), ComputeMode::ExclusiveProcess);
}

#[test]
fn the_trace_has_a_line_for_each_call() {
    let trace = tempfile::NamedTempFile::new().unwrap();
    let played = Played::written("[gpus]\ncount = 2\n", Since::Init, Some(trace.path()));
    played.nvml.device_by_index(1).unwrap().power_usage().unwrap();
    drop(played);
    let lines = std::fs::read_to_string(trace.path()).unwrap();
    let calls: Vec<String> = lines.lines().map(|line| line.split(' ').skip(2).collect::<Vec<_>>().join(" ")).collect();
    for expected in ["nvmlInit_v2", "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetPowerUsage gpu=1", "nvmlShutdown"] {
        assert!(calls.iter().any(|call| call == expected), "{expected} is not in {calls:?}");
    }
}

#[test]
fn calls_before_init_and_after_shutdown_are_refused() {
    let Played { nvml: first, file: _file, alone: _alone } = Played::text("[gpus]\ncount = 1\n", 1.0);
    let second = Nvml::builder().lib_path(library().as_os_str()).init().unwrap();
    let device = second.device_by_index(0).unwrap();
    first.shutdown().unwrap();
    device.power_usage().expect("one of two sessions is still open");
    second.shutdown().unwrap();
    // SAFETY: called with what they want: nothing.
    unsafe {
        let raw = libloading::Library::new(library()).unwrap();
        let shutdown = raw.get::<unsafe extern "C" fn() -> u32>(b"nvmlShutdown").unwrap();
        assert_eq!(shutdown(), 1);
    }
}

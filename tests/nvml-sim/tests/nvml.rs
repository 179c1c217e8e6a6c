//! The library as programs meet it: loaded from its path, by `nvml-wrapper` and by raw symbols.
#![allow(unsafe_code)] // Raw calls into the loaded library and changes of the environment it reads.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::assertions_on_result_states)]
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

mod common;

use std::ffi::c_uint;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use common::{Played, Since, library};
use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enum_wrappers::device::{
    Clock, EccCounter, MemoryError, PcieUtilCounter, TemperatureSensor, TemperatureThreshold,
};
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::sys_exports::field_id;
use nvml_wrapper_sys::bindings::{nvmlMemory_v2_t, nvmlReturn_t};

#[test]
fn a_healthy_node_answers_everything_a_monitor_asks() {
    let played = Played::file("healthy-8xh100.toml", 40.0);
    let nvml = &played.nvml;
    assert_eq!(nvml.sys_driver_version().unwrap(), "570.124.06");
    assert_eq!(nvml.sys_cuda_driver_version().unwrap(), 12_080);
    assert_eq!(nvml.device_count().unwrap(), 8);
    let mut identities = std::collections::HashSet::new();
    for index in 0..8 {
        let gpu = nvml.device_by_index(index).unwrap();
        assert_eq!(gpu.name().unwrap(), "NVIDIA H100 80GB HBM3");
        assert_eq!(gpu.index().unwrap(), index);
        let pci = gpu.pci_info().unwrap();
        assert_eq!(nvml.device_by_pci_bus_id(pci.bus_id.as_str()).unwrap().uuid().unwrap(), gpu.uuid().unwrap());
        assert_eq!(nvml.device_by_uuid(gpu.uuid().unwrap()).unwrap().index().unwrap(), index);
        assert!(identities.insert((gpu.uuid().unwrap(), pci.bus_id, gpu.serial().unwrap())));

        let memory = gpu.memory_info().unwrap();
        assert_eq!(memory.total, 81_559 << 20);
        assert_eq!(memory.used, 70_144 << 20);
        let power = gpu.power_usage().unwrap();
        assert!((60_000..=700_000).contains(&power), "{power} mW");
        assert_eq!(gpu.enforced_power_limit().unwrap(), 700_000);
        assert!((30..80).contains(&gpu.temperature(TemperatureSensor::Gpu).unwrap()));
        assert_eq!(gpu.temperature_threshold(TemperatureThreshold::Slowdown).unwrap(), 89);
        assert!(gpu.utilization_rates().unwrap().gpu <= 100);
        assert_eq!(gpu.max_clock_info(Clock::SM).unwrap(), 1_980);
        assert_eq!(gpu.current_pcie_link_gen().unwrap(), 5);
        assert_eq!(gpu.current_pcie_link_width().unwrap(), 16);
        assert_eq!(gpu.max_pcie_link_gen().unwrap(), 5);
        assert!(matches!(gpu.fan_speed(0), Err(NvmlError::NotSupported)));
        assert_eq!(gpu.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Volatile).unwrap(), 0);
        assert!(gpu.link_wrapper_for(17).is_active().unwrap());
        assert!(matches!(gpu.link_wrapper_for(18).is_active(), Err(NvmlError::InvalidArg)));
        let processes = gpu.running_compute_processes().unwrap();
        assert_eq!(processes.len(), 1);
        assert_eq!(processes[0].pid, std::os::unix::process::parent_id());
        assert!(gpu.running_graphics_processes().unwrap().is_empty());
        assert_eq!(gpu.numa_node_id().unwrap(), index / 4);
        assert_eq!(gpu.mig_mode().unwrap().current, 0);
        assert_eq!(gpu.gsp_firmware_version().unwrap(), "570.124.06");
    }
}

#[test]
fn energy_and_link_bytes_only_grow() {
    let played = Played::file("healthy-8xh100.toml", 40.0);
    let gpu = played.nvml.device_by_index(2).unwrap();
    let fields = [(83, 0), (197, 0), (198, 0), (138, c_uint::MAX), (139, 5), (74, 0)];
    let mut last = played.fields(2, &fields);
    let first = gpu.total_energy_consumption().unwrap();
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(15));
        let now = played.fields(2, &fields);
        for (before, after) in last.iter().zip(&now) {
            assert_eq!(after.nvmlReturn, 0);
            // SAFETY: these fields are unsigned long longs; the type is checked.
            let (before, after, kind) = unsafe { (before.value.ullVal, after.value.ullVal, after.valueType) };
            assert_eq!(kind, 3);
            assert!(after >= before);
        }
        last = now;
    }
    let joules = (gpu.total_energy_consumption().unwrap() - first) as f64 / 1e3;
    assert!((20.0..2_000.0).contains(&joules), "{joules} J in about 0.3 s");
}

#[test]
fn fields_carry_their_type_their_code_and_their_scope() {
    let played = Played::file("healthy-8xh100.toml", 40.0);
    let asked = [(186, 0), (82, 0), (194, 0), (165, 3), (165, 18), (230, 0), (213, 0), (9999, 0), (251, 0), (186, 1)];
    let got = played.fields(0, &asked);
    let codes: Vec<nvmlReturn_t> = got.iter().map(|field| field.nvmlReturn).collect();
    // Link recovery counters are for newer links; a second power scope is for modules with a CPU.
    assert_eq!(codes, [0, 0, 0, 0, 2, 0, 3, 2, 0, 3]);
    assert_eq!(got.iter().map(|field| field.valueType).collect::<Vec<_>>()[..4], [1, 1, 5, 1]);
    // SAFETY: signed by its type.
    assert_eq!(unsafe { got[2].value.siVal }, -2);
    assert_eq!((got[3].fieldId, got[3].scopeId), (165, 3));
    assert!(got.iter().all(|field| field.timestamp > 1_600_000_000_000_000));
    // The same by the wrapper, which translates the moved numbers itself.
    let gpu = played.nvml.device_by_index(0).unwrap();
    let power = gpu.field_values_for(&[nvml_wrapper::structs::device::FieldId(field_id::NVML_FI_DEV_POWER_INSTANT)]);
    assert!(power.unwrap()[0].as_ref().unwrap().value.is_ok());
}

#[test]
fn a_card_that_falls_off_announces_it_and_takes_only_itself_along() {
    let played = Played::file("xid79-fell-off.toml", 11.2);
    let nvml = &played.nvml;
    let events = nvml.create_event_set().unwrap();
    let gpu = nvml.device_by_index(3).unwrap();
    let events = gpu.register_events(EventTypes::CRITICAL_XID_ERROR, events).unwrap();
    assert!(matches!(events.wait(50), Err(NvmlError::Timeout)));
    let event = events.wait(4_000).unwrap();
    assert_eq!(event.event_data.map(|data| format!("{data:?}")), Some(format!("{:?}", XidError::Value(79))));
    assert!(matches!(events.wait(2_000), Err(NvmlError::GpuLost)));
    assert!(matches!(events.wait(30), Err(NvmlError::Timeout)));
    assert!(matches!(gpu.temperature(TemperatureSensor::Gpu), Err(NvmlError::GpuLost)));
    assert!(matches!(nvml.device_by_index(3), Err(NvmlError::GpuLost)));
    assert_eq!(nvml.device_count().unwrap(), 8);
    for other in [0, 1, 2, 4, 5, 6, 7] {
        assert!(nvml.device_by_index(other).unwrap().temperature(TemperatureSensor::Gpu).is_ok());
    }
}

#[test]
fn a_hung_card_hangs_alone_and_goes_on_when_the_fault_ends() {
    let text = "[gpus]\ncount = 3\n[[fault]]\nat = 1.0\nfor = 2.0\ngpu = 1\nkind = \"hang\"\ncall = \"nvmlDeviceGetTemperature\"\n";
    let played = Played::text(text, 1.1);
    let nvml = &played.nvml;
    std::thread::scope(|scope| {
        let (send, receive) = mpsc::channel();
        scope.spawn(move || {
            let gpu = nvml.device_by_index(1).unwrap();
            assert!(gpu.power_usage().is_ok(), "another call on the card does not hang");
            send.send("calling").unwrap();
            gpu.temperature(TemperatureSensor::Gpu).unwrap();
            send.send("answered").unwrap();
        });
        assert_eq!(receive.recv_timeout(Duration::from_secs(2)), Ok("calling"));
        let begun = Instant::now();
        for index in [0, 2] {
            nvml.device_by_index(index).unwrap().temperature(TemperatureSensor::Gpu).unwrap();
        }
        assert!(begun.elapsed() < Duration::from_millis(300));
        assert!(receive.recv_timeout(Duration::from_millis(300)).is_err(), "it hangs");
        assert_eq!(receive.recv_timeout(Duration::from_secs(5)), Ok("answered"));
    });
}

#[test]
fn memory_errors_are_counted_remapped_and_judged() {
    let played = Played::file("ecc-remap.toml", 30.0);
    let gpu = played.nvml.device_by_index(2).unwrap();
    assert_eq!(gpu.total_ecc_errors(MemoryError::Corrected, EccCounter::Volatile).unwrap(), 60);
    assert_eq!(gpu.total_ecc_errors(MemoryError::Uncorrected, EccCounter::Aggregate).unwrap(), 1);
    let words: Vec<u32> = played
        .fields(2, &[(142, 0), (143, 0), (144, 0), (145, 0), (230, 0)])
        .iter()
        // SAFETY: unsigned ints; every member of the union is plain data.
        .map(|field| unsafe { field.value.uiVal })
        .collect();
    assert_eq!(words, [0, 1, 1, 0, 4]);
    let healthy = played.nvml.device_by_index(1).unwrap();
    assert_eq!(healthy.total_ecc_errors(MemoryError::Corrected, EccCounter::Volatile).unwrap(), 0);
}

#[test]
fn throttled_cards_say_why_and_for_how_long() {
    let played = Played::file("power-brake.toml", 20.0);
    let gpu = played.nvml.device_by_index(0).unwrap();
    let reasons = gpu.current_throttle_reasons().unwrap();
    assert!(reasons.contains(ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN | ThrottleReasons::HW_SLOWDOWN));
    assert!(gpu.clock_info(Clock::SM).unwrap() < 700);
    // Driver 570 has the power brake's time at 253.
    let time = played.fields(0, &[(253, 0)]);
    // SAFETY: an unsigned long long by the catalogue of fields.
    let seconds = unsafe { time[0].value.ullVal } as f64 / 1e9;
    assert!((9.5..12.0).contains(&seconds), "{seconds} s");
}

#[test]
fn a_card_without_cooling_reaches_its_limit_by_itself() {
    let played = Played::file("thermal-throttle.toml", 60.0);
    let hot = played.nvml.device_by_index(6).unwrap();
    let cool = played.nvml.device_by_index(5).unwrap();
    assert!(hot.temperature(TemperatureSensor::Gpu).unwrap() >= 80);
    assert!(cool.temperature(TemperatureSensor::Gpu).unwrap() < 70);
    let violated = |index| {
        let fields = played.fields(index, &[(251, 0), (252, 0)]);
        // SAFETY: unsigned long longs by the catalogue of fields.
        fields.iter().map(|field| unsafe { field.value.ullVal }).sum::<u64>()
    };
    assert!(violated(6) > 1_000_000_000, "{}", violated(6));
    assert_eq!(violated(5), 0);
}

#[test]
fn a_dead_link_is_seen_with_its_history() {
    let played = Played::file("nvlink-down.toml", 13.0);
    let gpu = played.nvml.device_by_index(1).unwrap();
    assert!(!gpu.link_wrapper_for(7).is_active().unwrap());
    assert!(gpu.link_wrapper_for(6).is_active().unwrap());
    let replays = |link| {
        gpu.link_wrapper_for(link).error_counter(nvml_wrapper::enum_wrappers::nv_link::ErrorCounter::DlReplay).unwrap()
    };
    assert_eq!((replays(7), replays(6)), (48, 0));
    let xids = played.nvml.create_event_set().unwrap();
    let xids = gpu.register_events(EventTypes::CRITICAL_XID_ERROR, xids).unwrap();
    assert!(matches!(xids.wait(20), Err(NvmlError::Timeout)), "what happened before the registration is lost");
}

#[test]
fn a_straggler_has_a_narrow_link_and_makes_the_others_wait() {
    let played = Played::file("straggler.toml", 30.0);
    let width = |index| played.nvml.device_by_index(index).unwrap().current_pcie_link_width().unwrap();
    assert_eq!((width(4), width(3)), (8, 16));
    let energy = |index| played.nvml.device_by_index(index).unwrap().total_energy_consumption().unwrap();
    assert_ne!(energy(4), energy(3));
}

#[test]
fn a_driver_that_went_must_be_initialised_anew() {
    let text = "[gpus]\ncount = 2\n[[fault]]\nat = 2.0\nfor = 1.5\nkind = \"driver_gone\"\n";
    let played = Played::text(text, 1.0);
    assert_eq!(played.nvml.device_count().unwrap(), 2);
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(matches!(played.nvml.device_count(), Err(NvmlError::Uninitialized)));
    let again = || nvml_wrapper::Nvml::builder().lib_path(library().as_os_str()).init();
    assert!(matches!(again(), Err(NvmlError::DriverNotLoaded)));
    std::thread::sleep(Duration::from_millis(1_500));
    assert!(matches!(played.nvml.device_count(), Err(NvmlError::Uninitialized)), "the old session stays dead");
    let back = again().unwrap();
    assert_eq!(back.device_count().unwrap(), 2);
}

#[test]
fn refusals_are_those_the_scenario_asks_for() {
    let text = r#"
        [gpus]
        count = 2
        [[fault]]
        at = 0
        kind = "not_supported"
        call = "nvmlDeviceGetUtilizationRates"
        field = [197, 198]
        [[fault]]
        at = 0
        kind = "no_permission"
        call = "nvmlDeviceGetSerial"
        [[fault]]
        at = 0
        kind = "missing_symbol"
        call = "nvmlDeviceGetMemoryInfo"
        [[fault]]
        at = 0
        gpu = 1
        kind = "return"
        call = "nvmlDeviceGetPowerUsage"
        code = 17
        [[fault]]
        at = 0
        gpu = 1
        kind = "slow"
        call = "nvmlDeviceGetName"
        ms = 120
    "#;
    let played = Played::text(text, 1.0);
    let gpu = played.nvml.device_by_index(1).unwrap();
    assert!(matches!(gpu.utilization_rates(), Err(NvmlError::NotSupported)));
    assert!(matches!(gpu.serial(), Err(NvmlError::NoPermission)));
    assert!(matches!(gpu.memory_info(), Err(NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound)));
    assert!(matches!(gpu.power_usage(), Err(NvmlError::OperatingSystem)));
    assert!(played.nvml.device_by_index(0).unwrap().power_usage().is_ok());
    let codes: Vec<u32> = played.fields(0, &[(197, 0), (94, 0)]).iter().map(|field| field.nvmlReturn).collect();
    assert_eq!(codes, [3, 0]);
    let begun = Instant::now();
    gpu.name().unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(120));
    let begun = Instant::now();
    gpu.pcie_throughput(PcieUtilCounter::Send).unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(20), "the real call blocks as long");
}

#[test]
fn a_crash_takes_the_process_with_it() {
    // The child of this test is this test again, playing the scenario.
    if std::env::var_os("NVML_SIM_CRASH_CHILD").is_some() {
        let played = Played::file("crash.toml", 7.0);
        let gpu = played.nvml.device_by_index(0).unwrap();
        let unharmed = played.nvml.device_by_index(1).unwrap().temperature(TemperatureSensor::Gpu);
        assert!(unharmed.is_ok());
        println!("about to call");
        let temperature = gpu.temperature(TemperatureSensor::Gpu);
        panic!("survived with {temperature:?}");
    }
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_crash_takes_the_process_with_it", "--nocapture"])
        .env("NVML_SIM_CRASH_CHILD", "1")
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(printed.contains("about to call") && !printed.contains("survived"), "{printed}");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&output.status), Some(6));
}

#[test]
fn what_is_no_scenario_fails_init() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[gpus]\ncount = 200\n").unwrap();
    let refused = Played::open(file.path(), Since::Age(0.0), None);
    assert!(matches!(refused, Err(NvmlError::Unknown)));
    let refused = Played::open("/nonexistent.toml".as_ref(), Since::Age(0.0), None);
    assert!(matches!(refused, Err(NvmlError::Unknown)));
}

#[test]
fn two_processes_with_one_epoch_see_the_same_node() {
    // The child of this test is this test again, with its parent's epoch.
    let energy = |played: &Played| played.nvml.device_by_index(4).unwrap().total_energy_consumption().unwrap();
    if let Ok(epoch) = std::env::var("NVML_SIM_PARENT_EPOCH") {
        let played =
            Played::open(&common::scenario("straggler.toml"), Since::Epoch(epoch.parse().unwrap()), None).unwrap();
        println!("\nenergy={}", energy(&played));
        return;
    }
    let epoch = common::epoch(20.0);
    let child = || {
        let output = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "two_processes_with_one_epoch_see_the_same_node", "--nocapture"])
            .env("NVML_SIM_PARENT_EPOCH", epoch.to_string())
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        printed.lines().find_map(|line| line.strip_prefix("energy=")?.parse::<u64>().ok()).unwrap()
    };
    let played = Played::open(&common::scenario("straggler.toml"), Since::Epoch(epoch), None).unwrap();
    let (before, between, after) = (energy(&played), child(), energy(&played));
    assert!((before..=after).contains(&between), "{before} {between} {after}");
}

#[test]
fn removed_symbols_are_not_found_and_the_rest_is() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("libolder.so");
    let gone = ["nvmlDeviceGetFieldValues", "nvmlDeviceGetMemoryInfo_v2"];
    nvml_sim::without_symbols(&library(), &copy, &gone).unwrap();
    let error = nvml_sim::without_symbols(&library(), &copy, &["nvmlDeviceGetNothing"]).unwrap_err();
    assert!(error.to_string().ends_with("exports no nvmlDeviceGetNothing"), "{error}");
    // SAFETY: the library's initialisers are Rust's own; the symbols are looked up and not called.
    unsafe {
        let library = libloading::Library::new(&copy).unwrap();
        for name in gone {
            assert!(library.get::<unsafe extern "C" fn()>(name.as_bytes()).is_err(), "{name} is still there");
        }
        for name in ["nvmlInit_v2", "nvmlDeviceGetMemoryInfo", "nvmlDeviceGetGpuInstances"] {
            assert!(library.get::<unsafe extern "C" fn()>(name.as_bytes()).is_ok(), "{name} is gone too");
        }
    }
}

#[test]
fn every_shipped_scenario_plays() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        let scenario = nvml_sim::Scenario::parse(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert!(!scenario.gpus.is_empty());
        count += 1;
    }
    assert!(count >= 10, "{count}");
}

#[test]
fn lists_follow_the_two_call_protocol_and_versions_are_checked() {
    let played = Played::file("healthy-8xh100.toml", 5.0);
    let lib = played.nvml.lib();
    // SAFETY: pointers to locals that live through the calls, structures of the sizes that the calls document.
    unsafe {
        let device = played.nvml.device_by_index(0).unwrap().handle();
        let processes = lib.nvmlDeviceGetComputeRunningProcesses_v3.as_ref().unwrap();
        let mut count: c_uint = 0;
        assert_eq!(processes(device, &mut count, std::ptr::null_mut()), 7);
        assert_eq!(count, 1);
        assert_eq!(processes(device, std::ptr::null_mut(), std::ptr::null_mut()), 2);
        let memory = lib.nvmlDeviceGetMemoryInfo_v2.as_ref().unwrap();
        let mut info: nvmlMemory_v2_t = std::mem::zeroed();
        assert_eq!(memory(device, &mut info), 25);
        let mut name = [0; 4];
        assert_eq!(lib.nvmlDeviceGetName.as_ref().unwrap()(device, name.as_mut_ptr(), 4), 7);
        let bogus = std::ptr::without_provenance_mut(0x1234);
        assert_eq!(memory(bogus, &mut info), 2);
        let stub = lib.nvmlDeviceGetAdaptiveClockInfoStatus.as_ref().unwrap();
        assert_eq!(stub(device, &mut count), 3);
    }
}

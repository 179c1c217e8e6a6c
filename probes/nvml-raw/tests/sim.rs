//! The raw calls against the simulated driver, in this process: eight healthy H100.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::path::PathBuf;

use nvml_raw::field::ALL_LINKS;
use nvml_raw::{Driver, DriverError, EventSet, Far, Field, FieldValue, device, event, field};
use tempfile::TempDir;

fn library() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let beside = program.parent().unwrap();
    let places = [beside.join("libnvml_sim.so"), beside.parent().unwrap().join("libnvml_sim.so")];
    places.into_iter().find(|place| place.exists()).expect("nvml-sim is a dev-dependency, so it is built")
}

#[test]
fn fields_are_answered_in_order_with_scope_and_sign() {
    let driver = Driver::open(Some(library().as_os_str())).unwrap();
    let gpu = driver.device_by_index(0).unwrap();
    let asked = [Field::new(193), Field::of(138, ALL_LINKS), Field::of(138, 3), Field::of(165, 3), Field::new(9_999)];
    let replies = field::read(&gpu, &asked).unwrap();
    let value = |place: usize| replies[place].clone().map(|reply| reply.value);
    // The distance to the shutdown limit is below zero: a signed int.
    assert!(matches!(value(0), Ok(FieldValue::Signed(margin)) if margin < 0), "{:?}", replies[0]);
    assert!(value(1).unwrap().as_u64() >= value(2).unwrap().as_u64());
    assert_eq!(value(3), Ok(FieldValue::Unsigned(1)));
    assert_eq!(value(4), Err(DriverError::Code(2)));
}

#[test]
fn single_calls_answer() {
    let driver = Driver::open(Some(library().as_os_str())).unwrap();
    let gpu = driver.device_by_index(1).unwrap();
    let memory = device::memory(&gpu).unwrap();
    assert!(memory.total > memory.used && memory.reserved.is_some());
    assert!(device::row_histogram(&gpu).unwrap().max > 0);
    assert_eq!(device::nvlink_far_end(&gpu, 0), Ok(Far::Switch));
    assert_eq!(device::nvlink_far_end(&gpu, 99).unwrap_err().code(), Some(2));
    device::clocks_event_reasons(&gpu).unwrap();
}

#[test]
fn a_set_registers_what_the_device_supports_and_stays_usable() {
    let driver = Driver::open(Some(library().as_os_str())).unwrap();
    let gpu = driver.device_by_index(2).unwrap();
    let set = EventSet::new(&driver).unwrap();
    let bits = set.register(&gpu, event::FAULTS | 1 << 40).unwrap();
    assert_eq!(bits & 0x8008, 0x8008, "Xid and recovery action");
    assert_eq!(bits & 1 << 40, 0);
    assert_eq!(set.wait(10), Ok(None));
}

#[test]
fn a_missing_symbol_is_an_error_and_no_panic() {
    let folder = TempDir::new().unwrap();
    let older = folder.path().join("libnvidia-ml.so.1");
    let missing = ["nvmlShutdown", "nvmlDeviceGetFieldValues", "nvmlEventSetCreate"];
    nvml_sim::without_symbols(&library(), &older, &missing).unwrap();
    let driver = Driver::open(Some(older.as_os_str())).unwrap();
    let gpu = driver.device_by_index(0).unwrap();
    assert!(matches!(field::read(&gpu, &[Field::new(186)]), Err(DriverError::NoSymbol(_))));
    assert!(matches!(EventSet::new(&driver), Err(DriverError::NoSymbol(_))));
    drop(driver);
    assert!(matches!(Driver::open(Some("/nonexistent/lib.so".as_ref())), Err(DriverError::NoLibrary(_))));
}

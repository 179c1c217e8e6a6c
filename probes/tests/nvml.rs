//! The `nvml` probe in a worker process against the simulated driver: what it reads, and what becomes of it when the
//! driver answers badly or not at all.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use model::catalogue::*;
use model::{Draft, Entity, Field, Kind, Reading, Value};
use tempfile::TempDir;

#[allow(dead_code, reason = "shared with the tests of the burst tier")]
#[path = "nvml/worker.rs"]
mod worker;
use worker::{Worker, is_text, reading};

const SECOND: u64 = 1_000_000_000;

fn probe() -> Entity {
    Entity::Probe("nvml".to_owned())
}

/// The process that the other tests start.
#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn the_worker() {
    worker::be_the_child();
}

#[test]
fn a_healthy_node_is_read_in_full() {
    let mut worker = Worker::play(
        r#"
        [gpus]
        count = 2
        model = "H100"
        load = "training"
        [[process]]
        pid = "parent"
        memory_mib = 1000
        "#,
    );
    let (first, second) = (worker.gpu(0), worker.gpu(1));
    worker.until_reading(&first, GPU_PROCESSES, |_| true);
    worker.until_reading(&second, GPU_PROCESSES, |_| true);
    worker.until_reading(&probe(), PROBE_STATE, is_text("ok"));
    worker.listen(Duration::from_secs(1));

    assert!(is_text("570.124.06")(&worker.last(&Entity::Node, DRIVER_VERSION).unwrap()));
    assert!(is_text("ok")(&worker.last(&Entity::Node, DRIVER_STATE).unwrap()));
    for gpu in [&first, &second] {
        assert!(is_text("ok")(&worker.last(gpu, GPU_STATE).unwrap()));
        assert!((0.0..=100.0).contains(&worker.number(gpu, GPU_UTIL)));
        assert!((50.0..=800.0).contains(&worker.number(gpu, GPU_POWER)));
        assert!((20.0..=100.0).contains(&worker.number(gpu, GPU_TEMP)));
        assert!(worker.number(gpu, GPU_MEM_TOTAL) > 79e9);
        assert_eq!(worker.last(gpu, GPU_RECOVERY_ACTION), Some(Reading::from(0u64)));
        assert_eq!(worker.last(gpu, GPU_ECC_MODE), Some(Reading::from(true)));
        assert_eq!(worker.last(gpu, GPU_MIG_MODE), Some(Reading::from(false)));
        assert_eq!(worker.last(gpu, GPU_RETIRED_PAGES), Some(Reading::Unsupported));
        assert!(worker.number(gpu, GPU_POWER_DEFAULT_LIMIT) > 100.0);
        assert!(worker.number(gpu, GPU_TEMP_SHUTDOWN) > worker.number(gpu, GPU_TEMP_SLOWDOWN));
        assert!(is_text("Hopper")(&worker.last(gpu, GPU_ARCHITECTURE).unwrap()));
    }
    // Fields with a scope: all links together, and each.
    let Entity::Gpu(key) = &first else { panic!("{first}") };
    let links: Vec<Entity> = (0..18).map(|link| Entity::NvLink(key.clone(), link)).collect();
    let sent: f64 = links.iter().map(|link| worker.number(link, NVLINK_TX)).sum();
    assert!(sent > 0.0 && worker.number(&first, GPU_NVLINK_TX) >= sent);
    assert!(links.iter().all(|link| is_text("active")(&worker.last(link, NVLINK_STATE).unwrap())));
    let info = |entity: &Entity| {
        worker.seen.iter().rev().flat_map(|draft| &draft.entities).find(|info| info.entity == *entity).cloned()
    };
    let link = info(&links[3]).unwrap();
    assert_eq!(link.parent, Some(first.clone()));
    assert!(matches!(link.linked[..], [Entity::NvSwitch(_)]), "{:?}", link.linked);
    assert!(info(&first).unwrap().pci.is_some());

    // This process is on both GPUs.
    let pid = std::process::id();
    let mine = |entity: &Entity| matches!(entity, Entity::Process(found, start) if *found == pid && *start > 0);
    let keys = || worker.seen.iter().rev().flat_map(|draft| draft.samples.iter());
    let process = keys().find(|(key, _)| mine(&key.entity)).unwrap().0.entity.clone();
    assert_eq!(info(&process).unwrap().linked.len(), 2);
    assert!((worker.number(&process, PROCESS_GPU_MEM) - 2_000.0 * 1_048_576.0).abs() < 1.0);

    every_sample_is_as_the_catalogue_says(&worker.seen);
    assert!(worker.close().success());
}

fn every_sample_is_as_the_catalogue_says(drafts: &[Draft]) {
    for (key, reading) in drafts.iter().flat_map(|draft| &draft.samples) {
        let metric = key.metric.metric().unwrap_or_else(|| panic!("{:?} is not in the catalogue", key.metric));
        assert_eq!(metric.entity, key.entity.kind(), "{}", metric.name);
        let fits = match (metric.kind, reading.good()) {
            (_, None) => true,
            (Kind::Counter { .. }, Some(value)) => matches!(value, Value::Count(_)),
            (Kind::Gauge, Some(value)) => matches!(value, Value::Number(_)),
            (Kind::State, Some(value)) => !matches!(value, Value::Number(_)),
            (Kind::Info, Some(_)) => true,
        };
        assert!(fits, "{} is {reading:?}", metric.name);
    }
}

#[test]
fn a_gpu_that_fell_off_the_bus_is_lost_and_the_others_go_on() {
    let mut worker = Worker::play(
        r#"
        gpus = { count = 2, model = "H100", load = "training" }
        [[fault]]
        at = 2.0
        gpu = 1
        kind = "xid"
        code = 79
        [[fault]]
        at = 2.05
        gpu = 1
        kind = "gpu_lost"
        "#,
    );
    let (well, lost) = (worker.gpu(0), worker.gpu(1));
    worker.until_reading(&lost, GPU_ECC_UNCORRECTED, |_| true);
    let event = worker.until_event("driver_event");
    assert_eq!((event.entity.as_ref(), event.field("code")), (Some(&lost), Some(&Field::Int(79))));
    let draft = worker.until_reading(&lost, GPU_STATE, is_text("lost"));
    for metric in [GPU_POWER, GPU_UTIL, GPU_MEM_USED, GPU_ECC_UNCORRECTED] {
        assert_eq!(reading(&draft, &lost, metric), Some(&Reading::Lost), "{}", metric.name);
    }
    assert!(draft.faults.iter().any(|fault| fault.why.raw().contains("GPU_IS_LOST") && fault.advice.is_some()));
    let before = worker.seen.len();
    worker.listen(Duration::from_millis(1_500));
    let after = &worker.seen[before..];
    let good = after.iter().filter(|draft| matches!(reading(draft, &well, GPU_POWER), Some(Reading::Good(_))));
    assert!(good.count() >= 3);
    assert!(after.iter().all(|draft| reading(draft, &lost, GPU_POWER).is_none_or(|power| *power == Reading::Lost)));
    // The same fault is told once.
    assert!(after.iter().all(|draft| draft.faults.is_empty()));
}

#[test]
fn a_call_that_does_not_return_is_told_and_nobody_else_waits() {
    let mut worker = Worker::play(
        r#"
        gpus = { count = 3, model = "H100", load = "steady" }
        [[fault]]
        at = 1.5
        for = 5.0
        gpu = 1
        kind = "hang"
        call = "nvmlDeviceGetTemperature"
        "#,
    );
    let (first, stuck, third) = (worker.gpu(0), worker.gpu(1), worker.gpu(2));
    let draft = worker.until_reading(&stuck, GPU_STATE, is_text("stuck"));
    let event = draft.events.iter().find(|event| event.kind == "probe_stuck").unwrap();
    assert_eq!(event.entity.as_ref(), Some(&stuck));
    assert_eq!(event.field("call"), Some(&Field::Text("nvmlDeviceGetTemperature".into())));
    let since = u64::try_from(event.field("since_ns").unwrap().as_int().unwrap()).unwrap();
    let waited = draft.at.mono_ns.unwrap() - since;
    assert!((2 * SECOND..4 * SECOND).contains(&waited), "told after {waited} ns");
    let as_told = Reading::Stuck(since, "nvmlDeviceGetTemperature".to_owned());
    for metric in [GPU_TEMP, GPU_POWER, GPU_UTIL, GPU_ECC_MODE] {
        assert_eq!(reading(&draft, &stuck, metric), Some(&as_told), "{}", metric.name);
    }
    worker.until_reading(&probe(), PROBE_STATE, is_text("degraded"));

    let freed = worker.until_event("probe_freed");
    assert_eq!(freed.entity.as_ref(), Some(&stuck));
    let stuck_ns = freed.field("stuck_ns").unwrap().as_int().unwrap();
    assert!((4_000_000_000..6_000_000_000).contains(&stuck_ns), "{stuck_ns}");
    worker.until_reading(&stuck, GPU_STATE, is_text("ok"));
    worker.until_reading(&stuck, GPU_TEMP, |reading| reading.good().is_some());
    let told = worker.seen.iter().filter(|draft| reading(draft, &stuck, GPU_STATE).is_some_and(is_text("stuck")));
    assert!((2..=6).contains(&told.count()), "told once a second while it lasts");

    for gpu in [&first, &third] {
        let beats: Vec<u64> = worker
            .seen
            .iter()
            .filter(|draft| reading(draft, gpu, GPU_POWER).is_some_and(|power| power.good().is_some()))
            .map(|draft| draft.at.mono_ns.unwrap())
            .collect();
        let longest = beats.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(longest < 3 * SECOND / 2, "{gpu} lost a tick: {longest} ns between two readings");
    }
}

#[test]
fn the_driver_goes_and_comes_back() {
    let mut worker = Worker::play(
        r#"
        gpus = { count = 2, model = "H200", load = "idle" }
        [[process]]
        pid = "parent"
        memory_mib = 10
        [[fault]]
        at = 2.0
        for = 2.0
        kind = "driver_gone"
        "#,
    );
    let gpus = [worker.gpu(0), worker.gpu(1)];
    let mut gone = std::collections::BTreeSet::new();
    worker.until("both GPUs gone", |draft| {
        gone.extend(gpus.iter().filter(|gpu| reading(draft, gpu, GPU_STATE).is_some_and(is_text("gone"))).cloned());
        gone.len() == 2
    });
    let process = |draft: &Draft| draft.gone.iter().any(|entity| matches!(entity, Entity::Process(..)));
    assert_eq!(worker.seen.iter().filter(|draft| process(draft)).count(), 1);
    let draft = worker.until_reading(&Entity::Node, DRIVER_STATE, is_text("not_loaded"));
    assert!(draft.faults[0].advice.as_ref().unwrap().contains("modprobe"));
    worker.until_reading(&Entity::Node, DRIVER_STATE, is_text("ok"));
    for gpu in &gpus {
        worker.until_reading(gpu, GPU_POWER, |power| power.good().is_some());
        assert!(is_text("ok")(&worker.last(gpu, GPU_STATE).unwrap()));
    }
    assert!(worker.close().success());
}

#[test]
fn without_a_library_the_state_says_so_and_what_to_do() {
    for (library, root) in [(Some(Path::new("/nonexistent/libnvidia-ml.so.1")), None), (None, Some(()))] {
        let tree = TempDir::new().unwrap();
        let root = root.map_or_else(|| Path::new("/"), |()| tree.path());
        let mut worker = Worker::start("", library, root);
        let draft = worker.until_reading(&Entity::Node, DRIVER_STATE, is_text("no_library"));
        assert!(draft.faults[0].advice.as_ref().unwrap().contains("--nvml-lib"));
        // As long as there is none, the reason stays to be seen.
        let draft = worker.until_reading(&probe(), PROBE_STATE, is_text("missing"));
        assert_eq!(draft.faults.len(), 1);
        assert!(worker.close().success());
    }
}

#[test]
fn a_driver_of_another_version_says_so() {
    let mut worker = Worker::play(
        r#"
        gpus = { count = 1, model = "H100" }
        [[fault]]
        at = 0.0
        kind = "return"
        call = "nvmlInit"
        code = 18
        "#,
    );
    let draft = worker.until_reading(&Entity::Node, DRIVER_STATE, is_text("mismatch"));
    assert!(draft.faults[0].advice.as_ref().unwrap().contains("reboot"));
    worker.until_reading(&probe(), PROBE_STATE, is_text("degraded"));
}

#[test]
fn a_gpu_that_was_lost_before_the_start_is_named_by_its_place_on_the_bus() {
    let tree = TempDir::new().unwrap();
    for address in ["0000:41:00.0", "0000:1b:00.0"] {
        std::fs::create_dir_all(tree.path().join("proc/driver/nvidia/gpus").join(address)).unwrap();
    }
    let scenario = r#"
        gpus = { count = 2, model = "H100" }
        [[fault]]
        at = 0.0
        for = 2.0
        gpu = 1
        kind = "gpu_lost"
        "#;
    let mut worker = Worker::start(scenario, Some(&worker::library()), tree.path());
    let lost: Entity = "gpu:0000:41:00.0".parse().unwrap();
    let draft = worker.until_reading(&lost, GPU_STATE, is_text("lost"));
    assert_eq!(draft.entities[0].label.raw(), "GPU 1");
    // Once the driver tells who it is, it goes by that name alone.
    let draft = worker.until("a GPU with a name", |draft| draft.gone.contains(&lost));
    assert!(matches!(&draft.entities[0].entity, Entity::Gpu(model::GpuKey::Uuid(_))));
    assert!(worker.seen.iter().all(|draft| !draft.gone.iter().any(|entity| *entity != lost)));
}

#[test]
fn a_library_without_some_calls_serves_the_others() {
    let folder = TempDir::new().unwrap();
    let older = folder.path().join("libnvidia-ml.so.1");
    let missing =
        ["nvmlShutdown", "nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetRowRemapperHistogram", "nvmlEventSetFree"];
    nvml_sim::without_symbols(&worker::library(), &older, &missing).unwrap();
    let mut worker = Worker::start(r#"gpus = { count = 1, model = "H100" }"#, Some(&older), Path::new("/"));
    let gpu = worker.gpu(0);
    worker.until_reading(&gpu, GPU_REMAP_BANKS_FULL, |banks| *banks == Reading::Unsupported);
    worker.until_reading(&gpu, GPU_PROCESSES, |_| true);
    assert!(worker.number(&gpu, GPU_MEM_USED) > 0.0);
    assert_eq!(worker.last(&gpu, GPU_MEM_RESERVED), Some(Reading::Unsupported));
    // Neither a missing shutdown nor a missing free brings the process down at the end.
    assert!(worker.close().success());
}

#[test]
fn no_answer_is_never_a_value() {
    let mut worker = Worker::play(
        r#"
        driver_version = "580.95.05"
        gpus = { count = 1, model = "H100", load = "steady" }
        [[fault]]
        at = 0.0
        kind = "no_permission"
        call = "nvmlDeviceGetTemperature"
        [[fault]]
        at = 0.0
        kind = "not_supported"
        field = [186, 82]
        call = "nvmlDeviceGetFanSpeed"
        [[fault]]
        at = 2.0
        kind = "return"
        call = "nvmlDeviceGetClockInfo"
        code = 27
        [[fault]]
        at = 0.0
        gpu = 0
        kind = "throttle"
        reason = "hw_power_brake"
        [[fault]]
        at = 2.5
        gpu = 0
        kind = "event"
        bits = 0x8000
        data = 1
        "#,
    );
    let gpu = worker.gpu(0);
    worker.until_reading(&gpu, GPU_FAN, |fan| *fan == Reading::Unsupported);
    assert_eq!(worker.last(&gpu, GPU_TEMP), Some(Reading::Denied));
    assert_eq!(worker.last(&gpu, GPU_TEMP_MEMORY), Some(Reading::Unsupported));
    // The field is not there: the older call is.
    assert!(worker.number(&gpu, GPU_POWER) > 50.0);
    // A code that nvml-wrapper has no name for; the last value grows old, it does not turn into 0.
    let draft = worker.until_reading(
        &gpu,
        GPU_CLOCK_SM,
        |clock| matches!(clock, Reading::Stale(Value::Number(mhz), _) if *mhz > 0.0),
    );
    assert!(draft.faults.iter().any(|fault| fault.why.raw().contains("NOT_READY")), "{:?}", draft.faults);
    // Fields that moved with the driver's version: braked, not too hot.
    assert!(worker.number(&gpu, GPU_THROTTLE_BRAKE_TIME) > 0.0);
    assert!(worker.number(&gpu, GPU_THROTTLE_HW_THERMAL_TIME) < 1.0);
    // A bit that nvml-wrapper drops.
    let event = worker.until_event("driver_event");
    assert_eq!(event.field("bits"), Some(&Field::Int(0x8000)));
}

#[test]
fn a_gpu_of_which_nothing_can_be_read_is_not_well() {
    let mut worker = Worker::play(
        r#"
        gpus = { count = 1, model = "H100" }
        [[fault]]
        at = 1.5
        gpu = 0
        kind = "return"
        call = "*"
        code = 999
        "#,
    );
    let gpu = worker.gpu(0);
    worker.until_reading(&gpu, GPU_STATE, is_text("ok"));
    let draft = worker.until_reading(&gpu, GPU_STATE, |state| matches!(state, Reading::Stale(..)));
    assert!(draft.samples.iter().all(|(_, reading)| reading.good().is_none()));
    assert!(draft.faults.iter().any(|fault| fault.advice.as_ref().is_some_and(|advice| advice.contains("container"))));
    worker.until_reading(&probe(), PROBE_STATE, is_text("degraded"));
}

#[test]
fn a_hang_while_counting_is_the_probes_own() {
    let mut worker = Worker::play(
        r#"
        gpus = { count = 1, model = "H100" }
        [[fault]]
        at = 0.0
        kind = "hang"
        call = "nvmlDeviceGetCount"
        "#,
    );
    let event = worker.until_event("probe_stuck");
    assert_eq!(event.entity, Some(probe()));
    assert_eq!(event.field("call"), Some(&Field::Text("nvmlDeviceGetCount_v2".into())));
    assert!(is_text("stuck")(&worker.last(&probe(), PROBE_STATE).unwrap()));
}

#[test]
fn a_driver_that_crashes_takes_the_worker_alone() {
    let mut worker = Worker::play(
        r#"
        gpus = { count = 1, model = "H100" }
        [[fault]]
        at = 1.0
        kind = "crash"
        call = "nvmlDeviceGetUtilizationRates"
        "#,
    );
    let gpu = worker.gpu(0);
    worker.until_reading(&gpu, GPU_UTIL, |util| util.good().is_some());
    assert_eq!(worker.ended().signal(), Some(6));
}

//! The burst tier of the `nvml` probe against the simulated driver: what is read faster, what the fast tier tells of it,
//! and what becomes of it when the GPU goes.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::time::Duration;

use model::catalogue::*;
use model::{Draft, Reading};

#[allow(dead_code, reason = "shared with the tests of the other tiers")]
#[path = "nvml/worker.rs"]
mod worker;
use worker::{Worker, is_text, reading};

/// The process that the other tests start.
#[test]
#[ignore = "run by the other tests, in a process of its own"]
fn the_worker() {
    worker::be_the_child();
}

#[test]
fn bursts_are_read_between_two_fast_readings_which_tell_their_extremes() {
    let mut worker = Worker::play_with_bursts(r#"gpus = { count = 2, model = "H100", load = "training" }"#);
    let gpu = worker.gpu(0);
    worker.until("a burst", |draft| draft.burst && reading(draft, &gpu, GPU_POWER).is_some());
    let before = worker.seen.len();
    worker.listen(Duration::from_secs(2));
    let seen = &worker.seen[before..];
    let of_gpu = |draft: &&Draft| reading(draft, &gpu, GPU_POWER).is_some();
    let bursts: Vec<_> = seen.iter().filter(|draft| draft.burst).filter(of_gpu).collect();
    let fast: Vec<_> = seen.iter().filter(|draft| !draft.burst).filter(of_gpu).collect();
    assert!(fast.len() >= 2 && bursts.len() > fast.len(), "{} and {}", bursts.len(), fast.len());
    for metric in [GPU_CLOCK_SM, GPU_THROTTLE, GPU_UTIL, GPU_PCIE_TX, GPU_NVLINK_RX] {
        assert!(reading(bursts[0], &gpu, metric).is_some(), "{}", metric.name);
    }
    for burst in seen.iter().filter(|draft| draft.burst) {
        assert!(burst.samples.iter().all(|(_, reading)| matches!(reading, Reading::Good(_))));
        assert!(reading(burst, &gpu, GPU_STATE).is_none() && reading(burst, &gpu, GPU_MEM_USED).is_none());
        assert!(burst.entities.is_empty() && burst.events.is_empty() && burst.faults.is_empty());
    }
    let number = |draft: &Draft, metric| reading(draft, &gpu, metric).unwrap().good().unwrap().as_f64().unwrap();
    for draft in &fast {
        let power = number(draft, GPU_POWER);
        assert!((number(draft, GPU_POWER_LOWEST)..=number(draft, GPU_POWER_HIGHEST)).contains(&power));
        assert!(number(draft, GPU_CLOCK_SM_LOWEST) <= number(draft, GPU_CLOCK_SM_HIGHEST));
        assert!(reading(draft, &gpu, GPU_THROTTLE_SEEN).is_some());
    }
    // Each burst reading lies within the extremes that the fast reading behind it tells.
    let behind = |burst: &Draft| seen.iter().filter(|draft| !draft.burst && draft.at > burst.at).find(of_gpu).cloned();
    let mut compared = 0;
    for (burst, fast) in bursts.iter().filter_map(|burst| Some((burst, behind(burst)?))) {
        let range = number(&fast, GPU_POWER_LOWEST)..=number(&fast, GPU_POWER_HIGHEST);
        // The tenth is the one before: what the fast tier has read itself.
        let same = fast_at(&worker.seen, burst);
        assert!(same || range.contains(&number(burst, GPU_POWER)));
        compared += usize::from(!same);
    }
    assert!(compared > 0);
}

/// Whether a Draft of the fast tier stands at the same instant.
fn fast_at(seen: &[Draft], burst: &Draft) -> bool {
    seen.iter().any(|draft| !draft.burst && draft.at == burst.at)
}

#[test]
fn without_being_asked_nothing_is_read_faster() {
    let mut worker = Worker::play(r#"gpus = { count = 1, model = "H100", load = "steady" }"#);
    let gpu = worker.gpu(0);
    worker.until_reading(&gpu, GPU_POWER, |_| true);
    worker.listen(Duration::from_secs(1));
    assert!(worker.seen.iter().all(|draft| !draft.burst && reading(draft, &gpu, GPU_POWER_LOWEST).is_none()));
}

#[test]
fn a_gpu_that_goes_between_two_fast_readings_is_told_of_to_everybody() {
    let mut worker = Worker::play_with_bursts(
        r#"
        gpus = { count = 1, model = "H100", load = "steady" }
        [[fault]]
        at = 2.0
        gpu = 0
        kind = "gpu_lost"
        "#,
    );
    let gpu = worker.gpu(0);
    let draft = worker.until_reading(&gpu, GPU_STATE, is_text("lost"));
    assert!(!draft.burst);
    assert!(draft.faults.iter().any(|fault| fault.why.raw().contains("GPU_IS_LOST")));
    assert_eq!(reading(&draft, &gpu, GPU_POWER_HIGHEST), Some(&Reading::Lost));
    let before = worker.seen.len();
    worker.listen(Duration::from_secs(1));
    assert!(worker.seen[before..].iter().all(|draft| !draft.burst));
}

#[test]
fn a_call_that_fails_is_told_by_the_fast_tier_alone() {
    let mut worker = Worker::play_with_bursts(
        r#"
        gpus = { count = 1, model = "H100", load = "steady" }
        [[fault]]
        at = 2.0
        gpu = 0
        kind = "return"
        call = "nvmlDeviceGetClockInfo"
        code = 999
        "#,
    );
    let gpu = worker.gpu(0);
    worker.until_reading(&gpu, GPU_CLOCK_SM, |reading| matches!(reading, Reading::Stale(..)));
    worker.listen(Duration::from_secs(1));
    let told: Vec<_> = worker.seen.iter().filter(|draft| !draft.faults.is_empty()).collect();
    assert!(told.len() == 1 && !told[0].burst, "{told:#?}");
}

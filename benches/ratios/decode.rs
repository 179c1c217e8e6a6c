//! Kernel lines to events, beside a scan of the same bytes for one word: what a monitor does that knows only Xids.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use decode::{Decoder, Lines};
use model::event::KERNEL_LINE;
use serde_json::Value;

use crate::ratio::{Against, Measured, Ratio};
use crate::recorded::count;

/// What a kernel says all day; none of it means anything to us.
const NOISE: [&str; 9] = [
    "[12873.104512] usb 1-14: new high-speed USB device number 7 using xhci_hcd",
    "[12873.251013] docker0: port 3(veth2f1a7c9) entered blocking state",
    "[12873.251019] docker0: port 3(veth2f1a7c9) entered disabled state",
    "[12873.251120] device veth2f1a7c9 entered promiscuous mode",
    "[12873.601344] eth0: renamed from veth81c2d40",
    "[12880.000417] audit: type=1400 audit(1763890000.123:415): apparmor=\"STATUS\" operation=\"profile_replace\" profile=\"unconfined\" name=\"docker-default\" pid=21877 comm=\"apparmor_parser\"",
    "[12901.913300] EXT4-fs (nvme0n1p2): re-mounted. Quota mode: none.",
    "[12910.500021] perf: interrupt took too long (2513 > 2500), lowering kernel.perf_event_max_sample_rate to 79500",
    "[12944.731988] systemd-journald[612]: Data hash table of /var/log/journal/system.journal has a fill level at 75.0, suggesting rotation.",
];

/// Lines of a log that holds mostly faults, and of one of which a tenth are faults.
fn logs() -> (Vec<u8>, Vec<u8>) {
    let (mut faults, mut mixed) = (Vec::new(), Vec::new());
    for row in include_str!("../../decode/tests/data/kernel-lines.jsonl").lines() {
        let row: Value = serde_json::from_str(row).expect("a JSON object a line");
        let line = row["line"].as_str().expect("each has its line");
        for log in [&mut faults, &mut mixed] {
            log.extend_from_slice(line.as_bytes());
            log.push(b'\n');
        }
        for noise in NOISE {
            mixed.extend_from_slice(noise.as_bytes());
            mixed.push(b'\n');
        }
    }
    (faults, mixed)
}

/// How many lines mean something.
fn decoded(log: &[u8]) -> usize {
    let mut decoder = Decoder::new();
    Lines::new(log).filter(|event| decoder.event(event).kind != KERNEL_LINE).count()
}

/// How many lines hold the word.
fn scanned(log: &str) -> usize {
    log.lines().filter(|line| line.contains("Xid")).count()
}

pub(crate) fn measure(criterion: &mut Criterion) -> Vec<Ratio> {
    let (faults, mixed) = logs();
    let lines = |log: &[u8]| log.split(|byte| *byte == b'\n').count() - 1;
    assert!(decoded(&mixed) >= 300, "only {} lines were decoded", decoded(&mixed));
    let text = std::str::from_utf8(&mixed).expect("the corpus is UTF-8");
    let faults_text = std::str::from_utf8(&faults).expect("the corpus is UTF-8");
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(u64::try_from(lines(&mixed)).unwrap_or(0)));
    group.bench_function("mixed", |bencher| bencher.iter(|| decoded(black_box(&mixed))));
    group.bench_function("mixed scan", |bencher| bencher.iter(|| scanned(black_box(text))));
    group.throughput(Throughput::Elements(u64::try_from(lines(&faults)).unwrap_or(0)));
    group.bench_function("faults", |bencher| bencher.iter(|| decoded(black_box(&faults))));
    group.bench_function("faults scan", |bencher| bencher.iter(|| scanned(black_box(faults_text))));
    group.finish();
    let ratio = |id, what, scan, log: &[u8]| Ratio {
        unit: "line",
        ours: Measured { id, what, units: count(lines(log)) },
        against: Against::Measured(Measured {
            id: scan,
            what: "str::contains(\"Xid\") on the same lines",
            units: count(lines(log)),
        }),
    };
    vec![
        ratio("decode/mixed", "decode a log, one line in ten a fault", "decode/mixed scan", &mixed),
        ratio("decode/faults", "decode a log of faults only", "decode/faults scan", &faults),
    ]
}

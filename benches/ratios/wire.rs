//! One GPU's fast reading through the pipe's form and back, beside the same in JSON.

#![allow(clippy::print_stdout, reason = "sizes are results too")]

use std::hint::black_box;

use criterion::Criterion;
use model::Frame;

use crate::ratio::{Against, Measured, Ratio};
use crate::recorded::Fixture;

/// The Frame that comes most often: one GPU's fast reading, the middle one by its samples.
fn fast(fixture: &Fixture) -> &Frame {
    let mut frames: Vec<&Frame> = fixture
        .frames
        .iter()
        .filter(|frame| frame.probe == "nvml" && frame.declares.is_empty() && frame.samples.len() > 8)
        .collect();
    frames.sort_by_key(|frame| frame.samples.len());
    frames.get(frames.len() / 2).expect("the driver was read")
}

pub(crate) fn measure(criterion: &mut Criterion, fixture: &Fixture) -> Vec<Ratio> {
    let frame = fast(fixture);
    let wire = frame.to_wire().expect("it came over the wire");
    let json = serde_json::to_vec(frame).expect("a Frame is JSON too");
    assert_eq!(serde_json::from_slice::<Frame>(&json).ok().as_ref(), Some(frame), "both carry the same");
    println!("wire: {} samples: {} bytes on the wire, {} as JSON", frame.samples.len(), wire.len(), json.len());
    let mut group = criterion.benchmark_group("wire");
    group.bench_function("messagepack", |bencher| {
        bencher.iter(|| Frame::from_wire(&black_box(frame).to_wire().expect("encodes")).expect("decodes"));
    });
    group.bench_function("json", |bencher| {
        bencher.iter(|| {
            let text = serde_json::to_vec(black_box(frame)).expect("encodes");
            serde_json::from_slice::<Frame>(&text).expect("decodes")
        });
    });
    group.finish();
    vec![Ratio {
        unit: "Frame",
        ours: Measured { id: "wire/messagepack", what: "a GPU's fast Frame to the wire and back", units: 1.0 },
        against: Against::Measured(Measured { id: "wire/json", what: "the same in JSON", units: 1.0 }),
    }]
}

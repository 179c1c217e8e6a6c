//! Every rule over the Frames of an incident, as `gpudeck diagnose` does it, beside the time in which it happened.

use std::sync::Arc;

use criterion::{BatchSize, Criterion};
use decode::Decoder;
use model::{Frame, Incident, Stamp};
use rules::{Evaluator, Rulebook};

use crate::ratio::{Against, Measured, Ratio};
use crate::recorded::{Fixture, count};

/// Judges Frames whose kernel lines are raw.
pub(crate) fn judged(rulebook: &Arc<Rulebook>, frames: Vec<Frame>) -> Evaluator {
    let (mut decoder, mut evaluator) = (Decoder::new(), Evaluator::new(Arc::clone(rulebook)));
    let mut last = Stamp::default();
    for mut frame in frames {
        decoder.frame(&mut frame);
        evaluator.frame(&frame);
        if frame.at.axis_ns() > last.axis_ns() {
            last = frame.at;
        }
    }
    evaluator.advance(last);
    evaluator
}

pub(crate) fn measure(criterion: &mut Criterion, fixture: &Fixture) -> Vec<Ratio> {
    let rulebook = Arc::new(Rulebook::builtin());
    let incidents = judged(&rulebook, fixture.frames.clone()).incidents();
    assert!(!incidents.is_empty(), "the incident is found");
    let mut group = criterion.benchmark_group("rules");
    group.bench_function("diagnose", |bencher| {
        let judge = |frames| -> Vec<Incident> { judged(&rulebook, frames).incidents() };
        bencher.iter_batched(|| fixture.frames.clone(), judge, BatchSize::LargeInput);
    });
    group.finish();
    #[allow(clippy::cast_precision_loss, reason = "a fixture is short")]
    let seconds = fixture.length_ns() as f64 / 1e9;
    vec![Ratio {
        unit: "Frame",
        ours: Measured {
            id: "rules/diagnose",
            what: "decode and judge by all rules",
            units: count(fixture.frames.len()),
        },
        against: Against::RealTime(seconds),
    }]
}

//! The Frames of a recorded fixture.

use std::path::{Path, PathBuf};

use model::{Frame, Stamp};
use recorder::{Header, Recording};

/// A fixture, read.
pub(crate) struct Fixture {
    pub(crate) path: PathBuf,
    pub(crate) header: Header,
    /// As they were recorded.
    pub(crate) frames: Vec<Frame>,
}

impl Fixture {
    pub(crate) fn load(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("replay-fixtures").join(name).join("recording.gdk");
        let recording = Recording::open(&path).expect("the fixture is recorded; `make fixtures` makes it anew");
        let frames: Vec<Frame> = recording.frames().map(|frame| frame.expect("the fixture is whole")).collect();
        assert!(frames.len() > 100, "{} holds only {} Frames", path.display(), frames.len());
        let header = recording.header().clone();
        Self { path, header, frames }
    }

    /// How long it took when it happened, nanoseconds.
    pub(crate) fn length_ns(&self) -> u64 {
        let instants = self.frames.iter().map(|frame| frame.at.axis_ns());
        let (first, last) = (instants.clone().min(), instants.max());
        last.zip(first).map_or(0, |(last, first)| last - first)
    }

    pub(crate) fn samples(&self) -> usize {
        self.frames.iter().map(|frame| frame.samples.len()).sum()
    }

    /// The fixture told so many times, one after the other: a longer recording of the same node.
    pub(crate) fn again(&self, times: u64) -> Vec<Frame> {
        let step = self.length_ns() + 1_000_000_000;
        let shifted = |stamp: Stamp, by: u64| Stamp {
            mono_ns: stamp.mono_ns.map(|mono| mono + by),
            real_ns: stamp.real_ns.map(|real| real + i64::try_from(by).expect("a benchmark is short")),
        };
        (0..times)
            .flat_map(|time| {
                let by = time * step;
                self.frames.iter().map(move |frame| {
                    let mut frame = Frame { at: shifted(frame.at, by), ..frame.clone() };
                    for event in &mut frame.events {
                        event.at = shifted(event.at, by);
                    }
                    if time > 0 {
                        frame.declares.clear();
                    }
                    frame
                })
            })
            .collect()
    }
}

/// A count as criterion and the ratios want it.
#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn count(units: usize) -> f64 {
    units as f64
}

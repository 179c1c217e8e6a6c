//! Bytes: the same seconds into the recording and into what stands beside it.

use std::path::Path;

use generator::{Activity, Day, Policy};
use model::Frame;

use crate::table::{Reach, Table, digits};
use crate::{Extent, beside, blocks, machine};

/// Takes seconds of Frames and makes bytes of them.
pub(crate) trait Sink {
    /// What it is.
    fn name(&self) -> &'static str;
    /// Takes one second.
    fn tick(&mut self, tick: &[Frame]);
    /// The bytes of everything.
    fn finish(self: Box<Self>) -> u64;
}

/// What became of a day in one of them.
pub(crate) struct Size {
    pub(crate) name: &'static str,
    pub(crate) bytes: f64,
    /// Microseconds of this core for each tick.
    pub(crate) us: f64,
}

/// What was generated.
pub(crate) struct Told {
    pub(crate) samples: f64,
    pub(crate) seconds: f64,
    /// The entropy, bytes.
    pub(crate) floor: f64,
}

/// Feeds a day into all of them.
pub(crate) fn feed(mut day: Day, sinks: Vec<Box<dyn Sink>>) -> (Told, Vec<Size>) {
    let (mut samples, mut seconds) = (0, 0);
    let mut fed: Vec<(Box<dyn Sink>, f64)> = sinks.into_iter().map(|sink| (sink, 0.0)).collect();
    for tick in day.by_ref() {
        samples += tick.iter().map(|frame| frame.samples.len()).sum::<usize>();
        seconds += 1;
        for (sink, spent) in &mut fed {
            let before = machine::cpu_s().1;
            sink.tick(&tick);
            *spent += machine::cpu_s().1 - before;
        }
    }
    let told = Told { samples: samples as f64, seconds: f64::from(seconds), floor: day.floor_bits() / 8.0 };
    let size = |(sink, spent): (Box<dyn Sink>, f64)| {
        let name = sink.name();
        let before = machine::cpu_s().1;
        let bytes = sink.finish() as f64;
        Size { name, bytes, us: (spent + machine::cpu_s().1 - before) * 1e6 / told.seconds }
    };
    let sizes = fed.into_iter().map(size).collect();
    (told, sizes)
}

fn ours() -> Box<dyn Sink> {
    Box::<blocks::Blocks>::default()
}

pub(crate) fn measure(extent: Extent, scratch: &Path, table: &mut Table) {
    eprintln!("sizes");
    let mut a_day_of_quanta = f64::NAN;
    for (policy, words, most, bytes) in
        [(Policy::Lossless, "lossless", 1.18, 0.93), (Policy::Quantised, "with quanta", 1.45, 0.50)]
    {
        let sinks: Vec<Box<dyn Sink>> = vec![
            ours(),
            Box::new(beside::Wide::create(scratch)),
            Box::new(beside::Mcap::create(scratch)),
            Box::new(beside::PerTick::create(scratch)),
        ];
        let (told, sizes) = feed(extent.day(policy), sinks);
        let (mut own, floor) = (f64::NAN, told.floor / told.samples);
        for (place, size) in sizes.iter().enumerate() {
            let a_sample = size.bytes / told.samples;
            let beside = format!("{} MB, {} µs of CPU a tick", digits(size.bytes / 1e6), digits(size.us));
            if place == 0 {
                own = a_sample;
                if policy == Policy::Quantised {
                    a_day_of_quanta = size.bytes / told.seconds * 86_400.0;
                }
                let what = format!("{}, {words}: × the entropy", extent.words());
                table.put(
                    what,
                    Reach::Most(most),
                    a_sample / floor,
                    "×",
                    format!("the entropy is {} B a sample", digits(floor)),
                );
                table.put(
                    format!("{}, {words}: bytes a sample", extent.words()),
                    Reach::Most(bytes),
                    a_sample,
                    "B",
                    beside,
                );
            } else {
                let beside = format!("{beside}; {} × ours", digits(a_sample / own));
                table.put(format!("  beside: {}", size.name), Reach::Stated, a_sample, "B", beside);
            }
        }
    }
    let a_day = |policy, activity| {
        let (told, sizes) = feed(extent.stretch(policy, activity), vec![ours()]);
        let bytes = sizes.first().map_or(f64::NAN, |size| size.bytes);
        let beside =
            format!("{} B a sample, {} × the entropy", digits(bytes / told.samples), digits(bytes / told.floor));
        (bytes / told.seconds * 86_400.0 / 1e6, beside)
    };
    table.put("a day of a busy node, with quanta", Reach::Most(44.0), a_day_of_quanta / 1e6, "MB", extent.of_the_day());
    let (megabytes, beside) = a_day(Policy::Quantised, Activity::Training);
    table.put("24 h of nothing but training, with quanta", Reach::Stated, megabytes, "MB", beside);
    let (megabytes, beside) = a_day(Policy::Lossless, Activity::Training);
    table.put("24 h of nothing but training, lossless", Reach::Stated, megabytes, "MB", beside);
    let (megabytes, beside) = a_day(Policy::Quantised, Activity::Idle);
    table.put("a day of an idle node, with quanta", Reach::Most(6.0), megabytes, "MB", beside);
    let (megabytes, beside) = a_day(Policy::Lossless, Activity::Idle);
    table.put("a day of an idle node, lossless", Reach::Stated, megabytes, "MB", beside);
    table.note(
        "Bytes are those of sealed blocks of 300 s with their section heads; schemas, contexts and directories of \
         segments are not in them. Days from stretches of one activity are extrapolated from an hour of it.",
    );
}

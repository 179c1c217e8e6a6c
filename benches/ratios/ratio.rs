//! Two measurements of one run set against each other.

#![allow(clippy::print_stdout, reason = "the table is what the benchmark is for")]

use std::fs;
use std::path::Path;

use serde_json::Value;

/// One measurement: which, and how many units one run of it handles.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    /// `group/function`.
    pub(crate) id: &'static str,
    /// What it is, in words.
    pub(crate) what: &'static str,
    /// Units (lines, Frames, pictures) in one run.
    pub(crate) units: f64,
}

/// What stands beside a measurement.
pub(crate) enum Against {
    /// Another one of this run.
    Measured(Measured),
    /// The time that the input took when it happened, seconds.
    RealTime(f64),
}

/// A line of the table.
pub(crate) struct Ratio {
    /// What a unit is.
    pub(crate) unit: &'static str,
    pub(crate) ours: Measured,
    pub(crate) against: Against,
}

/// Nanoseconds of one run: the median, and its 95 % confidence interval.
struct Time {
    low: f64,
    middle: f64,
    high: f64,
}

impl Time {
    /// What criterion has written; `None` if this one did not run (a filter, or a trial run).
    fn read(results: &Path, measured: Measured) -> Option<Self> {
        let text = fs::read(results.join(measured.id).join("new/estimates.json")).ok()?;
        let estimates: Value = serde_json::from_slice(&text).ok()?;
        let median = &estimates["median"];
        let per_unit = |value: &Value| Some(value.as_f64()? / measured.units);
        Some(Self {
            low: per_unit(&median["confidence_interval"]["lower_bound"])?,
            middle: per_unit(&median["point_estimate"])?,
            high: per_unit(&median["confidence_interval"]["upper_bound"])?,
        })
    }
}

/// Prints the table.
pub(crate) fn print(ratios: &[Ratio], results: &Path) {
    if ratios.iter().all(|ratio| Time::read(results, ratio.ours).is_none()) {
        return;
    }
    println!("\n{:<46} {:>24}   {:<46} {:>12}   ratio", "ours", "time", "beside", "time");
    for Ratio { unit, ours, against } in ratios {
        let Some(time) = Time::read(results, *ours) else { continue };
        let noise = (time.high - time.low) / 2.0 / time.middle * 100.0;
        let mine = format!("{}/{unit} ±{noise:.0} %", duration(time.middle));
        let (beside, other, ratio) = match against {
            Against::Measured(other) => {
                let Some(reference) = Time::read(results, *other) else { continue };
                let ratio = if time.middle > reference.middle {
                    format!("{:.1} times as long", time.middle / reference.middle)
                } else {
                    format!("{:.1} times as fast", reference.middle / time.middle)
                };
                (other.what, format!("{}/{unit}", duration(reference.middle)), ratio)
            }
            Against::RealTime(seconds) => {
                let taken = time.middle * ours.units / 1e9;
                ("as it happened", format!("{seconds:.1} s"), format!("{:.0} times as fast", seconds / taken))
            }
        };
        println!("{:<46} {mine:>24}   {beside:<46} {other:>12}   {ratio}", ours.what);
    }
}

fn duration(ns: f64) -> String {
    match ns {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.1} µs", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}

//! `gpudeck info`: what a recording holds, and whether it is whole.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;

use ::recorder::Info;
use ::recorder::info::Moment;
use model::text::clean;

use crate::cli::{Format, InfoArgs};
use crate::exit::Failure;
use crate::{output, past};

/// Prints it.
pub(crate) fn run(args: &InfoArgs) -> Result<ExitCode, Failure> {
    let info = ::recorder::info(&args.path).map_err(|error| past::refused(&error))?;
    match args.format {
        Format::Text => output::print(&text(&info))?,
        Format::Json => output::json(&info)?,
    }
    output::done()
}

fn text(info: &Info) -> String {
    let mut text = String::new();
    let mut row = |name: &str, told: String| {
        // Writing to a String cannot fail.
        let _infallible = writeln!(text, "{name:<14} {}", clean(&told, 300));
    };
    row("recording", info.path.clone());
    row("format", format!("{}, written by gpudeck {}", info.format, info.gpudeck));
    for (name, fact) in info.host.iter().chain(&info.driver) {
        row(name, fact.raw().to_owned());
    }
    if !info.trimmed_from.is_empty() {
        row("trimmed from", info.trimmed_from.join(", "));
    }
    if let Some(redaction) = &info.redaction {
        row("redacted", policy(redaction));
    }
    row("boots", info.boots.join(", "));
    row("from", moment(&info.first));
    row("to", moment(&info.last));
    let (frames, samples, series) = (info.frames, info.samples, info.series);
    row("holds", format!("{frames} Frames, {samples} samples of {series} series, {} gaps", info.gaps));
    let probes = info.frames_by_probe.iter().map(|(probe, frames)| format!("{probe} {frames}"));
    row("probes", probes.collect::<Vec<_>>().join(", "));
    let events = info.events_by_kind.iter().map(|(kind, count)| format!("{kind} {count}"));
    row("events", events.collect::<Vec<_>>().join(", "));
    let each = info.bytes_per_sample.map(|each| format!(", {each:.1} a sample")).unwrap_or_default();
    row("bytes", format!("{}{each}, in {} segments", info.bytes, info.segments.len()));
    row("end", end(info).to_owned());
    for damage in &info.damage {
        row("damage", damage.to_string());
    }
    text
}

/// How names were replaced, and what became of lines and notes.
fn policy(redaction: &BTreeMap<String, String>) -> String {
    let part = |(name, word): (&str, &str)| redaction.get(name).map(|told| format!("{word}{told}"));
    let parts = [("method", ""), ("key", "key: "), ("kernel_lines", "kernel lines: "), ("notes", "notes: ")];
    let told: Vec<String> = parts.into_iter().filter_map(part).collect();
    if told.is_empty() { "yes; its header does not tell how".to_owned() } else { told.join("; ") }
}

fn moment(moment: &Moment) -> String {
    moment.at.clone().unwrap_or_else(|| match moment.mono_ns {
        Some(mono) => format!("{}s after boot", mono / 1_000_000_000),
        None => "unknown".to_owned(),
    })
}

fn end(info: &Info) -> &'static str {
    match (info.live, info.closed) {
        (true, _) => "being written now",
        (false, true) => "closed on purpose",
        (false, false) => "not closed: the recorder or the node went away",
    }
}

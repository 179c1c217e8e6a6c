//! `gpudeck decode`: kernel log lines to events, one JSON object a line.

use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use ::decode::Decoder;
use model::Event;
use model::event::KERNEL_LINE;

use crate::cli::{DecodeArgs, Format};
use crate::exit::Failure;
use crate::log_file::{self, Log};
use crate::output;

/// Prints an object for each line that means something.
pub(crate) fn run(args: &DecodeArgs) -> Result<ExitCode, Failure> {
    let log;
    let events: Box<dyn Iterator<Item = Event>> = if args.file == Path::new("-") {
        // A pipe may never end (dmesg -w): each line is answered when it comes.
        Box::new(log_file::stream(io::stdin().lock()))
    } else {
        log = Log::read(&args.file)?;
        Box::new(log.events())
    };
    let mut decoder = Decoder::new();
    if let Some(version) = &args.driver {
        decoder.set_driver(version);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let print = || -> io::Result<()> {
        for line in events {
            let event = decoder.event(&line);
            if event.kind == KERNEL_LINE {
                continue;
            }
            match args.format {
                Format::Json => writeln!(out, "{}", model::text::clean_json(&::decode::json(&event).to_string()))?,
                Format::Text => writeln!(out, "{}", text(&event))?,
            }
            if args.file == Path::new("-") {
                out.flush()?;
            }
        }
        out.flush()
    };
    output::settle(print())?;
    output::done()
}

fn text(event: &model::Event) -> String {
    let level = event.verdict.as_ref().map_or("", |verdict| verdict.level.word());
    let action = event.verdict.as_ref().map_or("", |verdict| verdict.action.word());
    let at = event.at.rfc3339().unwrap_or_else(|| event.at.clock());
    // A line that user space wrote is shown, and never with an action: nobody is to follow it.
    let (level, action) = if event.injected() { ("injected", "-") } else { (level, action) };
    let line = event.record.as_ref().and_then(|record| record.line).unwrap_or(0);
    format!("{line:>6} {at:<24} {level:<8} {:<14} {action:<16} {}", event.kind, event.text().display(400))
}

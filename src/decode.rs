//! `gpudeck decode`: kernel log lines to events, one JSON object a line.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use ::decode::Decoder;
use model::event::KERNEL_LINE;

use crate::cli::{DecodeArgs, Format};
use crate::exit::Failure;
use crate::log_file::Log;
use crate::output;

/// Prints an object for each line that means something.
pub(crate) fn run(args: &DecodeArgs) -> Result<ExitCode, Failure> {
    let log = Log::read(&args.file)?;
    let mut decoder = Decoder::new();
    if let Some(version) = &args.driver {
        decoder.set_driver(version);
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let mut print = || -> io::Result<()> {
        for line in log.events() {
            let event = decoder.event(&line);
            if event.kind == KERNEL_LINE {
                continue;
            }
            match args.format {
                Format::Json => writeln!(out, "{}", ::decode::json(&event))?,
                Format::Text => writeln!(out, "{}", text(&event))?,
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
    format!("{at:<24} {level:<8} {:<14} {action:<16} {}", event.kind, event.text().display(400))
}

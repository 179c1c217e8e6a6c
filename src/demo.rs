//! `gpudeck demo`: a built-in recorded incident, in the deck or, without a terminal, as its diagnosis.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use ::rules::Rulebook;
use tempfile::NamedTempFile;

use crate::cli::DemoArgs;
use crate::exit::{Code, Failure};
use crate::{output, past, present, replay, terminal};

/// The built-in incidents: name, what it shows, the recording (`replay-fixtures/NAME`).
const DEMOS: &[(&str, &str, &[u8])] = &[(
    "xid79-fell-off",
    "one of eight GPUs falls off the bus in the middle of a training job",
    include_bytes!("../replay-fixtures/xid79-fell-off/recording.gdk"),
)];

/// Shows it.
pub(crate) fn run(args: &DemoArgs) -> Result<ExitCode, Failure> {
    if args.list {
        let lines: Vec<String> = DEMOS.iter().map(|(name, about, _)| format!("{name:<20} {about}\n")).collect();
        output::print(&lines.concat())?;
        return output::done();
    }
    let (name, about, bytes) = find(args.name.as_deref())?;
    let cannot = |error: std::io::Error| Failure::io("cannot unpack the demo", &error);
    let mut unpacked = NamedTempFile::with_suffix(".gdk").map_err(cannot)?;
    unpacked.write_all(bytes).and_then(|()| unpacked.flush()).map_err(cannot)?;
    let rulebook = Arc::new(Rulebook::builtin());
    if terminal::is_there() {
        return replay::show(unpacked.path(), name, rulebook, None, None);
    }
    let judgement = past::judge(&past::open(unpacked.path())?, rulebook);
    output::print(&format!("Recorded incident `{name}`: {about}.\n\n{}", present::judgement(&judgement)))?;
    output::done()
}

fn find(name: Option<&str>) -> Result<(&'static str, &'static str, &'static [u8]), Failure> {
    let found = match name {
        None => DEMOS.first(),
        Some(name) => DEMOS.iter().find(|(known, ..)| *known == name),
    };
    found.copied().ok_or_else(|| {
        let known: Vec<&str> = DEMOS.iter().map(|(name, ..)| *name).collect();
        let name = name.unwrap_or_default();
        Failure::new(Code::NoInput, format!("there is no demo `{name}`; there are: {}", known.join(", ")))
    })
}

//! `gpudeck export`: a recording in another format.

use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::{ExportArgs, ExportFormat};
use crate::exit::{Code, Failure};
use crate::{output, past};

/// Writes it.
pub(crate) fn run(args: &ExportArgs) -> Result<ExitCode, Failure> {
    let recording = past::open(&args.path)?;
    let out: Box<dyn Write> = if args.out == Path::new("-") {
        Box::new(io::stdout().lock())
    } else {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&args.out);
        Box::new(file.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                let out = args.out.display();
                Failure::new(Code::Usage, format!("{out} exists and is not overwritten; give another name to --out"))
            }
            _ => Failure::io(format!("cannot create {}", args.out.display()), &error),
        })?)
    };
    let mut out = BufWriter::new(out);
    let written = match args.to {
        ExportFormat::Jsonl => ::recorder::export::jsonl(&recording, &mut out),
    };
    output::settle(written.and_then(|_| out.flush()))?;
    output::done()
}

//! `gpudeck recover`: salvage a damaged recording, and say exactly what is lost.

use std::process::ExitCode;

use ::recorder::{RecoverError, Recovered};

use crate::cli::RecoverArgs;
use crate::exit::{Code, Failure};
use crate::{output, past};

/// Writes the whole one and prints what was kept and what was lost.
pub(crate) fn run(args: &RecoverArgs) -> Result<ExitCode, Failure> {
    let recovered = ::recorder::recover(&args.path, &args.out).map_err(|error| match &error {
        RecoverError::Open(error) => past::refused(error),
        RecoverError::Create(_) | RecoverError::Write(_) => Failure::new(Code::Io, error),
    })?;
    output::print(&text(&recovered))?;
    output::done()
}

fn text(recovered: &Recovered) -> String {
    let Recovered { path, frames, bytes_read, bytes_lost, lost, .. } = recovered;
    let mut text = format!("{}: {frames} Frames saved; of {bytes_read} bytes {bytes_lost} are lost\n", path.display());
    for damage in lost {
        text.push_str(&format!("  {damage}\n"));
    }
    if let Some(error) = &recovered.sync_error {
        text.push_str(&format!("  the new recording is not yet safe against a power cut: {error}\n"));
    }
    text
}

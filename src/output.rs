//! Writing to the terminal or to whatever reads us. A reader that has gone away (`| head`) is not an error.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::exit::{Code, Failure};

/// Prints text to standard output.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    settle(write_all(io::stdout().lock(), text))
}

/// Prints a message to standard error.
pub(crate) fn complain(message: &str) {
    // There is nobody left to tell when standard error itself is gone.
    let _gone = writeln!(io::stderr().lock(), "{message}");
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new(Code::Software, error))?;
    print(&format!("{text}\n"))
}

/// Takes a broken pipe for a reader that had enough.
pub(crate) fn settle(written: io::Result<()>) -> Result<(), Failure> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io("cannot write to standard output", &error))
        }
        _ => Ok(()),
    }
}

/// Done, without more to say.
pub(crate) fn done() -> Result<ExitCode, Failure> {
    Ok(ExitCode::SUCCESS)
}

fn write_all(mut out: impl Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

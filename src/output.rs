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

/// From here on the log goes to standard error: warnings and worse, or what `GPUDECK_LOG` asks for (`debug`,
/// `engine=trace`). For commands that run unattended; a deck's screen takes no log.
pub(crate) fn log() {
    let wanted = tracing_subscriber::EnvFilter::try_from_env("GPUDECK_LOG");
    let wanted = wanted.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A second call finds the log where it should be.
    let _already =
        tracing_subscriber::fmt().with_env_filter(wanted).with_writer(io::stderr).with_ansi(false).try_init();
}

/// Prints a value as JSON.
pub(crate) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::new(Code::Software, error))?;
    print(&format!("{}\n", model::text::clean_json(&text)))
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

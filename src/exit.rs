//! How gpudeck ends: a message for a person, and a code for a script (sysexits(3)).

use std::fmt;
use std::process::ExitCode;

/// Why a command could not do its work: what happened, to what, what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    message: String,
}

/// The documented exit codes of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// The command line is wrong.
    Usage = 64,
    /// A recording, a rule file or a log cannot be used.
    Data = 65,
    /// The input is not there.
    NoInput = 66,
    /// Something needed is missing: a terminal, a scheduler.
    Unavailable = 69,
    /// Our own fault.
    Software = 70,
    /// Reading or writing failed.
    Io = 74,
    /// Not permitted.
    Permission = 77,
}

impl Failure {
    /// A failure with its code and message.
    pub(crate) fn new(code: Code, message: impl fmt::Display) -> Self {
        Self { code, message: message.to_string() }
    }

    /// A failure to read or write a file, with its code by what the system said.
    pub(crate) fn io(what: impl fmt::Display, error: &std::io::Error) -> Self {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound => Code::NoInput,
            std::io::ErrorKind::PermissionDenied => Code::Permission,
            _ => Code::Io,
        };
        Self { code, message: format!("{what}: {error}") }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Says what went wrong and gives the code.
pub(crate) fn report(failure: &Failure) -> ExitCode {
    let message: Vec<String> = failure.message.lines().map(|line| model::text::clean(line, 2_000)).collect();
    crate::output::complain(&format!("gpudeck: {}", message.join("\n")));
    ExitCode::from(failure.code as u8)
}

/// Help and version are answers, not failures; anything else of clap's is a wrong usage.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    match (error.use_stderr(), printed) {
        (false, Ok(())) => ExitCode::SUCCESS,
        _ => ExitCode::from(Code::Usage as u8),
    }
}

//! `gpudeck mark`: an operator's note into the running recording; what happens around it is kept in full.

use std::process::ExitCode;

use crate::attach::{self, MOST_MARK};
use crate::cli::MarkArgs;
use crate::exit::{Code, Failure};
use crate::output;

/// Sends the note to the recorder and waits until it is taken.
pub(crate) fn run(args: &MarkArgs) -> Result<ExitCode, Failure> {
    let text = args.text.join(" ");
    if text.trim().is_empty() {
        return Err(Failure::new(
            Code::Usage,
            "the mark is empty; say what happened: gpudeck mark 'swapped the cable'",
        ));
    }
    if text.len() > MOST_MARK {
        let found = text.len();
        return Err(Failure::new(Code::Usage, format!("the mark has {found} bytes; a mark has at most {MOST_MARK}")));
    }
    let mut recorder = attach::connect(&args.socket).map_err(|error| attach::failure(&error))?;
    recorder.mark(&text).map_err(|error| {
        let path = args.socket.display();
        Failure::io(format!("the recorder at `{path}` did not take the mark"), &error)
    })?;
    output::done()
}

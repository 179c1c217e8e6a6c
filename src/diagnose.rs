//! `gpudeck diagnose`: the incidents of a recording or of a kernel log file.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use ::recorder::{OpenError, Recording};
use ::rules::Rulebook;
use model::{Coverage, Incident};
use serde::Serialize;

use crate::cli::{DiagnoseArgs, Format};
use crate::exit::{Code, Failure};
use crate::incidents::{Judge, Judgement};
use crate::log_file::Log;
use crate::{output, past, present, rulebook};

/// Prints the incidents.
pub(crate) fn run(args: &DiagnoseArgs) -> Result<ExitCode, Failure> {
    let rulebook = rulebook::load(args.rules.as_deref())?;
    let judgement = match open(&args.path)? {
        Some(recording) => past::judge(&recording, rulebook),
        None => judge_log(&args.path, rulebook, args.driver.as_deref())?,
    };
    match args.format {
        Format::Text => output::print(&present::judgement(&judgement))?,
        Format::Json => output::json(&Json::of(&judgement))?,
    }
    output::done()
}

/// What `diagnose --format json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct Json<'a> {
    /// Ordered by importance.
    pub incidents: &'a [Incident],
    /// What could not be judged, and why.
    pub coverage: &'a Coverage,
}

impl<'a> Json<'a> {
    /// Borrows a judgement.
    pub(crate) fn of(judgement: &'a Judgement) -> Self {
        Self { incidents: &judgement.incidents, coverage: &judgement.coverage }
    }
}

/// The recording at the path, or `None` where it is something else that may be a log.
fn open(path: &Path) -> Result<Option<Recording>, Failure> {
    if path == Path::new("-") {
        return Ok(None);
    }
    match Recording::open(path) {
        Ok(recording) => Ok(Some(recording)),
        Err(OpenError::NotOurs { .. }) if path.is_file() => Ok(None),
        Err(error) => Err(past::refused(&error)),
    }
}

fn judge_log(path: &Path, rulebook: Arc<Rulebook>, driver: Option<&str>) -> Result<Judgement, Failure> {
    let log = Log::read(path)?;
    if log.is_binary() {
        let why = "is neither a gpudeck recording nor the text of a kernel log; give a .gdk file, a directory of \
                   segments, or the output of dmesg or journalctl -k";
        return Err(Failure::new(Code::Data, format!("{} {why}", path.display())));
    }
    let mut judge = Judge::new(rulebook, driver);
    log.frames().for_each(|frame| judge.raw(frame));
    Ok(judge.finish())
}

//! Opening a recording, and what it comes to under a rulebook.

use std::path::Path;
use std::sync::Arc;

use ::recorder::{OpenError, Recording};
use ::rules::Rulebook;

use model::CoverageGap;

use crate::exit::{Code, Failure};
use crate::incidents::{Judge, Judgement};
use crate::output;

/// The header's fact that decides what an Xid means.
pub(crate) const DRIVER_VERSION: &str = "driver_version";

/// Opens a recording.
pub(crate) fn open(path: &Path) -> Result<Recording, Failure> {
    Recording::open(path).map_err(|error| refused(&error))
}

/// Why a recording could not be opened, with the exit code that says so.
pub(crate) fn refused(error: &OpenError) -> Failure {
    let code = match error {
        OpenError::Missing { .. } | OpenError::NoSegments { .. } => Code::NoInput,
        OpenError::Denied { .. } => Code::Permission,
        OpenError::Unreadable { .. } => Code::Io,
        _ => Code::Data,
    };
    Failure::new(code, error)
}

/// The incidents of a recording. Damage is told on standard error; what was read before it is judged.
pub(crate) fn judge(recording: &Recording, rulebook: Arc<Rulebook>) -> Judgement {
    let mut damaged = Vec::new();
    let mut judge = Judge::new(rulebook, recording.header().driver.get(DRIVER_VERSION).map(model::Untrusted::raw));
    for frame in recording.frames() {
        match frame {
            Ok(frame) => judge.raw(frame),
            Err(damage) => {
                output::complain(&format!("gpudeck: {damage}; what was recorded before it is used"));
                damaged.push(damage.to_string());
            }
        }
    }
    for damage in recording.unopened() {
        output::complain(&format!("gpudeck: {damage}; the other segments are used"));
        damaged.push(damage.to_string());
    }
    let mut judgement = judge.finish();
    let lost = |why| CoverageGap { source: "recording".to_owned(), entity: None, why, rules: 0 };
    judgement.coverage.gaps.splice(0..0, damaged.into_iter().map(lost));
    judgement
}

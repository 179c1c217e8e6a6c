//! `gpudeck trim`: cut a piece out of a recording, to share it.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use ::decode::Decoder;
use ::recorder::redact::{Key, Kind, Known, Redaction};
use ::recorder::{CreateError, Cut, TrimError, Trimmed};
use model::event::KERNEL_LINE;
use model::{Event, Field, Stamp};

use crate::cli::{TrimArgs, duration};
use crate::exit::{Code, Failure};
use crate::{output, past};

/// A time on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// At this instant, nanoseconds since 1970.
    At(i64),
    /// That long after the start of the piece, or of the recording.
    After(Duration),
    /// That long before the end of the piece, or of the recording.
    Before(Duration),
}

impl When {
    /// Reads RFC 3339, `+10m` or `-10m`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Some(rest) = text.strip_prefix('+') {
            return duration(rest).map(Self::After);
        }
        if let Some(rest) = text.strip_prefix('-') {
            return duration(rest).map(Self::Before);
        }
        let at: Option<jiff::Timestamp> = text.parse().ok();
        at.and_then(|at| i64::try_from(at.as_nanosecond()).ok()).map(Self::At).ok_or_else(|| {
            format!("`{text}` is not a time; expected RFC 3339 such as 2026-11-23T02:14:00Z, or +10m or -10m")
        })
    }
}

/// Writes the piece and prints what is in it.
pub(crate) fn run(args: &TrimArgs) -> Result<ExitCode, Failure> {
    let recording = past::open(&args.path)?;
    let cut = cut(args)?;
    let redaction = match args.redact {
        true => Some(Redaction { key: key(args)?, keep_lines: args.keep_lines, meaning: &meaning }),
        false => None,
    };
    let trimmed = ::recorder::trim(&recording, cut, redaction.as_ref(), &args.out).map_err(|error| refused(&error))?;
    output::print(&text(&trimmed))?;
    output::done()
}

/// Both ends, of which each may be told relative to the other, or to that end of the recording.
fn cut(args: &TrimArgs) -> Result<Cut, Failure> {
    let mut span = None;
    let mut end_of_recording = |last: bool| -> Result<i64, Failure> {
        if span.is_none() {
            let info = ::recorder::info(&args.path).map_err(|error| past::refused(&error))?;
            span = Some((info.first.at, info.last.at));
        }
        let (first, to) = span.clone().unwrap_or_default();
        match (if last { to } else { first }).as_deref().map(When::parse) {
            Some(Ok(When::At(at))) => Ok(at),
            _ => {
                Err(Failure::new(Code::Data, "the recording does not know the wall clock; give no --from and no --to"))
            }
        }
    };
    let from = match (args.from, args.to) {
        (None, _) => None,
        (Some(When::At(at)), _) => Some(at),
        (Some(When::After(length)), _) => Some(shifted(end_of_recording(false)?, length, 1)?),
        (Some(When::Before(length)), Some(When::At(to))) => Some(shifted(to, length, -1)?),
        (Some(When::Before(length)), None) => Some(shifted(end_of_recording(true)?, length, -1)?),
        (Some(When::Before(_)), Some(_)) => {
            let message = "--from is told relative to --to, and --to is no time itself; give one of them as RFC 3339";
            return Err(Failure::new(Code::Usage, message));
        }
    };
    let to = match args.to {
        None => None,
        Some(When::At(at)) => Some(at),
        Some(When::After(length)) => {
            let from = match from {
                Some(from) => from,
                None => end_of_recording(false)?,
            };
            Some(shifted(from, length, 1)?)
        }
        Some(When::Before(length)) => Some(shifted(end_of_recording(true)?, length, -1)?),
    };
    let stamp = |at: Option<i64>| at.map(|at| Stamp { mono_ns: None, real_ns: Some(at) });
    Ok(Cut { from: stamp(from), to: stamp(to) })
}

fn shifted(at: i64, length: Duration, sign: i64) -> Result<i64, Failure> {
    let shifted = i64::try_from(length.as_nanos()).ok().and_then(|length| at.checked_add(length.checked_mul(sign)?));
    shifted.ok_or_else(|| Failure::new(Code::Usage, "--from or --to lies outside of the times that can be told"))
}

fn key(args: &TrimArgs) -> Result<Key, Failure> {
    use ::recorder::redact::KeyError;

    match &args.key_file {
        None => Key::random().map_err(|error| Failure::io("cannot make a key from /dev/urandom", &error)),
        Some(path) => Key::read(path).map_err(|error| match error {
            KeyError::Unreadable(error) => Failure::io(format!("cannot read the key {}", path.display()), &error),
            error => Failure::new(Code::Data, format!("{}: {error}", path.display())),
        }),
    }
}

fn refused(error: &TrimError) -> Failure {
    let code = match error {
        TrimError::Reversed { .. } | TrimError::Empty { .. } => Code::Usage,
        TrimError::Nothing => Code::Data,
        TrimError::Create(CreateError::Exists { .. }) => Code::Usage,
        TrimError::Create(CreateError::Denied { .. }) => Code::Permission,
        TrimError::Create(_) | TrimError::Write(_) => Code::Io,
    };
    Failure::new(code, error)
}

/// Fields that say what a rule reads, not whom it is about.
const GIST: &[&str] = &["event", "severity", "type", "state", "recovery_to", "recovery", "pci", "invalid_context"];

/// Fields that are names.
const NAMES: &[(&str, Kind)] = &[
    ("name", Kind::Command),
    ("command", Kind::Command),
    ("task", Kind::Command),
    ("server", Kind::Host),
    ("interface", Kind::Interface),
    ("bond", Kind::Interface),
    ("cgroup", Kind::Cgroup),
];

/// What a kernel line means to the rules.
fn meaning(event: &Event) -> Option<Known> {
    let decoded = (event.kind == KERNEL_LINE).then(|| Decoder::new().event(event))?;
    if decoded.kind == KERNEL_LINE {
        return None;
    }
    let tells = |(name, field): &(&str, &Field)| !matches!(field, Field::Text(_)) || GIST.contains(name);
    let gist: BTreeMap<&str, &Field> =
        decoded.fields.iter().map(|(name, field)| (name.as_ref(), field)).filter(tells).collect();
    let private = |(name, kind): &(&str, Kind)| Some((*kind, decoded.field(name)?.as_text()?.to_owned()));
    Some(Known { gist: format!("{} {gist:?}", decoded.kind), names: NAMES.iter().filter_map(private).collect() })
}

fn text(trimmed: &Trimmed) -> String {
    let Trimmed { path, frames, context, first, last, bytes, .. } = trimmed;
    let told = |at: &Stamp| at.rfc3339().unwrap_or_else(|| at.clock());
    let (path, first, last) = (path.display(), told(first), told(last));
    let mut text = format!("{path}: {frames} Frames from {first} to {last}, {context} before them; {bytes} bytes\n");
    for (what, policy) in trimmed.redaction.iter().flatten() {
        text.push_str(&format!("  {what:<15} {policy}\n"));
    }
    if trimmed.redaction.is_some() {
        text.push_str(&format!("  {} texts are left out\n", trimmed.left_out));
    }
    for damage in &trimmed.damage {
        text.push_str(&format!("  {damage}\n"));
    }
    if let Some(error) = &trimmed.sync_error {
        text.push_str(&format!("  the piece is not yet safe against a power cut: {error}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_or_relative() {
        assert_eq!(When::parse("1970-01-01T00:00:01Z"), Ok(When::At(1_000_000_000)));
        assert_eq!(When::parse("+10m"), Ok(When::After(Duration::from_secs(600))));
        assert_eq!(When::parse("-5s"), Ok(When::Before(Duration::from_secs(5))));
        for wrong in ["", "yesterday", "+", "2026-11-23", "12:00", "9999999-01-01T00:00:00Z"] {
            assert!(When::parse(wrong).is_err(), "{wrong}");
        }
    }
}

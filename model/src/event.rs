//! Something that happened at an instant, with its verbatim source.
//!
//! The kernel log probe emits events of kind [`KERNEL_LINE`] that hold the raw record; `decode` turns them into typed
//! events, live and again at replay, so that tomorrow's knowledge can re-read yesterday's log.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::entity::Entity;
use crate::text::Untrusted;
use crate::time::Stamp;
use crate::verdict::Verdict;

/// A kernel line that is not (or not yet) decoded.
pub const KERNEL_LINE: &str = "kernel_line";
/// The kernel log overwrote records before we read them; field `lost` (a count).
pub const KERNEL_GAP: &str = "kernel_gap";
/// An operator's note; field `text`.
pub const MARK: &str = "mark";
/// A worker began to watch: field `probe`.
pub const PROBE_STARTED: &str = "probe_started";
/// A driver call has not come back within its deadline: fields `probe`, `call`, `since_ns`, `wchan`.
pub const PROBE_STUCK: &str = "probe_stuck";
/// A stuck call came back: fields `probe`, `call`, `stuck_ns`.
pub const PROBE_FREED: &str = "probe_freed";
/// A worker process died: fields `probe`, `status`.
pub const PROBE_CRASHED: &str = "probe_crashed";
/// Frames of a probe are missing: fields `probe`, `missing_ns`.
pub const GAP: &str = "gap";
/// The wall clock stepped: field `step_ns`.
pub const CLOCK_STEP: &str = "clock_step";
/// A driver event (the event set): field `code` for an Xid; a wake-up, not a log.
pub const DRIVER_EVENT: &str = "driver_event";
/// An action on the node: fields `plan`, `step`, `outcome`.
pub const ACTION: &str = "action";

/// One field of an event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Field {
    /// Yes or no.
    Flag(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Number(f64),
    /// Text, as the source has it.
    Text(Untrusted),
    /// Several.
    List(Vec<Field>),
    /// Named, and said to be absent by the source.
    Null(()),
}

impl Field {
    /// The whole number, if it is one.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    /// The text as it came, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.raw()),
            _ => None,
        }
    }
}

impl From<bool> for Field {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

impl From<i64> for Field {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<u32> for Field {
    fn from(int: u32) -> Self {
        Self::Int(i64::from(int))
    }
}

impl From<&str> for Field {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Field {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

/// An event's fields by name.
pub type Fields = BTreeMap<Cow<'static, str>, Field>;

/// Who wrote a kernel line. User space cannot write facility 0 (`Documentation/ABI/testing/dev-kmsg`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// Facility 0: the kernel itself.
    Kernel,
    /// Another facility: user space wrote it. Never acted on.
    Injected,
    /// Plain text that does not tell; counts as the kernel's.
    Untold,
}

/// One record of the kernel log, verbatim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KernelRecord {
    /// The text without its prefix, as the source has it: escapes not resolved.
    #[serde(with = "serde_bytes")]
    pub text: Vec<u8>,
    /// `/dev/kmsg` sequence number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Syslog priority, 0 (emergency) to 7 (debug).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
    /// Syslog facility; 0 is the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facility: Option<u32>,
    /// `SUBSYSTEM=`, `DEVICE=` and the like, from a record's continuation lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dictionary: Vec<(String, String)>,
    /// The line's number in a plain log file, 1-based.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
}

impl KernelRecord {
    /// Who wrote it, as far as the record tells.
    pub fn provenance(&self) -> Provenance {
        match self.facility {
            Some(0) => Provenance::Kernel,
            Some(_) => Provenance::Injected,
            None => Provenance::Untold,
        }
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, by the source's own account.
    pub at: Stamp,
    /// What: `kernel_line`, `xid`, `aer`, `mark`, `probe_stuck`, …
    pub kind: Cow<'static, str>,
    /// To whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<Entity>,
    /// The particulars.
    #[serde(default, skip_serializing_if = "Fields::is_empty")]
    pub fields: Fields,
    /// The kernel record it was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<KernelRecord>,
    /// It was already in the log when the probe started.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub backlog: bool,
    /// What the fault knowledge says of it by itself. Made anew at each decoding, never recorded.
    #[serde(skip)]
    pub verdict: Option<Verdict>,
}

impl Event {
    /// An event without particulars.
    pub fn new(at: Stamp, kind: impl Into<Cow<'static, str>>) -> Self {
        Self { at, kind: kind.into(), entity: None, fields: Fields::new(), record: None, backlog: false, verdict: None }
    }

    /// About this entity.
    pub fn about(self, entity: Entity) -> Self {
        Self { entity: Some(entity), ..self }
    }

    /// With one more field.
    pub fn with(mut self, name: &'static str, field: impl Into<Field>) -> Self {
        self.fields.insert(Cow::Borrowed(name), field.into());
        self
    }

    /// A field by its name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(name)
    }

    /// User space wrote the line that this event was read from: shown, never acted on.
    pub fn injected(&self) -> bool {
        self.record.as_ref().is_some_and(|record| record.provenance() == Provenance::Injected)
    }

    /// The line that led to it, for a screen or a report; for events without one, kind and fields.
    pub fn text(&self) -> Untrusted {
        if let Some(record) = &self.record {
            return Untrusted::from_bytes(&record.text);
        }
        let fields: Vec<String> = self
            .fields
            .iter()
            .map(|(name, field)| match field {
                Field::Text(text) => format!("{name}={}", text.raw()),
                Field::Int(int) => format!("{name}={int}"),
                Field::Flag(flag) => format!("{name}={flag}"),
                Field::Number(number) => format!("{name}={number}"),
                Field::List(_) | Field::Null(()) => format!("{name}=…"),
            })
            .collect();
        Untrusted::new(format!("{} {}", self.kind, fields.join(" ")))
    }
}

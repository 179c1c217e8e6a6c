//! One record of `/dev/kmsg`: `prio,seq,usec,flags[,more];text`, then ` KEY=value` lines
//! (`Documentation/ABI/testing/dev-kmsg`).

use model::{Event, KernelRecord, Stamp};

/// The most continuation lines kept of a record; the kernel writes at most a handful.
pub(super) const MOST_PAIRS: usize = 64;

/// Why bytes are not a `/dev/kmsg` record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KmsgError {
    /// No `;` that ends a header.
    #[error("no `;` behind the header; a record looks like `6,1,1000,-;text`")]
    NoHeader,
    /// A header field that is no number.
    #[error("the {field} of the header is `{found}`, not a number; a record looks like `6,1,1000,-;text`")]
    NotANumber {
        /// Which field.
        field: &'static str,
        /// What stands there, cut.
        found: String,
    },
}

/// Reads one record as `read(2)` returns it, with its continuation lines. The text keeps its `\xNN` escapes.
///
/// # Errors
/// What in the header is not as the kernel writes it.
pub fn parse_kmsg(record: &[u8]) -> Result<Event, KmsgError> {
    let mut lines = record.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let semicolon = first.iter().position(|byte| *byte == b';').ok_or(KmsgError::NoHeader)?;
    let (header, text) = first.split_at_checked(semicolon).ok_or(KmsgError::NoHeader)?;
    let text = text.strip_prefix(b";").unwrap_or(text);
    // Further fields behind the flags, such as `caller=T1`, may come and go.
    let mut fields = header.split(|byte| *byte == b',');
    let mut number = |field| number(field, fields.next().unwrap_or_default());
    let (priority, sequence, micros) = (number("priority")?, number("sequence")?, number("time")?);
    let record = KernelRecord {
        text: text.to_vec(),
        sequence: Some(sequence),
        priority: u8::try_from(priority & 7).ok(),
        facility: u32::try_from(priority >> 3).ok(),
        dictionary: lines.map_while(continuation).take(MOST_PAIRS).collect(),
        line: None,
    };
    Ok(super::raw(Stamp { mono_ns: micros.checked_mul(1000), real_ns: None }, record))
}

fn number(field: &'static str, digits: &[u8]) -> Result<u64, KmsgError> {
    let text = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).ok_or_else(|| KmsgError::NotANumber {
        field,
        found: String::from_utf8_lossy(digits).chars().take(40).collect(),
    })
}

/// ` SUBSYSTEM=pci`
pub(super) fn continuation(line: &[u8]) -> Option<(String, String)> {
    let line = std::str::from_utf8(line.strip_prefix(b" ")?).ok()?;
    let (key, value) = line.split_once('=')?;
    let is_key = !key.is_empty() && key.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    is_key.then(|| (key.to_owned(), value.chars().take(1024).collect()))
}

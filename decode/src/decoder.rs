//! From a raw kernel line to a typed event.

use std::borrow::Cow;

use model::event::KERNEL_LINE;
use model::{Event, Frame, KernelRecord};

use crate::families::{self, Context};
use crate::knowledge::DriverVersion;

/// Turns raw kernel lines into typed events. Holds what the meaning of a line may depend on: the driver's version.
#[derive(Clone, Debug, Default)]
pub struct Decoder {
    driver: Option<DriverVersion>,
}

impl Decoder {
    /// A decoder that does not know the driver: codes mean what they mean in current drivers.
    pub fn new() -> Self {
        Self::default()
    }

    /// From here on codes mean what they mean in this driver (`550.90.07`). A version that cannot be read changes nothing.
    pub fn set_driver(&mut self, version: &str) {
        if let Ok(version) = version.parse() {
            self.driver = Some(version);
        }
    }

    /// The event as its kernel line says, or unchanged if it is no kernel line or one that means nothing to us.
    pub fn event(&mut self, event: &Event) -> Event {
        self.decoded(event).unwrap_or_else(|| event.clone())
    }

    /// Decodes all kernel lines of a Frame in place.
    pub fn frame(&mut self, frame: &mut Frame) {
        for event in &mut frame.events {
            if let Some(decoded) = self.decoded(event) {
                *event = decoded;
            }
        }
    }

    fn decoded(&self, event: &Event) -> Option<Event> {
        if event.kind != KERNEL_LINE {
            return None;
        }
        let text = text(event.record.as_ref()?);
        let decoded = families::read(text.trim(), Context { driver: self.driver })?;
        let mut fields = event.fields.clone();
        fields.extend(decoded.fields);
        Some(Event {
            at: event.at,
            kind: Cow::Borrowed(decoded.kind),
            entity: decoded.entity,
            fields,
            record: event.record.clone(),
            backlog: event.backlog,
            verdict: decoded.verdict,
        })
    }
}

/// The text of a record as the kernel meant it. `/dev/kmsg` escapes what is not printable, and the backslash, as `\xNN`
/// (`Documentation/ABI/testing/dev-kmsg`); other sources do not, and only records from there carry a sequence number.
fn text(record: &KernelRecord) -> Cow<'_, str> {
    if record.sequence.is_some() && record.text.contains(&b'\\') {
        Cow::Owned(String::from_utf8_lossy(&unescaped(&record.text)).into_owned())
    } else {
        String::from_utf8_lossy(&record.text)
    }
}

fn unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, after)) = rest.split_first() {
        match escape(rest) {
            Some((byte, behind)) => {
                plain.push(byte);
                rest = behind;
            }
            None => {
                plain.push(first);
                rest = after;
            }
        }
    }
    plain
}

fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    let (digits, behind) = text.strip_prefix(b"\\x")?.split_at_checked(2)?;
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
    Some((u8::from_str_radix(digits, 16).ok()?, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_resolved_and_what_only_looks_like_one_stays() {
        assert_eq!(unescaped(br"a\x5cb\x09c\xzz\x1"), b"a\\b\tc\\xzz\\x1");
    }

    #[test]
    fn an_escaped_line_break_does_not_begin_a_line() {
        let event = crate::parse_kmsg(br"3,7,5,-;hello\x0aNVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus.")
            .unwrap();
        assert_eq!(Decoder::new().event(&event).kind, KERNEL_LINE);
    }
}

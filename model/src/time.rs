//! Instants as data. Nothing here reads a clock: an instant is carried by the Frame or Event that it belongs to.

use serde::{Deserialize, Serialize};

/// Linux' `/proc/sys/kernel/random/boot_id`: which boot a monotonic time belongs to. Empty where it is not known (a
/// plain log file).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub String);

/// One instant on both clocks. Either may be unknown: a plain `dmesg` line has no wall clock, a syslog line no
/// monotonic one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Nanoseconds of `CLOCK_MONOTONIC` since boot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mono_ns: Option<u64>,
    /// Nanoseconds since 1970-01-01T00:00:00Z; steps when the wall clock does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub real_ns: Option<i64>,
}

impl Stamp {
    /// Both clocks known.
    pub fn new(mono_ns: u64, real_ns: i64) -> Self {
        Self { mono_ns: Some(mono_ns), real_ns: Some(real_ns) }
    }

    /// The place on one time axis in nanoseconds, by which samples are ordered and windows are measured: the monotonic
    /// clock where known, else the wall clock. Never mix stamps of different sources on this axis without [`Self::align`].
    pub fn axis_ns(self) -> u64 {
        self.mono_ns.or_else(|| self.real_ns.and_then(|real| u64::try_from(real).ok())).unwrap_or(0)
    }

    /// The wall clock as RFC 3339 UTC with milliseconds, or `None` when unknown.
    pub fn rfc3339(self) -> Option<String> {
        let real = jiff::Timestamp::from_nanosecond(i128::from(self.real_ns?)).ok()?;
        Some(format!("{real:.3}"))
    }

    /// `HH:MM:SS` UTC for a screen; seconds since boot where only that is known.
    pub fn clock(self) -> String {
        match (self.real_ns.and_then(|ns| jiff::Timestamp::from_nanosecond(i128::from(ns)).ok()), self.mono_ns) {
            (Some(real), _) => real.strftime("%H:%M:%S").to_string(),
            (None, Some(mono)) => format!("+{}.{:03}s", mono / NS_PER_S, mono % NS_PER_S / 1_000_000),
            (None, None) => "--:--:--".to_owned(),
        }
    }

    /// This stamp with a missing clock filled in from `anchor`, an instant at which both were read.
    pub fn align(self, anchor: Stamp) -> Self {
        let (Some(anchor_mono), Some(anchor_real)) = (anchor.mono_ns, anchor.real_ns) else { return self };
        let offset = i128::from(anchor_real) - i128::from(anchor_mono);
        match self {
            Stamp { mono_ns: Some(mono), real_ns: None } => {
                Self { real_ns: i64::try_from(i128::from(mono) + offset).ok(), ..self }
            }
            Stamp { mono_ns: None, real_ns: Some(real) } => {
                Self { mono_ns: u64::try_from(i128::from(real) - offset).ok(), ..self }
            }
            both_or_neither => both_or_neither,
        }
    }
}

/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;

/// A half-open stretch of the time axis, `from..to` in [`Stamp::axis_ns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// First nanosecond inside.
    pub from: u64,
    /// First nanosecond behind.
    pub to: u64,
}

impl Window {
    /// Length in nanoseconds.
    pub fn length(self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// Whether the instant lies inside.
    pub fn holds(self, at: u64) -> bool {
        (self.from..self.to).contains(&at)
    }
}

/// A length of time for a person: `4s`, `2m13s`, `1h05m`, `3d04h`.
pub fn human_duration(ns: u64) -> String {
    let s = ns / NS_PER_S;
    match s {
        0..60 => format!("{s}s"),
        60..3600 => format!("{}m{:02}s", s / 60, s % 60),
        3600..86_400 => format!("{}h{:02}m", s / 3600, s % 3600 / 60),
        _ => format!("{}d{:02}h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_clock_is_filled_from_an_anchor() {
        let anchor = Stamp::new(10 * NS_PER_S, 1_000 * 1_000_000_000);
        let from_mono = Stamp { mono_ns: Some(12 * NS_PER_S), real_ns: None }.align(anchor);
        assert_eq!(from_mono.real_ns, Some(1_002_000_000_000));
        let from_real = Stamp { mono_ns: None, real_ns: Some(995_000_000_000) }.align(anchor);
        assert_eq!(from_real.mono_ns, Some(5 * NS_PER_S));
    }

    #[test]
    fn times_are_rfc3339_utc() {
        assert_eq!(Stamp::new(0, 1_795_451_640_123_000_000).rfc3339().as_deref(), Some("2026-11-23T16:34:00.123Z"));
        assert_eq!(Stamp { mono_ns: Some(1), real_ns: None }.rfc3339(), None);
    }

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(human_duration(133 * NS_PER_S), "2m13s");
        assert_eq!(human_duration(3_900 * NS_PER_S), "1h05m");
    }
}

//! Numbers and readings as a person reads them: humane units, and one grammar for what is missing.
//!
//! The gap grammar: `–` unsupported, `⊘` denied, `?` stuck, `×` lost, `~` stale, `·` nothing recorded. Nothing on the
//! screen that stands for a reading is made anywhere else, so "0" and "no answer" never look alike.

use model::{Metric, Reading, Unit, Value};

use crate::look::Tone;

/// A short text and its tone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Word {
    /// The text.
    pub(crate) text: String,
    /// How it is shown.
    pub(crate) tone: Tone,
}

impl Word {
    /// A text in a tone.
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    /// In another tone, unless it stands for a gap.
    pub(crate) fn toned(self, tone: Tone) -> Self {
        if self.tone == Tone::Gap || self.tone == Tone::Critical { self } else { Self { tone, ..self } }
    }
}

/// The glyph for no reading at all.
pub(crate) const NOTHING: &str = "·";

/// A reading in a cell: the value as `show` puts it, or the glyph that says why there is none.
pub(crate) fn cell(reading: Option<&Reading>, show: impl Fn(&Value) -> String) -> Word {
    match reading {
        None => Word::new(NOTHING, Tone::Faint),
        Some(Reading::Good(value)) => Word::new(show(value), Tone::Text),
        Some(Reading::Stale(value, _)) => Word::new(format!("{}~", show(value)), Tone::Gap),
        Some(Reading::Lost) => Word::new("×", Tone::Critical),
        Some(other) => Word::new(other.glyph().map(String::from).unwrap_or_default(), Tone::Gap),
    }
}

/// What the glyph of a reading means, for a person.
pub(crate) fn gap_meaning(reading: Option<&Reading>) -> &'static str {
    match reading {
        None => "nothing recorded",
        Some(Reading::Good(_)) => "read just now",
        Some(Reading::Stale(..)) => "an old value",
        Some(Reading::Unsupported) => "this device or driver does not have it",
        Some(Reading::Denied) => "not permitted to read it",
        Some(Reading::Stuck(..)) => "the call that reads it has not come back",
        Some(Reading::Lost) => "the device is gone",
    }
}

/// A value with its unit, as a metric shows it.
pub(crate) fn with_unit(metric: Option<&Metric>, value: &Value) -> String {
    let unit = metric.map_or(Unit::None, |metric| metric.unit);
    match value {
        Value::Text(text) => text.display(60),
        Value::Flag(_) => value.to_string(),
        Value::Count(_) | Value::Number(_) => {
            let number = value.as_f64().unwrap_or(0.0);
            match unit {
                Unit::Bytes => bytes(number),
                Unit::BytesPerSecond => format!("{}/s", decimal_bytes(number)),
                Unit::Nanoseconds => time(number / 1e9),
                Unit::Microseconds => time(number / 1e6),
                Unit::Milliseconds => time(number / 1e3),
                Unit::Seconds => time(number),
                Unit::Millijoules => energy(number / 1e3),
                Unit::Joules => energy(number),
                Unit::None => value.as_count().map_or_else(|| short(number), grouped),
                Unit::Percent => format!("{} %", short(number)),
                other => format!("{} {}", short(number), other.symbol()),
            }
        }
    }
}

/// A number with at most one decimal, none from 100 on.
pub(crate) fn short(number: f64) -> String {
    if !number.is_finite() {
        "?".to_owned()
    } else if number.abs() >= 100.0 || (number - number.round()).abs() < 0.05 {
        format!("{number:.0}")
    } else {
        format!("{number:.1}")
    }
}

/// A whole number with thin groups of three.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A count in at most five columns: `812`, `12k`, `9.6G`.
pub(crate) fn brief(count: f64) -> String {
    scaled(count, 1000.0, &["", "k", "M", "G", "T", "P", "E"], "")
}

/// Memory: powers of 1024, `61.2 GiB`.
pub(crate) fn bytes(number: f64) -> String {
    scaled(number, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"], " ")
}

/// Traffic: powers of 1000, `12.3 GB`.
pub(crate) fn decimal_bytes(number: f64) -> String {
    scaled(number, 1000.0, &["B", "kB", "MB", "GB", "TB", "PB", "EB"], " ")
}

/// Traffic in few columns: `12.3G`.
pub(crate) fn flow(number: f64) -> String {
    scaled(number, 1000.0, &["", "k", "M", "G", "T", "P", "E"], "")
}

/// Device memory in GiB without the unit, for `61/80G`.
pub(crate) fn gib(number: f64) -> String {
    let gib = number / f64::from(1 << 30);
    if gib >= 9.95 || gib == 0.0 { format!("{gib:.0}") } else { format!("{gib:.1}") }
}

fn scaled(number: f64, base: f64, names: &[&str], gap: &str) -> String {
    let (mut rest, mut step) = (number, 0);
    while rest.abs() >= base * 0.9995 && step + 1 < names.len() {
        rest /= base;
        step += 1;
    }
    let name = names.get(step).copied().unwrap_or("");
    if step == 0 { format!("{}{gap}{name}", short(rest)) } else { format!("{}{gap}{name}", three(rest)) }
}

/// Three significant digits at most.
fn three(number: f64) -> String {
    if number.abs() >= 99.95 { format!("{number:.0}") } else { short(number) }
}

fn energy(joules: f64) -> String {
    scaled(joules, 1000.0, &["J", "kJ", "MJ", "GJ", "TJ"], " ")
}

/// Seconds as people say them: `340 µs`, `12 ms`, `4.2 s`, `1h05m`.
pub(crate) fn time(seconds: f64) -> String {
    match seconds {
        s if s < 0.0 || !s.is_finite() => "?".to_owned(),
        0.0 => "0 s".to_owned(),
        s if s < 1e-6 => format!("{} ns", short(s * 1e9)),
        s if s < 1e-3 => format!("{} µs", short(s * 1e6)),
        s if s < 1.0 => format!("{} ms", short(s * 1e3)),
        s if s < 60.0 => format!("{} s", short(s)),
        s => model::time::human_duration(seconds_to_ns(s)),
    }
}

/// Seconds as nanoseconds; what does not fit is the longest time there is.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float cast saturates, which is meant")]
fn seconds_to_ns(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

/// The words for the bits of clock event reasons (nvml.h), worst first.
const THROTTLE: &[(u64, &str, &str, Tone)] = &[
    (0x80, "brake", "power brake", Tone::Critical),
    (0x40, "HW heat", "HW thermal slowdown", Tone::Critical),
    (0x08, "HW slow", "HW slowdown", Tone::Critical),
    (0x20, "SW heat", "SW thermal slowdown", Tone::Warning),
    (0x04, "pwr cap", "SW power cap", Tone::Label),
    (0x10, "sync", "sync boost", Tone::Faint),
    (0x02, "app clk", "application clocks", Tone::Faint),
    (0x100, "display", "display clocks", Tone::Faint),
    (0x01, "idle", "idle", Tone::Faint),
];

/// Why clocks are held down: the worst reason in a word (`+` where there are more).
pub(crate) fn throttle(reading: Option<&Reading>) -> Word {
    let Some(bits) = reading.and_then(Reading::value).and_then(Value::as_count) else {
        return cell(reading, |value| value.to_string());
    };
    let mut reasons = THROTTLE.iter().filter(|(bit, ..)| bits & bit != 0);
    match reasons.next() {
        None if bits == 0 => Word::new("none", Tone::Faint),
        None => Word::new(format!("{bits:#x}"), Tone::Warning),
        Some((_, word, _, tone)) => {
            let more = reasons.filter(|(_, _, _, tone)| *tone != Tone::Faint).count();
            Word::new(if more > 0 { format!("{word}+{more}") } else { (*word).to_owned() }, *tone)
        }
    }
}

/// All reasons for which clocks are held down, in words.
pub(crate) fn throttle_words(bits: u64) -> String {
    let known: u64 = THROTTLE.iter().map(|(bit, ..)| bit).sum();
    let mut words: Vec<String> =
        THROTTLE.iter().filter(|(bit, ..)| bits & bit != 0).map(|(_, _, long, _)| (*long).to_owned()).collect();
    if bits & !known != 0 {
        words.push(format!("{:#x}", bits & !known));
    }
    if words.is_empty() { "none".to_owned() } else { words.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::catalogue;

    #[test]
    fn every_gap_has_its_own_glyph() {
        let show = |value: &Value| value.to_string();
        let readings = [
            None,
            Some(Reading::Unsupported),
            Some(Reading::Denied),
            Some(Reading::Stuck(1, "statfs".into())),
            Some(Reading::Lost),
            Some(Reading::Stale(Value::Count(0), 5)),
            Some(Reading::from(0u64)),
        ];
        let shown: Vec<String> = readings.iter().map(|reading| cell(reading.as_ref(), show).text).collect();
        assert_eq!(shown, ["·", "–", "⊘", "?", "×", "0~", "0"]);
    }

    #[test]
    fn units_are_those_that_people_use() {
        assert_eq!(with_unit(Some(catalogue::GPU_MEM_USED), &Value::Count(61 << 30)), "61 GiB");
        assert_eq!(with_unit(Some(catalogue::GPU_POWER), &Value::Number(312.4)), "312 W");
        assert_eq!(with_unit(Some(catalogue::PROBE_TOOK), &Value::Count(12_300)), "12.3 ms");
        assert_eq!(with_unit(Some(catalogue::GPU_ECC_CORRECTED), &Value::Count(9_600_000)), "9 600 000");
        assert_eq!(with_unit(None, &Value::Number(1.25)), "1.2");
        assert_eq!(decimal_bytes(12.34e9), "12.3 GB");
        assert_eq!(brief(17_700.0), "17.7k");
        assert_eq!(bytes(1023.9 * 1024.0), "1 MiB");
    }

    #[test]
    fn throttle_names_the_worst_reason_first() {
        assert_eq!(throttle(Some(&Reading::from(0x44u64))), Word::new("HW heat+1", Tone::Critical));
        assert_eq!(throttle(Some(&Reading::from(0x1u64))), Word::new("idle", Tone::Faint));
        assert_eq!(throttle(Some(&Reading::from(0u64))), Word::new("none", Tone::Faint));
        assert_eq!(throttle_words(0x2040), "HW thermal slowdown, 0x2000");
    }
}

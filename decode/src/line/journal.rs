//! One line of `journalctl -o json`: an object with `MESSAGE` (`systemd.journal-fields(7)`).

use model::{Event, KernelRecord, Stamp};
use serde_json::{Map, Value};

/// The facility that an entry gets that did not come through the kernel's log: `user`. Whoever wrote it was no kernel,
/// whatever facility it claims.
const USER: u32 = 1;

pub(super) fn read(line: &[u8]) -> Option<Event> {
    if !line.starts_with(b"{") {
        return None;
    }
    let entry: Map<String, Value> = serde_json::from_slice(line).ok()?;
    let text = match entry.get("MESSAGE")? {
        Value::String(text) => text.clone().into_bytes(),
        // What is not UTF-8 comes as a list of bytes.
        Value::Array(bytes) => bytes.iter().map(|byte| u8::try_from(byte.as_u64()?).ok()).collect::<Option<_>>()?,
        _ => return None,
    };
    let number = |name: &str| match entry.get(name)? {
        Value::String(digits) => digits.parse::<u64>().ok(),
        Value::Number(number) => number.as_u64(),
        _ => None,
    };
    let claimed = number("SYSLOG_FACILITY").and_then(|facility| u32::try_from(facility).ok());
    let facility = match entry.get("_TRANSPORT").and_then(Value::as_str) {
        Some("kernel") => Some(claimed.unwrap_or(0)),
        Some(_) => Some(claimed.filter(|facility| *facility != 0).unwrap_or(USER)),
        None => claimed,
    };
    let at = Stamp {
        mono_ns: number("_SOURCE_MONOTONIC_TIMESTAMP")
            .or_else(|| number("__MONOTONIC_TIMESTAMP"))
            .and_then(|us| us.checked_mul(1000)),
        real_ns: number("__REALTIME_TIMESTAMP").and_then(|us| i64::try_from(us).ok()?.checked_mul(1000)),
    };
    let record = KernelRecord {
        text,
        sequence: None,
        priority: number("PRIORITY").and_then(|priority| u8::try_from(priority).ok()),
        facility,
        dictionary: Vec::new(),
        line: None,
    };
    Some(super::raw(at, record))
}

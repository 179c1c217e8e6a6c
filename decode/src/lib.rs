//! Bytes of a kernel line into an event with typed fields, and the fault knowledge as data.
//!
//! Two steps, both pure: [`line`] takes the text of a kernel log in any of its forms apart into raw `kernel_line` events
//! (stamp, facility, text); the [`Decoder`] turns those that mean something into typed events. The recorder keeps the raw
//! ones, so the second step runs again at every replay, with the knowledge of that day ([`knowledge`]).
//!
//! ```text
//! bytes ─ line ─► Event "kernel_line" ─ Decoder: families in order ─► Event "xid", "aer", "oom_kill" …, with a Verdict
//! ```

mod decoder;
mod families;
mod json;
pub mod knowledge;
pub mod line;
mod scan;

pub use decoder::Decoder;
pub use json::json;
pub use knowledge::DriverVersion;
pub use line::{KmsgError, Lines, parse_kmsg, parse_line};

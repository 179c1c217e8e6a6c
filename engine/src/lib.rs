//! The running session: workers and their deadlines, the sequencer, the one clock.
//!
//! ```text
//! worker process ──pipe──► supervisor task ─┐
//! worker process ──pipe──► supervisor task ─┼──► sequencer ──► Admitted { raw, decoded } ──► recorder, rules, deck
//! operator's mark, our own probe states ────┘   (order, boot, one dictionary, quanta, late and stepped clocks)
//! ```
//!
//! The engine parses no source and judges nothing.

pub mod clock;
pub mod rounding;
pub mod sequencer;
pub mod session;
mod supervisor;
mod wait_channel;

pub use sequencer::Sequencer;
pub use session::{Admitted, Config, Session};

//! A kernel log as Frames, as the rules see it.
#![allow(dead_code, clippy::unwrap_used, reason = "shared by several test programs")]

use std::sync::Arc;

use decode::{Decoder, Lines};
use model::{Dictionary, Draft, Event, Frame, Stamp};
use rules::{Evaluator, Rulebook};

/// The decoded events of a log, oldest first.
pub(crate) fn events(log: &str) -> Vec<Event> {
    let mut decoder = Decoder::new();
    Lines::new(log.as_bytes()).map(|event| decoder.event(&event)).collect()
}

/// One Frame of the kernel log probe.
pub(crate) fn frame(at: Stamp, events: Vec<Event>) -> Frame {
    let mut draft = Draft::new("kernel_log", at);
    draft.events = events;
    draft.seal(&mut Dictionary::default())
}

/// An evaluator with the built-in rulebook that has seen the log, a Frame a line.
pub(crate) fn judged(log: &str) -> Evaluator {
    let mut evaluator = Evaluator::new(Arc::new(Rulebook::builtin()));
    let mut at = Stamp::default();
    for event in events(log) {
        if event.at != Stamp::default() {
            at = event.at;
        }
        evaluator.frame(&frame(at, vec![event]));
    }
    evaluator.advance(at);
    evaluator
}

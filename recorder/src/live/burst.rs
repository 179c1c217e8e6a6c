//! What was read faster than the others, around a trigger: a minute before and a minute after it.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use model::time::NS_PER_S;
use model::{Event, Frame, Stamp};

use super::writer::WriterThread;
use super::{AROUND_NS, MOST_BURSTS, TRIGGER, held};
use crate::block::Builder;
use crate::format::section::BURST;
use crate::sections::{Directory, Entry};

/// The last minute of burst Frames, and the window that is being kept.
#[derive(Debug, Default)]
pub(super) struct Around {
    ring: VecDeque<Frame>,
    /// Until when, and what so far.
    window: Option<(u64, Vec<Frame>)>,
    /// When the windows of the last hour were opened.
    opened: VecDeque<u64>,
}

impl Around {
    /// Whether the open window ends before this instant.
    pub(super) fn is_over(&self, at: u64) -> bool {
        self.window.as_ref().is_some_and(|(until, _)| at > *until)
    }

    /// Takes in a burst Frame.
    pub(super) fn take(&mut self, frame: &Frame) {
        if let Some((_, kept)) = &mut self.window {
            kept.push(frame.clone());
        }
        let from = frame.at.axis_ns().saturating_sub(AROUND_NS);
        while self.ring.front().is_some_and(|first| first.at.axis_ns() < from) {
            self.ring.pop_front();
        }
        self.ring.push_back(frame.clone());
    }
}

impl WriterThread {
    /// Keeps what is around an instant: a window that is open becomes longer, and of many in an hour the later ones are
    /// counted only.
    pub(super) fn triggered(&mut self, at: Stamp, why: &str, who: &str, batch: &mut Vec<Frame>) {
        let axis = at.axis_ns();
        let around = &mut self.around;
        around.opened.retain(|began| axis.saturating_sub(*began) < 3600 * NS_PER_S);
        match &mut around.window {
            Some((until, _)) => {
                *until = (*until).max(axis.saturating_add(AROUND_NS));
                held(&self.store.shared.health).triggers_merged += 1;
                return;
            }
            None if around.opened.len() < MOST_BURSTS => {
                let from = axis.saturating_sub(AROUND_NS);
                around.opened.push_back(axis);
                let kept = around.ring.iter().filter(|frame| frame.at.axis_ns() >= from).cloned().collect();
                self.store.shared.window.store(from, Ordering::Relaxed);
                around.window = Some((axis.saturating_add(AROUND_NS), kept));
            }
            None => {
                held(&self.store.shared.health).triggers_left_out += 1;
                return;
            }
        }
        self.say(at, Event::new(at, TRIGGER).with("why", why).with("who", who), batch);
    }

    /// Seals what the open window holds.
    pub(super) fn close_window(&mut self) {
        self.store.shared.window.store(u64::MAX, Ordering::Relaxed);
        let Some((_, frames)) = self.around.window.take().filter(|(_, frames)| !frames.is_empty()) else { return };
        let (mut builder, mut entry) = (Builder::default(), Entry { kind: BURST, ..Entry::default() });
        for frame in &frames {
            builder.push(frame);
            entry.count(frame);
        }
        // A window that follows must not keep these once more.
        self.around.ring.clear();
        held(&self.store.shared.health).bursts += 1;
        self.hand(builder, entry, Directory::default(), Vec::new());
    }
}

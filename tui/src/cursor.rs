//! The one time cursor: where on the axis the screens stand, whether it follows the end, plays, or rests.

use model::{Stamp, Window};

/// One second on the axis.
pub(crate) const SECOND: u64 = model::time::NS_PER_S;
/// The speeds at which a recording plays.
pub(crate) const SPEEDS: &[u32] = &[1, 2, 4, 8, 16, 60, 240];
/// The stretch that the time strip of a live deck shows, unless zoomed.
pub(crate) const LIVE_STRETCH: u64 = 600 * SECOND;
/// The shortest stretch that the time strip shows.
pub(crate) const LEAST_STRETCH: u64 = 30 * SECOND;

/// How the cursor moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Motion {
    /// With the end: the newest there is.
    Following,
    /// By itself.
    Playing,
    /// Not at all.
    Resting,
}

/// The cursor and what it may move over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Cursor {
    /// How it moves.
    pub(crate) motion: Motion,
    /// Where it stands, unless it follows.
    pub(crate) at: u64,
    /// Where the recording begins, once known.
    pub(crate) first: Option<Stamp>,
    /// The newest instant, once known.
    pub(crate) last: Option<Stamp>,
    /// Index into [`SPEEDS`].
    pub(crate) speed: usize,
    /// The stretch that the time strip shows; `None`: all of a recording, the last ten minutes of a live node.
    pub(crate) stretch: Option<u64>,
    /// The end moves: following it makes sense.
    pub(crate) live: bool,
}

impl Cursor {
    /// A cursor that follows a live node, or rests at the beginning of a recording.
    pub(crate) fn new(live: bool) -> Self {
        let motion = if live { Motion::Following } else { Motion::Resting };
        Self { motion, at: 0, first: None, last: None, speed: 0, stretch: None, live }
    }

    /// The newest instant on the axis.
    pub(crate) fn end(&self) -> u64 {
        self.last.map_or(0, Stamp::axis_ns)
    }

    /// The oldest instant on the axis.
    pub(crate) fn start(&self) -> u64 {
        self.first.or(self.last).map_or(0, Stamp::axis_ns)
    }

    /// Where the screens stand.
    pub(crate) fn place(&self) -> u64 {
        match self.motion {
            Motion::Following => self.end(),
            Motion::Playing | Motion::Resting => self.at,
        }
    }

    /// An instant of the axis on both clocks, as far as they are known.
    pub(crate) fn stamp(&self, at: u64) -> Stamp {
        match self.last.or(self.first) {
            Some(anchor) if anchor.mono_ns.is_some() => Stamp { mono_ns: Some(at), real_ns: None }.align(anchor),
            Some(_) => Stamp { mono_ns: None, real_ns: i64::try_from(at).ok() },
            None => Stamp::default(),
        }
    }

    /// Goes to an instant and rests there.
    pub(crate) fn go(&mut self, at: u64) {
        self.at = at.clamp(self.start(), self.end().max(self.start()));
        self.motion = Motion::Resting;
    }

    /// Moves by so many seconds and rests; stepping beyond the end of a live node follows it again.
    pub(crate) fn step(&mut self, seconds: i64) {
        let distance = seconds.unsigned_abs().saturating_mul(SECOND);
        let place = self.place();
        let to = if seconds < 0 { place.saturating_sub(distance) } else { place.saturating_add(distance) };
        if self.live && seconds > 0 && to >= self.end() {
            self.motion = Motion::Following;
        } else {
            self.go(to);
        }
    }

    /// Time has gone on by so much: a playing cursor moves, and at the end follows (live) or rests.
    pub(crate) fn advance(&mut self, elapsed: u64) {
        if self.motion != Motion::Playing {
            return;
        }
        let speed = SPEEDS.get(self.speed).copied().unwrap_or(1);
        self.at = self.at.saturating_add(elapsed.saturating_mul(u64::from(speed)));
        if self.at >= self.end() {
            self.at = self.end();
            self.motion = if self.live { Motion::Following } else { Motion::Resting };
        }
    }

    /// The stretch that the time strip shows.
    pub(crate) fn window(&self) -> Window {
        let (start, end) = (self.start(), self.end());
        let whole = end.saturating_sub(start).max(LEAST_STRETCH);
        let length = match (self.stretch, self.live) {
            (Some(stretch), _) => stretch.max(LEAST_STRETCH),
            (None, true) => LIVE_STRETCH,
            (None, false) => whole,
        };
        if !self.live && length >= whole {
            return Window { from: start, to: start.saturating_add(whole) };
        }
        // Following, the window ends at the end; elsewhere the cursor stands three quarters into it.
        let to = match self.motion {
            Motion::Following => end,
            _ => self.at.saturating_add(length / 4).min(end),
        };
        // A clock that began less than a window ago has no more to show; the end stays the end.
        let length = if self.live { length.min(to.max(LEAST_STRETCH)) } else { length };
        let from = to.saturating_sub(length);
        let from = if self.live { from } else { from.max(start) };
        Window { from, to: from.saturating_add(length) }
    }

    /// Shows less of the past, or more.
    pub(crate) fn zoom(&mut self, closer: bool) {
        let length = self.window().length();
        let next = if closer { length / 2 } else { length.saturating_mul(2) };
        let most = if self.live { 24 * 3600 * SECOND } else { self.end().saturating_sub(self.start()) };
        self.stretch = Some(next.clamp(LEAST_STRETCH, most.max(LEAST_STRETCH)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(live: bool) -> Cursor {
        let stamp = |s: u64| Some(Stamp { mono_ns: Some(s * SECOND), real_ns: None });
        Cursor { first: stamp(100), last: stamp(1_000), at: 100 * SECOND, ..Cursor::new(live) }
    }

    #[test]
    fn stepping_back_from_live_rests_and_stepping_over_the_end_follows_again() {
        let mut cursor = cursor(true);
        cursor.step(-10);
        assert_eq!((cursor.motion, cursor.place()), (Motion::Resting, 990 * SECOND));
        cursor.step(10);
        assert_eq!(cursor.motion, Motion::Following);
    }

    #[test]
    fn a_recording_plays_to_its_end_and_rests() {
        let mut cursor = Cursor { motion: Motion::Playing, speed: 2, ..cursor(false) };
        cursor.advance(SECOND / 4);
        assert_eq!(cursor.place(), 101 * SECOND);
        cursor.advance(10_000 * SECOND);
        assert_eq!((cursor.motion, cursor.place()), (Motion::Resting, 1_000 * SECOND));
    }

    #[test]
    fn the_cursor_never_leaves_the_recording_and_stays_in_the_window() {
        let mut cursor = cursor(false);
        for seconds in [-60, 5_000, -1, -100_000, 60] {
            cursor.step(seconds);
            assert!((100 * SECOND..=1_000 * SECOND).contains(&cursor.place()));
            cursor.zoom(seconds > 0);
            let window = cursor.window();
            assert!(window.from <= cursor.place() && cursor.place() <= window.to, "{window:?}");
        }
    }
}

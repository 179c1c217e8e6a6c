//! How often a series is read, and so how long one reading stands for the next.

use crate::time::NS_PER_S;

/// The longest that a reading stands for the next one: the slowest tier reads once a minute, and may miss one.
pub const LONGEST_STAND_NS: u64 = 150 * NS_PER_S;

/// How often a series is read, learnt from its readings: fast and slow tiers share one timeline, and a minute without
/// news is a gap for the one and nothing for the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    last: Option<u64>,
    usual: Option<u64>,
}

impl Pace {
    /// Takes in the instant of a reading.
    pub fn saw(&mut self, at: u64) {
        if let Some(since) = self.last.and_then(|last| at.checked_sub(last)).filter(|since| *since > 0) {
            let since = since.min(LONGEST_STAND_NS);
            // Slowly, and up more slowly than down: neither a hole nor a reading out of turn changes what is usual.
            self.usual = Some(match self.usual {
                None => since,
                Some(usual) if since < usual => usual - (usual - since) / 8,
                Some(usual) => usual + (since - usual) / 16,
            });
        }
        self.last = self.last.max(Some(at));
    }

    /// The instant of the last reading.
    pub fn last(self) -> Option<u64> {
        self.last
    }

    /// How long a reading stands for the next: well below two intervals, so that a missed one shows.
    pub(super) fn stand(self) -> u64 {
        self.usual.map_or(LONGEST_STAND_NS, |usual| (usual / 10).saturating_mul(17).min(LONGEST_STAND_NS))
    }
}

//! Which segments must go so that the recording stays within its bounds: a pure function of what is there.

use crate::disk::Space;

/// The bounds of a recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The most bytes of everything that the recorder keeps in its directory.
    pub max_bytes: Option<u64>,
    /// Segments that were last written longer ago go, nanoseconds.
    pub max_age_ns: Option<u64>,
    /// Bytes of the file system that stay free; `None`: 1 GiB or a twentieth of it, whichever is smaller.
    pub min_free: Option<u64>,
}

impl Retention {
    /// The free-space floor on a file system of this size.
    pub fn floor(&self, space: Space) -> u64 {
        self.min_free.unwrap_or_else(|| (1 << 30).min(space.total / 20))
    }
}

/// A segment with everything beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Bytes of it and of what lies beside it.
    pub bytes: u64,
    /// How long ago it was last written, nanoseconds.
    pub age_ns: u64,
    /// An incident lies in it.
    pub pinned: bool,
    /// It is being written: never deleted.
    pub live: bool,
}

/// What is to be deleted, in this order, and how many bytes are still too few then.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Places in what was given.
    pub delete: Vec<usize>,
    /// Bytes that cannot be had.
    pub short: u64,
}

/// Makes room for `needed` more bytes. `kept` is in the order of writing, the oldest first.
///
/// Unpinned segments go first, the oldest first. Pinned ones may hold half of the budget: what is beyond goes after them.
pub fn plan(kept: &[Kept], needed: u64, space: Option<Space>, retention: &Retention) -> Plan {
    let used: u64 = kept.iter().map(|kept| kept.bytes).sum();
    let over = retention.max_bytes.map_or(0, |most| (used + needed).saturating_sub(most));
    let wanting = space.map_or(0, |space| (retention.floor(space) + needed).saturating_sub(space.free));
    let mut short = over.max(wanting);
    let aged = |kept: &Kept| retention.max_age_ns.is_some_and(|most| kept.age_ns > most);
    let mut plan = Plan::default();
    for (place, kept) in kept.iter().enumerate() {
        if !kept.live && !kept.pinned && (short > 0 || aged(kept)) {
            plan.delete.push(place);
            short = short.saturating_sub(kept.bytes);
        }
    }
    let mut pinned: u64 = kept.iter().filter(|kept| kept.pinned).map(|kept| kept.bytes).sum();
    for (place, kept) in kept.iter().enumerate().filter(|(_, kept)| kept.pinned && !kept.live) {
        if short > 0 && retention.max_bytes.is_some_and(|most| pinned > most / 2) {
            plan.delete.push(place);
            short = short.saturating_sub(kept.bytes);
            pinned -= kept.bytes;
        }
    }
    plan.short = short;
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: u64) -> Kept {
        Kept { bytes, ..Kept::default() }
    }

    #[test]
    fn the_oldest_unpinned_segments_go_before_an_append_exceeds_the_budget() {
        let there = [Kept { pinned: true, ..kept(40) }, kept(30), kept(20), Kept { live: true, ..kept(10) }];
        let budget = Retention { max_bytes: Some(100), min_free: Some(0), ..Retention::default() };
        assert_eq!(plan(&there, 0, None, &budget), Plan::default());
        assert_eq!(plan(&there, 1, None, &budget), Plan { delete: vec![1], short: 0 });
        assert_eq!(plan(&there, 31, None, &budget), Plan { delete: vec![1, 2], short: 0 });
        assert_eq!(plan(&there, 61, None, &budget), Plan { delete: vec![1, 2], short: 11 });
    }

    #[test]
    fn pinned_segments_hold_at_most_half_of_the_budget() {
        let pinned = Kept { pinned: true, ..kept(40) };
        let budget = Retention { max_bytes: Some(100), min_free: Some(0), ..Retention::default() };
        assert_eq!(plan(&[pinned, pinned], 30, None, &budget), Plan { delete: vec![0], short: 0 });
    }

    #[test]
    fn age_and_free_space_are_bounds_of_their_own() {
        let there = [Kept { age_ns: 9, ..kept(5) }, kept(5)];
        let bounds = Retention { max_age_ns: Some(8), min_free: Some(100), ..Retention::default() };
        let space = |free| Some(Space { free, total: 1000 });
        assert_eq!(plan(&there, 0, space(500), &bounds).delete, [0]);
        assert_eq!(plan(&there, 4, space(100), &bounds).delete, [0]);
        assert_eq!(plan(&there, 10, space(98), &bounds), Plan { delete: vec![0, 1], short: 2 });
    }
}

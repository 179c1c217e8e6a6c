//! Subtracting counters that wrap, reset, or miss samples.
//!
//! A counter that went backwards either wrapped at its width or was reset (driver reload, daemon restart). The two are
//! told apart by where it stood: a wrap leaves from the top quarter of the range and arrives in the lowest.

/// What happened between two totals of one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It went forward (or stood still) by this much.
    Forward(u64),
    /// It wrapped at its width, having gone forward by this much.
    Wrapped(u64),
    /// It started anew; at least this much was counted since the reset, and what came between is not known.
    Reset(u64),
}

impl Step {
    /// The least that was counted between the two totals.
    pub fn amount(self) -> u64 {
        match self {
            Self::Forward(amount) | Self::Wrapped(amount) | Self::Reset(amount) => amount,
        }
    }
}

/// The step from `before` to `after` of a counter that wraps at `width` bits (`None`: a full 64-bit counter never
/// seen to wrap).
pub fn step(before: u64, after: u64, width: Option<u8>) -> Step {
    if after >= before {
        return Step::Forward(after - before);
    }
    match width.filter(|bits| (1..64).contains(bits)).map(|bits| 1u64 << bits) {
        Some(range) if before < range && before >= range - range / 4 && after < range / 4 => {
            Step::Wrapped(range - before + after)
        }
        _ => Step::Reset(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_reset_is_not_a_wrap() {
        assert_eq!(step(1_000, 10, Some(32)), Step::Reset(10));
        assert_eq!(step(u64::from(u32::MAX) - 4, 5, Some(32)), Step::Wrapped(10));
        assert_eq!(step(u64::from(u32::MAX) - 4, 5, None), Step::Reset(5));
    }

    proptest! {
        #[test]
        fn totals_of_a_wrapping_counter_never_drift(start in any::<u32>(), adds in prop::collection::vec(0u64..1 << 29, 1..50)) {
            let (mut before, mut counted) = (u64::from(start), 0u64);
            for add in &adds {
                let after = (before + add) & u64::from(u32::MAX);
                let step = step(before, after, Some(32));
                prop_assert!(!matches!(step, Step::Reset(_)) || before < 3 << 30, "{step:?}");
                counted += step.amount();
                before = after;
            }
            // Steps of less than an eighth of the range always leave from the top quarter when they wrap.
            prop_assert_eq!(counted, adds.iter().sum::<u64>());
        }

        #[test]
        fn any_two_totals_subtract(before in any::<u64>(), after in any::<u64>(), width in prop::option::of(any::<u8>())) {
            let _ = step(before, after, width).amount();
        }
    }
}

//! What is written of a column instead of its values: differences that are small, or alike, or nothing.
//!
//! Numbers here count the column's steps from its first value, so that the first is 0 and is not written.

use super::ints::cost;

/// Every row holds the first value.
pub(super) const CONSTANT: u8 = 0;
/// Moves as an earlier column does, or exactly against it.
pub(super) const LIKE: u8 = 1;
/// The distance from a centre.
pub(super) const LEVEL: u8 = 2;
/// That, less what the columns before in the chunk have of it on average.
pub(super) const LEVEL_SHARED: u8 = 3;
/// The distance from the row before.
pub(super) const DELTA: u8 = 4;
/// That, less what the columns before in the chunk have of it on average.
pub(super) const DELTA_SHARED: u8 = 5;
/// The change of the distance from the row before.
pub(super) const DELTA_DELTA: u8 = 6;

/// The running mean, row by row, of what the columns before held; in 256ths.
#[derive(Debug, Default)]
pub(super) struct Mean {
    rows: Vec<i64>,
    columns: u32,
}

impl Mean {
    fn reset(&mut self, rows: usize) {
        self.columns = 0;
        self.rows.clear();
        self.rows.resize(rows, 0);
    }

    fn at(&self, row: usize) -> i64 {
        self.rows.get(row).map_or(0, |mean| mean.wrapping_add(128) >> 8)
    }

    /// Takes in one column's numbers. The first weighs all, later ones less, none less than a 32nd.
    fn learn(&mut self, numbers: impl Iterator<Item = i64>) {
        let shift = (u32::BITS - 1 - (self.columns + 1).leading_zeros()).min(5);
        for (mean, number) in self.rows.iter_mut().zip(numbers) {
            *mean = mean.wrapping_add((number << 8).wrapping_sub(*mean) >> shift);
        }
        self.columns = self.columns.saturating_add(1);
    }
}

/// What the columns of a chunk have in common so far.
#[derive(Debug, Default)]
pub(super) struct Shared {
    level: Mean,
    delta: Mean,
}

impl Shared {
    /// Begins a chunk of columns with so many rows.
    pub(super) fn reset(&mut self, rows: usize) {
        self.level.reset(rows.saturating_sub(1));
        self.delta.reset(rows.saturating_sub(1));
    }

    /// Which transform costs least for a column of steps, the first being 0, and its centre; what is to be written goes
    /// behind `written`.
    pub(super) fn choose(&mut self, steps: &[i64], written: &mut Vec<i64>) -> (u8, i64) {
        let Some(rest) = steps.get(1..).filter(|rest| !rest.is_empty()) else { return (CONSTANT, 0) };
        let sum: i128 = rest.iter().map(|step| i128::from(*step)).sum();
        let center = i64::try_from(sum / i128::try_from(rest.len()).unwrap_or(1)).unwrap_or(0);
        let delta = |row: usize| rest[row].wrapping_sub(steps[row]);
        let mut costs = [0u64; 5];
        let mut before = 0;
        for (row, step) in rest.iter().enumerate() {
            let (level, delta) = (step.wrapping_sub(center), delta(row));
            costs[0] += cost(level);
            costs[1] += cost(level.wrapping_sub(self.level.at(row)));
            costs[2] += cost(delta);
            costs[3] += cost(delta.wrapping_sub(self.delta.at(row)));
            costs[4] += cost(delta.wrapping_sub(before));
            before = delta;
        }
        // A centre is a number more to be written.
        costs[0] += cost(center);
        costs[1] += cost(center);
        let all = [LEVEL, LEVEL_SHARED, DELTA, DELTA_SHARED, DELTA_DELTA];
        let best = all.into_iter().zip(costs).min_by_key(|(_, cost)| *cost).map_or(DELTA, |(best, _)| best);
        let mut before = 0;
        written.extend(rest.iter().enumerate().map(|(row, step)| match best {
            LEVEL => step.wrapping_sub(center),
            LEVEL_SHARED => step.wrapping_sub(center).wrapping_sub(self.level.at(row)),
            DELTA => delta(row),
            DELTA_SHARED => delta(row).wrapping_sub(self.delta.at(row)),
            _ => delta(row).wrapping_sub(std::mem::replace(&mut before, delta(row))),
        }));
        self.learn(best, center, steps);
        (best, if matches!(best, LEVEL | LEVEL_SHARED) { center } else { 0 })
    }

    fn learn(&mut self, transform: u8, center: i64, steps: &[i64]) {
        let rest = steps.get(1..).unwrap_or_default();
        if matches!(transform, LEVEL | LEVEL_SHARED) {
            self.level.learn(rest.iter().map(|step| step.wrapping_sub(center)));
        } else {
            self.delta.learn(rest.iter().zip(steps).map(|(step, before)| step.wrapping_sub(*before)));
        }
    }

    /// The steps of a column from what was written of it; the first is 0. False if the transform is none of these.
    pub(super) fn undo(&mut self, transform: u8, center: i64, written: &[i64], steps: &mut Vec<i64>) -> bool {
        let from = steps.len();
        steps.reserve(written.len() + 1);
        steps.push(0);
        let mut sum = 0i64;
        let mut add = |delta: i64| {
            sum = sum.wrapping_add(delta);
            sum
        };
        match transform {
            LEVEL => steps.extend(written.iter().map(|number| number.wrapping_add(center))),
            LEVEL_SHARED => {
                let level = &self.level.rows;
                let one = |(number, mean): (&i64, &i64)| {
                    number.wrapping_add(mean.wrapping_add(128) >> 8).wrapping_add(center)
                };
                steps.extend(written.iter().zip(level).map(one));
            }
            DELTA => steps.extend(written.iter().map(|delta| add(*delta))),
            DELTA_SHARED => {
                let means = &self.delta.rows;
                let one = |(number, mean): (&i64, &i64)| add(number.wrapping_add(mean.wrapping_add(128) >> 8));
                steps.extend(written.iter().zip(means).map(one));
            }
            DELTA_DELTA => {
                let mut delta = 0i64;
                steps.extend(written.iter().map(|change| {
                    delta = delta.wrapping_add(*change);
                    add(delta)
                }));
            }
            _ => return false,
        }
        if steps.len() != from + written.len() + 1 {
            return false;
        }
        self.learn(transform, center, steps.get(from..).unwrap_or_default());
        true
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_wrap)]
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_chunk_comes_back(chunk in (1..20usize).prop_flat_map(|rows| {
            let number = prop_oneof![any::<i64>(), -50..50i64, Just(0)];
            proptest::collection::vec(proptest::collection::vec(number, rows), 1..6)
        })) {
            let rows = chunk[0].len() + 1;
            let (mut there, mut back) = (Shared::default(), Shared::default());
            there.reset(rows);
            back.reset(rows);
            for mut column in chunk {
                column.insert(0, 0);
                let (mut written, mut steps) = (Vec::new(), Vec::new());
                let (transform, center) = there.choose(&column, &mut written);
                prop_assert!(back.undo(transform, center, &written, &mut steps));
                prop_assert_eq!(steps, column);
            }
        }
    }

    #[test]
    fn columns_that_move_together_cost_what_they_do_not_share() {
        let mut shared = Shared::default();
        shared.reset(100);
        let common: Vec<i64> = (0..100).map(|row| row * row % 977 * 1000).collect();
        let mut written = Vec::new();
        for column in 0..5 {
            written.clear();
            let steps: Vec<i64> =
                common.iter().enumerate().map(|(row, step)| step + (row as i64 * column) % 3).collect();
            let (transform, _) = shared.choose(&steps, &mut written);
            assert!(column == 0 || matches!(transform, LEVEL_SHARED | DELTA_SHARED), "{transform}");
        }
        assert!(written.iter().all(|number| number.abs() < 8), "{written:?}");
    }
}

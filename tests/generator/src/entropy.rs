//! How many bits a draw is worth: the entropy of a normal distribution that was cut into steps.
//!
//! Only what is reported comes from here, never what is generated: logarithms differ between machines.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a table's places"
)]

const PHASES: usize = 16;
const PER_OCTAVE: f64 = 8.0;
const NARROWEST: f64 = -6.0;
const WIDEST: f64 = 3.0;

/// Bits by width (in steps) and by where in its step the mean lies.
#[derive(Clone, Debug)]
pub(crate) struct Entropy {
    rows: Vec<[f64; PHASES]>,
}

impl Default for Entropy {
    fn default() -> Self {
        let rows = ((WIDEST - NARROWEST) * PER_OCTAVE) as usize + 2;
        let row = |row: usize| {
            let width = (NARROWEST + row as f64 / PER_OCTAVE).exp2();
            std::array::from_fn(|phase| of_steps(width, (phase as f64 + 0.5) / PHASES as f64))
        };
        Self { rows: (0..rows).map(row).collect() }
    }
}

impl Entropy {
    /// Bits of a draw of this width, in steps, whose mean lies at `phase` (0 to 1) of its step.
    pub(crate) fn bits(&self, width: f64, phase: f64) -> f64 {
        if width <= 0.0 {
            return 0.0;
        }
        let octaves = width.log2();
        if octaves >= WIDEST {
            // 0.5 log2(2 pi e): from here on the steps are narrow beside the distribution.
            return octaves + 2.047_095_585_180_641;
        }
        let phase = ((phase * PHASES as f64) as usize).min(PHASES - 1);
        let place = ((octaves - NARROWEST) * PER_OCTAVE).max(0.0);
        let at = |row: usize| self.rows.get(row).and_then(|row| row.get(phase)).copied().unwrap_or(0.0);
        let (row, share) = (place as usize, place.fract());
        at(row) * (1.0 - share) + at(row + 1) * share
    }
}

/// Bits of one event that happens once in so many draws.
pub(crate) fn of_once_in(draws: u64) -> f64 {
    let p = 1.0 / draws.max(2) as f64;
    -(p * p.log2() + (1.0 - p) * (1.0 - p).log2())
}

fn of_steps(width: f64, phase: f64) -> f64 {
    let reach = (width * 8.0).ceil() as i64 + 1;
    let below = |step: i64| normal((step as f64 - phase) / width);
    (-reach..=reach)
        .map(|step| below(step + 1) - below(step))
        .filter(|share| *share > 1e-12)
        .map(|share| -share * share.log2())
        .sum()
}

/// The share of a standard normal distribution below `z` (Abramowitz and Stegun 26.2.17, error below 1e-7).
fn normal(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let series = [1.330_274_429, -1.821_255_978, 1.781_477_937, -0.356_563_782, 0.319_381_530];
    let tail = series.iter().fold(0.0, |sum, factor| (sum + factor) * t) * (-z * z / 2.0).exp() * 0.398_942_280_401_4;
    if z < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_follow_the_width() {
        let entropy = Entropy::default();
        assert!((entropy.bits(1_000.0, 0.5) - 12.013).abs() < 0.001);
        assert!((entropy.bits(7.99, 0.2) - entropy.bits(8.01, 0.7)).abs() < 0.01);
        assert!(entropy.bits(0.01, 0.5) < 0.001);
        assert!((entropy.bits(0.02, 0.001) - entropy.bits(0.02, 0.999)).abs() < 0.01);
        assert!((of_once_in(2) - 1.0).abs() < 1e-9);
    }
}

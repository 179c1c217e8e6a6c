//! The raw values of all series, and the account of what their draws are worth.

#![allow(clippy::cast_precision_loss, reason = "widths and phases for the account; values stay whole numbers")]

use crate::entropy::{Entropy, of_once_in};
use crate::noise::{Noise, WIDTH};

/// Draws values; each draw is added to the floor.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    pub(crate) noise: Noise,
    entropy: Entropy,
    /// Bits so far.
    pub(crate) floor: f64,
    /// The value of each series, in its raw unit.
    pub(crate) raw: Vec<i64>,
    /// Its quantum in raw units.
    pub(crate) steps: Vec<i64>,
}

impl Meter {
    pub(crate) fn new(seed: u64, steps: Vec<i64>) -> Self {
        Self { noise: Noise::new(seed), entropy: Entropy::default(), floor: 0.0, raw: vec![0; steps.len()], steps }
    }

    /// Common to many series: known to none of them, and not part of the floor.
    pub(crate) fn hidden(&mut self, width: i64) -> i64 {
        self.noise.normal(width)
    }

    /// A draw that is no series: a stamp or a duration, in whole microseconds.
    pub(crate) fn time(&mut self, width_us: i64) -> i64 {
        self.floor += self.entropy.bits(width_us as f64, 0.5);
        self.noise.normal(width_us * WIDTH)
    }

    /// Something that happens once in so many draws.
    pub(crate) fn happens(&mut self, once_in: u64) -> bool {
        self.floor += of_once_in(once_in);
        self.noise.once_in(once_in)
    }

    /// One of so many, each as likely.
    pub(crate) fn one_of(&mut self, many: u64) -> u64 {
        self.floor += (many as f64).log2();
        self.noise.bits() % many.max(1)
    }

    /// A counter goes up by about `mean`.
    pub(crate) fn count(&mut self, series: usize, mean: i64, width: i64) {
        let Some((value, step)) = self.raw.get_mut(series).zip(self.steps.get(series)) else { return };
        let drawn = if width > 0 { self.noise.normal(width) } else { 0 };
        let phase = ((*value + mean).rem_euclid(*step) as f64 + 0.5) / *step as f64;
        self.floor += self.entropy.bits(width as f64 / (WIDTH * step) as f64, phase);
        *value += (mean + drawn).max(0);
    }

    /// A gauge is read; its mean, too, is in 1/256 units.
    pub(crate) fn gauge(&mut self, series: usize, mean: i64, width: i64) {
        let Some((value, step)) = self.raw.get_mut(series).zip(self.steps.get(series)) else { return };
        let drawn = self.noise.normal(width.saturating_mul(WIDTH));
        let unit = WIDTH * step;
        let phase = (mean + unit / 2).rem_euclid(unit) as f64 / unit as f64;
        self.floor += self.entropy.bits(width as f64 / unit as f64, phase);
        *value = (mean + drawn.div_euclid(WIDTH) + WIDTH / 2).div_euclid(WIDTH).max(0);
    }

    /// A gauge wanders off from where it was; `home` draws it back.
    pub(crate) fn wander(&mut self, series: usize, home: i64, width: i64) {
        let now = self.get(series);
        self.gauge(series, (now + (home - now) / 64) * WIDTH, width);
    }

    /// What follows from something else.
    pub(crate) fn set(&mut self, series: usize, value: i64) {
        if let Some(raw) = self.raw.get_mut(series) {
            *raw = value;
        }
    }

    pub(crate) fn get(&self, series: usize) -> i64 {
        self.raw.get(series).copied().unwrap_or(0)
    }
}

//! Draws from a pseudo-random stream, all in whole numbers: the same seed gives the same telemetry on every machine.

/// xoshiro256** (Blackman and Vigna, 2018), seeded by splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Noise {
    state: [u64; 4],
}

/// Widths of normal distributions are given in 1/256 of the series' raw unit.
pub(crate) const WIDTH: i64 = 256;

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        let mut mixed = seed;
        let mut next = || {
            mixed = mixed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = mixed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self { state: [next(), next(), next(), next()] }
    }

    pub(crate) fn bits(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        b.wrapping_mul(5).rotate_left(7).wrapping_mul(9)
    }

    /// A whole number from a normal distribution around 0 of this width (1/256 units): the sum of twelve uniform
    /// numbers of 16 bits, whose variance is that of one standard normal, 2^32.
    pub(crate) fn normal(&mut self, width: i64) -> i64 {
        let mut sum: i64 = -12 * 0xffff / 2;
        for _ in 0..3 {
            let bits = self.bits();
            for lane in 0..4 {
                sum += i64::try_from((bits >> (16 * lane)) & 0xffff).unwrap_or(0);
            }
        }
        (width.saturating_mul(sum) + (1 << 23)) >> 24
    }

    /// True once in so many draws on average.
    pub(crate) fn once_in(&mut self, draws: u64) -> bool {
        self.bits().is_multiple_of(draws.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_width_asked_for() {
        let mut noise = Noise::new(1);
        let draws: Vec<i64> = (0..40_000).map(|_| noise.normal(1_000 * WIDTH)).collect();
        let mean = draws.iter().sum::<i64>() / 40_000;
        let variance = draws.iter().map(|draw| draw * draw).sum::<i64>() / 40_000;
        assert!(mean.abs() < 20, "{mean}");
        assert!((980_000..1_020_000).contains(&variance), "{variance}");
    }
}

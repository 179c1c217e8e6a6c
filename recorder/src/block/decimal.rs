//! Numbers as whole numbers of a decimal unit, where that loses no bit.

/// Above this neighbouring whole numbers merge in a double.
const EXACT: f64 = 9_007_199_254_740_992.0;
/// The most decimals that are tried.
const MOST: u8 = 12;
/// The scale's bit that says: times the unit, not divided by its inverse.
const TIMES: u8 = 32;

/// `n` units of a scale: `n / 10^scale`, or from 32 on `n * 10^(32 - scale)`, rounded as doubles are.
#[allow(clippy::cast_precision_loss)]
pub(super) fn number(n: i64, scale: u8) -> f64 {
    if scale & TIMES == 0 { n as f64 / power(scale) } else { n as f64 * (1.0 / power(scale & !TIMES)) }
}

fn power(exponent: u8) -> f64 {
    const POWERS: [f64; 13] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];
    POWERS.get(usize::from(exponent)).copied().unwrap_or(1.0)
}

/// Whether a scale is one that a writer uses.
pub(super) fn known(scale: u8) -> bool {
    scale & !TIMES <= MOST
}

/// How many units a number is, if it is so to the bit.
#[allow(clippy::cast_possible_truncation)]
pub(super) fn units(value: f64, scale: u8) -> Option<i64> {
    let n = (value * power(scale & !TIMES)).round();
    // Not for NaN either.
    if n.abs() < EXACT {
        let n = n as i64;
        (number(n, scale).to_bits() == value.to_bits()).then_some(n)
    } else {
        None
    }
}

/// The first scale from `least` on in which all values are whole numbers of units.
pub(super) fn scale(values: impl Iterator<Item = f64> + Clone, least: u8) -> Option<u8> {
    let mut scale = least;
    // What divides evenly by 10^n does so by 10^(n+1): values that passed need no second look.
    let divided = values.clone().all(|value| {
        while scale <= MOST && units(value, scale).is_none() {
            scale += 1;
        }
        scale <= MOST
    });
    if divided && values.clone().all(|value| units(value, scale).is_some()) {
        return Some(scale);
    }
    (1..=MOST).map(|scale| scale | TIMES).find(|scale| values.clone().all(|value| units(value, *scale).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings_of_a_tenth_are_whole_tenths_however_they_were_computed() {
        let divided = (0..4000u32).map(|n| f64::from(n) / 10.0);
        assert_eq!(scale(divided, 0), Some(1));
        let times = (0..4000u32).map(|n| f64::from(n) * 0.1);
        assert_eq!(scale(times, 0), Some(TIMES | 1));
        assert_eq!(scale([1.0, 2.5, 0.125].into_iter(), 0), Some(3));
    }

    #[test]
    fn what_a_decimal_cannot_say_stays_a_double() {
        for odd in [-0.0, f64::NAN, f64::INFINITY, 1.0 / 3.0, f64::MIN_POSITIVE, f64::MAX] {
            assert_eq!(scale([odd].into_iter(), 0), None, "{odd}");
        }
    }
}

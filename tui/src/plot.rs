//! Curves and bars from what the history told. A gap is drawn as what it is, never as zero.

use model::{Quality, Strip};

use crate::cursor::SECOND;
use crate::look::Tone;
use crate::words::Word;

/// A hole shorter than this lies between two readings of the slower tier, not in the recording.
const BRIDGE: u64 = 7 * SECOND;

/// What one column of a plot shows.
#[derive(Clone, Debug, PartialEq)]
enum Point {
    /// A height from 0 to 1.
    At(f64),
    /// No value, and why.
    Gap(char),
}

/// The glyph for a bucket without a value; `┈`: nothing was recorded.
fn gap_glyph(worst: Option<&Quality>) -> char {
    match worst {
        None | Some(Quality::Good) => '┈',
        Some(Quality::Stale(_)) => '~',
        Some(Quality::Unsupported) => '–',
        Some(Quality::Denied) => '⊘',
        Some(Quality::Stuck { .. }) => '?',
        Some(Quality::Lost) => '×',
    }
}

/// The strip in so many columns, scaled to a range.
fn points(strip: Option<&Strip>, columns: usize, range: (f64, f64)) -> Vec<Point> {
    let Some(strip) = strip.filter(|strip| !strip.buckets.is_empty()) else {
        return vec![Point::Gap('┈'); columns];
    };
    let count = strip.buckets.len();
    let span = (range.1 - range.0).max(f64::MIN_POSITIVE);
    let width = (strip.window.length() / u64::try_from(count).unwrap_or(1)).max(1);
    let bridge = usize::try_from(BRIDGE / width).unwrap_or(usize::MAX);
    let (mut held, mut hole) = (None, 0usize);
    let per_bucket: Vec<Point> = strip
        .buckets
        .iter()
        .map(|bucket| match (bucket.most, bucket.worst.as_ref()) {
            (Some(most), _) => {
                let height = ((most - range.0) / span).clamp(0.0, 1.0);
                (held, hole) = (Some(height), 0);
                Point::At(height)
            }
            (None, None) => {
                hole += 1;
                held.filter(|_| hole <= bridge).map_or(Point::Gap('┈'), Point::At)
            }
            (None, worst) => {
                held = None;
                Point::Gap(gap_glyph(worst))
            }
        })
        .collect();
    (0..columns)
        .map(|column| per_bucket.get(column * count / columns.max(1)).cloned().unwrap_or(Point::Gap('┈')))
        .collect()
}

/// The greatest value of a strip.
pub(crate) fn most(strip: Option<&Strip>) -> Option<f64> {
    strip?.buckets.iter().filter_map(|bucket| bucket.most).reduce(f64::max)
}

/// The least value of a strip.
pub(crate) fn least(strip: Option<&Strip>) -> Option<f64> {
    strip?.buckets.iter().filter_map(|bucket| bucket.least).reduce(f64::min)
}

const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A curve in one row.
pub(crate) fn spark(strip: Option<&Strip>, columns: u16, range: (f64, f64), tone: Tone) -> Vec<Word> {
    merge(points(strip, usize::from(columns), range).into_iter().map(|point| match point {
        Point::At(height) => (EIGHTHS.get(level(height, 8).saturating_sub(1)).copied().unwrap_or('█'), tone),
        Point::Gap(glyph) => (glyph, gap_tone(glyph)),
    }))
}

/// A curve in several rows of braille, top row first.
pub(crate) fn graph(strip: Option<&Strip>, columns: u16, rows: u16, range: (f64, f64), tone: Tone) -> Vec<Vec<Word>> {
    let columns = usize::from(columns);
    let points = points(strip, columns * 2, range);
    let dots = usize::from(rows) * 4;
    (0..usize::from(rows))
        .map(|row| {
            let beneath = dots - (row + 1) * 4;
            merge((0..columns).map(|column| {
                let (left, right) = (points.get(column * 2), points.get(column * 2 + 1));
                match (left, right) {
                    (Some(Point::Gap(glyph)), Some(Point::Gap(_))) if beneath == 0 => (*glyph, gap_tone(*glyph)),
                    _ => {
                        let full = tone == Tone::Plot && over(left, dots, beneath) && over(right, dots, beneath);
                        let dots = braille(filled(left, dots, beneath), filled(right, dots, beneath));
                        (dots, if full { Tone::Shade } else { tone })
                    }
                }
            }))
        })
        .collect()
}

fn gap_tone(glyph: char) -> Tone {
    if glyph == '×' { Tone::Critical } else { Tone::Faint }
}

/// Dots, 0 to 4, that a point fills in a row which so many dots lie beneath.
fn filled(point: Option<&Point>, dots: usize, beneath: usize) -> usize {
    match point {
        Some(Point::At(height)) => level(*height, dots).saturating_sub(beneath).min(4),
        _ => 0,
    }
}

/// Whether a point rises above a row which so many dots lie beneath.
fn over(point: Option<&Point>, dots: usize, beneath: usize) -> bool {
    matches!(point, Some(Point::At(height)) if level(*height, dots) > beneath + 4)
}

/// A height as a level from 1 to `most`: even the least value leaves a trace, nothing does not.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0..=1 times a few dozen")]
fn level(height: f64, most: usize) -> usize {
    ((height * model::reading::count_as_f64(u64::try_from(most).unwrap_or(0))).round() as usize).clamp(1, most.max(1))
}

/// Braille cell with so many dots from the bottom in its left and right column (Unicode 15, 2800–28FF).
fn braille(left: usize, right: usize) -> char {
    const LEFT: [u32; 5] = [0, 0x40, 0x44, 0x46, 0x47];
    const RIGHT: [u32; 5] = [0, 0x80, 0xa0, 0xb0, 0xb8];
    let bits = LEFT.get(left).unwrap_or(&0) | RIGHT.get(right).unwrap_or(&0);
    if bits == 0 { ' ' } else { char::from_u32(0x2800 + bits).unwrap_or(' ') }
}

/// A bar: a heavy stroke on a thin track.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a few dozen columns")]
pub(crate) fn bar(share: Option<f64>, columns: u16, tone: Tone) -> Vec<Word> {
    let Some(share) = share.filter(|share| share.is_finite()) else {
        return vec![Word::new("┈".repeat(usize::from(columns)), Tone::Faint)];
    };
    let halves = (share.clamp(0.0, 1.0) * f64::from(columns) * 2.0).round() as usize;
    let half = if halves % 2 == 1 { "╸" } else { "" };
    let rest = usize::from(columns).saturating_sub(halves / 2 + halves % 2);
    vec![Word::new(format!("{}{half}", "━".repeat(halves / 2)), tone), Word::new("─".repeat(rest), Tone::Faint)]
}

/// Neighbouring characters of one tone as one word.
pub(crate) fn merge(characters: impl Iterator<Item = (char, Tone)>) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for (character, tone) in characters {
        match words.last_mut() {
            Some(word) if word.tone == tone => word.text.push(character),
            _ => words.push(Word::new(character, tone)),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Bucket, Entity, SeriesKey, Window, catalogue};

    fn strip(values: &[Option<f64>], seconds: u64) -> Strip {
        let bucket = |value: &Option<f64>| Bucket {
            least: *value,
            most: *value,
            last: *value,
            worst: value.map(|_| Quality::Good),
        };
        Strip {
            key: SeriesKey::new(Entity::Node, catalogue::HOST_CPU),
            window: Window { from: 0, to: seconds * SECOND },
            buckets: values.iter().map(bucket).collect(),
        }
    }

    fn drawn(words: &[Word]) -> String {
        words.iter().map(|word| word.text.as_str()).collect()
    }

    #[test]
    fn nothing_recorded_is_drawn_as_a_gap_and_zero_as_zero() {
        let strip = strip(&[Some(0.0), None, None, Some(100.0)], 400);
        assert_eq!(drawn(&spark(Some(&strip), 4, (0.0, 100.0), Tone::Plot)), "▁┈┈█");
        assert_eq!(drawn(&spark(None, 3, (0.0, 100.0), Tone::Plot)), "┈┈┈");
    }

    #[test]
    fn holes_between_two_readings_of_a_slow_tier_are_bridged() {
        let strip = strip(&[Some(50.0), None, None, None, None, Some(50.0)], 6);
        assert_eq!(drawn(&spark(Some(&strip), 6, (0.0, 100.0), Tone::Plot)), "▄▄▄▄▄▄");
    }

    #[test]
    fn a_lost_device_leaves_its_cross() {
        let mut strip = strip(&[Some(50.0), None], 2);
        strip.buckets[1].worst = Some(Quality::Lost);
        assert_eq!(drawn(&spark(Some(&strip), 2, (0.0, 100.0), Tone::Plot)), "▄×");
    }

    #[test]
    fn a_graph_fills_from_the_bottom() {
        let strip = strip(&[Some(100.0), Some(50.0)], 2);
        let rows = graph(Some(&strip), 1, 2, (0.0, 100.0), Tone::Plot);
        assert_eq!(rows.iter().map(|row| drawn(row)).collect::<Vec<_>>(), ["⡇", "⣿"]);
    }

    #[test]
    fn bars_have_half_steps() {
        assert_eq!(drawn(&bar(Some(0.5), 3, Tone::Plot)), "━╸─");
        assert_eq!(drawn(&bar(None, 3, Tone::Plot)), "┈┈┈");
    }
}

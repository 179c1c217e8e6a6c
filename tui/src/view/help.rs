//! The keys: those that mean something now, and why the others do not.
//!
//! ```text
//! ╭ Keys ─────────────────────────────────────────────╮
//! │ Here                                              │
//! │   Enter       open what is selected               │
//! │ Time                                              │
//! │   n           to the next incident                │
//! │               not now: no incident begins after … │
//! ╰───────────────────────────────────────────────────╯
//! ```

use ratatui::Frame;
use ratatui::layout::Rect;

use crate::command::{self, Availability, Group, TABLE};
use crate::layer::{Layer, List};
use crate::look::Tone;
use crate::model::Model;
use crate::paint;
use crate::words::Word;

/// Every line.
pub(crate) fn lines(model: &Model) -> Vec<Vec<Word>> {
    // What can be done on the screen below, not in the help itself.
    let mut below = model.clone();
    if matches!(below.top(), Layer::Help(_)) {
        below.back();
    }
    let mut lines = Vec::new();
    for group in Group::ALL {
        lines.push(vec![Word::new(group.title(), Tone::Title)]);
        for binding in TABLE.iter().filter(|binding| binding.group == *group) {
            let (tone, why) = match command::availability(&below, binding.command) {
                Availability::Now => (Tone::Text, None),
                Availability::Disabled(why) => (Tone::Gap, Some(why)),
                Availability::Elsewhere => continue,
            };
            let key = if why.is_some() { Tone::Gap } else { Tone::Accent };
            let mut line =
                vec![Word::new(format!("  {:11} ", binding.shown), key), Word::new(binding.what.to_owned(), tone)];
            if let Some(why) = why {
                line.push(Word::new(format!("  (not now: {why})"), Tone::Gap));
            }
            lines.push(line);
        }
    }
    lines.push(Vec::new());
    lines.push(vec![Word::new("Where a value should stand", Tone::Title)]);
    for (glyph, meaning) in [
        ("–", "this device or driver does not have it"),
        ("⊘", "not permitted to read it"),
        ("?", "the call that reads it has not come back"),
        ("×", "the device is gone"),
        ("~", "an old value"),
        ("·", "nothing recorded"),
        ("┈", "nothing recorded, in a curve"),
        ("▴ ▾", "differs from its peers"),
    ] {
        lines.push(vec![Word::new(format!("  {glyph:11} "), Tone::Accent), Word::new(meaning, Tone::Text)]);
    }
    lines
}

/// Draws them over the screen.
pub(super) fn render(frame: &mut Frame, area: Rect, model: &Model, list: List) {
    let lines = lines(model);
    let rows = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(area.height.saturating_sub(2)).max(3);
    let columns = 96.min(area.width.saturating_sub(2)).max(1);
    let inside = paint::dialog(frame.buffer_mut(), area, model.look, "Keys", columns, rows);
    super::scrolled(frame, inside, model, &lines, list.scroll);
}

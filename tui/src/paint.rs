//! Putting text into the buffer without ever leaving it: every function here takes any area, down to nothing.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr;

use crate::look::{Look, Tone};
use crate::words::Word;

/// Columns that a text takes.
pub(crate) fn width(text: &str) -> u16 {
    u16::try_from(text.width()).unwrap_or(u16::MAX)
}

/// The text in at most so many columns; what is cut off leaves an ellipsis.
pub(crate) fn clip(text: &str, most: u16) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let (mut shown, mut used) = (String::new(), 0);
    for character in text.chars() {
        let wide = width(character.encode_utf8(&mut [0; 4]));
        if used + wide + 1 > most {
            break;
        }
        used += wide;
        shown.push(character);
    }
    if most > 0 {
        shown.push('…');
    }
    shown
}

/// One row of an area; nothing if the area has no such row.
pub(crate) fn row(area: Rect, row: u16) -> Rect {
    if row < area.height { Rect { y: area.y + row, height: 1, ..area } } else { Rect { height: 0, width: 0, ..area } }
}

/// The area without its first rows.
pub(crate) fn below(area: Rect, rows: u16) -> Rect {
    let rows = rows.min(area.height);
    Rect { y: area.y + rows, height: area.height - rows, ..area }
}

/// The area from a column on.
pub(crate) fn after(area: Rect, columns: u16) -> Rect {
    let columns = columns.min(area.width);
    Rect { x: area.x + columns, width: area.width - columns, ..area }
}

/// The first columns of an area.
pub(crate) fn first(area: Rect, columns: u16) -> Rect {
    Rect { width: columns.min(area.width), ..area }
}

/// Puts a line at the top left of an area.
pub(crate) fn line(buffer: &mut Buffer, area: Rect, line: &Line<'_>) {
    let area = area.intersection(buffer.area);
    if area.width > 0 && area.height > 0 {
        buffer.set_line(area.x, area.y, line, area.width);
    }
}

/// Puts a text at the top left of an area.
pub(crate) fn text(buffer: &mut Buffer, area: Rect, text: &str, style: Style) {
    line(buffer, area, &Line::from(Span::styled(clip(text, area.width), style)));
}

/// Puts a text at the top right of an area.
pub(crate) fn right(buffer: &mut Buffer, area: Rect, what: &str, style: Style) {
    let shown = clip(what, area.width);
    text(buffer, after(area, area.width - width(&shown).min(area.width)), &shown, style);
}

/// Words in one line.
pub(crate) fn words(look: Look, words: &[Word]) -> Line<'static> {
    Line::from(words.iter().map(|word| Span::styled(word.text.clone(), look.style(word.tone))).collect::<Vec<_>>())
}

/// Puts words in a line and clips the last that fits with an ellipsis.
pub(crate) fn put(buffer: &mut Buffer, area: Rect, look: Look, what: &[Word]) {
    let mut left = area.width;
    let mut fitting = Vec::new();
    for word in what {
        if left == 0 {
            break;
        }
        let shown = clip(&word.text, left);
        left -= width(&shown).min(left);
        fitting.push(Word::new(shown, word.tone));
    }
    line(buffer, area, &words(look, &fitting));
}

/// The heading of a section: its title, a rule, and a note at the right.
pub(crate) fn heading(buffer: &mut Buffer, area: Rect, look: Look, title: &str, note: &str) {
    let area = row(area, 0);
    text(buffer, area, &"─".repeat(usize::from(area.width)), look.style(Tone::Faint));
    text(buffer, area, &format!("{title} "), look.style(Tone::Title));
    let room = area.width.saturating_sub(width(title) + 4);
    if !note.is_empty() && room > 6 {
        let note = clip(note, room);
        right(buffer, area, &format!(" {note}"), look.style(Tone::Label));
    }
}

/// Shows an area as selected.
pub(crate) fn select(buffer: &mut Buffer, area: Rect, look: Look) {
    let area = area.intersection(buffer.area);
    for (x, y) in area.positions().map(Into::into) {
        if let (Some(cell), Some(colour)) = (buffer.cell_mut((x, y)), look.text_on_selected())
            && cell.fg == Color::Reset
        {
            cell.fg = colour;
        }
    }
    buffer.set_style(area, look.selected());
}

/// Makes an area empty.
pub(crate) fn wipe(buffer: &mut Buffer, area: Rect) {
    let area = area.intersection(buffer.area);
    for y in area.top()..area.bottom() {
        for x in area.left()..area.right() {
            if let Some(cell) = buffer.cell_mut((x, y)) {
                cell.reset();
            }
        }
    }
}

/// Breaks a text into lines of at most so many columns, at spaces where it can.
pub(crate) fn wrap(text: &str, columns: u16) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("there is a first line");
        if !last.is_empty() && width(last).saturating_add(1).saturating_add(width(word)) > columns {
            lines.push(String::new());
        } else if !last.is_empty() {
            last.push(' ');
        }
        for character in word.chars() {
            let wide = width(character.encode_utf8(&mut [0; 4]));
            let last = lines.last_mut().expect("there is a first line");
            if !last.is_empty() && width(last) + wide > columns {
                lines.push(String::new());
            }
            lines.last_mut().expect("there is a first line").push(character);
        }
    }
    lines
}

/// A box in the middle of an area, with its title; the inside comes back.
pub(crate) fn dialog(buffer: &mut Buffer, area: Rect, look: Look, title: &str, columns: u16, rows: u16) -> Rect {
    use ratatui::widgets::{Block, BorderType, Padding, Widget};
    let (columns, rows) = (columns.min(area.width), rows.min(area.height));
    let place = Rect {
        x: area.x + (area.width - columns) / 2,
        y: area.y + (area.height - rows) / 2,
        width: columns,
        height: rows,
    };
    wipe(buffer, place);
    let block = Block::bordered()
        .border_type(BorderType::Rounded)
        .border_style(look.style(Tone::Accent))
        .title(Span::styled(format!(" {} ", clip(title, columns.saturating_sub(6))), look.style(Tone::Title)))
        .padding(Padding::horizontal(1));
    let inside = block.inner(place);
    block.render(place, buffer);
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrapping_keeps_words_whole_where_it_can() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrap("", 4), [""]);
    }

    #[test]
    fn clipping_counts_columns_not_characters() {
        assert_eq!(clip("abcdef", 4), "abc…");
        assert_eq!(clip("火火火", 4), "火…");
        assert_eq!(clip("abc", 0), "");
    }
}

//! Tables: columns that give way when the screen is narrow, least important first, and rows that scroll.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use crate::look::{Look, Tone};
use crate::paint;
use crate::words::Word;

/// One column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// Over it.
    pub(crate) title: &'static str,
    /// Its width.
    pub(crate) width: u16,
    /// Numbers stand at the right.
    pub(crate) right: bool,
    /// The higher, the sooner it gives way; 0 never does.
    pub(crate) rank: u8,
    /// Takes what is left over.
    pub(crate) grows: bool,
}

impl Column {
    /// Text, at the left.
    pub(crate) const fn left(title: &'static str, width: u16, rank: u8) -> Self {
        Self { title, width, right: false, rank, grows: false }
    }

    /// Numbers, at the right.
    pub(crate) const fn right(title: &'static str, width: u16, rank: u8) -> Self {
        Self { title, width, right: true, rank, grows: false }
    }

    /// Takes what is left over.
    pub(crate) const fn growing(self) -> Self {
        Self { grows: true, ..self }
    }
}

/// One row: a cell per column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Row {
    /// The cells.
    pub(crate) cells: Vec<Vec<Word>>,
    /// Words that stand in place of everything from this column on.
    pub(crate) instead: Option<(usize, Vec<Word>)>,
    /// A second line below, as wide as the table.
    pub(crate) beneath: Option<Vec<Word>>,
}

impl Row {
    /// A row of cells of one word each.
    pub(crate) fn of(cells: Vec<Word>) -> Self {
        Self { cells: cells.into_iter().map(|word| vec![word]).collect(), ..Self::default() }
    }

    fn height(&self) -> u16 {
        if self.beneath.is_some() { 2 } else { 1 }
    }
}

/// Which columns fit into a width, and how wide each is.
pub(crate) fn fit(columns: &[Column], width: u16) -> Vec<(usize, u16)> {
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    let needed = |kept: &[usize]| -> u16 {
        kept.iter()
            .filter_map(|place| columns.get(*place))
            .map(|column| column.width + 1)
            .sum::<u16>()
            .saturating_sub(1)
    };
    while needed(&kept) > width {
        let worst = kept.iter().copied().filter(|place| columns.get(*place).is_some_and(|column| column.rank > 0));
        let Some(worst) = worst.max_by_key(|place| columns.get(*place).map_or(0, |column| column.rank)) else { break };
        kept.retain(|place| *place != worst);
    }
    // A narrow column may fit where a wider and more important one did not.
    let mut dropped: Vec<usize> = (0..columns.len()).filter(|place| !kept.contains(place)).collect();
    dropped.sort_by_key(|place| columns.get(*place).map_or(0, |column| column.rank));
    for place in dropped {
        let mut with: Vec<usize> = kept.iter().copied().chain([place]).collect();
        with.sort_unstable();
        if needed(&with) <= width {
            kept = with;
        }
    }
    let spare = width.saturating_sub(needed(&kept));
    let grower = kept.iter().copied().find(|place| columns.get(*place).is_some_and(|column| column.grows));
    kept.iter()
        .filter_map(|place| columns.get(*place).map(|column| (*place, column)))
        .map(|(place, column)| (place, column.width + if Some(place) == grower { spare } else { 0 }))
        .collect()
}

/// Draws a table; the selected row is always among those shown.
pub(crate) fn draw(
    buffer: &mut Buffer,
    area: Rect,
    look: Look,
    columns: &[Column],
    rows: &[Row],
    selected: Option<usize>,
) {
    let fitted = fit(columns, area.width);
    let titles = Row::of(columns.iter().map(|column| Word::new(column.title, Tone::Label)).collect());
    draw_row(buffer, paint::row(area, 0), look, columns, &fitted, &titles);
    let body = paint::below(area, 1);
    let mut y = 0;
    for (place, row) in rows.iter().enumerate().skip(first_shown(rows, selected, body.height)) {
        if y >= body.height {
            break;
        }
        let line = paint::row(body, y);
        draw_row(buffer, line, look, columns, &fitted, row);
        if let Some(beneath) = &row.beneath {
            paint::put(buffer, paint::row(body, y + 1), look, beneath);
        }
        if selected == Some(place) {
            paint::select(buffer, line, look);
        }
        y = y.saturating_add(row.height());
    }
}

/// The first row to show, so that the selected one is on the screen.
fn first_shown(rows: &[Row], selected: Option<usize>, height: u16) -> usize {
    let Some(selected) = selected.filter(|selected| *selected < rows.len()) else { return 0 };
    let (mut used, mut first) = (0u16, selected);
    for (place, row) in rows.iter().enumerate().take(selected + 1).rev() {
        used = used.saturating_add(row.height());
        if used > height {
            break;
        }
        first = place;
    }
    first
}

fn draw_row(buffer: &mut Buffer, area: Rect, look: Look, columns: &[Column], fitted: &[(usize, u16)], row: &Row) {
    let mut x = 0;
    for (place, width) in fitted {
        let place_area = paint::first(paint::after(area, x), *width);
        if let Some((from, words)) = &row.instead
            && place >= from
        {
            paint::put(buffer, paint::after(area, x), look, words);
            return;
        }
        let words = row.cells.get(*place).map(Vec::as_slice).unwrap_or_default();
        let used: u16 = words.iter().map(|word| paint::width(&word.text)).sum();
        let right = columns.get(*place).is_some_and(|column| column.right);
        let shift = if right { width.saturating_sub(used) } else { 0 };
        paint::put(buffer, paint::after(place_area, shift), look, words);
        x = x.saturating_add(width + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: &[Column] = &[Column::left("a", 4, 0), Column::right("b", 4, 2), Column::left("c", 4, 1).growing()];

    #[test]
    fn the_least_important_column_gives_way_first_and_the_rest_is_given_to_the_one_that_grows() {
        assert_eq!(fit(COLUMNS, 20), [(0, 4), (1, 4), (2, 10)]);
        assert_eq!(fit(COLUMNS, 10), [(0, 4), (2, 5)]);
        assert_eq!(fit(COLUMNS, 2), [(0, 4)]);
    }

    #[test]
    fn the_selected_row_is_on_the_screen() {
        let rows = vec![Row::default(); 50];
        assert_eq!(first_shown(&rows, Some(0), 10), 0);
        assert_eq!(first_shown(&rows, Some(9), 10), 0);
        assert_eq!(first_shown(&rows, Some(30), 10), 21);
        assert_eq!(first_shown(&rows, Some(99), 10), 0);
    }
}

//! The events around the cursor; what lies behind it is grey.
//!
//! ```text
//! Events ──────────────────────────────── 214 in 10m00s, filter "xid"
//! 17:01:02 ✖ xid     GPU 3     NVRM: Xid (PCI:0000:4f:00): 79, pid=1234, GPU has fallen off the bus.
//! 17:01:03 · mark    node      text=before reset
//! ```

use model::Event;
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::layer::Layer;
use crate::look::{Tone, shape_of, tone_of};
use crate::model::Model;
use crate::paint;
use crate::table::{self, Column, Row};
use crate::words::Word;

/// The events that pass the filter.
pub(crate) fn shown(model: &Model) -> Vec<&Event> {
    let filter = match model.screen() {
        Layer::Events { filter, .. } => filter.to_lowercase(),
        _ => String::new(),
    };
    let passes = |event: &&Event| {
        filter.is_empty()
            || event.kind.to_lowercase().contains(&filter)
            || event.text().raw().to_lowercase().contains(&filter)
            || event.entity.as_ref().is_some_and(|entity| model.label(entity).to_lowercase().contains(&filter))
    };
    model.events.iter().filter(passes).collect()
}

/// The place of the last event at or before the cursor.
pub(crate) fn at_cursor(model: &Model) -> usize {
    let place = model.cursor.place();
    let behind = shown(model).iter().take_while(|event| event.at.axis_ns() <= place).count();
    behind.saturating_sub(1)
}

fn place(model: &Model) -> usize {
    match model.screen() {
        Layer::Events { list, held: true, .. } => list.selected,
        _ => at_cursor(model),
    }
}

/// The event in hand.
pub(crate) fn selected(model: &Model) -> Option<&Event> {
    let shown = shown(model);
    shown.get(place(model).min(shown.len().saturating_sub(1))).copied()
}

const COLUMNS: &[Column] = &[
    Column::left("time", 9, 0),
    Column::left("", 1, 0),
    Column::left("kind", 13, 1),
    Column::left("where", 12, 2),
    Column::left("text", 20, 0).growing(),
];

/// Draws them.
pub(super) fn render(frame: &mut Frame, area: Rect, model: &Model) {
    let shown = shown(model);
    let filter = match model.screen() {
        Layer::Events { filter, .. } if !filter.is_empty() => format!(", only \"{}\"", model::text::clean(filter, 30)),
        _ => String::new(),
    };
    let length = model::time::human_duration(model.cursor.window().length());
    let note = format!("{} in {length}{filter}", shown.len());
    paint::heading(frame.buffer_mut(), area, model.look, "Events", &note);
    let body = paint::below(area, 1);
    if shown.is_empty() {
        return paint::text(
            frame.buffer_mut(),
            paint::row(body, 1),
            "  nothing happened in this stretch, as far as was recorded",
            model.look.style(Tone::Label),
        );
    }
    let place = place(model).min(shown.len() - 1);
    // The whole text of the event in hand stands below where there is room.
    let whole = shown.get(place).map(|event| paint::wrap(&text(event).display(1_000), area.width)).unwrap_or_default();
    let below = if body.height >= 12 { u16::try_from(whole.len()).unwrap_or(4).min(4) + 1 } else { 0 };
    let list = Rect { height: body.height - below, ..body };
    let rows: Vec<Row> = shown.iter().map(|event| row(model, event)).collect();
    table::draw(frame.buffer_mut(), list, model.look, COLUMNS, &rows, Some(place));
    if below > 0 {
        let detail = paint::below(body, list.height);
        paint::heading(frame.buffer_mut(), detail, model.look, "Verbatim", "");
        for (y, line) in (1..below).zip(&whole) {
            paint::text(frame.buffer_mut(), paint::row(detail, y), line, model.look.style(Tone::Text));
        }
    }
}

/// The line it was read from; of an operator's note the note alone.
fn text(event: &Event) -> model::Untrusted {
    match event.field("text").and_then(model::Field::as_text) {
        Some(note) if event.kind == model::event::MARK => note.into(),
        _ => event.text(),
    }
}

fn row(model: &Model, event: &Event) -> Row {
    let later = event.at.axis_ns() > model.cursor.place();
    let level = event.verdict.as_ref().map(|verdict| verdict.level);
    let (shape, tone) = level.map_or(("·", Tone::Faint), |level| (shape_of(level), tone_of(level)));
    let fade = |tone| if later { Tone::Faint } else { tone };
    let source = match (event.injected(), event.backlog) {
        (true, _) => "injected ",
        (_, true) => "backlog ",
        _ => "",
    };
    let title = event.verdict.as_ref().and_then(|verdict| verdict.title.as_ref());
    let title = title.map_or_else(String::new, |title| format!("{} — ", model::text::clean(title, 80)));
    let text = text(event);
    Row {
        cells: vec![
            vec![Word::new(event.at.clock(), fade(Tone::Label))],
            vec![Word::new(shape, fade(tone))],
            vec![Word::new(model::text::clean(&event.kind, 20), fade(Tone::Text))],
            vec![Word::new(
                event.entity.as_ref().map_or_else(String::new, |entity| model.label(entity)),
                fade(Tone::Text),
            )],
            vec![
                Word::new(source, fade(Tone::Odd)),
                Word::new(title, fade(Tone::Strong)),
                Word::new(text.display(300), fade(Tone::Text)),
            ],
        ],
        ..Row::default()
    }
}

//! The small dialogs: a line being typed, what a metric means, something that must be read.

use model::SeriesKey;
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::look::Tone;
use crate::message::OutcomeKind;
use crate::model::Model;
use crate::paint;
use crate::words::{self, Word, cell};

/// A line being typed: `› text▏`.
pub(super) fn line(frame: &mut Frame, area: Rect, model: &Model, title: &str, text: &str) {
    let inside = paint::dialog(frame.buffer_mut(), area, model.look, title, 70, 5);
    input(frame, paint::row(inside, 0), model, text, true);
    let keys = [
        Word::new("Enter", Tone::Accent),
        Word::new(" take it   ", Tone::Label),
        Word::new("Esc", Tone::Accent),
        Word::new(" leave it", Tone::Label),
    ];
    paint::put(frame.buffer_mut(), paint::row(inside, 2), model.look, &keys);
}

/// A text with its caret; of a long one the end is shown.
pub(super) fn input(frame: &mut Frame, area: Rect, model: &Model, text: &str, focused: bool) {
    let shown = model::text::clean(text, 500);
    let room = usize::from(area.width.saturating_sub(4));
    let skip = shown.chars().count().saturating_sub(room);
    let tail: String = shown.chars().skip(skip).collect();
    let (mark, caret) = if focused { ("› ", "▏") } else { ("  ", "") };
    let words = [Word::new(mark, Tone::Accent), Word::new(tail, Tone::Strong), Word::new(caret, Tone::Accent)];
    paint::put(frame.buffer_mut(), area, model.look, &words);
}

/// What a metric means, what it is now, and why it may be missing.
pub(super) fn explain(frame: &mut Frame, area: Rect, model: &Model, key: &SeriesKey) {
    let metric = key.metric.metric();
    let state = model.state.as_deref();
    let latest = state.and_then(|state| state.latest(&key.entity, &key.metric));
    let columns = 72.min(area.width);
    let width = columns.saturating_sub(4);
    let mut lines: Vec<Vec<Word>> = Vec::new();
    let meaning = metric
        .map_or("The catalogue does not know this metric: a newer writer's, or a driver's own.", |metric| {
            metric.meaning
        });
    lines.extend(paint::wrap(meaning, width).into_iter().map(|line| vec![Word::new(line, Tone::Text)]));
    lines.push(Vec::new());
    let mut fact = |title: &str, text: String, tone: Tone| {
        lines.push(vec![Word::new(format!("{title:9}"), Tone::Label), Word::new(text, tone)]);
    };
    let reading = latest.map(|latest| &latest.reading);
    let value = cell(reading, |value| words::with_unit(metric, value));
    fact("now", format!("{}  ({})", value.text, words::gap_meaning(reading)), value.tone);
    if let Some(latest) = latest {
        let age = model.reference().saturating_sub(latest.at.axis_ns());
        fact("read", format!("{}, {} ago", latest.at.clock(), model::time::human_duration(age)), Tone::Text);
    }
    fact(
        "of",
        format!("{} ({})", model.label(&key.entity), model::text::clean(&key.entity.to_string(), 60)),
        Tone::Text,
    );
    fact("name", key.metric.to_string(), Tone::Text);
    if let Some(metric) = metric {
        let kind = match metric.kind {
            model::Kind::Gauge => "gauge: goes up and down",
            model::Kind::Counter { .. } => "counter: only goes up; shown as what it does per second",
            model::Kind::State => "state",
            model::Kind::Info => "fact: rarely changes",
        };
        fact("kind", kind.to_owned(), Tone::Text);
        fact("exported", metric.openmetrics.to_owned(), Tone::Text);
    }
    let label = metric.map_or_else(|| key.metric.to_string(), |metric| metric.label.to_owned());
    let rows = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let inside = paint::dialog(frame.buffer_mut(), area, model.look, &label, columns, rows);
    super::scrolled(frame, inside, model, &lines, 0);
}

/// Something that must be read.
pub(super) fn told(frame: &mut Frame, area: Rect, model: &Model, title: &str, text: &str, kind: OutcomeKind) {
    let columns = 76.min(area.width);
    let (mark, tone) = match kind {
        OutcomeKind::Done => ("✓", Tone::Good),
        OutcomeKind::Refused => ("▲", Tone::Warning),
        OutcomeKind::Unknown => ("?", Tone::Critical),
    };
    let mut lines = vec![vec![Word::new(format!("{mark} {title}"), tone)], Vec::new()];
    let wrapped = paint::wrap(text, columns.saturating_sub(4));
    lines.extend(wrapped.into_iter().map(|line| vec![Word::new(line, Tone::Text)]));
    lines.push(Vec::new());
    lines.push(vec![Word::new("Enter", Tone::Accent), Word::new(" close", Tone::Label)]);
    let rows = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX);
    let inside = paint::dialog(frame.buffer_mut(), area, model.look, title, columns, rows);
    super::scrolled(frame, inside, model, &lines, 0);
}

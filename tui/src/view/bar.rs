//! The incident bar: the worst incident that stands, in one line; otherwise what could not be judged. Never a plain
//! green while blind.
//!
//! ```text
//!  ✖ FATAL  GPU has fallen off the bus · GPU 3 · 2m13s, since 17:01:02 → drain_reset: the driver asks for it   +2 more
//! ```

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use crate::layer::Layer;
use crate::look::{Tone, shape_of, tone_of};
use crate::model::Model;
use crate::paint;
use crate::words::Word;

/// Draws it.
pub(super) fn render(frame: &mut Frame, area: Rect, model: &Model) {
    let look = model.look;
    let buffer = frame.buffer_mut();
    let Some(incident) = model.worst() else {
        paint::put(buffer, area, look, &calm(model));
        select(model, buffer, area);
        return;
    };
    let tone = tone_of(incident.severity);
    let chip = format!(" {} {} ", shape_of(incident.severity), incident.severity.word().to_uppercase());
    paint::line(buffer, area, &Line::from(Span::styled(chip.clone(), look.chip(tone))));
    let more = model.standing().count() - 1;
    let more = if more > 0 { format!(" +{more} more") } else { String::new() };
    paint::right(buffer, area, &more, look.style(Tone::Label));
    let length = model::time::human_duration(model.reference().saturating_sub(incident.started.axis_ns()));
    let advice =
        incident.advice.first().map_or_else(String::new, |advice| format!("{}: {}", advice.action, advice.why));
    let words = [
        Word::new(format!(" {}", model::text::clean(&incident.root.title, 120)), Tone::Strong),
        Word::new(format!(" · {}", model.label(&incident.root.entity)), Tone::Text),
        Word::new(format!(" · {length}"), Tone::Label),
        Word::new(if advice.is_empty() { "" } else { " → " }, Tone::Accent),
        Word::new(model::text::clean(&advice, 200), Tone::Text),
    ];
    let middle = paint::after(area, paint::width(&chip));
    let middle = paint::first(middle, middle.width.saturating_sub(paint::width(&more)));
    paint::put(buffer, middle, look, &words);
    select(model, buffer, area);
}

/// A mark at the left tells that Enter opens it.
fn select(model: &Model, buffer: &mut ratatui::buffer::Buffer, area: Rect) {
    if matches!(model.top(), Layer::Overview(list) if list.selected == 0) {
        let place = paint::first(area, 1);
        paint::wipe(buffer, place);
        paint::text(buffer, place, "▸", model.look.style(Tone::Accent));
    }
}

fn calm(model: &Model) -> Vec<Word> {
    if !model.judged {
        return vec![Word::new(" ◌ nothing judged yet", Tone::Label)];
    }
    let gaps = &model.coverage.gaps;
    if gaps.is_empty() {
        let seen = model.coverage.seen.len();
        return vec![
            Word::new(" ✓ no incident", Tone::Good),
            Word::new(format!(" · {seen} sources judged"), Tone::Label),
        ];
    }
    let mut sources: Vec<String> = gaps.iter().map(|gap| model::text::clean(&gap.source, 24)).collect();
    sources.dedup();
    let (count, verb) = (sources.len(), if sources.len() == 1 { "source" } else { "sources" });
    vec![
        Word::new(" ◌ no incident seen", Tone::Text),
        Word::new(format!("; {count} {verb} cannot be judged: "), Tone::Warning),
        Word::new(sources.join(", "), Tone::Text),
        Word::new("  (o tells why)", Tone::Label),
    ]
}

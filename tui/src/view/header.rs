//! The header.
//!
//! ```text
//! gpudeck  node17 · driver 570.148 · CUDA 12.8       ● LIVE  17:03:12 UTC  fresh  2 open
//! ```

use model::{Entity, Reading, Value, catalogue as metrics};
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::cursor::{Motion, SECOND, SPEEDS};
use crate::look::Tone;
use crate::message::Mode;
use crate::model::Model;
use crate::paint;
use crate::words::{self, Word};

/// News this old are a reason to look at the source.
const OLD: u64 = 3 * SECOND;

/// Draws it.
pub(super) fn render(frame: &mut Frame, area: Rect, model: &Model) {
    let right = clock(model);
    let right_width = right.iter().map(|word| paint::width(&word.text)).sum::<u16>().min(area.width);
    let buffer = frame.buffer_mut();
    paint::put(buffer, paint::after(area, area.width - right_width), model.look, &right);
    let room = area.width.saturating_sub(right_width + 2);
    paint::put(buffer, paint::first(area, room), model.look, &who(model, room));
}

/// Host, driver, CUDA; what does not fit whole is left out.
fn who(model: &Model, room: u16) -> Vec<Word> {
    let fact = |metric: &'static model::Metric| {
        let state = model.state.as_deref()?;
        let reading = state.reading(&Entity::Node, metric)?;
        reading.value().and_then(Value::as_text).map(|text| text.display(40)).filter(|text| !text.is_empty())
    };
    let source = match &model.mode {
        Mode::Live { source } => source,
        Mode::Replay { title } => title,
    };
    let host = fact(metrics::HOST_NAME).unwrap_or_else(|| model::text::clean(source, 40));
    let mut words = vec![Word::new("gpudeck ", Tone::Title), Word::new(host, Tone::Strong)];
    let driver = model.state.as_deref().and_then(|state| state.reading(&Entity::Node, metrics::DRIVER_STATE));
    match (fact(metrics::DRIVER_VERSION), driver.and_then(Reading::good).and_then(Value::as_text)) {
        (_, Some(state)) if state.raw() != "ok" => {
            words.push(Word::new(format!(" · driver {}", state.display(20).replace('_', " ")), Tone::Warning));
        }
        (Some(version), _) => words.push(Word::new(format!(" · driver {version}"), Tone::Label)),
        (None, _) => {}
    }
    if let Some(cuda) = fact(metrics::DRIVER_CUDA_VERSION) {
        words.push(Word::new(format!(" · CUDA {cuda}"), Tone::Label));
    }
    if let Mode::Live { source } = &model.mode
        && source != "this node"
    {
        words.push(Word::new(format!(" · {}", model::text::clean(source, 60)), Tone::Label));
    }
    let mut left = room;
    words
        .into_iter()
        .enumerate()
        .take_while(|(place, word)| {
            let width = paint::width(&word.text);
            let fits = *place < 2 || width <= left;
            left = left.saturating_sub(width);
            fits
        })
        .map(|(_, word)| word)
        .collect()
}

fn clock(model: &Model) -> Vec<Word> {
    let cursor = &model.cursor;
    let stamp = match &model.state {
        Some(state) if model.following() => state.at,
        _ => cursor.stamp(cursor.place()),
    };
    let mut words = Vec::new();
    let speed = SPEEDS.get(cursor.speed).copied().unwrap_or(1);
    match (cursor.motion, model.live()) {
        (Motion::Following, _) => words.push(Word::new("● LIVE", Tone::Good)),
        (Motion::Playing, _) => words.push(Word::new(format!("▶ REPLAY ×{speed}"), Tone::Accent)),
        (Motion::Resting, true) => words.push(Word::new("‖ PAUSED", Tone::Warning)),
        (Motion::Resting, false) => words.push(Word::new("‖ REPLAY", Tone::Accent)),
    }
    words.push(Word::new(format!("  {}", stamp.clock()), Tone::Strong));
    words.push(Word::new(if stamp.real_ns.is_some() { " UTC" } else { "" }, Tone::Label));
    match cursor.motion {
        Motion::Following => match &model.state {
            None => words.push(Word::new("  nothing read yet", Tone::Gap)),
            Some(state) => {
                let age = model.now.axis_ns().saturating_sub(state.at.axis_ns());
                let shown =
                    if age < SECOND { "fresh".to_owned() } else { format!("{} old", words::time(seconds(age))) };
                words.push(Word::new(format!("  {shown}"), if age > OLD { Tone::Warning } else { Tone::Label }));
            }
        },
        Motion::Playing | Motion::Resting if model.live() => {
            let ahead = cursor.end().saturating_sub(cursor.place());
            let ahead = model::time::human_duration(ahead);
            words.push(Word::new(format!("  LIVE is {ahead} ahead"), Tone::Label));
        }
        Motion::Playing | Motion::Resting => {}
    }
    let standing = model.standing().count();
    if standing > 0 {
        words.push(Word::new(format!("  {standing} open"), Tone::Strong));
    }
    words
}

/// Nanoseconds as whole seconds.
fn seconds(ns: u64) -> f64 {
    model::reading::count_as_f64(ns / SECOND)
}

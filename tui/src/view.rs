//! Drawing: pure, from the model alone, one file per panel.
//!
//! ```text
//! ┌──────────────────────────────────────────────┐
//! │ header       host, driver, mode, time, age   │ 1
//! │ incident bar the worst that stands, one line │ 1
//! │                                              │
//! │ the screen                                   │ the rest
//! │                                              │
//! │ time strip   the past, incidents, the cursor │ 1 to 3
//! │ footer       keys valid now    own cost      │ 1
//! └──────────────────────────────────────────────┘
//! ```
//! On a terminal of few rows parts are left out in the order screen, strip, footer, header; the bar stays to the last.

mod bar;
mod cards;
mod dialogs;
pub(crate) mod events;
mod footer;
pub(crate) mod gpu;
mod header;
mod heat;
mod help;
pub(crate) mod incident;
mod node;
mod overview;
mod panels;
mod plan;
pub(crate) mod processes;
mod rdma;
mod rows;
mod storage;
mod time_strip;

use model::{SeriesKey, Window};
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::cursor::{LEAST_STRETCH, SECOND};
use crate::layer::Layer;
use crate::model::Model;
use crate::paint;
use crate::questions::Want;

/// Over how much time the small curves of the overview go.
const TRAIL: u64 = 120 * SECOND;

/// Draws the deck.
pub fn view(model: &Model, frame: &mut Frame) {
    let parts = Parts::of(frame.area());
    header::render(frame, parts.header, model);
    bar::render(frame, parts.bar, model);
    match model.screen() {
        Layer::Incidents(_) => incident::render(frame, parts.body, model),
        Layer::Gpu(..) => gpu::render(frame, parts.body, model),
        Layer::Events { .. } => events::render(frame, parts.body, model),
        Layer::Rdma(_) => rdma::render(frame, parts.body, model),
        Layer::Storage(_) => storage::render(frame, parts.body, model),
        Layer::Processes(_) => processes::render(frame, parts.body, model),
        Layer::Node(_) => node::render(frame, parts.body, model),
        _ => overview::render(frame, parts.body, model),
    }
    time_strip::render(frame, parts.strip, model);
    footer::render(frame, parts.footer, model);
    let area = frame.area();
    match model.top() {
        Layer::Help(list) => help::render(frame, area, model, *list),
        Layer::Explain(key) => dialogs::explain(frame, area, model, key),
        Layer::Confirm(confirm) => plan::render(frame, area, model, confirm),
        Layer::Mark(text) => dialogs::line(frame, area, model, "A note for the recording", text),
        Layer::Filter(text) => dialogs::line(frame, area, model, "Only events that hold", text),
        Layer::Told { title, text, kind } => dialogs::told(frame, area, model, title, text, *kind),
        _ => {}
    }
}

/// The parts of the screen.
#[derive(Clone, Copy, Debug)]
struct Parts {
    header: Rect,
    bar: Rect,
    body: Rect,
    strip: Rect,
    footer: Rect,
}

impl Parts {
    fn of(area: Rect) -> Self {
        let height = area.height;
        let header = u16::from(height >= 2);
        let footer = u16::from(height >= 3);
        let strip = match height {
            0..6 => 0,
            6..14 => 1,
            14..30 => 2,
            _ => 3,
        };
        let body = height.saturating_sub(1 + header + footer + strip);
        let cut = |from: u16, rows: u16| Rect {
            y: area.y + from.min(height),
            height: rows.min(height.saturating_sub(from)),
            ..area
        };
        Self {
            header: cut(0, header),
            bar: cut(header, 1),
            body: cut(header + 1, body),
            strip: cut(header + 1 + body, strip),
            footer: cut(header + 1 + body + strip, footer),
        }
    }

    fn of_model(model: &Model) -> Self {
        Self::of(Rect { x: 0, y: 0, width: model.size.0, height: model.size.1 })
    }
}

/// The curves that the screen needs, over which window, in how many buckets.
pub(crate) fn curves_wanted(model: &Model) -> Want {
    let Some(state) = model.state.as_deref() else { return Want::default() };
    let body = Parts::of_model(model).body;
    let place = model.cursor.place();
    // A recording shorter than the trail fills it: there is nothing before its beginning.
    let length = if model.live() { TRAIL } else { model.cursor.window().length().clamp(LEAST_STRETCH, TRAIL) };
    let trail = Window { from: place.saturating_sub(length), to: place.max(length) };
    let (series, window, columns): (Vec<SeriesKey>, Window, u16) = match model.screen() {
        Layer::Gpu(gpu, _) => (gpu::series(state, gpu), model.cursor.window(), body.width),
        Layer::Rdma(_) => (rdma::series(state, model), trail, 60),
        Layer::Storage(_) => (storage::series(state), model.cursor.window(), body.width),
        Layer::Overview(_) => (overview::series(state, body), trail, overview::curve_columns(state, body)),
        _ => return Want::default(),
    };
    Want::new(series, window, usize::from(columns) * 2, place)
}

/// The series that the time strip draws: how busy the GPUs were, or the host where there are none.
pub(crate) fn activity_wanted(model: &Model) -> Want {
    // The GPUs of the end: at the beginning of a recording none is known yet, and the strip shows all of it.
    let Some(state) = model.newest.as_deref().or(model.state.as_deref()) else { return Want::default() };
    let strip = Parts::of_model(model).strip;
    if strip.height == 0 {
        return Want::default();
    }
    Want::new(time_strip::series(state), model.cursor.window(), usize::from(strip.width), model.cursor.end())
}

/// How many lines the list on top has.
pub(crate) fn lines_of(model: &Model) -> usize {
    let state = model.state.as_deref();
    match model.top() {
        Layer::Overview(_) => 1 + state.map_or(0, |state| crate::node::gpu_entities(state).len()),
        Layer::Incidents(_) => model.incidents.len(),
        Layer::Gpu(gpu, _) => state.map_or(0, |state| gpu::metrics_of(state, gpu).len()),
        Layer::Events { .. } => events::shown(model).len(),
        Layer::Rdma(_) => state.map_or(0, |state| rdma::ports(state).len()),
        Layer::Storage(_) => state.map_or(0, |state| storage::mounts(state).len()),
        Layer::Processes(_) => state.map_or(0, |state| crate::node::processes(state, None).len()),
        Layer::Node(_) => node::lines(model, model.size.0).len(),
        Layer::Help(_) => help::lines(model).len(),
        Layer::Confirm(confirm) => plan::lines(model, confirm, plan::inner_width(model.size.0)).len(),
        Layer::Explain(_) | Layer::Mark(_) | Layer::Filter(_) | Layer::Told { .. } => 0,
    }
}

/// Draws lines from one on; the first that does not fit tells that there is more.
fn scrolled(frame: &mut Frame, area: Rect, model: &Model, lines: &[Vec<crate::words::Word>], scroll: usize) {
    let most = lines.len().saturating_sub(usize::from(area.height));
    let buffer = frame.buffer_mut();
    for (y, line) in (0..area.height).zip(lines.iter().skip(scroll.min(most))) {
        paint::put(buffer, paint::row(area, y), model.look, line);
    }
    if scroll < most && area.height > 1 {
        let last = paint::row(area, area.height - 1);
        paint::wipe(buffer, last);
        let left = most - scroll + 1;
        paint::text(buffer, last, &format!("… {left} more lines below"), model.look.style(crate::look::Tone::Label));
    }
}

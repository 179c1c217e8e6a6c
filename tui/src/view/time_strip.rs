//! The time strip: how busy the GPUs were, where nothing was recorded, the incidents, the cursor.
//!
//! ```text
//!                    ▲─────────      ✖──────────   incidents from their beginning to their end   (3 rows)
//! ▁▂▅▇▇▇▇▇▇▇▇▅▅▅┈┈┈┈┈┈▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇│▇▇▇▇▇▇▇▇▇   the busiest GPU; ┈ nothing recorded           (1 row)
//! 16:53:12                      17:01:02  17:03:12   from, cursor, to                             (2 rows)
//! ```

use model::{Bucket, Entity, NodeState, SeriesKey, Strip, Window, catalogue as metrics};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::text::{Line, Span};

use crate::cursor::{LEAST_STRETCH, Motion};
use crate::look::{Tone, shape_of, tone_of};
use crate::model::Model;
use crate::{node, paint, plot};

/// What it draws.
pub(super) fn series(state: &NodeState) -> Vec<SeriesKey> {
    let mut series = vec![SeriesKey::new(Entity::Node, metrics::HOST_CPU)];
    series.extend(node::series_of(&node::gpu_entities(state), &[metrics::GPU_UTIL]));
    series
}

/// Draws it.
pub(super) fn render(frame: &mut Frame, area: Rect, model: &Model) {
    if area.height == 0 || area.width == 0 {
        return;
    }
    let buffer = frame.buffer_mut();
    let window = model.cursor.window();
    let (ticks, curve, labels) = match area.height {
        1 => (None, 0, None),
        2 => (None, 0, Some(1)),
        _ => (Some(0), 1, Some(2)),
    };
    let curve = paint::row(area, curve);
    let known = known_columns(model, window, curve);
    let words = plot::spark(busiest(model).as_ref(), curve.width, (0.0, 100.0), Tone::Faint);
    paint::put(buffer, curve, model.look, &words);
    // Before the recording began there is nothing that could be missing.
    paint::wipe(buffer, paint::first(curve, known));
    incidents(buffer, ticks.map_or(curve, |row| paint::row(area, row)), model, window, ticks.is_some());
    let cursor = column(window, curve.width, model.cursor.place());
    let style = model.look.style(Tone::Accent).add_modifier(Modifier::BOLD);
    paint::line(buffer, paint::after(curve, cursor), &Line::from(Span::styled("┃", style)));
    if let Some(row) = labels {
        label(buffer, paint::row(area, row), model, window, cursor);
    }
}

/// Columns before the recording began.
fn known_columns(model: &Model, window: Window, area: Rect) -> u16 {
    if model.cursor.start() <= window.from { 0 } else { column(window, area.width, model.cursor.start()) }
}

/// The column of an instant.
fn column(window: Window, width: u16, at: u64) -> u16 {
    let offset = u128::from(at.clamp(window.from, window.to) - window.from);
    let column = offset * u128::from(width.saturating_sub(1)) / u128::from(window.length().max(1));
    u16::try_from(column).unwrap_or(0)
}

/// The greatest use of any GPU, bucket by bucket; of the host where there is no GPU.
fn busiest(model: &Model) -> Option<Strip> {
    let strips = &model.asked.activity.strips;
    let node = |strip: &&Strip| strip.key.entity == Entity::Node;
    let mut gpus = strips.values().filter(|strip| !node(strip)).peekable();
    if gpus.peek().is_none() {
        return strips.values().find(node).cloned();
    }
    let mut all = gpus.next().cloned()?;
    let merge = |all: &mut Bucket, one: &Bucket| {
        all.most = match (all.most, one.most) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (a, b) => a.or(b),
        };
        if all.worst.is_none() {
            all.worst = one.worst.clone();
        }
    };
    for strip in gpus.chain(strips.values().filter(node)) {
        for (all, one) in all.buckets.iter_mut().zip(&strip.buckets) {
            // The host only tells whether anything was recorded at all.
            let known = Bucket { most: one.most.filter(|_| !node(&strip)), ..one.clone() };
            merge(all, &known);
            if node(&strip) && all.most.is_none() && one.most.is_some() {
                all.most = Some(0.0);
            }
        }
    }
    Some(all)
}

fn incidents(buffer: &mut Buffer, area: Rect, model: &Model, window: Window, tails: bool) {
    let mut order: Vec<&model::Incident> = model.incidents.iter().collect();
    // The worst is drawn last and so on top.
    order.sort_by_key(|incident| (incident.severity, std::cmp::Reverse(incident.started.axis_ns())));
    let end = model.cursor.end();
    let visible = |incident: &&model::Incident| {
        let ended = incident.ended.map_or(end, model::Stamp::axis_ns);
        incident.started.axis_ns() <= window.to && ended >= window.from
    };
    let order: Vec<&model::Incident> = order.into_iter().filter(visible).collect();
    for tail in if tails { [true, false].as_slice() } else { [false].as_slice() } {
        for incident in &order {
            let style = model.look.style(tone_of(incident.severity));
            let from = column(window, area.width, incident.started.axis_ns());
            let to = column(window, area.width, incident.ended.map_or(end, model::Stamp::axis_ns));
            if *tail {
                let length = usize::from(to.saturating_sub(from)) + 1;
                paint::text(buffer, paint::after(area, from), &"─".repeat(length), style);
            } else if window.holds(incident.started.axis_ns()) {
                let shape = Span::styled(shape_of(incident.severity), style.add_modifier(Modifier::BOLD));
                paint::line(buffer, paint::after(area, from), &Line::from(shape));
            }
        }
    }
}

fn label(buffer: &mut Buffer, area: Rect, model: &Model, window: Window, cursor: u16) {
    let look = model.look;
    let clock = |at: u64| model.cursor.stamp(at).clock();
    let length = model::time::human_duration(window.length().max(LEAST_STRETCH));
    let from = clock(window.from.max(model.cursor.start().min(window.to)));
    let from =
        if window.from < model.cursor.start() { format!("last {length}") } else { format!("{from} · {length}") };
    let to = match model.cursor.motion {
        Motion::Following => "now".to_owned(),
        _ => clock(window.to),
    };
    paint::text(buffer, area, &from, look.style(Tone::Label));
    paint::right(buffer, area, &to, look.style(Tone::Label));
    if model.following() {
        return;
    }
    let here = format!(" {} ", clock(model.cursor.place()));
    let width = paint::width(&here);
    let from_width = paint::width(&from);
    let room = area.width.saturating_sub(paint::width(&to) + width);
    let at = cursor.saturating_sub(width / 2).min(room);
    if at > from_width && room > from_width {
        paint::text(buffer, paint::after(area, at), &here, look.style(Tone::Accent));
    }
}

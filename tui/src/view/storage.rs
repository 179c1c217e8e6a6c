//! FUSE and network mounts, their daemons and caches; below each the hit ratio over the time strip's window.
//!
//! ```text
//! Storage ─────────────────────────────────────────────────────────────────────── 2/2 ok
//! mount     type           cache    state  hit ratio waiting  answer  from cache  from remote  errors
//! /data     fuse.juicefs   juicefs  ● ok      97.2 %    0/50  1.2 ms   1.2 GB/s     34 MB/s         0
//!           ▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▇▅▃▂▁▁▁▁▅▇▇▇▇▇▇▇▇▇▇▇▇
//! ```

use model::{Entity, EntityKind, NodeState, Reading, SeriesKey, Value, catalogue as metrics};
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::look::Tone;
use crate::model::Model;
use crate::node::reading;
use crate::table::{self, Column, Row};
use crate::words::{self, Word, cell};
use crate::{paint, plot};

/// The mounts in their order.
pub(crate) fn mounts(state: &NodeState) -> Vec<Entity> {
    state.of_kind(EntityKind::Mount)
}

/// The curves that it needs.
pub(super) fn series(state: &NodeState) -> Vec<SeriesKey> {
    let wanted = [metrics::FUSE_HIT_RATIO, metrics::FUSE_WAITING, metrics::FUSE_HIT_BYTES, metrics::FUSE_MISS_BYTES];
    crate::node::series_of(mounts(state).iter().take(40), &wanted)
}

/// The state of a mount with its shape.
pub(super) fn state_word(shown: Option<&Reading>) -> Word {
    let word = cell(shown, |value| value.to_string());
    match shown.and_then(Reading::good).and_then(Value::as_text).map_or("", model::Untrusted::raw) {
        "ok" => Word::new("● ok", Tone::Good),
        "" => word,
        "congested" => Word::new("▲ congested", Tone::Warning),
        _ => Word::new(format!("✖ {}", word.text), Tone::Critical),
    }
}

const COLUMNS: &[Column] = &[
    Column::left("mount", 18, 0).growing(),
    Column::left("type", 14, 5),
    Column::left("source", 18, 7),
    Column::left("cache", 8, 4),
    Column::left("state", 13, 0),
    Column::right("hit ratio", 9, 0),
    Column::right("waiting", 9, 0),
    Column::right("answer", 8, 1),
    Column::right("from cache", 11, 2),
    Column::right("from remote", 11, 2),
    Column::right("cached", 9, 6),
    Column::right("errors", 7, 3),
];

/// Draws them.
pub(super) fn render(frame: &mut Frame, area: Rect, model: &Model) {
    let Some(state) = model.state.as_deref() else { return };
    let mounts = mounts(state);
    let well = mounts.iter().filter(|mount| state.text(mount, metrics::FUSE_STATE) == Some("ok")).count();
    paint::heading(frame.buffer_mut(), area, model.look, "Storage", &format!("{well}/{} ok", mounts.len()));
    let body = paint::below(area, 1);
    if mounts.is_empty() {
        let text = "  no FUSE or network mount is seen";
        return paint::text(frame.buffer_mut(), paint::row(body, 1), text, model.look.style(Tone::Label));
    }
    let place = model.list().selected.min(mounts.len() - 1);
    let rows: Vec<Row> = mounts.iter().map(|mount| row(model, state, mount, area.width)).collect();
    table::draw(frame.buffer_mut(), body, model.look, COLUMNS, &rows, Some(place));
}

fn row(model: &Model, state: &NodeState, mount: &Entity, width: u16) -> Row {
    let get = |metric| reading(state, mount, metric);
    let show =
        |metric: &'static model::Metric| cell(get(metric).as_ref(), |value| words::with_unit(Some(metric), value));
    let flow = |metric| {
        let rate = model.rate(mount, metric);
        rate.map_or_else(
            || show(metric).toned(Tone::Label),
            |rate| Word::new(format!("{}/s", words::decimal_bytes(rate)), Tone::Text),
        )
    };
    let waiting = show(metrics::FUSE_WAITING);
    let waiting = match get(metrics::FUSE_MAX_BACKGROUND).as_ref().and_then(Reading::value) {
        Some(most) if waiting.tone == Tone::Text => Word::new(format!("{}/{most}", waiting.text), Tone::Text),
        _ => waiting,
    };
    let low = state.number(mount, metrics::FUSE_HIT_RATIO).is_some_and(|ratio| ratio < 50.0);
    let strip = model.curve(&SeriesKey::new(mount.clone(), metrics::FUSE_HIT_RATIO));
    let mut beneath = vec![Word::new("  hit ratio ", Tone::Faint)];
    beneath.extend(plot::spark(strip, width.saturating_sub(14), (0.0, 100.0), Tone::Plot));
    Row {
        cells: [
            Word::new(model.label(mount), Tone::Strong),
            show(metrics::FUSE_TYPE).toned(Tone::Label),
            show(metrics::FUSE_SOURCE).toned(Tone::Label),
            show(metrics::FUSE_PROVIDER).toned(Tone::Label),
            state_word(get(metrics::FUSE_STATE).as_ref()),
            show(metrics::FUSE_HIT_RATIO).toned(if low { Tone::Warning } else { Tone::Text }),
            waiting,
            show(metrics::FUSE_ANSWER_TIME),
            flow(metrics::FUSE_HIT_BYTES),
            flow(metrics::FUSE_MISS_BYTES),
            show(metrics::FUSE_CACHE_BYTES).toned(Tone::Label),
            show(metrics::FUSE_REMOTE_ERRORS),
        ]
        .map(|word| vec![word])
        .to_vec(),
        instead: None,
        beneath: plot::most(strip).is_some().then_some(beneath),
    }
}

//! RDMA ports, and the counters of the one in hand that ever counted.
//!
//! ```text
//! RDMA ports ─────────────────────────────────────────────── 8/8 active
//! port       state     phys     rate layer      netdev      tx       rx   errors
//! mlx5_0/1   ● active  link_up 400 Gb/s InfiniBand –        12.3 GB  11.9 GB      0
//! Counters of mlx5_0/1 ───────────────────────────────────────────────
//! symbol_error             12  +3/s     out_of_sequence  1 204
//! ```

use model::{Entity, EntityKind, MetricName, NodeState, Reading, SeriesKey, Value, catalogue as metrics};
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::layer::Layer;
use crate::look::Tone;
use crate::model::Model;
use crate::node::reading;
use crate::paint;
use crate::table::{self, Column, Row};
use crate::words::{self, Word, cell};

/// The ports in their order.
pub(crate) fn ports(state: &NodeState) -> Vec<Entity> {
    state.of_kind(EntityKind::RdmaPort)
}

fn selected(state: &NodeState, model: &Model) -> Option<Entity> {
    let ports = ports(state);
    let list = match model.screen() {
        Layer::Rdma(list) => *list,
        _ => return None,
    };
    ports.get(list.selected.min(ports.len().saturating_sub(1))).cloned()
}

/// The curves that it needs: traffic of all ports, every counter of the one in hand.
pub(super) fn series(state: &NodeState, model: &Model) -> Vec<SeriesKey> {
    let mut series = crate::node::series_of(&ports(state), &[metrics::RDMA_TX, metrics::RDMA_RX]);
    if let Some(port) = selected(state, model) {
        series.extend(counters(state, &port).into_iter().map(|(metric, _)| SeriesKey { entity: port.clone(), metric }));
    }
    series
}

/// The state of a port with its shape.
pub(super) fn state_word(shown: Option<&Reading>) -> Word {
    let word = cell(shown, |value| value.to_string());
    let state = shown.and_then(Reading::good).and_then(Value::as_text).map_or("", model::Untrusted::raw);
    match state {
        "active" => Word::new("● active", Tone::Good),
        "" => word,
        "down" => Word::new("✖ down  ", Tone::Critical),
        _ => Word::new(format!("▲ {:6}", word.text), Tone::Warning),
    }
}

const COLUMNS: &[Column] = &[
    Column::left("port", 12, 0),
    Column::left("state", 9, 0),
    Column::left("physical", 10, 2),
    Column::right("rate", 8, 0),
    Column::left("layer", 10, 3),
    Column::left("netdev", 10, 5),
    Column::left("firmware", 12, 6),
    Column::right("tx /s", 9, 0),
    Column::right("rx /s", 9, 0),
    Column::right("numa", 4, 4),
    Column::right("errors", 8, 1).growing(),
];

/// The counters that tell of trouble, by the kernel's names (sysfs-class-infiniband, mlx5 and others).
const TROUBLE: &[&str] = &[
    "error",
    "err",
    "discard",
    "drop",
    "downed",
    "recovery",
    "timeout",
    "out_of_sequence",
    "out_of_buffer",
    "nak",
    "cnp",
    "retry",
    "overrun",
    "wait",
];

fn trouble(name: &MetricName) -> bool {
    name.as_str() != "rdma.rx" && TROUBLE.iter().any(|word| name.as_str().contains(word))
}

/// The driver's own counters that ever counted, those that tell of trouble first.
fn counters(state: &NodeState, port: &Entity) -> Vec<(MetricName, u64)> {
    let mut found: Vec<(MetricName, u64)> = state
        .metrics(port)
        .filter(|(name, _)| name.as_str().starts_with("rdma.counter.") || name.as_str().starts_with("rdma.hw."))
        .filter_map(|(name, latest)| {
            Some((name.clone(), latest.reading.good()?.as_count().filter(|count| *count > 0)?))
        })
        .collect();
    found.sort_by_key(|(name, _)| (!trouble(name), name.clone()));
    found.truncate(120);
    found
}

/// Draws them.
pub(super) fn render(frame: &mut Frame, area: Rect, model: &Model) {
    let Some(state) = model.state.as_deref() else { return };
    let ports = ports(state);
    let up = ports.iter().filter(|port| state.text(port, metrics::RDMA_STATE) == Some("active")).count();
    paint::heading(frame.buffer_mut(), area, model.look, "RDMA ports", &format!("{up}/{} active", ports.len()));
    let body = paint::below(area, 1);
    if ports.is_empty() {
        let text = "  no RDMA port is seen: none is fitted, or /sys/class/infiniband is not readable here";
        return paint::text(frame.buffer_mut(), paint::row(body, 1), text, model.look.style(Tone::Label));
    }
    let place = model.list().selected.min(ports.len() - 1);
    let rows: Vec<Row> = ports.iter().map(|port| row(model, state, port)).collect();
    let height = u16::try_from(ports.len() + 1).unwrap_or(u16::MAX).min((body.height * 2 / 3).max(3)).min(body.height);
    table::draw(frame.buffer_mut(), Rect { height, ..body }, model.look, COLUMNS, &rows, Some(place));
    if let Some(port) = ports.get(place) {
        detail(frame, paint::below(body, height + 1), model, state, port);
    }
}

fn row(model: &Model, state: &NodeState, port: &Entity) -> Row {
    let get = |metric| reading(state, port, metric);
    let text = |metric| cell(get(metric).as_ref(), |value: &Value| value.to_string()).toned(Tone::Label);
    let flow = |metric| {
        model.rate(port, metric).map_or_else(
            || Word::new(words::NOTHING, Tone::Faint),
            |rate| Word::new(words::decimal_bytes(rate), Tone::Text),
        )
    };
    let rate =
        cell(get(metrics::RDMA_RATE).as_ref(), |value| format!("{} Gb/s", words::short(value.as_f64().unwrap_or(0.0))));
    let errors: u64 = counters(state, port).iter().filter(|(name, _)| trouble(name)).map(|(_, count)| count).sum();
    let numa = state
        .inventory
        .get(port)
        .and_then(|info| info.numa)
        .map_or_else(|| words::NOTHING.to_owned(), |numa| numa.to_string());
    Row::of(vec![
        Word::new(model.label(port), Tone::Strong),
        state_word(get(metrics::RDMA_STATE).as_ref()),
        text(metrics::RDMA_PHYS_STATE),
        rate,
        text(metrics::RDMA_LINK_LAYER),
        text(metrics::RDMA_NETDEV),
        text(metrics::RDMA_FIRMWARE),
        flow(metrics::RDMA_TX),
        flow(metrics::RDMA_RX),
        Word::new(numa, Tone::Label),
        Word::new(
            words::brief(model::reading::count_as_f64(errors)),
            if errors > 0 { Tone::Warning } else { Tone::Label },
        ),
    ])
}

fn detail(frame: &mut Frame, area: Rect, model: &Model, state: &NodeState, port: &Entity) {
    if area.height < 2 {
        return;
    }
    let found = counters(state, port);
    let title = format!("Counters of {} that ever counted", model.label(port));
    paint::heading(frame.buffer_mut(), area, model.look, &title, &found.len().to_string());
    let columns = (area.width / 46).max(1);
    let width = area.width / columns;
    let rows = area.height - 1;
    for (place, (name, total)) in (0u16..).zip(&found) {
        let (column, row) = (place / rows, place % rows);
        if column >= columns {
            break;
        }
        let key = SeriesKey { entity: port.clone(), metric: name.clone() };
        let rate =
            model.curve(&key).and_then(|strip| strip.buckets.iter().rev().take(8).find_map(|bucket| bucket.last));
        let rate =
            rate.filter(|rate| *rate > 0.0).map_or_else(String::new, |rate| format!(" +{}/s", words::brief(rate)));
        let short = name.as_str().rsplit_once('.').map_or(name.as_str(), |(_, last)| last);
        let (tone, moving) = match (trouble(name), rate.is_empty()) {
            (true, false) => (Tone::Warning, Tone::Warning),
            (true, true) => (Tone::Strong, Tone::Text),
            (false, _) => (Tone::Text, Tone::Label),
        };
        let words = [
            Word::new(format!("{:26}", model::text::clean(short, 26)), Tone::Label),
            Word::new(format!("{:>8}", words::brief(model::reading::count_as_f64(*total))), tone),
            Word::new(rate, moving),
        ];
        let cell_area = paint::first(paint::after(paint::row(area, row + 1), column * width), width.saturating_sub(2));
        paint::put(frame.buffer_mut(), cell_area, model.look, &words);
    }
}

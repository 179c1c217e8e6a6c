//! The overview: all GPUs, and below them what they depend on.
//!
//! ```text
//! cards (room for them)     tall rows               rows                    heat (little room)
//! ╭ 0 H100 ─╮╭ 1 H100 ─╮    # state util mem …      # state util mem …      0 ▇▇▇▇ 97  4 ▇▇▇▇ 97
//! │util ⣿⣿⣿ ││util ⣿⣿⣿ │    0 ok    ▇▇▇▇ 97  61/80  0 ok    97   61/80      1 ▇▇▇▇ 96  5 × lost
//! ╰─────────╯╰─────────╯      ▁▂▅▇▇▇▇  ▅▅▅▅▅▅▅      1 ok    96   61/80      …
//! RDMA ─────── Storage ─    RDMA ─── Storage ───    RDMA ── Storage ──      rdma 8 up · host cpu 23 % · …
//! ```
//! Which of them is drawn depends on what fits, never on a fixed size.

use model::{Entity, NodeState, SeriesKey, catalogue as metrics};
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::layer::Layer;
use crate::look::Tone;
use crate::model::Model;
use crate::words::Word;
use crate::{node, paint};

use super::{cards, heat, panels, rows};

/// Rows that the panels below the GPUs are given at least when there is a choice.
const PANELS: u16 = 6;
/// The narrowest and the lowest card.
const CARD: (u16, u16) = (30, 8);
/// The highest card.
const HIGHEST_CARD: u16 = 17;

/// How the GPUs are laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrangement {
    /// Cards in so many columns, each so high.
    Cards(u16, u16),
    /// Two lines each.
    Tall,
    /// One line each.
    Rows,
    /// Several in a line.
    Heat,
}

/// What fits.
pub(super) fn arrange(body: Rect, gpus: usize) -> Arrangement {
    let count = u16::try_from(gpus).unwrap_or(u16::MAX).max(1);
    let room = body.height.saturating_sub(PANELS);
    let widest = (body.width / CARD.0).min(count);
    let even = |columns: &u16| (count.is_multiple_of(*columns), *columns);
    let cards = (1..=widest).filter(|columns| count.div_ceil(*columns).saturating_mul(CARD.1) <= room).max_by_key(even);
    let needed = count.saturating_mul(2).saturating_add(1);
    match cards {
        Some(columns) => {
            // Cards grow once the panels have what they like to have.
            let liked = if body.width >= 150 { 8 } else { 11 };
            let height = body.height.saturating_sub(liked) / count.div_ceil(columns);
            Arrangement::Cards(columns, height.clamp(CARD.1, HIGHEST_CARD))
        }
        None if needed <= room && body.width >= 60 => Arrangement::Tall,
        None if count < body.height => Arrangement::Rows,
        None => Arrangement::Heat,
    }
}

/// The curves that it needs.
pub(super) fn series(state: &NodeState, body: Rect) -> Vec<SeriesKey> {
    let gpus = node::gpu_entities(state);
    let per_gpu: &[&'static model::Metric] = match arrange(body, gpus.len()) {
        Arrangement::Cards(..) => &[
            metrics::GPU_UTIL,
            metrics::GPU_POWER,
            metrics::GPU_TEMP,
            metrics::GPU_MEM_USED,
            metrics::GPU_NVLINK_TX,
            metrics::GPU_NVLINK_RX,
            metrics::GPU_PCIE_TX,
            metrics::GPU_PCIE_RX,
        ],
        Arrangement::Tall => {
            &[metrics::GPU_UTIL, metrics::GPU_POWER, metrics::GPU_TEMP, metrics::GPU_NVLINK_TX, metrics::GPU_NVLINK_RX]
        }
        Arrangement::Rows => &[metrics::GPU_UTIL, metrics::GPU_NVLINK_TX, metrics::GPU_NVLINK_RX],
        Arrangement::Heat => &[metrics::GPU_UTIL],
    };
    let mut series = vec![SeriesKey::new(Entity::Node, metrics::HOST_TCP_RETRANSMITS)];
    series.extend(node::series_of(super::rdma::ports(state).iter().take(16), &[metrics::RDMA_TX, metrics::RDMA_RX]));
    series.extend(node::series_of(&gpus, per_gpu));
    series
}

/// Columns of the widest curve.
pub(super) fn curve_columns(state: &NodeState, body: Rect) -> u16 {
    match arrange(body, node::gpu_entities(state).len()) {
        Arrangement::Cards(columns, _) => (body.width / columns.max(1)).saturating_sub(16),
        Arrangement::Tall => body.width / 3,
        Arrangement::Rows | Arrangement::Heat => 20,
    }
}

/// Draws it.
pub(super) fn render(frame: &mut Frame, body: Rect, model: &Model) {
    let Some(state) = model.state.as_deref() else {
        let what = if model.live() { "waiting for the first readings …" } else { "opening the recording …" };
        paint::text(frame.buffer_mut(), paint::row(body, 1), &format!("  {what}"), model.look.style(Tone::Label));
        return;
    };
    let gpus = node::gpus(state);
    if gpus.is_empty() {
        let used = no_gpu(frame, body, model, state);
        panels::render(frame, paint::below(body, used), model, state);
        return;
    }
    let peers = node::Peers::of(&gpus);
    let selected = match model.top() {
        Layer::Overview(list) => list.selected.checked_sub(1),
        _ => None,
    };
    let count = u16::try_from(gpus.len()).unwrap_or(u16::MAX);
    let used = match arrange(body, gpus.len()) {
        Arrangement::Cards(columns, height) => {
            let area = Rect { height: count.div_ceil(columns).saturating_mul(height).min(body.height), ..body };
            cards::render(frame, area, model, &gpus, &peers, (columns, height), selected);
            area.height
        }
        Arrangement::Tall => {
            let area = Rect { height: (count * 2 + 1).min(body.height), ..body };
            rows::render(frame, area, model, &gpus, &peers, selected, true);
            area.height
        }
        Arrangement::Rows => {
            let area = Rect { height: (count + 1).min(body.height), ..body };
            rows::render(frame, area, model, &gpus, &peers, selected, false);
            area.height
        }
        Arrangement::Heat => heat::render(frame, body, model, &gpus, selected),
    };
    panels::render(frame, paint::below(body, used), model, state);
}

/// Why there is no GPU to show, and what to do about it.
fn no_gpu(frame: &mut Frame, body: Rect, model: &Model, state: &NodeState) -> u16 {
    let driver = state.text(&Entity::Node, metrics::DRIVER_STATE).map(|text| model::text::clean(text, 40));
    let mut lines = vec![vec![
        Word::new("No GPU is seen", Tone::Strong),
        Word::new(
            driver.map_or_else(String::new, |driver| format!(" · driver {}", driver.replace('_', " "))),
            Tone::Warning,
        ),
    ]];
    let faults = state.probes.get("nvml").map(|probe| probe.faults.as_slice()).unwrap_or_default();
    for fault in faults.iter().take(3) {
        let call = model::text::clean(&fault.call, 60);
        lines.push(vec![Word::new(format!("{call}: "), Tone::Label), Word::new(fault.why.display(160), Tone::Text)]);
        if let Some(advice) = &fault.advice {
            lines.push(vec![Word::new("→ ", Tone::Accent), Word::new(model::text::clean(advice, 200), Tone::Text)]);
        }
    }
    if faults.is_empty() {
        lines.push(vec![Word::new(
            "`gpudeck doctor` says what can be read here, what not, and how to fix that",
            Tone::Label,
        )]);
    }
    paint::heading(frame.buffer_mut(), body, model.look, "GPUs", "none");
    let area = paint::below(body, 1);
    for (y, line) in (0..area.height).zip(&lines) {
        paint::put(frame.buffer_mut(), paint::after(paint::row(area, y), 2), model.look, line);
    }
    u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).min(body.height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(width: u16, height: u16, gpus: usize) -> Arrangement {
        arrange(Rect { x: 0, y: 0, width, height }, gpus)
    }

    #[test]
    fn the_layout_follows_the_room() {
        assert_eq!(fits(120, 26, 8), Arrangement::Cards(4, 8));
        assert_eq!(fits(80, 19, 1), Arrangement::Cards(1, 8));
        assert_eq!(fits(80, 19, 4), Arrangement::Tall);
        assert_eq!(fits(80, 19, 8), Arrangement::Rows);
        assert_eq!(fits(80, 19, 16), Arrangement::Rows);
        assert_eq!(fits(60, 11, 16), Arrangement::Heat);
        assert_eq!(fits(200, 44, 16), Arrangement::Cards(4, 9));
    }
}

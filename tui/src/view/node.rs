//! The node: what it is, what could be judged, its probes, its GPUs and adapters on the bus.
//!
//! ```text
//! Node ─────────────────────────────
//! host     node17     kernel 6.8.0      driver 570.148  CUDA 12.8
//! Coverage ─────────────────────────
//! Probes ───────────────────────────
//! PCIe and NUMA ────────────────────
//! ```

use model::{Entity, EntityKind, NodeState, Reading, Value, catalogue as metrics};
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::look::Tone;
use crate::model::Model;
use crate::paint;
use crate::words::{self, Word, cell};

use super::{incident, panels};

/// Draws it.
pub(super) fn render(frame: &mut Frame, area: Rect, model: &Model) {
    let lines = lines(model, area.width);
    super::scrolled(frame, area, model, &lines, model.list().scroll);
}

/// Everything, line by line.
pub(crate) fn lines(model: &Model, width: u16) -> Vec<Vec<Word>> {
    let Some(state) = model.state.as_deref() else { return Vec::new() };
    let mut lines = Vec::new();
    heading(&mut lines, "Node", width);
    facts(&mut lines, state);
    lines.push(Vec::new());
    heading(&mut lines, "What could be judged", width);
    lines.extend(incident::coverage(model, width));
    lines.push(Vec::new());
    heading(&mut lines, "Probes", width);
    probes(&mut lines, model, state);
    lines.push(Vec::new());
    heading(&mut lines, "PCIe and NUMA", width);
    bus(&mut lines, state);
    lines
}

fn heading(lines: &mut Vec<Vec<Word>>, title: &str, width: u16) {
    let rule = "─".repeat(usize::from(width.saturating_sub(paint::width(title) + 1)));
    lines.push(vec![Word::new(format!("{title} "), Tone::Title), Word::new(rule, Tone::Faint)]);
}

fn facts(lines: &mut Vec<Vec<Word>>, state: &NodeState) {
    let rows = [
        [metrics::HOST_NAME, metrics::HOST_KERNEL, metrics::HOST_UPTIME],
        [metrics::DRIVER_STATE, metrics::DRIVER_VERSION, metrics::DRIVER_CUDA_VERSION],
        [metrics::HOST_CPUS, metrics::HOST_MEM_TOTAL, metrics::HOST_SWAP_USED],
        [metrics::HOST_PSI_CPU, metrics::HOST_PSI_MEMORY_FULL, metrics::HOST_PSI_IO_FULL],
    ];
    for row in rows {
        let mut line = Vec::new();
        for metric in row {
            let value = cell(state.reading(&Entity::Node, metric), |value| words::with_unit(Some(metric), value));
            line.push(Word::new(format!("{:13}", metric.label), Tone::Label));
            line.push(Word::new(format!("{:22}", paint::clip(&value.text, 21)), value.tone));
        }
        lines.push(line);
    }
}

fn probes(lines: &mut Vec<Vec<Word>>, model: &Model, state: &NodeState) {
    for probe in panels::probes(model, state) {
        lines.push(vec![
            Word::new(format!("{:13}", probe.name), Tone::Text),
            Word::new(format!("{:10}", probe.state.text), probe.state.tone),
            Word::new(format!("{:>9}", probe.took), Tone::Text),
            Word::new(format!("   {}", probe.age.text), probe.age.tone),
        ]);
        for fault in probe.faults.iter().take(4) {
            let about = fault.entity.as_ref().map_or_else(String::new, |entity| format!(" {}", model.label(entity)));
            let call = model::text::clean(&fault.call, 60);
            lines.push(vec![
                Word::new(format!("             {call}{about}: "), Tone::Label),
                Word::new(fault.why.display(160), Tone::Warning),
            ]);
            if let Some(advice) = &fault.advice {
                let advice = model::text::clean(advice, 200);
                lines.push(vec![Word::new("             → ", Tone::Accent), Word::new(advice, Tone::Text)]);
            }
        }
    }
}

/// The devices that matter, with their place, link and driver; bridges are left to `lspci`.
fn bus(lines: &mut Vec<Vec<Word>>, state: &NodeState) {
    let mut any = false;
    for entity in state.of_kind(EntityKind::Pci) {
        let Entity::Pci(pci) = &entity else { continue };
        let class = state.text(&entity, metrics::PCIE_CLASS).unwrap_or("other");
        if matches!(class, "bridge" | "other") {
            continue;
        }
        any = true;
        let get = |metric: &'static model::Metric| cell(state.reading(&entity, metric), |value| value.to_string());
        let short = |metric| cell(state.reading(&entity, metric), |value| words::short(value.as_f64().unwrap_or(0.0)));
        let numa = state.inventory.get(&entity).and_then(|info| info.numa);
        let slow = match (state.number(&entity, metrics::PCIE_WIDTH), state.number(&entity, metrics::PCIE_SLOT_WIDTH)) {
            (Some(now), Some(best)) => now < best,
            _ => false,
        };
        let errors: f64 = [metrics::PCIE_AER_CORRECTABLE, metrics::PCIE_AER_NONFATAL, metrics::PCIE_AER_FATAL]
            .iter()
            .filter_map(|metric| state.number(&entity, *metric))
            .sum();
        let link = format!("{}GT ×{}", short(metrics::PCIE_SPEED).text, short(metrics::PCIE_WIDTH).text);
        let gone =
            state.reading(&entity, metrics::PCIE_CONFIG_GONE).and_then(Reading::good) == Some(&Value::Flag(true));
        let numa = numa.map_or_else(|| words::NOTHING.to_owned(), |numa| numa.to_string());
        let mut line = vec![
            Word::new(format!("{pci}  "), Tone::Text),
            Word::new(format!("{:12}", model::text::clean(class, 12)), Tone::Label),
            Word::new(format!("numa {numa:3}"), Tone::Label),
            Word::new(format!("{link:12}"), if slow { Tone::Warning } else { Tone::Text }),
            Word::new(
                format!("aer {:6}", words::brief(errors)),
                if errors > 0.0 { Tone::Warning } else { Tone::Label },
            ),
        ];
        if gone {
            line.push(Word::new("× does not answer  ", Tone::Critical));
        }
        line.push(Word::new(
            format!("{}  {}", get(metrics::PCIE_DRIVER).text, get(metrics::PCIE_NAME).text),
            Tone::Label,
        ));
        lines.push(line);
    }
    if !any {
        lines.push(vec![Word::new("no device on record", Tone::Label)]);
    }
}

//! One GPU: every metric in groups, the curve of the one in hand over the time strip's window, its processes.
//!
//! ```text
//! GPU 3 · H100 80GB HBM3 · 0000:4f:00.0 ───── ok    util ──────────────── 0 to 100 %
//! Load                                              ⣀⣠⣤⣶⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿
//!   util            97 %  ▁▂▅▇▇▇▇▇▇▇▇▇              ⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿
//!   mem            61 GiB ▅▅▅▅▅▅▅▅▅▅▅▅              Processes ──────────────────────
//! Power                                             python  alice  60 GiB
//! ```

use model::catalogue as metrics;
use model::{Entity, GpuKey, Metric, MetricName, NodeState, Reading, SeriesKey, Unit, Value};
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::layer::Layer;
use crate::look::Tone;
use crate::model::Model;
use crate::node::{self, Health};
use crate::words::{self, Word, cell};
use crate::{paint, plot};

use super::{processes, rows};

type Shelf = (&'static str, &'static [&'static Metric]);

/// The metrics in the order in which one looks for them. `static` items cannot be named in a constant, so a function.
fn shelves() -> [Shelf; 7] {
    macro_rules! shelf {
        ($title:literal: $($name:ident),*) => {{
            static METRICS: std::sync::LazyLock<Vec<&'static Metric>> = std::sync::LazyLock::new(|| vec![$(metrics::$name),*]);
            ($title, METRICS.as_slice())
        }};
    }
    [
        shelf!("Load": GPU_UTIL, GPU_MEM_UTIL, GPU_MEM_USED, GPU_MEM_TOTAL, GPU_MEM_RESERVED, GPU_BAR1_USED, GPU_ENCODER_UTIL,
            GPU_DECODER_UTIL, GPU_PROCESSES),
        shelf!("Power and clocks": GPU_POWER, GPU_POWER_LIMIT, GPU_POWER_DEFAULT_LIMIT, GPU_ENERGY, GPU_CLOCK_SM, GPU_CLOCK_SM_MAX, GPU_CLOCK_MEM,
            GPU_CLOCK_MEM_MAX, GPU_PSTATE, GPU_THROTTLE, GPU_THROTTLE_POWER_TIME, GPU_THROTTLE_THERMAL_TIME,
            GPU_THROTTLE_HW_THERMAL_TIME, GPU_THROTTLE_BRAKE_TIME),
        shelf!("Heat": GPU_TEMP, GPU_TEMP_MEMORY, GPU_TEMP_SLOWDOWN, GPU_TEMP_SHUTDOWN, GPU_TEMP_MAX_OPERATING, GPU_TEMP_MEMORY_MAX,
            GPU_FAN),
        shelf!("Memory health": GPU_ECC_MODE, GPU_ECC_CORRECTED, GPU_ECC_UNCORRECTED, GPU_ECC_CORRECTED_LIFE, GPU_ECC_UNCORRECTED_LIFE,
            GPU_REMAP_CORRECTED, GPU_REMAP_UNCORRECTED, GPU_REMAP_PENDING, GPU_REMAP_FAILED, GPU_REMAP_BANKS_FULL,
            GPU_RETIRED_PAGES, GPU_RETIRED_PENDING),
        shelf!("Links": GPU_PCIE_GEN, GPU_PCIE_GEN_MAX, GPU_PCIE_WIDTH, GPU_PCIE_WIDTH_MAX, GPU_PCIE_REPLAY, GPU_PCIE_TX, GPU_PCIE_RX,
            GPU_NVLINK_TX, GPU_NVLINK_RX),
        shelf!("Driver's view": GPU_STATE, GPU_RECOVERY_ACTION, GPU_PERSISTENCE, GPU_COMPUTE_MODE, GPU_MIG_MODE, GPU_MIG_PENDING,
            GPU_MIG_DEVICES),
        shelf!("What it is": GPU_NAME, GPU_ARCHITECTURE, GPU_SERIAL, GPU_VBIOS, GPU_GSP_FIRMWARE, GPU_INDEX, GPU_MINOR),
    ]
}

/// What of a GPU is on record, in groups; what the table does not know comes last.
fn grouped(state: &NodeState, gpu: &Entity) -> Vec<(&'static str, Vec<MetricName>)> {
    let recorded = |metric: &&'static Metric| state.latest(gpu, *metric).is_some();
    let mut groups: Vec<(&'static str, Vec<MetricName>)> = shelves()
        .into_iter()
        .map(|(title, metrics)| (title, metrics.iter().copied().filter(recorded).map(MetricName::from).collect()))
        .collect();
    let shelved: Vec<MetricName> =
        groups.iter().flat_map(|(_, metrics): &(_, Vec<MetricName>)| metrics.clone()).collect();
    let others = state.metrics(gpu).map(|(name, _)| name.clone()).filter(|name| !shelved.contains(name)).collect();
    groups.push(("Others", others));
    groups.retain(|(_, metrics)| !metrics.is_empty());
    groups
}

/// The metrics in the order of the list.
pub(crate) fn metrics_of(state: &NodeState, gpu: &Entity) -> Vec<MetricName> {
    grouped(state, gpu).into_iter().flat_map(|(_, metrics)| metrics).collect()
}

/// The curves that it needs: those of numbers.
pub(super) fn series(state: &NodeState, gpu: &Entity) -> Vec<SeriesKey> {
    metrics_of(state, gpu)
        .into_iter()
        .filter(|name| curved(name.metric()))
        .map(|name| SeriesKey { entity: gpu.clone(), metric: name })
        .collect()
}

/// Whether a curve of it says anything.
fn curved(metric: Option<&Metric>) -> bool {
    metric.is_some_and(|metric| matches!(metric.kind, model::Kind::Gauge | model::Kind::Counter { .. }))
}

/// The metric in hand.
pub(crate) fn selected_metric(model: &Model) -> Option<SeriesKey> {
    let (Layer::Gpu(gpu, list), Some(state)) = (model.screen(), model.state.as_deref()) else { return None };
    let metrics = metrics_of(state, gpu);
    let metric = metrics.get(list.selected.min(metrics.len().saturating_sub(1)))?.clone();
    Some(SeriesKey { entity: gpu.clone(), metric })
}

/// Draws it.
pub(super) fn render(frame: &mut Frame, area: Rect, model: &Model) {
    let (Layer::Gpu(entity, _), Some(state)) = (model.screen(), model.state.as_deref()) else { return };
    let gpus = node::gpus(state);
    let Some(gpu) = gpus.iter().find(|gpu| gpu.entity == *entity) else {
        let gone = format!("  {} is not known at this time", model.label(entity));
        return paint::text(frame.buffer_mut(), area, &gone, model.look.style(Tone::Warning));
    };
    let pci = state.inventory.pci_of(entity).map_or_else(String::new, |pci| format!(" · {pci}"));
    let status = match &gpu.health {
        Health::Answers => rows::state_of(model, gpu).text.trim().to_owned(),
        _ => rows::why_silent(model, gpu),
    };
    let title = format!("GPU {} · {}{pci}", gpu.index, gpu.name());
    paint::heading(frame.buffer_mut(), area, model.look, &title, &status);
    let body = paint::below(area, 1);
    let wide = body.width >= 100;
    let side = if wide { (body.width * 9 / 20).min(72) } else { body.width };
    list(frame, paint::first(body, side), model, state, entity);
    if wide {
        let right = paint::after(body, side + 2);
        let upper = (right.height * 3 / 5).max(6).min(right.height);
        graph(frame, Rect { height: upper, ..right }, model, state);
        lower(frame, paint::below(right, upper), model, state, entity);
    }
}

/// Columns of a metric's label and of its value.
const LABEL: usize = 17;
const VALUE: usize = 17;

fn list(frame: &mut Frame, area: Rect, model: &Model, state: &NodeState, gpu: &Entity) {
    let selected = selected_metric(model).map(|key| key.metric);
    let mut lines: Vec<(bool, Vec<Word>)> = Vec::new();
    for (title, metrics) in grouped(state, gpu) {
        lines.push((false, vec![Word::new(title, Tone::Title)]));
        for name in metrics {
            lines.push((selected.as_ref() == Some(&name), metric_line(model, state, gpu, &name, area.width)));
        }
    }
    let at = lines.iter().position(|(chosen, _)| *chosen).unwrap_or(0);
    let height = usize::from(area.height);
    let most = lines.len().saturating_sub(height);
    // The line in hand stays a third from the bottom while the list is longer than the screen.
    let first = at.saturating_sub(height * 2 / 3).min(most);
    for (y, (chosen, line)) in (0..area.height).zip(lines.iter().skip(first)) {
        let place = paint::row(area, y);
        paint::put(frame.buffer_mut(), place, model.look, line);
        if *chosen {
            paint::select(frame.buffer_mut(), place, model.look);
        }
    }
}

fn metric_line(model: &Model, state: &NodeState, gpu: &Entity, name: &MetricName, width: u16) -> Vec<Word> {
    let key = SeriesKey { entity: gpu.clone(), metric: name.clone() };
    let metric = name.metric();
    let label = metric.map(|metric| metric.label).filter(|label| !label.is_empty());
    let label = label.map_or_else(|| name.to_string(), str::to_owned);
    let value = value_word(model, state, &key);
    let mut words = vec![
        Word::new(format!("  {:LABEL$} ", paint::clip(&label, u16::try_from(LABEL).unwrap_or(17))), Tone::Label),
        Word::new(format!("{:>VALUE$} ", paint::clip(&value.text, 30)), value.tone),
    ];
    let left = width.saturating_sub(u16::try_from(LABEL + VALUE + 5).unwrap_or(40));
    if curved(metric) && left >= 6 {
        let strip = model.curve(&key);
        words.push(Word::new(" ", Tone::Text));
        let (low, high) = range(metric, strip);
        words.extend(plot::spark(strip, left.min(40), (low, high * 1.2), Tone::Shade));
    }
    words
}

/// A value in words: names for codes, and for a counter what it does per second beside its total.
fn value_word(model: &Model, state: &NodeState, key: &SeriesKey) -> Word {
    let Some(metric) = key.metric.metric() else {
        return cell(state.reading(&key.entity, &key.metric), |value| words::with_unit(None, value));
    };
    let reading = node::reading(state, &key.entity, metric);
    let word = cell(reading.as_ref(), |value| named(metric, value));
    let rate = curve_rate(model, key).filter(|rate| metric.is_counter() && *rate > 0.0);
    match rate {
        Some(rate) if metric.unit == Unit::Bytes => Word::new(format!("{}/s", words::decimal_bytes(rate)), word.tone),
        Some(rate) if metric.unit == Unit::None => {
            Word::new(format!("{} +{}/s", word.text, words::brief(rate)), Tone::Warning)
        }
        _ => word,
    }
}

fn curve_rate(model: &Model, key: &SeriesKey) -> Option<f64> {
    model.curve(key)?.buckets.iter().rev().take(8).find_map(|bucket| bucket.last)
}

/// The driver's recovery verdicts (nvml.h, field 230).
const RECOVERY: &[&str] = &["none", "reset GPU", "reboot node", "drain P2P", "drain and reset", "recover IMEX domain"];

fn named(metric: &'static Metric, value: &Value) -> String {
    let code = value.as_count().and_then(|code| usize::try_from(code).ok());
    if metric == metrics::GPU_THROTTLE
        && let Some(bits) = value.as_count()
    {
        return words::throttle_words(bits);
    }
    if metric == metrics::GPU_RECOVERY_ACTION
        && let Some(name) = code.and_then(|code| RECOVERY.get(code))
    {
        return (*name).to_owned();
    }
    if metric == metrics::GPU_PSTATE {
        return format!("P{value}");
    }
    words::with_unit(Some(metric), value)
}

/// The range of a plot: per cent to a hundred, else from nothing to what was seen.
fn range(metric: Option<&Metric>, strip: Option<&model::Strip>) -> (f64, f64) {
    match metric.map(|metric| metric.unit) {
        Some(Unit::Percent) => (0.0, 100.0),
        Some(Unit::Celsius) => (20.0, plot::most(strip).unwrap_or(0.0).max(95.0)),
        _ => (0.0, plot::most(strip).unwrap_or(0.0).max(f64::MIN_POSITIVE) * 1.05),
    }
}

fn graph(frame: &mut Frame, area: Rect, model: &Model, state: &NodeState) {
    let Some(key) = selected_metric(model) else { return };
    let metric = key.metric.metric();
    let strip = model.curve(&key);
    let label = metric.map_or_else(|| key.metric.to_string(), |metric| metric.label.to_owned());
    let per_second = if metric.is_some_and(Metric::is_counter) { " per second" } else { "" };
    let show = |number: f64| {
        let unit = metric.map(|metric| metric.unit);
        match unit {
            Some(Unit::Bytes) if !per_second.is_empty() => words::decimal_bytes(number),
            _ => words::with_unit(metric, &Value::Number(number)),
        }
    };
    let note = match (plot::least(strip), plot::most(strip)) {
        (Some(least), Some(most)) => format!("{} to {}{per_second}", show(least), show(most)),
        _ => words::gap_meaning(state.reading(&key.entity, &key.metric).filter(|reading| reading.value().is_none()))
            .to_owned(),
    };
    paint::heading(frame.buffer_mut(), area, model.look, &label, &note);
    let meaning = paint::row(area, area.height.saturating_sub(1));
    let body = Rect { height: area.height.saturating_sub(3), ..paint::below(area, 1) };
    if curved(metric) {
        for (y, row) in (0..).zip(plot::graph(strip, body.width, body.height, range(metric, strip), Tone::Plot)) {
            paint::put(frame.buffer_mut(), paint::row(body, y), model.look, &row);
        }
    } else {
        let value = value_word(model, state, &key);
        paint::put(
            frame.buffer_mut(),
            paint::row(body, 1),
            model.look,
            &[Word::new("  ", Tone::Text), value.toned(Tone::Strong)],
        );
    }
    let text = metric.map_or("not in the catalogue: a newer writer's", |metric| metric.meaning);
    paint::text(frame.buffer_mut(), meaning, text, model.look.style(Tone::Label));
}

/// The processes on it and its NVLinks.
fn lower(frame: &mut Frame, area: Rect, model: &Model, state: &NodeState, gpu: &Entity) {
    let on_it = node::processes(state, Some(gpu));
    paint::heading(frame.buffer_mut(), area, model.look, "Processes", &on_it.len().to_string());
    let mut rest = paint::below(area, 1);
    let lines = u16::try_from(on_it.len() + 1).unwrap_or(u16::MAX).min(rest.height.saturating_sub(3)).max(1);
    processes::table(frame, Rect { height: lines.min(rest.height), ..rest }, model, state, &on_it, None);
    rest = paint::below(rest, lines + 1);
    let Entity::Gpu(key) = gpu else { return };
    links(frame, rest, model, state, key);
}

fn links(frame: &mut Frame, area: Rect, model: &Model, state: &NodeState, gpu: &GpuKey) {
    let links = node::nvlinks_of(state, gpu);
    if links.is_empty() || area.height < 2 {
        return;
    }
    let up = links.iter().filter(|link| state.text(link, metrics::NVLINK_STATE) == Some("active")).count();
    paint::heading(frame.buffer_mut(), area, model.look, "NVLinks", &format!("{up}/{} active", links.len()));
    let mut words = Vec::new();
    for link in &links {
        let Entity::NvLink(_, number) = link else { continue };
        let state_word = cell(state.reading(link, metrics::NVLINK_STATE), |value| value.to_string());
        let errors: f64 =
            [metrics::NVLINK_REPLAY, metrics::NVLINK_RECOVERY, metrics::NVLINK_CRC_FLIT, metrics::NVLINK_CRC_DATA]
                .iter()
                .filter_map(|metric| state.number(link, *metric))
                .sum();
        let (mark, tone) = match state.reading(link, metrics::NVLINK_STATE) {
            Some(Reading::Good(value)) if value.as_text().is_some_and(|text| text.raw() == "active") => {
                ("■".to_owned(), if errors > 0.0 { Tone::Warning } else { Tone::Good })
            }
            Some(Reading::Good(_)) => ("□".to_owned(), Tone::Warning),
            _ => (state_word.text, state_word.tone),
        };
        let errors = if errors > 0.0 { format!("!{}", words::brief(errors)) } else { String::new() };
        words.push(vec![Word::new(format!("{number:>3}"), Tone::Label), Word::new(format!("{mark}{errors} "), tone)]);
    }
    let per_line = usize::from(area.width / 9).max(1);
    for (y, line) in (1..area.height).zip(words.chunks(per_line)) {
        let line: Vec<Word> = line.concat();
        paint::put(frame.buffer_mut(), paint::row(area, y), model.look, &line);
    }
}

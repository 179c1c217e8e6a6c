//! GPUs as rows of a table, one or two lines each; and the words for one GPU's values, which cards use as well.
//!
//! ```text
//!  # state util       mem G   power W  °C/mem  MHz   throttle PCIe NVLink   traffic    ecc/remap prc
//!  0 ● ok  ━━━━╸─ 97  61/80   655/700  61/78   1980  pwr cap  5×16 18/18  ↑12G ↓11G   0/0         2
//!  3 ? stuck 2m13s in nvmlDeviceGetTemperature
//! ```

use model::{Metric, Reading, SeriesKey, Value, catalogue as metrics};
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::look::{Tone, shape_of, tone_of};
use crate::model::Model;
use crate::node::{Gpu, Health, Peers, stuck_words};
use crate::plot;
use crate::table::{self, Column, Row};
use crate::words::{self, Word, cell};

const COLUMNS: &[Column] = &[
    Column::right("#", 3, 0),
    Column::left("state", 7, 0),
    Column::left("util", 10, 0),
    Column::right("mem G", 7, 0),
    Column::right("power W", 8, 1),
    Column::right("°C mem", 7, 0),
    Column::right("MHz", 5, 4),
    Column::left("throttle", 9, 2),
    Column::left("PCIe", 5, 3),
    Column::left("NVL", 5, 6),
    Column::left("NVLink traffic", 15, 8),
    Column::left("ecc c/u remap", 13, 5),
    Column::right("prc", 3, 7),
    Column::left("util, 2 min", 12, 9).growing(),
];

/// Columns of the bar beside a percentage.
const BAR: u16 = 5;

/// Draws them; `tall`: with a second line of curves.
pub(super) fn render(
    frame: &mut Frame,
    area: Rect,
    model: &Model,
    gpus: &[Gpu<'_>],
    peers: &Peers,
    selected: Option<usize>,
    tall: bool,
) {
    let fitted = table::fit(COLUMNS, area.width);
    let curve = fitted.iter().find(|(place, _)| *place == COLUMNS.len() - 1).map_or(0, |(_, width)| *width);
    let rows: Vec<Row> = gpus.iter().map(|gpu| row(model, gpu, peers, curve, tall.then_some(area.width))).collect();
    table::draw(frame.buffer_mut(), area, model.look, COLUMNS, &rows, selected);
}

fn row(model: &Model, gpu: &Gpu<'_>, peers: &Peers, curve: u16, tall: Option<u16>) -> Row {
    let state = state_of(model, gpu);
    let index = Word::new(gpu.index.clone(), if gpu.health == Health::Answers { Tone::Title } else { Tone::Gap });
    let beneath = tall.map(|width| curves(model, gpu, width));
    if gpu.health != Health::Answers {
        let why = why_silent(model, gpu);
        let instead = Some((1, vec![Word::new(why, state.tone), Word::new(format!("  {}", gpu.name()), Tone::Gap)]));
        return Row { cells: vec![vec![index]], instead, beneath };
    }
    let share = gpu.number(metrics::GPU_UTIL).map(|util| util / 100.0);
    let mut util = plot::bar(share, BAR, Tone::Plot);
    util.extend(pad(util_words(gpu, peers, false), 5));
    let strip = model.curve(&SeriesKey::new(gpu.entity.clone(), metrics::GPU_UTIL));
    let (up, all) = gpu.nvlinks();
    let procs = cell(gpu.reading(metrics::GPU_PROCESSES).as_ref(), |value| words::short(value.as_f64().unwrap_or(0.0)));
    let cells = vec![
        vec![index],
        vec![state],
        util,
        memory_words(gpu),
        power_words(gpu, peers),
        temperature_words(gpu, peers),
        vec![clock_word(gpu, peers)],
        vec![throttle(gpu)],
        vec![pcie(gpu, peers)],
        vec![nvlinks((up, all))],
        traffic_words(model, gpu),
        errors(gpu),
        vec![procs],
        plot::spark(strip, curve, (0.0, 100.0), Tone::Plot),
    ];
    Row { cells, instead: None, beneath }
}

/// The second line of a tall row: three curves side by side.
fn curves(model: &Model, gpu: &Gpu<'_>, width: u16) -> Vec<Word> {
    let limit = gpu.number(metrics::GPU_POWER_LIMIT).unwrap_or(700.0);
    let each = (width.saturating_sub(4) / 3).saturating_sub(6);
    let plots: [(&str, &'static Metric, (f64, f64)); 3] = [
        ("util", metrics::GPU_UTIL, (0.0, 100.0)),
        ("pwr", metrics::GPU_POWER, (0.0, limit)),
        ("temp", metrics::GPU_TEMP, (20.0, 95.0)),
    ];
    let mut line = vec![Word::new("    ", Tone::Text)];
    for (title, metric, range) in plots {
        let strip = model.curve(&SeriesKey::new(gpu.entity.clone(), metric));
        line.push(Word::new(format!("{title:4} "), Tone::Faint));
        line.extend(plot::spark(strip, each, range, Tone::Shade));
        line.push(Word::new(" ", Tone::Text));
    }
    line
}

/// Words pushed to the right of so many columns.
fn pad(words: Vec<Word>, columns: usize) -> Vec<Word> {
    let used: usize = words.iter().map(|word| usize::from(crate::paint::width(&word.text))).sum();
    let mut padded = vec![Word::new(" ".repeat(columns.saturating_sub(used)), Tone::Text)];
    padded.extend(words);
    padded
}

/// Why a GPU does not answer, with its glyph.
pub(super) fn why_silent(model: &Model, gpu: &Gpu<'_>) -> String {
    match &gpu.health {
        Health::Stuck(since, call) => format!("? {}", stuck_words(model, *since, call)),
        Health::Lost => "× lost: fallen off the bus".to_owned(),
        Health::Gone => "× gone: the driver does not know it".to_owned(),
        Health::Silent => "· nothing was read of it".to_owned(),
        Health::Answers => String::new(),
    }
}

/// The state in a glyph and a word: of the GPU itself, else of the worst incident that concerns it.
pub(super) fn state_of(model: &Model, gpu: &Gpu<'_>) -> Word {
    match (&gpu.health, model.severity_of(&gpu.entity)) {
        (Health::Lost, _) => Word::new("× lost", Tone::Fatal),
        (Health::Gone, _) => Word::new("× gone", Tone::Fatal),
        (Health::Stuck(..), _) => Word::new("? stuck", Tone::Critical),
        (Health::Silent, _) => Word::new("· none", Tone::Gap),
        (Health::Answers, Some(severity)) => {
            let word = match severity {
                model::Severity::Info => "info",
                model::Severity::Warning => "warn",
                model::Severity::Critical => "crit",
                model::Severity::Fatal => "fatal",
            };
            Word::new(format!("{} {word}", shape_of(severity)), tone_of(severity))
        }
        // It answers, and no rule that could judge objects.
        (Health::Answers, None) if model.judged => Word::new("  ok", Tone::Label),
        (Health::Answers, None) => Word::new("  …", Tone::Label),
    }
}

/// A mark for a value that stands off from its peers.
fn off(value: Word, odd: Option<f64>) -> Word {
    match odd {
        Some(by) if value.tone != Tone::Gap => {
            Word::new(format!("{}{}", value.text, if by > 0.0 { '▴' } else { '▾' }), Tone::Odd)
        }
        _ => value,
    }
}

fn whole(value: &Value) -> String {
    words::short(value.as_f64().unwrap_or(0.0).round())
}

fn util_words(gpu: &Gpu<'_>, peers: &Peers, unit: bool) -> Vec<Word> {
    let word = cell(gpu.reading(metrics::GPU_UTIL).as_ref(), whole).toned(Tone::Strong);
    let gap = word.tone == Tone::Gap;
    let mut words = vec![off(word, peers.odd(gpu, metrics::GPU_UTIL))];
    if unit && !gap {
        words.push(Word::new(" %", Tone::Label));
    }
    words
}

/// Use in per cent.
pub(super) fn util(gpu: &Gpu<'_>, peers: &Peers) -> Vec<Word> {
    util_words(gpu, peers, true)
}

/// The share of memory in use.
pub(super) fn memory_share(gpu: &Gpu<'_>) -> Option<f64> {
    Some(gpu.number(metrics::GPU_MEM_USED)? / gpu.number(metrics::GPU_MEM_TOTAL)?.max(1.0))
}

fn memory_words(gpu: &Gpu<'_>) -> Vec<Word> {
    let gib = |value: &Value| words::gib(value.as_f64().unwrap_or(0.0));
    let tone = if memory_share(gpu).is_some_and(|share| share > 0.97) { Tone::Warning } else { Tone::Text };
    let used = cell(gpu.reading(metrics::GPU_MEM_USED).as_ref(), gib).toned(tone);
    match gpu.reading(metrics::GPU_MEM_TOTAL) {
        Some(total) if total.value().is_some() => {
            vec![used, Word::new(format!("/{}", cell(Some(&total), gib).text), Tone::Label)]
        }
        _ => vec![used],
    }
}

/// Memory in use and installed.
pub(super) fn memory(gpu: &Gpu<'_>) -> Vec<Word> {
    let mut words = memory_words(gpu);
    words.push(Word::new(" GiB", Tone::Label));
    words
}

fn power_words(gpu: &Gpu<'_>, peers: &Peers) -> Vec<Word> {
    let power = off(cell(gpu.reading(metrics::GPU_POWER).as_ref(), whole), peers.odd(gpu, metrics::GPU_POWER));
    match gpu.number(metrics::GPU_POWER_LIMIT) {
        Some(limit) => vec![power, Word::new(format!("/{limit:.0}"), Tone::Label)],
        None => vec![power],
    }
}

/// Power drawn and its limit.
pub(super) fn power(gpu: &Gpu<'_>, peers: &Peers) -> Vec<Word> {
    let mut words = power_words(gpu, peers);
    words.push(Word::new(" W", Tone::Label));
    words
}

fn temperature_words(gpu: &Gpu<'_>, peers: &Peers) -> Vec<Word> {
    let limit = gpu.number(metrics::GPU_TEMP_SLOWDOWN).unwrap_or(f64::INFINITY);
    let tone = match gpu.number(metrics::GPU_TEMP) {
        Some(temp) if temp >= limit => Tone::Critical,
        Some(temp) if temp >= limit - 4.0 => Tone::Warning,
        _ => Tone::Text,
    };
    let temp = cell(gpu.reading(metrics::GPU_TEMP).as_ref(), whole).toned(tone);
    let mut words = vec![off(temp, peers.odd(gpu, metrics::GPU_TEMP))];
    match gpu.reading(metrics::GPU_TEMP_MEMORY) {
        None | Some(Reading::Unsupported) => {}
        memory => {
            let word = cell(memory.as_ref(), whole);
            words.push(Word::new("/", Tone::Label));
            words.push(word.toned(Tone::Label));
        }
    }
    words
}

/// Temperature of die and memory.
pub(super) fn temperature(gpu: &Gpu<'_>, peers: &Peers) -> Vec<Word> {
    let mut words = temperature_words(gpu, peers);
    words.push(Word::new(" °C", Tone::Label));
    words
}

fn clock_word(gpu: &Gpu<'_>, peers: &Peers) -> Word {
    off(cell(gpu.reading(metrics::GPU_CLOCK_SM).as_ref(), whole), peers.odd(gpu, metrics::GPU_CLOCK_SM))
}

/// The SM clock.
pub(super) fn clock(gpu: &Gpu<'_>, peers: &Peers) -> Word {
    let word = clock_word(gpu, peers);
    Word::new(format!("{} MHz", word.text), word.tone)
}

/// Why clocks are held down.
pub(super) fn throttle(gpu: &Gpu<'_>) -> Word {
    words::throttle(gpu.reading(metrics::GPU_THROTTLE).as_ref())
}

fn pcie(gpu: &Gpu<'_>, peers: &Peers) -> Word {
    let generation = cell(gpu.reading(metrics::GPU_PCIE_GEN).as_ref(), whole);
    let lanes = cell(gpu.reading(metrics::GPU_PCIE_WIDTH).as_ref(), whole);
    let odd = peers.odd(gpu, metrics::GPU_PCIE_WIDTH).or_else(|| peers.odd(gpu, metrics::GPU_PCIE_GEN));
    let narrow = match (gpu.number(metrics::GPU_PCIE_WIDTH), gpu.number(metrics::GPU_PCIE_WIDTH_MAX)) {
        (Some(now), Some(best)) => now < best,
        _ => false,
    };
    if generation.tone == Tone::Gap || generation.text == words::NOTHING {
        return generation;
    }
    let word =
        Word::new(format!("{}×{}", generation.text, lanes.text), if narrow { Tone::Warning } else { Tone::Text });
    off(word, odd)
}

fn nvlinks((up, all): (usize, usize)) -> Word {
    match (up, all) {
        (_, 0) => Word::new(words::NOTHING, Tone::Faint),
        (up, all) if up < all => Word::new(format!("{up}/{all}"), Tone::Warning),
        (up, all) => Word::new(format!("{up}/{all}"), Tone::Text),
    }
}

/// PCIe and NVLink state, each a fact of its own.
pub(super) fn links(gpu: &Gpu<'_>, peers: &Peers) -> Vec<Vec<Word>> {
    let links = gpu.nvlinks();
    let mut facts = vec![vec![Word::new("pcie ", Tone::Label), pcie(gpu, peers)]];
    if links.1 > 0 {
        facts.push(vec![Word::new("nvl ", Tone::Label), nvlinks(links)]);
    }
    facts
}

fn traffic_words(model: &Model, gpu: &Gpu<'_>) -> Vec<Word> {
    let rate = |metric| model.rate(&gpu.entity, metric);
    let (up, down) = (rate(metrics::GPU_NVLINK_TX), rate(metrics::GPU_NVLINK_RX));
    if up.is_none() && down.is_none() {
        return vec![Word::new(words::NOTHING, Tone::Faint)];
    }
    let shown = |flow: Option<f64>| flow.map_or_else(|| words::NOTHING.to_owned(), words::flow);
    vec![
        Word::new("↑", Tone::Label),
        Word::new(format!("{:<5}", shown(up)), Tone::Text),
        Word::new(" ↓", Tone::Label),
        Word::new(format!("{:<5}", shown(down)), Tone::Text),
    ]
}

/// NVLink traffic, else PCIe traffic; and the number of processes: each a fact of its own.
pub(super) fn traffic(model: &Model, gpu: &Gpu<'_>) -> Vec<Vec<Word>> {
    let rate = |metric| model.rate(&gpu.entity, metric);
    let mut pair = (rate(metrics::GPU_NVLINK_TX), rate(metrics::GPU_NVLINK_RX));
    if pair == (None, None) {
        pair = (rate(metrics::GPU_PCIE_TX), rate(metrics::GPU_PCIE_RX));
    }
    let mut facts = Vec::new();
    if let (Some(up), Some(down)) = pair {
        let arrow = |arrow: &str| Word::new(arrow.to_owned(), Tone::Label);
        let (up, down) = (Word::new(words::flow(up), Tone::Text), Word::new(words::flow(down), Tone::Text));
        facts.push(vec![arrow("↑"), up, arrow(" ↓"), down, arrow("B/s")]);
    }
    if let Some(count) = gpu.number(metrics::GPU_PROCESSES) {
        facts.push(vec![Word::new(format!("{count:.0} proc"), Tone::Label)]);
    }
    facts
}

/// Memory errors (corrected, uncorrected) and row remapping.
pub(super) fn errors(gpu: &Gpu<'_>) -> Vec<Word> {
    let count = |metric| {
        let reading = gpu.reading(metric);
        let tone = match reading.as_ref().and_then(Reading::value).and_then(Value::as_f64) {
            Some(count) if count > 0.0 => Tone::Warning,
            _ => Tone::Label,
        };
        cell(reading.as_ref(), |value| words::brief(value.as_f64().unwrap_or(0.0))).toned(tone)
    };
    let corrected = count(metrics::GPU_ECC_CORRECTED);
    if corrected.tone == Tone::Gap || corrected.text == words::NOTHING {
        return vec![Word::new("ecc ", Tone::Label), corrected];
    }
    let uncorrected = count(metrics::GPU_ECC_UNCORRECTED);
    let uncorrected =
        if uncorrected.tone == Tone::Warning { Word { tone: Tone::Critical, ..uncorrected } } else { uncorrected };
    let mut words = vec![Word::new("ecc ", Tone::Label), corrected, Word::new("/", Tone::Label), uncorrected];
    let flag = |metric| gpu.reading(metric).as_ref().and_then(Reading::good) == Some(&Value::Flag(true));
    let rows = gpu.number(metrics::GPU_REMAP_CORRECTED).unwrap_or(0.0)
        + gpu.number(metrics::GPU_REMAP_UNCORRECTED).unwrap_or(0.0);
    if flag(metrics::GPU_REMAP_FAILED) {
        words.push(Word::new(" r fail", Tone::Critical));
    } else if flag(metrics::GPU_REMAP_PENDING) {
        words.push(Word::new(" r pend", Tone::Warning));
    } else if rows > 0.0 {
        words.push(Word::new(format!(" r{rows:.0}"), Tone::Warning));
    }
    words
}

//! GPUs as cards.
//!
//! ```text
//! ╭ 3 H100 80GB HBM3 ──────────── ok ╮
//! │ util ⣀⣠⣤⣶⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿      97 % │   curves grow with the height of the card
//! │ mem  ━━━━━━━━━━━━━━━━━━━──  61/80 G │
//! │ pwr  ⣀⣠⣤⣶⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿ 655/700 W │
//! │ temp ⣀⣠⣤⣶⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿⣿ 61/78 °C  │
//! │ 1980 MHz  pwr cap  pcie 5×16       │   facts in as many lines as there are: clock, throttle, PCIe, NVLink,
//! │ nvl 18/18  ecc 0/0  ↑12G ↓11G B/s  │   memory errors, traffic, processes
//! ╰────────────────────────────────────╯
//! ```

use model::{Metric, SeriesKey, catalogue as metrics};
use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::Span;
use ratatui::widgets::{Block, BorderType, Widget};

use crate::look::Tone;
use crate::model::Model;
use crate::node::{Gpu, Health, Peers, stuck_words};
use crate::words::Word;
use crate::{paint, plot};

use super::rows;

/// Draws them in a grid of so many columns, each so high.
pub(super) fn render(
    frame: &mut Frame,
    area: Rect,
    model: &Model,
    gpus: &[Gpu<'_>],
    peers: &Peers,
    (columns, height): (u16, u16),
    selected: Option<usize>,
) {
    let columns = columns.max(1);
    for (place, gpu) in (0u16..).zip(gpus) {
        let (row, column) = (place / columns, place % columns);
        let (from, to) = (area.width * column / columns, area.width * (column + 1) / columns);
        let card = Rect { x: area.x + from, y: area.y + row * height, width: to - from, height };
        let chosen = selected == Some(usize::from(place));
        self::card(frame, card.intersection(area), model, gpu, peers, chosen);
    }
}

fn card(frame: &mut Frame, area: Rect, model: &Model, gpu: &Gpu<'_>, peers: &Peers, chosen: bool) {
    let look = model.look;
    let state = rows::state_of(model, gpu);
    let name = paint::clip(&gpu.name(), area.width.saturating_sub(paint::width(&state.text) + 10));
    let frame_tone = if chosen { Tone::Accent } else { Tone::Faint };
    let (index_tone, name_tone) = if chosen { (Tone::Accent, Tone::Accent) } else { (Tone::Title, Tone::Label) };
    let block = Block::bordered()
        .border_type(if chosen { BorderType::Thick } else { BorderType::Rounded })
        .border_style(look.style(frame_tone))
        .title_top(paint::words(
            look,
            &[Word::new(format!(" {}", gpu.index), index_tone), Word::new(format!(" {name} "), name_tone)],
        ))
        .title_top(
            ratatui::text::Line::from(Span::styled(format!(" {} ", state.text), look.style(state.tone)))
                .right_aligned(),
        );
    let inside = block.inner(area);
    block.render(area, frame.buffer_mut());
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    match &gpu.health {
        Health::Answers => answers(frame, inside, model, gpu, peers),
        Health::Stuck(since, call) => {
            let words = stuck_words(model, *since, call);
            silent(frame, inside, model, gpu, &[&words, "the other GPUs go on; this call is not waited for"]);
        }
        Health::Lost => silent(frame, inside, model, gpu, &["× fallen off the bus: it does not answer any more"]),
        Health::Gone => silent(frame, inside, model, gpu, &["the driver does not know it any more"]),
        Health::Silent => silent(frame, inside, model, gpu, &["nothing was read of it"]),
    }
}

/// A GPU that does not answer: why, and its past in grey.
fn silent(frame: &mut Frame, area: Rect, model: &Model, gpu: &Gpu<'_>, why: &[&str]) {
    let mut y = 0;
    for (place, text) in why.iter().enumerate() {
        let tone = if place == 0 { rows::state_of(model, gpu).tone } else { Tone::Gap };
        for line in paint::wrap(text, area.width) {
            paint::text(frame.buffer_mut(), paint::row(area, y), &line, model.look.style(tone));
            y += 1;
        }
    }
    let rest = paint::below(area, y + 1);
    let strip = model.curve(&SeriesKey::new(gpu.entity.clone(), metrics::GPU_UTIL));
    if rest.height > 1 && plot::most(strip).is_some() {
        paint::text(frame.buffer_mut(), paint::row(rest, 0), "util until then", model.look.style(Tone::Faint));
        let rest = paint::below(rest, 1);
        for (y, row) in (0..).zip(plot::graph(strip, rest.width, rest.height.min(3), (0.0, 100.0), Tone::Faint)) {
            paint::put(frame.buffer_mut(), paint::row(rest, y), model.look, &row);
        }
    }
}

fn answers(frame: &mut Frame, area: Rect, model: &Model, gpu: &Gpu<'_>, peers: &Peers) {
    let facts = flow(facts(model, gpu, peers), area.width, if area.height >= 8 { 3 } else { 2 });
    // One line for memory; the three curves share what the facts leave.
    let curves = area.height.saturating_sub(1 + u16::try_from(facts.len()).unwrap_or(2)).max(3);
    let heights = [curves.div_ceil(3), curves / 3 + u16::from(curves % 3 == 2), curves / 3];
    let limit = gpu.number(metrics::GPU_POWER_LIMIT).unwrap_or(700.0);
    let mut rest = area;
    let mut block =
        |frame: &mut Frame, height: u16, title: &str, metric: &'static Metric, range: (f64, f64), value: Vec<Word>| {
            let area = Rect { height: height.min(rest.height), ..rest };
            rest = paint::below(rest, height);
            curve(frame, area, model, gpu, title, metric, range, value);
        };
    block(frame, heights[0], "util", metrics::GPU_UTIL, (0.0, 100.0), rows::util(gpu, peers));
    block(frame, heights[1], "pwr", metrics::GPU_POWER, (0.0, limit), rows::power(gpu, peers));
    block(frame, heights[2], "temp", metrics::GPU_TEMP, (20.0, 95.0), rows::temperature(gpu, peers));
    let buffer = frame.buffer_mut();
    memory(buffer, paint::row(rest, 0), model, gpu);
    for (y, line) in (1..).zip(&facts) {
        paint::put(buffer, paint::row(rest, y), model.look, line);
    }
}

/// Facts in the order in which one would miss them.
fn facts(model: &Model, gpu: &Gpu<'_>, peers: &Peers) -> Vec<Vec<Word>> {
    let mut facts = vec![vec![rows::clock(gpu, peers)]];
    let throttle = rows::throttle(gpu);
    if throttle.text != "none" {
        facts.push(vec![throttle]);
    }
    facts.extend(rows::links(gpu, peers));
    facts.push(rows::errors(gpu));
    facts.extend(rows::traffic(model, gpu));
    facts
}

/// Facts put into lines, as many as there are; what does not fit is left to the GPU's own screen.
fn flow(facts: Vec<Vec<Word>>, width: u16, most: usize) -> Vec<Vec<Word>> {
    let length = |words: &[Word]| words.iter().map(|word| paint::width(&word.text)).sum::<u16>();
    let mut lines: Vec<Vec<Word>> = Vec::new();
    for fact in facts {
        let room = |line: &Vec<Word>| length(line) + 2 + length(&fact) <= width;
        if let Some(line) = lines.iter_mut().find(|line| room(line)) {
            line.push(Word::new("  ", Tone::Text));
            line.extend(fact);
        } else if lines.len() < most {
            lines.push(fact);
        }
    }
    lines
}

/// Columns of the label and of the value.
const LABEL: u16 = 5;
const VALUE: u16 = 11;

#[allow(clippy::too_many_arguments, reason = "one curve: where, whose, which, how")]
fn curve(
    frame: &mut Frame,
    area: Rect,
    model: &Model,
    gpu: &Gpu<'_>,
    title: &str,
    metric: &'static Metric,
    range: (f64, f64),
    value: Vec<Word>,
) {
    let buffer = frame.buffer_mut();
    paint::text(buffer, paint::row(area, 0), title, model.look.style(Tone::Label));
    let width = value.iter().map(|word| paint::width(&word.text)).sum::<u16>();
    paint::put(buffer, paint::after(paint::row(area, 0), area.width.saturating_sub(width)), model.look, &value);
    let plot_area = paint::first(paint::after(area, LABEL), area.width.saturating_sub(LABEL + VALUE));
    let strip = model.curve(&SeriesKey::new(gpu.entity.clone(), metric));
    for (y, row) in (0..).zip(plot::graph(strip, plot_area.width, area.height, range, Tone::Plot)) {
        paint::put(buffer, paint::row(plot_area, y), model.look, &row);
    }
}

fn memory(buffer: &mut ratatui::buffer::Buffer, area: Rect, model: &Model, gpu: &Gpu<'_>) {
    paint::text(buffer, area, "mem", model.look.style(Tone::Label));
    let value = rows::memory(gpu);
    let width = value.iter().map(|word| paint::width(&word.text)).sum::<u16>();
    paint::put(buffer, paint::after(area, area.width.saturating_sub(width)), model.look, &value);
    let bar_area = paint::first(paint::after(area, LABEL), area.width.saturating_sub(LABEL + VALUE));
    let bar = plot::bar(rows::memory_share(gpu), bar_area.width, Tone::Plot);
    paint::put(buffer, bar_area, model.look, &bar);
}

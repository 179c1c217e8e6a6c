//! GPUs when there is little room: several in a line, each a shade of its use and its temperature.
//!
//! ```text
//!  0 ▇ 97 % 61°   1 ▇ 96 % 60°   2 ▇ 97 % 62°   3 × lost
//! ```

use model::catalogue as metrics;
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::look::Tone;
use crate::model::Model;
use crate::node::{Gpu, Health};
use crate::paint;
use crate::words::{Word, cell, short};

use super::rows;

/// Columns that one GPU takes at least.
const CELL: u16 = 15;
const SHADES: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Draws them; the rows used come back.
pub(super) fn render(frame: &mut Frame, area: Rect, model: &Model, gpus: &[Gpu<'_>], selected: Option<usize>) -> u16 {
    let columns = (area.width / CELL).max(1);
    for (place, gpu) in (0u16..).zip(gpus) {
        let (row, column) = (place / columns, place % columns);
        let from = area.width * column / columns;
        let width = (area.width * (column + 1) / columns).saturating_sub(from);
        let cell = paint::first(paint::after(paint::row(area, row), from), width);
        paint::put(frame.buffer_mut(), cell, model.look, &glance(model, gpu));
        if selected == Some(usize::from(place)) {
            paint::select(frame.buffer_mut(), cell, model.look);
        }
    }
    u16::try_from(gpus.len()).unwrap_or(u16::MAX).div_ceil(columns).min(area.height)
}

fn glance(model: &Model, gpu: &Gpu<'_>) -> Vec<Word> {
    let state = rows::state_of(model, gpu);
    let index = Word::new(format!("{:>2} ", gpu.index), Tone::Title);
    if gpu.health != Health::Answers {
        return vec![index, state];
    }
    let util = gpu.reading(metrics::GPU_UTIL);
    let number = |value: &model::Value| short(value.as_f64().unwrap_or(0.0).round());
    let shade = gpu.number(metrics::GPU_UTIL).map_or("┈", |util| shade(util));
    let mark = state.text.chars().next().unwrap_or(' ').to_string();
    vec![
        index,
        Word::new(mark, state.tone),
        Word::new(shade, Tone::Plot),
        Word::new(format!("{:>3}", cell(util.as_ref(), number).text), Tone::Strong),
        Word::new("% ", Tone::Label),
        Word::new(cell(gpu.reading(metrics::GPU_TEMP).as_ref(), number).text, Tone::Text),
        Word::new("°", Tone::Label),
    ]
}

/// The block for a percentage.
fn shade(percent: f64) -> &'static str {
    let steps = [12.5, 25.0, 37.5, 50.0, 62.5, 75.0, 87.5];
    SHADES.get(steps.iter().filter(|step| percent >= **step).count()).copied().unwrap_or("█")
}

//! The footer: the keys that mean something now, and what gpudeck itself costs. A notice stands in place of the keys for
//! a few seconds.
//!
//! ```text
//! Enter open  ←→ step  space pause  n next incident  i incidents  e events  h help  q quit    own cpu 0.8 % · 31 MiB · 42 MB/day
//! ```

use ratatui::Frame;
use ratatui::layout::Rect;

use crate::command::{self, Availability, Command, Group, TABLE};
use crate::look::Tone;
use crate::model::Model;
use crate::paint;
use crate::words::{self, Word};

/// Draws it.
pub(super) fn render(frame: &mut Frame, area: Rect, model: &Model) {
    let buffer = frame.buffer_mut();
    let cost = cost(model, area.width >= 160);
    let room = if area.width >= 100 { area.width.saturating_sub(paint::width(&cost) + 2) } else { area.width };
    if area.width >= 100 {
        paint::right(buffer, area, &cost, model.look.style(Tone::Label));
    }
    let area = paint::first(area, room);
    match &model.notice {
        Some((text, _)) => paint::text(buffer, area, text, model.look.style(Tone::Accent)),
        None => paint::put(buffer, area, model.look, &keys(model, room)),
    }
}

fn keys(model: &Model, room: u16) -> Vec<Word> {
    let always = [(Command::Help, "help"), (Command::Quit, "quit")];
    let now = |command| command::availability(model, command) == Availability::Now;
    // While letters are text, one key still quits.
    let last = if now(Command::Quit) { ("q", "quit") } else { ("Ctrl-C", "quit") };
    let help = now(Command::Help).then_some(("h", "help"));
    let tail: Vec<Word> = help
        .into_iter()
        .chain([last])
        .flat_map(|(key, word)| [Word::new(key, Tone::Accent), Word::new(format!(" {word}  "), Tone::Label)])
        .collect();
    let length = |words: &[Word]| words.iter().map(|word| paint::width(&word.text)).sum::<u16>();
    let mut left = room.saturating_sub(length(&tail));
    let mut words = Vec::new();
    let in_order = [Group::Here, Group::Time, Group::Screens, Group::Always];
    for binding in in_order.iter().flat_map(|group| TABLE.iter().filter(move |binding| binding.group == *group)) {
        let (shown, short) = match binding.command {
            Command::StepBack => ("←→", "step"),
            _ => (binding.shown.split(' ').next().unwrap_or(""), command::short_of(model, binding)),
        };
        let listed = always.iter().any(|(command, _)| *command == binding.command);
        if short.is_empty() || listed || command::availability(model, binding.command) != Availability::Now {
            continue;
        }
        let pair = [Word::new(shown, Tone::Accent), Word::new(format!(" {short}  "), Tone::Label)];
        if length(&pair) > left {
            break;
        }
        left -= length(&pair);
        words.extend(pair);
    }
    words.extend(tail);
    words
}

fn cost(model: &Model, whole: bool) -> String {
    let Some(cost) = &model.cost else { return String::new() };
    let mut parts =
        vec![format!("own cpu {:.1} %", cost.cpu_percent), words::bytes(model::reading::count_as_f64(cost.rss_bytes))];
    if let Some(bytes) = cost.bytes_per_day {
        parts.push(format!("{}/day", words::decimal_bytes(model::reading::count_as_f64(bytes))));
    }
    if let Some((call, us)) = cost.slowest.as_ref().filter(|_| whole) {
        let took = words::time(model::reading::count_as_f64(*us) / 1e6);
        parts.push(format!("{} {took}", model::text::clean(call, 30)));
    }
    parts.join(" · ")
}

//! A plan before it is carried out: why, under which conditions, who is hit, which commands exactly, how it is undone.
//!
//! ```text
//! ╭ Drain node17 through slurm ─────────────────────────────╮
//! │ Reason    gpudeck: GPU 3 has fallen off the bus         │
//! │ Needs     ✓ slurmctld answers      node17 is IDLE       │
//! │           ✗ not drained by others  drained by alice     │
//! │ Hits      job 4711 train.py (bob)                       │
//! │ Runs      1 scontrol update NodeName=node17 State=DRAIN │
//! │ Undo      scontrol update NodeName=node17 State=RESUME  │
//! │                                                         │
//! │ type node17 to confirm  › nod▏                          │
//! │ [ Cancel ]   [ Drain ]                                  │
//! ╰─────────────────────────────────────────────────────────╯
//! ```
//! Cancel has the keyboard when it opens.

use ratatui::Frame;
use ratatui::layout::Rect;

use crate::dialog::{Confirm, Focus, Stage};
use crate::look::Tone;
use crate::model::Model;
use crate::paint;
use crate::words::Word;

use super::dialogs;

/// Columns inside the dialog on a screen so wide.
pub(crate) fn inner_width(screen: u16) -> u16 {
    screen.min(90).saturating_sub(4)
}

/// The plan in lines of at most so many columns.
pub(crate) fn lines(model: &Model, confirm: &Confirm, width: u16) -> Vec<Vec<Word>> {
    let plan = &confirm.plan;
    let clean = |text: &str| model::text::clean(text, 300);
    let mut lines = Vec::new();
    let mut add = |title: &str, mark: Option<Word>, text: &str, tone: Tone| {
        let lead = mark.as_ref().map_or(0, |mark| paint::width(&mark.text));
        for (place, line) in paint::wrap(text, width.saturating_sub(10 + lead)).into_iter().enumerate() {
            let mut words = vec![Word::new(format!("{:10}", if place == 0 { title } else { "" }), Tone::Title)];
            match &mark {
                Some(mark) if place == 0 => words.push(mark.clone()),
                Some(_) => words.push(Word::new(" ".repeat(usize::from(lead)), Tone::Text)),
                None => {}
            }
            words.push(Word::new(line, tone));
            lines.push(words);
        }
    };
    add("Reason", None, &clean(&plan.reason), Tone::Text);
    for (place, condition) in plan.preconditions.iter().enumerate() {
        let (glyph, tone) = match condition.holds {
            Some(true) => ("✓ ", Tone::Good),
            Some(false) => ("✗ ", Tone::Critical),
            None => ("? ", Tone::Warning),
        };
        let text = format!("{} — {}", clean(&condition.what), condition.found.display(200));
        add(if place == 0 { "Needs" } else { "" }, Some(Word::new(glyph, tone)), &text, Tone::Text);
    }
    for (place, holder) in plan.holders.iter().enumerate() {
        let owner = holder.owner.as_ref().map_or_else(String::new, |owner| format!(" ({})", owner.display(40)));
        let text = format!("{} {}{owner}", model.label(&holder.entity), holder.name.display(100));
        add(if place == 0 { "Hits" } else { "" }, None, &text, Tone::Warning);
    }
    if plan.holders.is_empty() {
        add("Hits", None, "nobody, as far as is known", Tone::Label);
    }
    for (number, step) in (1..).zip(&plan.steps) {
        add(if number == 1 { "Runs" } else { "" }, None, &format!("{number}. {}", clean(&step.what)), Tone::Label);
        add("", None, &command(&step.command), Tone::Strong);
        if let Some(undo) = &step.undo {
            add("", None, &format!("undone by {}", command(undo)), Tone::Label);
        }
    }
    lines
}

/// A command as one could type it: arguments that need it are quoted.
fn command(arguments: &[String]) -> String {
    let quoted = |argument: &String| {
        let shown = model::text::clean(argument, 300);
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
        if !shown.is_empty() && shown.chars().all(plain) {
            shown
        } else {
            format!("'{}'", shown.replace('\'', "'\\''"))
        }
    };
    arguments.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// Draws it.
pub(super) fn render(frame: &mut Frame, area: Rect, model: &Model, confirm: &Confirm) {
    let plan = &confirm.plan;
    let lines = lines(model, confirm, inner_width(area.width));
    // A person knows the node by its name, which is what is to be typed.
    let target = match &plan.target {
        model::Entity::Node => model::text::clean(&plan.confirm, 60),
        other => model.label(other),
    };
    let title = format!("{} {target} through {}", capital(&plan.verb), model::text::clean(&plan.via, 20));
    let rows = u16::try_from(lines.len() + 7).unwrap_or(u16::MAX).min(area.height);
    let inside = paint::dialog(frame.buffer_mut(), area, model.look, &title, area.width.min(90), rows);
    let foot = 5.min(inside.height);
    let text = Rect { height: inside.height - foot, ..inside };
    super::scrolled(frame, text, model, &lines, confirm.list.scroll);
    let foot = paint::below(inside, text.height);
    let ask = format!("Type {} to confirm:", model::text::clean(&plan.confirm, 60));
    paint::text(frame.buffer_mut(), paint::row(foot, 1), &ask, model.look.style(Tone::Label));
    let at = paint::width(&ask) + 1;
    dialogs::input(frame, paint::after(paint::row(foot, 1), at), model, &confirm.typed, confirm.focus == Focus::Typing);
    let obstacle = confirm.obstacle(model.now, model.read_only());
    let act = format!(" {} ", capital(&plan.verb));
    let buttons = paint::row(foot, 3);
    button(frame, buttons, model, " Cancel ", confirm.focus == Focus::Cancel, Tone::Accent);
    let tone = if obstacle.is_some() { Tone::Gap } else { Tone::Critical };
    button(frame, paint::after(buttons, 12), model, &act, confirm.focus == Focus::Act, tone);
    let note = match (&obstacle, confirm.stage) {
        (Some(why), Stage::Open) => why.clone(),
        (_, Stage::UnderWay) => "under way …".to_owned(),
        (None, Stage::Open) => "all is set".to_owned(),
    };
    let at = 12 + paint::width(&act) + 4;
    paint::text(frame.buffer_mut(), paint::after(buttons, at), &note, model.look.style(Tone::Label));
    let keys = [
        Word::new("Tab", Tone::Accent),
        Word::new(" next   ", Tone::Label),
        Word::new("Enter", Tone::Accent),
        Word::new(" press   ", Tone::Label),
        Word::new("↑↓", Tone::Accent),
        Word::new(" read   ", Tone::Label),
        Word::new("Esc", Tone::Accent),
        Word::new(" cancel", Tone::Label),
    ];
    paint::put(frame.buffer_mut(), paint::row(foot, 4), model.look, &keys);
}

fn button(frame: &mut Frame, area: Rect, model: &Model, text: &str, focused: bool, tone: Tone) {
    let style = if focused { model.look.chip(tone) } else { model.look.style(tone) };
    paint::text(frame.buffer_mut(), area, &format!("[{text}]"), style);
}

fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

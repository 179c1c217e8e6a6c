//! The incidents: a list, and the card of the one in hand.
//!
//! ```text
//! Incidents ───────────────────── 2 open   ✖ GPU has fallen off the bus
//! ✖ 17:01:02  2m13s  GPU 3  GPU has …      GPU 3 · 0000:4f:00.0 · bus · since 17:01:02 (2m13s)
//! ▲ 16:58:40  3m01s  GPU 1  Row remap …    Confidence high: the driver says so itself
//!   over:                                  What to do   1 drain_reset  …
//! ▲ 16:40:01  20 s   mlx5_0 Link flap      Evidence     17:01:02 NVRM: Xid (PCI:0000:4f:00): 79, …
//! ```
//! Where the screen is narrow the list lies above the card.

use model::finding::Proof;
use model::{Evidence, Incident, Reading};
use ratatui::Frame;
use ratatui::layout::Rect;

use crate::layer::Layer;
use crate::look::{Tone, shape_of, tone_of};
use crate::model::Model;
use crate::paint;
use crate::table::{self, Column, Row};
use crate::words::{self, Word, cell};

/// The incidents in the order of the list: those that stand at the cursor, then the others.
fn ordered(model: &Model) -> Vec<&Incident> {
    let (mut standing, others): (Vec<&Incident>, Vec<&Incident>) =
        model.incidents.iter().partition(|incident| model.stands(incident));
    standing.extend(others);
    standing
}

/// The place of an incident in the list.
pub(crate) fn place_of(model: &Model, id: &str) -> Option<usize> {
    ordered(model).iter().position(|incident| incident.id == id)
}

/// The incident in hand.
pub(crate) fn selected(model: &Model) -> Option<&Incident> {
    let list = match model.screen() {
        Layer::Incidents(list) => *list,
        _ => return None,
    };
    let ordered = ordered(model);
    ordered.get(list.selected.min(ordered.len().saturating_sub(1))).copied()
}

const COLUMNS: &[Column] = &[
    Column::left("", 1, 0),
    Column::left("since", 9, 1),
    Column::right("for", 6, 2),
    Column::left("what", 24, 0).growing(),
    Column::left("where", 12, 3),
];

/// Draws both.
pub(super) fn render(frame: &mut Frame, area: Rect, model: &Model) {
    let ordered = ordered(model);
    let list = model.list();
    if ordered.is_empty() {
        return nothing(frame, area, model);
    }
    let place = list.selected.min(ordered.len() - 1);
    let open = model.standing().count();
    let note = format!("{open} open at {}", model.cursor.stamp(model.cursor.place()).clock());
    let count = u16::try_from(ordered.len()).unwrap_or(u16::MAX);
    let (side, card_area) = if area.width >= 110 {
        let width = (area.width * 2 / 5).min(64);
        (paint::first(area, width - 2), paint::after(area, width))
    } else {
        let height = count.saturating_add(2).min(area.height / 3).max(3);
        (Rect { height: height.min(area.height), ..area }, paint::below(area, height + 1))
    };
    paint::heading(frame.buffer_mut(), side, model.look, "Incidents", &note);
    let rows: Vec<Row> = ordered.iter().map(|incident| row(model, incident)).collect();
    table::draw(frame.buffer_mut(), paint::below(side, 1), model.look, COLUMNS, &rows, Some(place));
    if let Some(incident) = ordered.get(place) {
        let lines = card(model, incident, card_area.width);
        super::scrolled(frame, card_area, model, &lines, list.scroll);
    }
}

fn row(model: &Model, incident: &Incident) -> Row {
    let stands = model.stands(incident);
    let tone = if stands { tone_of(incident.severity) } else { Tone::Gap };
    let text = if stands { Tone::Text } else { Tone::Gap };
    let end = incident.ended.map_or_else(|| model.reference(), model::Stamp::axis_ns);
    let length = model::time::human_duration(end.saturating_sub(incident.started.axis_ns()));
    let before = incident.started.axis_ns() > model.reference();
    Row::of(vec![
        Word::new(shape_of(incident.severity), tone),
        Word::new(incident.started.clock(), if stands { Tone::Label } else { Tone::Gap }),
        Word::new(if before { "later".to_owned() } else { length }, if stands { Tone::Label } else { Tone::Gap }),
        Word::new(model::text::clean(&incident.root.title, 120), text),
        Word::new(model.label(&incident.root.entity), text),
    ])
}

fn nothing(frame: &mut Frame, area: Rect, model: &Model) {
    paint::heading(frame.buffer_mut(), area, model.look, "Incidents", "none");
    let mut lines =
        vec![vec![Word::new("No incident has been found in what could be judged.", Tone::Text)], Vec::new()];
    lines.extend(coverage(model, area.width));
    super::scrolled(frame, paint::below(area, 1), model, &lines, 0);
}

/// What could be judged and what not.
pub(super) fn coverage(model: &Model, width: u16) -> Vec<Vec<Word>> {
    if !model.judged {
        return vec![vec![Word::new("The rules have not spoken yet.", Tone::Label)]];
    }
    let seen: Vec<String> = model.coverage.seen.iter().map(|source| model::text::clean(source, 30)).collect();
    let seen = if seen.is_empty() { "nothing".to_owned() } else { seen.join(", ") };
    let mut lines = section("Judged", &seen, Tone::Text, width);
    for gap in &model.coverage.gaps {
        let entity = gap.entity.as_ref().map_or_else(String::new, |entity| format!(" · {}", model.label(entity)));
        let source = model::text::clean(&gap.source, 30);
        let text = format!(
            "{source}{entity}: {} ({} rule{})",
            model::text::clean(&gap.why, 200),
            gap.rules,
            if gap.rules == 1 { "" } else { "s" }
        );
        lines.extend(section("Not judged", &text, Tone::Warning, width));
    }
    lines
}

/// Columns of the words at the left of a card.
const LEFT: u16 = 13;

/// A text with its heading at the left.
fn section(title: &str, text: &str, tone: Tone, width: u16) -> Vec<Vec<Word>> {
    let columns = usize::from(LEFT);
    paint::wrap(text, width.saturating_sub(LEFT))
        .into_iter()
        .enumerate()
        .map(|(place, line)| {
            let title = if place == 0 { title } else { "" };
            vec![Word::new(format!("{title:columns$}"), Tone::Title), Word::new(line, tone)]
        })
        .collect()
}

/// Everything about one incident.
pub(super) fn card(model: &Model, incident: &Incident, width: u16) -> Vec<Vec<Word>> {
    let root = &incident.root;
    let clean = |text: &str| model::text::clean(text, 400);
    let tone = tone_of(incident.severity);
    let heading = format!("{} {}", shape_of(incident.severity), clean(&root.title));
    let mut lines: Vec<Vec<Word>> =
        paint::wrap(&heading, width).into_iter().map(|line| vec![Word::new(line, tone)]).collect();
    let add =
        |lines: &mut Vec<Vec<Word>>, title: &str, text: &str, tone| lines.extend(section(title, text, tone, width));

    let label = model.label(&root.entity);
    let target = clean(&root.entity.to_string());
    let mut place = if label == target { label } else { format!("{label} · {target}") };
    if let Some(pci) = root.pci {
        place.push_str(&format!(" · PCI {pci}"));
    }
    add(&mut lines, "Where", &place, Tone::Strong);
    add(&mut lines, "When", &when(model, incident), Tone::Text);
    let code = root.code.map_or_else(String::new, |code| format!(" {code}"));
    let kind = format!(
        "{}{code} · {} · {} · rule {}",
        clean(&root.kind),
        incident.severity,
        incident.class,
        clean(&root.rule)
    );
    add(&mut lines, "What", &kind, Tone::Text);
    add(&mut lines, "Confidence", &format!("{}: {}", root.confidence.word(), clean(&root.reason)), Tone::Text);

    lines.push(Vec::new());
    for (number, advice) in (1..).zip(&incident.advice) {
        let title = if number == 1 { "What to do" } else { "" };
        add(&mut lines, title, &format!("{number}. {}: {}", advice.action, clean(&advice.why)), Tone::Strong);
    }
    if incident.advice.is_empty() {
        add(&mut lines, "What to do", "the rulebook has no advice", Tone::Label);
    }

    lines.push(Vec::new());
    for (number, evidence) in (0..).zip(&incident.evidence) {
        let title = if number == 0 { "Evidence" } else { "" };
        add(&mut lines, title, &evidence_words(model, incident, evidence), Tone::Text);
    }
    for (number, symptom) in (0..).zip(&incident.symptoms) {
        let title = if number == 0 { "Explains" } else { "" };
        let times = if symptom.count > 1 { format!(" ×{}", symptom.count) } else { String::new() };
        let text =
            format!("{}  {}{times}  {}", symptom.at.clock(), clean(&symptom.title), model.label(&symptom.entity));
        add(&mut lines, title, &text, Tone::Label);
    }
    if let Some(refuted) = &incident.refuted_by {
        add(&mut lines, "Refuted by", &clean(refuted), Tone::Label);
    }
    let hits: Vec<String> = incident.hits.iter().map(|entity| model.label(entity)).collect();
    if !hits.is_empty() {
        add(&mut lines, "Hits", &hits.join(", "), Tone::Warning);
    }
    lines
}

fn when(model: &Model, incident: &Incident) -> String {
    let duration = |from: u64, to: u64| model::time::human_duration(to.saturating_sub(from));
    let started = incident.started.axis_ns();
    match incident.ended {
        Some(ended) => {
            format!("{} to {} ({}), over", incident.started.clock(), ended.clock(), duration(started, ended.axis_ns()))
        }
        None => {
            let now = model.reference();
            format!(
                "since {} ({}), last seen {} ago",
                incident.started.clock(),
                duration(started, now),
                duration(incident.last.axis_ns(), now)
            )
        }
    }
}

fn evidence_words(model: &Model, incident: &Incident, evidence: &Evidence) -> String {
    let about = evidence.entity.as_ref().filter(|entity| **entity != incident.root.entity);
    let about = about.map_or_else(String::new, |entity| format!("{} ", model.label(entity)));
    let what = match &evidence.what {
        Proof::Text { text } => text.display(500),
        Proof::Values { metric, values } => {
            let catalogued = metric.metric();
            let value = |reading: &Reading| cell(Some(reading), |value| words::with_unit(catalogued, value)).text;
            let values: Vec<String> = values.iter().take(12).map(value).collect();
            format!("{metric}: {}", values.join(" → "))
        }
    };
    format!("{}  {about}{what}", evidence.at.clock())
}

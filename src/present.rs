//! A judgement as text for a person: the worst first, and of each what, since when, why, and what to do.

use std::fmt::Write;

use model::finding::Proof;
use model::text::clean;
use model::{Confidence, Coverage, Entity, Evidence, Incident, Inventory, Plan, Reading, Severity, Stamp};

use crate::incidents::Judgement;

/// The most lines of evidence and the most symptoms shown of one incident.
const MOST_EVIDENCE: usize = 6;
const MOST_SYMPTOMS: usize = 8;

/// The incidents, then what could not be judged.
pub(crate) fn judgement(judgement: &Judgement) -> String {
    let mut text = String::new();
    if judgement.incidents.is_empty() {
        text.push_str("No incident.\n");
    }
    for (index, one) in judgement.incidents.iter().enumerate() {
        if index > 0 {
            text.push('\n');
        }
        text.push_str(&incident(one, &judgement.inventory));
    }
    text.push_str(&coverage(&judgement.coverage));
    text
}

fn incident(incident: &Incident, inventory: &Inventory) -> String {
    let name = |entity: &Entity| name(entity, inventory);
    let mut text = String::new();
    let root = &incident.root;
    line(
        &mut text,
        format_args!("{} {}  {}", shape(incident.severity), upper(incident.severity), clean(&root.title, 200)),
    );
    line(&mut text, format_args!("  what     {} ({}, rule {})", name(&root.entity), incident.class, root.rule));
    line(&mut text, format_args!("  when     {}", span(incident)));
    line(&mut text, format_args!("  sure     {}: {}", confidence(root.confidence), clean(&root.reason, 400)));
    for (index, advice) in incident.advice.iter().enumerate() {
        let head = if index == 0 { "do" } else { "" };
        line(&mut text, format_args!("  {head:<8} {}. {} — {}", index + 1, advice.action, clean(&advice.why, 400)));
    }
    for (index, symptom) in incident.symptoms.iter().take(MOST_SYMPTOMS).enumerate() {
        let head = if index == 0 { "explains" } else { "" };
        let times = if symptom.count > 1 { format!(" ×{}", symptom.count) } else { String::new() };
        line(
            &mut text,
            format_args!(
                "  {head:<8} {}{times} on {}, {}",
                clean(&symptom.title, 160),
                name(&symptom.entity),
                at(symptom.at)
            ),
        );
    }
    more(&mut text, incident.symptoms.len(), MOST_SYMPTOMS);
    for (index, evidence) in incident.evidence.iter().take(MOST_EVIDENCE).enumerate() {
        let head = if index == 0 { "evidence" } else { "" };
        line(&mut text, format_args!("  {head:<8} {}  {}", at(evidence.at), proof(evidence)));
    }
    more(&mut text, incident.evidence.len(), MOST_EVIDENCE);
    if let Some(refuted_by) = &incident.refuted_by {
        line(&mut text, format_args!("  not if   {}", clean(refuted_by, 400)));
    }
    for (index, hit) in incident.hits.iter().take(MOST_SYMPTOMS).enumerate() {
        let head = if index == 0 { "hits" } else { "" };
        line(&mut text, format_args!("  {head:<8} {}", name(hit)));
    }
    line(&mut text, format_args!("  id       {}", incident.id));
    text
}

/// A plan, as it is shown before anybody is asked.
pub(crate) fn plan(plan: &Plan) -> String {
    let mut text = String::new();
    line(&mut text, format_args!("Plan {}: {} {} through {}", plan.id, plan.verb, plan.confirm, plan.via));
    line(&mut text, format_args!("  reason   {}", clean(&plan.reason, 300)));
    for condition in &plan.preconditions {
        let mark = match condition.holds {
            Some(true) => '✓',
            Some(false) => '✗',
            None => '?',
        };
        line(&mut text, format_args!("  {mark} {}: {}", clean(&condition.what, 200), condition.found.display(300)));
    }
    for holder in &plan.holders {
        let owner = holder.owner.as_ref().map(|owner| format!(" of {}", owner.display(60))).unwrap_or_default();
        line(&mut text, format_args!("  hits     {}{owner}", holder.name.display(120)));
    }
    for step in &plan.steps {
        line(&mut text, format_args!("  run      {}", clean(&step.command.join(" "), 400)));
        if let Some(undo) = &step.undo {
            line(&mut text, format_args!("  undo     {}", clean(&undo.join(" "), 400)));
        }
    }
    text
}

fn coverage(coverage: &Coverage) -> String {
    let mut text = String::new();
    if !coverage.gaps.is_empty() {
        text.push_str("\nCould not be judged:\n");
    }
    for gap in &coverage.gaps {
        let about = gap.entity.as_ref().map(|entity| format!(" ({entity})")).unwrap_or_default();
        let rules = if gap.rules == 1 { "1 rule".to_owned() } else { format!("{} rules", gap.rules) };
        line(&mut text, format_args!("  {}{about}: {} — {rules}", gap.source, clean(&gap.why, 300)));
    }
    text
}

/// What a person calls it, and the target that a command takes.
fn name(entity: &Entity, inventory: &Inventory) -> String {
    let (label, target) = (inventory.label(entity), clean(&entity.to_string(), 120));
    if label == target { target } else { format!("{label} [{target}]") }
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _infallible = writeln!(text, "{arguments}");
}

fn more(text: &mut String, there: usize, shown: usize) {
    if there > shown {
        line(text, format_args!("           … and {} more", there - shown));
    }
}

/// The sign of a severity: a shape, so that it needs no colour.
pub(crate) fn shape(severity: Severity) -> char {
    match severity {
        Severity::Info => 'i',
        Severity::Warning => '▲',
        Severity::Critical => '●',
        Severity::Fatal => '✖',
    }
}

fn upper(severity: Severity) -> String {
    severity.word().to_uppercase()
}

fn confidence(confidence: Confidence) -> &'static str {
    confidence.word()
}

fn span(incident: &Incident) -> String {
    match incident.ended {
        Some(ended) => format!("{} to {}", at(incident.started), at(ended)),
        None if incident.last == incident.started => format!("since {}", at(incident.started)),
        None => format!("since {}, last seen {}", at(incident.started), at(incident.last)),
    }
}

fn at(stamp: Stamp) -> String {
    stamp.rfc3339().unwrap_or_else(|| stamp.clock())
}

fn proof(evidence: &Evidence) -> String {
    match &evidence.what {
        Proof::Text { text } => text.display(300),
        Proof::Values { metric, values } => {
            let values: Vec<String> = values.iter().map(reading).collect();
            format!("{metric} = {}", values.join(" → "))
        }
    }
}

fn reading(reading: &Reading) -> String {
    match reading {
        Reading::Good(value) => value.to_string(),
        Reading::Stale(value, _) => format!("~{value}"),
        Reading::Stuck(_, call) => format!("stuck in {}", clean(call, 60)),
        Reading::Unsupported => "unsupported".to_owned(),
        Reading::Denied => "denied".to_owned(),
        Reading::Lost => "lost".to_owned(),
    }
}

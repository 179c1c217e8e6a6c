//! A finding while the evaluator holds it: with what correlation and wording need beside it, in bounded memory.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::{Class, Entity, Event, Evidence, Field, Finding, Severity, Stamp, Verdict};

use crate::load::SUBJECT;
use crate::rule::{Rule, RuleIx};

/// Pieces of evidence kept of the beginning and of the end: 20 in all.
const EVIDENCE_EACH: usize = 10;

/// A finding and what belongs to it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) rule: RuleIx,
    pub(super) id: String,
    pub(super) entity: Entity,
    pub(super) key: String,
    pub(super) kind: String,
    pub(super) code: Option<i64>,
    pub(super) title: String,
    pub(super) severity: Severity,
    pub(super) class: Class,
    pub(super) started: Stamp,
    pub(super) last: Stamp,
    pub(super) ended: Option<Stamp>,
    pub(super) count: u64,
    pub(super) fields: BTreeMap<String, Field>,
    pub(super) verdict: Option<Verdict>,
    pub(super) boot: String,
    /// Boots in the order in which they came: times are compared within one only.
    pub(super) session: u32,
    pub(super) hits: BTreeSet<Entity>,
    head: Vec<Evidence>,
    tail: VecDeque<Evidence>,
}

impl Held {
    pub(super) fn new(
        rule_ix: RuleIx,
        rule: &Rule,
        entity: Entity,
        key: String,
        started: Stamp,
        event: Option<&Event>,
    ) -> Self {
        let fields: BTreeMap<String, Field> = event.map_or_else(BTreeMap::new, |event| {
            event.fields.iter().take(64).map(|(name, field)| (name.to_string(), field.clone())).collect()
        });
        let verdict = event.and_then(|event| event.verdict.clone());
        let severity =
            rule.severity.or_else(|| verdict.as_ref().map(|verdict| verdict.level)).unwrap_or(Severity::Warning);
        Self {
            rule: rule_ix,
            id: rule.id.clone(),
            entity,
            key,
            kind: rule.on.map_or("metric", |kind| kind.name).to_owned(),
            code: fields.get("code").and_then(Field::as_int),
            title: title(rule, &fields, verdict.as_ref(), event),
            severity,
            class: rule.class,
            started,
            last: started,
            ended: None,
            count: 0,
            fields,
            verdict,
            boot: String::new(),
            session: 0,
            hits: BTreeSet::new(),
            head: Vec::new(),
            tail: VecDeque::new(),
        }
    }

    /// Seen once more, at this time, on this evidence.
    pub(super) fn seen(&mut self, at: Stamp, evidence: impl IntoIterator<Item = Evidence>) {
        self.count += 1;
        if at.axis_ns() > self.last.axis_ns() {
            self.last = at;
        }
        for piece in evidence {
            if self.head.len() < EVIDENCE_EACH {
                self.head.push(piece);
            } else {
                if self.tail.len() == EVIDENCE_EACH {
                    self.tail.pop_front();
                }
                self.tail.push_back(piece);
            }
        }
    }

    pub(super) fn evidence(&self) -> impl Iterator<Item = &Evidence> {
        self.head.iter().chain(&self.tail)
    }

    pub(super) fn finding(&self) -> Finding {
        Finding {
            rule: self.id.clone(),
            entity: self.entity.clone(),
            kind: self.kind.clone(),
            code: self.code,
            title: self.title.clone(),
            severity: self.severity,
            class: self.class,
            started: self.started,
            last: self.last,
            ended: self.ended,
            count: self.count,
            evidence: self.evidence().cloned().collect(),
            fields: self.fields.clone(),
        }
    }
}

/// The rule's title with the event's fields filled in; `{title}` is the fault knowledge's own.
fn title(rule: &Rule, fields: &BTreeMap<String, Field>, verdict: Option<&Verdict>, event: Option<&Event>) -> String {
    let mut shown = String::new();
    let mut rest = rule.title.as_str();
    while let Some((before, behind)) = rest.split_once('{') {
        shown.push_str(before);
        let Some((name, after)) = behind.split_once('}') else {
            rest = behind;
            break;
        };
        match (name, fields.get(name)) {
            ("title", None) => {
                shown.push_str(verdict.and_then(|verdict| verdict.title.as_deref()).unwrap_or("no further knowledge"))
            }
            (SUBJECT, None) => {
                let subject = event.and_then(|event| event.entity.as_ref()).map(Entity::to_string);
                shown.push_str(&model::text::clean(subject.as_deref().unwrap_or("?"), 80));
            }
            (_, Some(field)) => shown.push_str(&field_text(field)),
            (_, None) => shown.push('?'),
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// A field for a screen.
pub(super) fn field_text(field: &Field) -> String {
    match field {
        Field::Flag(flag) => if *flag { "yes" } else { "no" }.to_owned(),
        Field::Int(int) => int.to_string(),
        Field::Number(number) => number.to_string(),
        Field::Text(text) => text.display(80),
        Field::List(_) => "…".to_owned(),
        Field::Null(()) => "none".to_owned(),
    }
}

//! Runs the cases that rules carry: each becomes a short stream of Frames, and the rule fires or does not.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::time::NS_PER_S;
use model::{
    Dictionary, Draft, Entity, Event, Field, KernelRecord, Metric, MetricName, Reading, Stamp, Value, Verdict,
};

use crate::evaluate::Evaluator;
use crate::rule::{Expect, Rule, RuleTest, Rulebook, TestStep};

/// A case that did not come out as its rule says, or a rule without the cases it needs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: rule `{rule}`: {why}")]
pub struct TestFailure {
    /// The rule.
    pub rule: String,
    /// The file it stands in.
    pub file: String,
    /// The line at which it begins.
    pub line: usize,
    /// What was expected and what came.
    pub why: String,
}

/// Where the tests' time begins: not at nought, so that a window can reach back.
const START: u64 = 1_000 * NS_PER_S;

impl Rulebook {
    /// Runs every case of every rule. A rule needs one that fires it and one that almost does.
    pub fn test(&self) -> Vec<TestFailure> {
        let book = Arc::new(self.clone());
        self.rules().iter().flat_map(|rule| test_rule(&book, rule)).collect()
    }
}

fn test_rule(book: &Arc<Rulebook>, rule: &Rule) -> Vec<TestFailure> {
    let failure =
        |why: String| TestFailure { rule: rule.id.clone(), file: rule.place.0.clone(), line: rule.place.1, why };
    let mut failures = Vec::new();
    if !rule.tests.iter().any(|test| test.expect != Expect::Silent) {
        failures.push(failure("no test fires it; add `[[rule.test]]` with `expect = \"fires\"`".to_owned()));
    }
    if !rule.tests.iter().any(|test| test.expect == Expect::Silent) {
        failures.push(failure("no test almost fires it; add `[[rule.test]]` with `expect = \"silent\"`".to_owned()));
    }
    for (number, test) in rule.tests.iter().enumerate() {
        let (fired, over) = outcome(book, rule, test);
        let met = match test.expect {
            Expect::Fires => fired && !over,
            Expect::Silent => !fired,
            Expect::Ends => fired && over,
        };
        if !met {
            let found = match (fired, over) {
                (false, _) => "stayed silent",
                (true, false) => "fired",
                (true, true) => "fired, and ended",
            };
            failures.push(failure(format!(
                "test {} ({}): expected {:?}, it {found}",
                number + 1,
                test.name,
                test.expect
            )));
        }
    }
    failures
}

fn outcome(book: &Arc<Rulebook>, rule: &Rule, test: &RuleTest) -> (bool, bool) {
    let mut evaluator = Evaluator::new(book.clone());
    let mut dictionary = Dictionary::default();
    for draft in drafts(test) {
        evaluator.frame(&draft.seal(&mut dictionary));
    }
    evaluator.advance(Stamp { mono_ns: Some(START + end(test)), real_ns: None });
    let found: Vec<_> = evaluator.findings().into_iter().filter(|finding| finding.rule == rule.id).collect();
    (!found.is_empty(), found.iter().all(|finding| finding.ended.is_some()))
}

fn end(test: &RuleTest) -> u64 {
    test.steps.iter().map(|step| step.until_ns).max().unwrap_or(0)
}

/// The case as Drafts, one per instant: what was set stays set and is read each time anew.
fn drafts(test: &RuleTest) -> Vec<Draft> {
    let mut moments: BTreeMap<u64, Vec<(&TestStep, u64)>> = BTreeMap::new();
    for step in &test.steps {
        let mut at = step.at_ns;
        let mut turn = 0;
        while at <= step.until_ns {
            moments.entry(at).or_default().push((step, turn));
            turn += 1;
            at += NS_PER_S;
        }
    }
    let mut totals: BTreeMap<(Entity, String), u64> = BTreeMap::new();
    moments
        .into_iter()
        .map(|(at, steps)| {
            let stamp = Stamp { mono_ns: Some(START + at), real_ns: None };
            let mut draft = Draft::new("test", stamp);
            for (step, turn) in steps {
                fill(&mut draft, step, turn, &mut totals);
            }
            draft
        })
        .collect()
}

fn fill(draft: &mut Draft, step: &TestStep, turn: u64, totals: &mut BTreeMap<(Entity, String), u64>) {
    for (name, reading) in &step.set {
        if turn == 0
            && let Reading::Good(Value::Count(count)) = reading
        {
            totals.insert((step.entity.clone(), name.clone()), *count);
        }
        if !step.grow.iter().any(|(growing, _)| growing == name) {
            draft.read(&step.entity, MetricName::raw(name.clone()), reading.clone());
        }
    }
    for (name, by) in &step.grow {
        let total = totals.entry((step.entity.clone(), name.clone())).or_insert(0);
        *total += if turn == 0 { 0 } else { *by };
        let reading = match Metric::find(name).is_some_and(Metric::is_counter) {
            true => Reading::from(*total),
            false => Reading::from(model::reading::count_as_f64(*total)),
        };
        draft.read(&step.entity, MetricName::raw(name.clone()), reading);
    }
    if let Some((kind, fields)) = &step.event {
        let mut event = Event::new(draft.at, kind.name).about(step.entity.clone());
        let text = fields.iter().find(|(name, _)| name == "text").and_then(|(_, field)| field.as_text()).unwrap_or("");
        if !text.is_empty() || step.injected {
            let facility = step.injected.then_some(1);
            event.record = Some(KernelRecord {
                text: text.as_bytes().to_vec(),
                sequence: None,
                priority: None,
                facility,
                dictionary: Vec::new(),
                line: None,
            });
        }
        for (name, field) in fields.iter().filter(|(name, _)| name != "text") {
            event.fields.insert(name.clone().into(), field.clone());
        }
        let pci = event.field("pci").and_then(Field::as_text).is_some();
        if pci && step.entity.kind() != model::EntityKind::Gpu {
            event.entity = None;
        }
        event.verdict = step.verdict.map(|(level, action)| Verdict { level, action, title: None });
        draft.events.push(event);
    }
}

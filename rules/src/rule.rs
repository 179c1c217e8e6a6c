//! A rule and a rulebook, as data. How a rule is read from TOML stands in [`crate::load`], what it does with Frames in
//! [`crate::Evaluator`].

use model::{Action, Class, Confidence, Entity, EntityKind, Field, Reading, Severity};

use crate::lang::Checked;
use crate::lang::expr::MetricTable;
use crate::vocabulary::EventKind;

/// A rule's place in its rulebook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleIx(pub u16);

/// One rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its name: `gpu.xid.79`. Edges, reports and `rules show` use it.
    pub id: String,
    /// What it finds, in a few words; `{field}` stands for an event's field.
    pub title: String,
    /// What that means, in a sentence or two.
    pub meaning: String,
    /// How bad it is; `None`: what the fault knowledge says of the event.
    pub severity: Option<Severity>,
    /// Where the cause lies.
    pub class: Class,
    /// What it looks at.
    pub entity: EntityKind,
    /// Which events it looks at; `None`: metrics only.
    pub on: Option<&'static EventKind>,
    /// The condition.
    pub when: Checked,
    /// For how long the condition must hold, nanoseconds.
    pub hold_ns: u64,
    /// The window of its functions and of its count, nanoseconds; 0: none.
    pub window_ns: u64,
    /// How many matching events within the window.
    pub count: u64,
    /// The same again within this time is the same finding, nanoseconds.
    pub fold_ns: u64,
    /// Events that differ in this field are different findings.
    pub key: Option<String>,
    /// What proves that it is over.
    pub clear: Option<Clear>,
    /// For how long that must hold, nanoseconds.
    pub clear_ns: u64,
    /// It is an occurrence and not a state: in the past once nothing of it was seen for so long, nanoseconds.
    pub over_after_ns: Option<u64>,
    /// It speaks only where no other rule on these events does.
    pub fallback: bool,
    /// How far it can be trusted by itself.
    pub confidence: Confidence,
    /// The event's field in which the driver names the Xid that caused this one.
    pub names_cause: Option<String>,
    /// What else it explains.
    pub explains: Vec<Edge>,
    /// What would refute it.
    pub refuted_by: Option<String>,
    /// What to do.
    pub advice: Vec<RuleAdvice>,
    /// Where the knowledge comes from.
    pub references: Vec<String>,
    /// Cases that fire it and cases that almost do.
    pub tests: Vec<RuleTest>,
    /// The file it stands in, and the line.
    pub place: (String, usize),
}

/// What proves that a finding is over.
#[derive(Clone, Debug)]
pub struct Clear {
    /// Events that may prove it; `None`: readings do.
    pub on: Option<&'static EventKind>,
    /// The condition.
    pub expr: Checked,
}

/// How the entities of cause and symptom lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relation {
    /// The same entity, or another function or part of the same device.
    Same,
    /// The cause is upstream of the symptom on the bus.
    Upstream,
    /// The cause is downstream of the symptom on the bus.
    Downstream,
    /// One names the other as its link, peer or holder.
    Linked,
    /// Both are on this node.
    Node,
}

impl Relation {
    /// Every relation with its word.
    pub const WORDS: &[(Self, &str)] = &[
        (Self::Same, "same"),
        (Self::Upstream, "upstream"),
        (Self::Downstream, "downstream"),
        (Self::Linked, "linked"),
        (Self::Node, "node"),
    ];

    /// How it reads behind a rule's name.
    pub fn prose(self) -> &'static str {
        match self {
            Self::Same => "on the same device",
            Self::Upstream => "on a device below it on the bus",
            Self::Downstream => "on a port above it on the bus",
            Self::Linked => "on what it is linked to",
            Self::Node => "anywhere on the node",
        }
    }
}

/// This rule's finding explains findings of others.
#[derive(Clone, Debug)]
pub struct Edge {
    /// The other rules.
    pub symptoms: Vec<RuleIx>,
    /// As written: an id, or the beginning of ids with `*`.
    pub written: String,
    /// The longest time between the two, in either direction, nanoseconds.
    pub within_ns: u64,
    /// How the entities lie to each other.
    pub relation: Relation,
}

/// A piece of advice.
#[derive(Clone, Debug)]
pub struct RuleAdvice {
    /// What to do; `None`: what the fault knowledge says of the event.
    pub action: Option<Action>,
    /// Why.
    pub why: String,
    /// Left out where this holds now.
    pub unless: Option<Checked>,
    /// Given only when one of these rules is in the incident.
    pub with: Vec<RuleIx>,
    /// Left out when one of these rules is in the incident.
    pub without: Vec<RuleIx>,
    /// `with` as written.
    pub with_written: Vec<String>,
    /// `without` as written.
    pub without_written: Vec<String>,
}

/// What a rule's test expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// The rule finds something that still stands at the end.
    Fires,
    /// It almost does, and does not.
    Silent,
    /// It found something that is proven to be over.
    Ends,
}

/// A case for a rule: what is fed, and what is expected.
#[derive(Clone, Debug)]
pub struct RuleTest {
    /// What it is about.
    pub name: String,
    /// What is expected.
    pub expect: Expect,
    /// What happens, in order of time.
    pub steps: Vec<TestStep>,
}

/// One thing that happens in a test.
#[derive(Clone, Debug)]
pub struct TestStep {
    /// When, nanoseconds from the start.
    pub at_ns: u64,
    /// Repeated each second until then.
    pub until_ns: u64,
    /// To whom.
    pub entity: Entity,
    /// What is read.
    pub set: Vec<(String, Reading)>,
    /// By how much a counter grows with each repetition.
    pub grow: Vec<(String, u64)>,
    /// The event that happens.
    pub event: Option<(&'static EventKind, Vec<(String, Field)>)>,
    /// The fault knowledge's level and action, for rules that go by it.
    pub verdict: Option<(Severity, Action)>,
    /// User space wrote the line.
    pub injected: bool,
}

/// The rules, in the order of their files.
#[derive(Clone, Debug)]
pub struct Rulebook {
    pub(crate) rules: Vec<Rule>,
    pub(crate) metrics: MetricTable,
    pub(crate) hash: String,
}

impl Rulebook {
    /// Every rule.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// A rule by its id.
    pub fn get(&self, id: &str) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.id == id)
    }

    /// SHA-256 over the names and texts of its files, in hexadecimal: two rulebooks with one hash judge alike.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The metrics that its rules mention.
    pub fn metrics(&self) -> impl Iterator<Item = &str> {
        self.metrics.iter().map(|(_, name)| name)
    }

    pub(crate) fn rule(&self, ix: RuleIx) -> &Rule {
        self.rules.get(usize::from(ix.0)).expect("a RuleIx is made from its own rulebook")
    }

    pub(crate) fn indexed(&self) -> impl Iterator<Item = (RuleIx, &Rule)> {
        self.rules.iter().enumerate().filter_map(|(at, rule)| Some((RuleIx(u16::try_from(at).ok()?), rule)))
    }
}

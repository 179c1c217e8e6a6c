//! Incidents: one root cause, its symptoms folded under it, the evidence, the advice, and what could not be judged.
//!
//! The JSON of these types is what `gpudeck diagnose` and `gpudeck check` print and scripts rely on: times are RFC 3339
//! UTC or null with `mono_ns` beside them, entities in TARGET syntax, `pci` as `dddd:bb:dd.f`.

use serde::{Serialize, Serializer};

use crate::address::PciAddress;
use crate::entity::Entity;
use crate::finding::{Evidence, Proof};
use crate::time::Stamp;
use crate::verdict::{Action, Class, Severity};

/// How sure we are of the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Something else would explain it as well.
    Low,
    /// The pattern fits; nothing contradicts it.
    Medium,
    /// The driver or the hardware says so itself.
    High,
}

impl Confidence {
    /// The word that scripts see.
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

/// What an incident is held to have been caused by.
#[derive(Clone, Debug, PartialEq)]
pub struct Root {
    /// The kind of event, or `metric`.
    pub kind: String,
    /// Xid or SXid number, where it has one.
    pub code: Option<i64>,
    /// The PCI device, where there is one.
    pub pci: Option<PciAddress>,
    /// Which of the kind's events it is (`link_down`, `ras_ue_umc`, …), where the kind has several.
    pub event: Option<String>,
    /// The rule that found it.
    pub rule: String,
    /// About what.
    pub entity: Entity,
    /// What it is, in a few words.
    pub title: String,
    /// How sure.
    pub confidence: Confidence,
    /// Why that sure, in a sentence.
    pub reason: String,
}

/// A finding that the root explains.
#[derive(Clone, Debug, PartialEq)]
pub struct Symptom {
    /// The kind of event, or `metric`.
    pub kind: String,
    /// Xid or SXid number, where it has one.
    pub code: Option<i64>,
    /// The PCI device, where there is one.
    pub pci: Option<PciAddress>,
    /// The rule that found it.
    pub rule: String,
    /// About what.
    pub entity: Entity,
    /// What it is, in a few words.
    pub title: String,
    /// How bad it is by itself.
    pub severity: Severity,
    /// When it was first seen.
    pub at: Stamp,
    /// How often.
    pub count: u64,
}

/// Something to do, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// What.
    pub action: Action,
    /// Why, and under which conditions.
    pub why: String,
}

/// One fault, explained.
#[derive(Clone, Debug, PartialEq)]
pub struct Incident {
    /// Stable over restarts: made from boot, rule, entity and first evidence.
    pub id: String,
    /// The worst of its findings.
    pub severity: Severity,
    /// The first moment of any of its findings.
    pub started: Stamp,
    /// When all of it was proven to be over; `None` while it stands.
    pub ended: Option<Stamp>,
    /// The last moment at which anything of it was seen.
    pub last: Stamp,
    /// The cause.
    pub root: Root,
    /// What the cause explains.
    pub symptoms: Vec<Symptom>,
    /// What led to it, oldest first.
    pub evidence: Vec<Evidence>,
    /// Of which class.
    pub class: Class,
    /// What to do, the first first. The driver's own verdict leads where there is one.
    pub advice: Vec<Advice>,
    /// What would refute it.
    pub refuted_by: Option<String>,
    /// Processes, containers, jobs and users that it hits, for a person.
    pub hits: Vec<Entity>,
}

impl Incident {
    /// Whether it still stands.
    pub fn open(&self) -> bool {
        self.ended.is_none()
    }
}

/// One source that could not be judged, and why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct CoverageGap {
    /// Which probe or source.
    pub source: String,
    /// About what, where it is not the whole node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<Entity>,
    /// Why: missing, denied, stuck, gap, not recorded.
    pub why: String,
    /// How many rules could therefore not judge.
    pub rules: u32,
}

/// What could be judged and what not: abstain instead of green.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Sources that answered.
    pub seen: Vec<String>,
    /// Sources that did not, and why.
    pub gaps: Vec<CoverageGap>,
}

#[derive(Serialize)]
struct RootJson<'a> {
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pci: Option<PciAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    rule: &'a str,
    entity: &'a Entity,
    title: &'a str,
    confidence: Confidence,
    reason: &'a str,
}

#[derive(Serialize)]
struct SymptomJson<'a> {
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pci: Option<PciAddress>,
    rule: &'a str,
    entity: &'a Entity,
    title: &'a str,
    severity: Severity,
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mono_ns: Option<u64>,
    count: u64,
}

#[derive(Serialize)]
struct EvidenceJson<'a> {
    at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mono_ns: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    entity: Option<&'a Entity>,
    #[serde(flatten)]
    what: &'a Proof,
}

#[derive(Serialize)]
struct IncidentJson<'a> {
    id: &'a str,
    severity: Severity,
    started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mono_ns: Option<u64>,
    ended: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_mono_ns: Option<u64>,
    open: bool,
    root: RootJson<'a>,
    symptoms: Vec<SymptomJson<'a>>,
    evidence: Vec<EvidenceJson<'a>>,
    class: Class,
    advice: &'a [Advice],
    #[serde(skip_serializing_if = "Option::is_none")]
    refuted_by: Option<&'a str>,
    #[serde(skip_serializing_if = "<[Entity]>::is_empty")]
    hits: &'a [Entity],
}

impl Serialize for Incident {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let root = &self.root;
        IncidentJson {
            id: &self.id,
            severity: self.severity,
            started: self.started.rfc3339(),
            mono_ns: self.started.mono_ns,
            ended: self.ended.and_then(Stamp::rfc3339),
            ended_mono_ns: self.ended.and_then(|ended| ended.mono_ns),
            open: self.open(),
            root: RootJson {
                kind: &root.kind,
                code: root.code,
                pci: root.pci,
                event: root.event.as_deref(),
                rule: &root.rule,
                entity: &root.entity,
                title: &root.title,
                confidence: root.confidence,
                reason: &root.reason,
            },
            symptoms: self.symptoms.iter().map(symptom_json).collect(),
            evidence: self
                .evidence
                .iter()
                .map(|evidence| EvidenceJson {
                    at: evidence.at.rfc3339(),
                    mono_ns: evidence.at.mono_ns,
                    entity: evidence.entity.as_ref(),
                    what: &evidence.what,
                })
                .collect(),
            class: self.class,
            advice: &self.advice,
            refuted_by: self.refuted_by.as_deref(),
            hits: &self.hits,
        }
        .serialize(serializer)
    }
}

fn symptom_json(symptom: &Symptom) -> SymptomJson<'_> {
    SymptomJson {
        kind: &symptom.kind,
        code: symptom.code,
        pci: symptom.pci,
        rule: &symptom.rule,
        entity: &symptom.entity,
        title: &symptom.title,
        severity: symptom.severity,
        at: symptom.at.rfc3339(),
        mono_ns: symptom.at.mono_ns,
        count: symptom.count,
    }
}

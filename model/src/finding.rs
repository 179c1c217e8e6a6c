//! What one rule concludes about one entity, with the evidence that led to it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::catalogue::MetricName;
use crate::entity::Entity;
use crate::reading::Reading;
use crate::text::Untrusted;
use crate::time::Stamp;
use crate::verdict::{Class, Severity};

/// One piece of evidence: a verbatim line, or the values of a metric around the moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// When.
    pub at: Stamp,
    /// About what, where it is not the finding's own entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entity: Option<Entity>,
    /// The line, the metric's readings, or what did not happen.
    #[serde(flatten)]
    pub what: Proof,
}

/// What the evidence is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Proof {
    /// A verbatim line or an event in words.
    Text {
        /// The line.
        text: Untrusted,
    },
    /// The values of a metric.
    Values {
        /// Which metric.
        metric: MetricName,
        /// Before, at and after, as far as there are any, oldest first.
        values: Vec<Reading>,
    },
}

/// What one rule says about one entity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's id.
    pub rule: String,
    /// About what.
    pub entity: Entity,
    /// What kind of event it rests on: `xid`, `aer`, …, or `metric`.
    pub kind: String,
    /// The event's code (Xid, SXid), where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// What it is, in a few words.
    pub title: String,
    /// How bad.
    pub severity: Severity,
    /// Of which class.
    pub class: Class,
    /// The first moment at which the rule held.
    pub started: Stamp,
    /// The last.
    pub last: Stamp,
    /// When it was proven to be over; `None` while it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Stamp>,
    /// How often it was seen.
    pub count: u64,
    /// What led to it, oldest first, bounded.
    pub evidence: Vec<Evidence>,
    /// The event's fields, for wording.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, crate::event::Field>,
}

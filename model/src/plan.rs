//! A change to the node that has been thought through and not yet done: what, why, under which conditions, who is hit,
//! which commands, how it is undone. Shown, confirmed, re-checked, journalled, carried out by `actions`.

use serde::{Deserialize, Serialize};

use crate::entity::Entity;
use crate::text::Untrusted;
use crate::time::Stamp;

/// A condition for acting, with what was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Precondition {
    /// What must hold, in words.
    pub what: String,
    /// Whether it does; `None` when it could not be found out.
    pub holds: Option<bool>,
    /// What was found.
    pub found: Untrusted,
}

/// One command or call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it does, in words.
    pub what: String,
    /// The program and its arguments, exactly as run; no shell is involved.
    pub command: Vec<String>,
    /// What undoes it, if anything.
    #[serde(default)]
    pub undo: Option<Vec<String>>,
}

/// Somebody who holds what is about to be changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process, container or job.
    pub entity: Entity,
    /// What it is called.
    pub name: Untrusted,
    /// Whose it is, where known.
    #[serde(default)]
    pub owner: Option<Untrusted>,
}

/// A change to the node, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Made from what is to be done to whom and why: the same intent has the same id.
    pub id: String,
    /// The verb: `drain`, `undrain`.
    pub verb: String,
    /// What is changed.
    pub target: Entity,
    /// Through whom: `slurm`.
    pub via: String,
    /// Why, in the words that the scheduler will show.
    pub reason: String,
    /// The incident that it answers, if one.
    #[serde(default)]
    pub incident: Option<String>,
    /// When it was made.
    pub made: Stamp,
    /// Seconds after which it must be made anew.
    pub expires_after_s: u64,
    /// What must hold, re-checked at the moment of acting.
    pub preconditions: Vec<Precondition>,
    /// Who is hit.
    pub holders: Vec<Holder>,
    /// What will be run, in order.
    pub steps: Vec<Step>,
    /// What to type to confirm: the node's or GPU's own name.
    pub confirm: String,
}

impl Plan {
    /// The preconditions that stand in the way: those that do not hold, or could not be found out.
    pub fn obstacles(&self) -> impl Iterator<Item = &Precondition> {
        self.preconditions.iter().filter(|condition| condition.holds != Some(true))
    }
}

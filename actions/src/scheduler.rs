//! What an action needs to know from a scheduler and ask of it, whichever scheduler it is.

use std::fmt;
use std::time::Duration;

use model::{Stamp, Step, Untrusted};
use serde::{Deserialize, Serialize};

use crate::mark::Reason;

/// A node's name as the scheduler knows it: exactly one node. Slurm reads `gpu[01-99]`, `gpu01,gpu02` and `ALL` as
/// many, so none of these can be a `NodeName`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct NodeName(String);

/// Why a text is not the name of one node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not the name of one node: letters, digits, `.`, `_` and `-` only, and not ALL")]
pub struct NotANodeName {
    /// The text as found, made visible.
    pub found: String,
}

impl NodeName {
    /// Takes a name from outside.
    pub fn new(name: &str) -> Result<Self, NotANodeName> {
        let of_one_node = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let starts_like_one = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
        if of_one_node && starts_like_one && name.len() <= 255 && !name.eq_ignore_ascii_case("all") {
            Ok(Self(name.to_owned()))
        } else {
            Err(NotANodeName { found: model::text::clean(name, 80) })
        }
    }

    /// This host's short name, which Slurm takes for the node's name unless `NodeHostname` says otherwise
    /// (`slurm.conf(5)`).
    pub fn of_this_host() -> Result<Self, NotANodeName> {
        let system = rustix::system::uname();
        let host = system.nodename().to_string_lossy();
        Self::new(host.split('.').next().unwrap_or_default())
    }

    /// The name as the scheduler takes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the scheduler says about a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The base state first (`IDLE`, `MIXED`, `ALLOCATED`, `DOWN`), then its flags (`DRAIN`, `NOT_RESPONDING`).
    pub state: Vec<String>,
    /// Why it was last taken out of service, without who and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Untrusted>,
    /// Who set the reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_by: Option<Untrusted>,
    /// When; wall clock only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_at: Option<Stamp>,
    /// The host behind the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Untrusted>,
    /// Generic resources as configured: `gpu:h200:4`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gres: Option<Untrusted>,
}

impl NodeStatus {
    /// Whether the node carries this state or flag.
    pub fn is(&self, word: &str) -> bool {
        self.state.iter().any(|flag| flag == word)
    }

    /// Whether it takes no new work because somebody drained it, running jobs or not.
    pub fn drained(&self) -> bool {
        self.is("DRAIN")
    }

    /// Whether jobs still run on a node that takes no new ones.
    pub fn draining(&self) -> bool {
        self.drained() && ["ALLOCATED", "MIXED", "COMPLETING"].iter().any(|busy| self.is(busy))
    }

    /// One line for a person: `drained, IDLE+DRAIN, reason "…" by root`.
    pub fn in_words(&self) -> String {
        let state = Untrusted::new(self.state.join("+")).display(80);
        let standing = match (self.draining(), self.drained()) {
            (true, _) => "draining (jobs still run), ",
            (false, true) => "drained, ",
            (false, false) => "",
        };
        let reason = self.reason.as_ref().map(|reason| format!(", reason \"{}\"", reason.display(160)));
        let by = self.reason_by.as_ref().map(|by| format!(" by {}", by.display(40)));
        format!("{standing}{state}{}{}", reason.unwrap_or_default(), by.unwrap_or_default())
    }
}

/// A job that holds a part of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// The scheduler's id, with its array index: `17`, `17_3`.
    pub id: String,
    /// Whose it is.
    pub user: Untrusted,
    /// The scheduler's short state: `R`, `CG`.
    pub state: String,
    /// What it asked for on each node: `gres/gpu:2`; `None` when nothing.
    pub gres: Option<Untrusted>,
}

/// Why a scheduler did not answer as asked. Of these only [`Fault::leaves_unknown`] leaves open whether a change
/// happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The program is not there or could not be started.
    #[error("{program} could not be run: {why}")]
    NotStarted {
        /// Which program.
        program: String,
        /// Why, and what to do.
        why: String,
    },
    /// No answer in time; the request may still be carried out later.
    #[error("{what} gave no answer within {} s", .after.as_secs_f32())]
    TimedOut {
        /// What was asked.
        what: String,
        /// How long was waited.
        after: Duration,
    },
    /// It failed in a way that does not tell whether the request was taken: the conversation broke off, or the words
    /// are unknown to us.
    #[error("{what} failed without telling whether it took effect: {said}")]
    Unclear {
        /// What was asked.
        what: String,
        /// What it said, made visible.
        said: String,
    },
    /// The controller could not be connected to: nothing was asked of it.
    #[error("the scheduler's controller does not answer ({said}); see whether slurmctld runs: scontrol ping")]
    Unreachable {
        /// What the program said, made visible.
        said: String,
    },
    /// No such node.
    #[error("the scheduler knows no node of that name ({said}); `sinfo -N` lists those it knows")]
    UnknownNode {
        /// What the program said, made visible.
        said: String,
    },
    /// We may not.
    #[error("the scheduler does not allow it to this user ({said}); run it as root or as a Slurm operator")]
    Denied {
        /// What the program said, made visible.
        said: String,
    },
    /// It said no, for another reason.
    #[error("{what} was refused: {said}")]
    Refused {
        /// What was asked.
        what: String,
        /// What it said, made visible.
        said: String,
    },
    /// It answered something that cannot be read.
    #[error("{what} answered something unreadable: {found}")]
    Unreadable {
        /// What was asked.
        what: String,
        /// What is wrong with the answer.
        found: String,
    },
}

impl Fault {
    /// Whether a change that was asked for may have happened, or may yet happen.
    pub fn leaves_unknown(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Unclear { .. } | Self::Unreadable { .. })
    }
}

/// The questions and the two changes. The changes run exactly what their step shows.
pub trait Scheduler {
    /// The word after `--via`.
    fn via(&self) -> &'static str;

    /// What the scheduler says about the node now.
    fn node(&self, node: &NodeName) -> Result<NodeStatus, Fault>;

    /// The jobs that hold a part of the node now.
    fn jobs(&self, node: &NodeName) -> Result<Vec<Job>, Fault>;

    /// What [`Self::drain`] will run, to be shown.
    fn drain_step(&self, node: &NodeName, reason: &Reason) -> Step;

    /// What [`Self::undrain`] will run, to be shown; `reason` is the one that it clears.
    fn undrain_step(&self, node: &NodeName, reason: &Reason) -> Step;

    /// Keeps new work off the node; jobs that run go on to their end.
    fn drain(&self, node: &NodeName, reason: &Reason) -> Result<(), Fault>;

    /// Lets new work onto the node again.
    fn undrain(&self, node: &NodeName) -> Result<(), Fault>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_name_never_means_several_nodes() {
        assert_eq!(NodeName::new("gpu-01.rack_3").unwrap().as_str(), "gpu-01.rack_3");
        for many in ["", "ALL", "all", "gpu[01-04]", "a,b", "-h", "a b", "a\nb", "a=b", "gpu01;", &"x".repeat(256)] {
            assert!(matches!(NodeName::new(many), Err(NotANodeName { .. })), "{many:?}");
        }
    }
}

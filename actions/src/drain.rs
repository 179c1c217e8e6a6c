//! Thinks a drain or an undrain through: what stands in the way, who is hit, what would be run, how it is undone.
//! Changes nothing.

use model::{Entity, Holder, Incident, Plan, Precondition, Stamp, Untrusted};

use crate::journal::Journal;
use crate::mark::{self, Reason};
use crate::scheduler::{Fault, Job, NodeName, NodeStatus, NotANodeName, Scheduler};

/// Seconds after which a plan must be made anew: the world has moved on.
pub const EXPIRES_AFTER_S: u64 = 120;

/// The verb that takes a node out of service.
pub const DRAIN: &str = "drain";

/// The verb that gives it back.
pub const UNDRAIN: &str = "undrain";

/// Why no plan could be made. What merely stands in the way is no error: it is in the plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// The node's name.
    #[error(transparent)]
    NodeName(#[from] NotANodeName),
    /// A drain that nobody could explain later.
    #[error("a drain needs a reason: give one, or an incident")]
    NoReason,
}

/// A plan, and the status that it was made from.
pub(crate) struct Considered {
    pub(crate) plan: Plan,
    pub(crate) status: Option<NodeStatus>,
}

/// Plans to keep new work off `node`. `reason` may be empty where there is an incident: then its title is the reason.
/// A plan without steps says that the node is already drained by gpudeck.
pub fn plan_drain(
    scheduler: &dyn Scheduler,
    node: &str,
    reason: &str,
    incident: Option<&Incident>,
    now: Stamp,
) -> Result<Plan, ActionError> {
    let node = NodeName::new(node)?;
    let title = incident.map(|incident| incident.root.title.as_str()).unwrap_or_default();
    let words = mark::fit(if reason.trim().is_empty() { title } else { reason });
    if words.is_empty() {
        return Err(ActionError::NoReason);
    }
    let cause = incident.map_or(words.as_str(), |incident| &incident.id);
    let reason = Reason::new(&mark::plan_id(DRAIN, node.as_str(), cause), &words);
    let incident = incident.map(|incident| incident.id.clone());
    Ok(consider_drain(scheduler, &node, &reason, incident, now).plan)
}

/// Plans to give `node` back, if it was gpudeck on this node that drained it. A plan without steps and without
/// obstacles says that it is not drained.
pub fn plan_undrain(scheduler: &dyn Scheduler, node: &str, journal: &Journal, now: Stamp) -> Result<Plan, ActionError> {
    let node = NodeName::new(node)?;
    Ok(consider_undrain(scheduler, &node, journal, now).plan)
}

pub(crate) fn consider_drain(
    scheduler: &dyn Scheduler,
    node: &NodeName,
    reason: &Reason,
    incident: Option<String>,
    now: Stamp,
) -> Considered {
    let answer = scheduler.node(node);
    let mut preconditions = answers(scheduler, node, &answer);
    let status = answer.ok();
    preconditions.push(nobody_elses(status.as_ref()));
    let (known, holders) = who_is_hit(scheduler, node, status.is_some());
    preconditions.push(known);
    let already_so = status.as_ref().is_some_and(|status| status.drained() && mark_of(status).is_some());
    let steps = if already_so { Vec::new() } else { vec![scheduler.drain_step(node, reason)] };
    let plan = Plan {
        id: reason.id().to_owned(),
        verb: DRAIN.to_owned(),
        target: Entity::Node,
        via: scheduler.via().to_owned(),
        reason: reason.to_string(),
        incident,
        made: now,
        expires_after_s: EXPIRES_AFTER_S,
        preconditions,
        holders,
        steps,
        confirm: node.to_string(),
    };
    Considered { plan, status }
}

pub(crate) fn consider_undrain(
    scheduler: &dyn Scheduler,
    node: &NodeName,
    journal: &Journal,
    now: Stamp,
) -> Considered {
    let answer = scheduler.node(node);
    let mut preconditions = answers(scheduler, node, &answer);
    let status = answer.ok();
    let mark = status.as_ref().filter(|status| status.drained()).and_then(mark_of);
    let intent = mark.as_ref().and_then(|mark| journal.intent(mark.id(), DRAIN, node.as_str()));
    preconditions.push(nobody_elses(status.as_ref()));
    preconditions.push(Precondition {
        what: "the drain is in this node's journal".to_owned(),
        holds: status.as_ref().map(|_| mark.is_none() || intent.is_some()),
        found: match (&mark, intent) {
            (Some(_), Some(intent)) => format!("plan {} by user id {}", intent.id, intent.by.uid).into(),
            (Some(mark), None) => {
                format!("plan {} is not in it: undrain the node where it was drained", mark.id()).into()
            }
            (None, _) => "no drain of gpudeck's on the node".into(),
        },
    });
    let steps = mark.iter().map(|mark| scheduler.undrain_step(node, mark)).collect();
    let drain_id = mark.as_ref().map(Reason::id).unwrap_or_default();
    let plan = Plan {
        id: mark::plan_id(UNDRAIN, node.as_str(), drain_id),
        verb: UNDRAIN.to_owned(),
        target: Entity::Node,
        via: scheduler.via().to_owned(),
        reason: mark.as_ref().map(Reason::to_string).unwrap_or_default(),
        incident: intent.and_then(|intent| intent.incident.clone()),
        made: now,
        expires_after_s: EXPIRES_AFTER_S,
        preconditions,
        // Giving a node back hits nobody.
        holders: Vec::new(),
        steps,
        confirm: node.to_string(),
    };
    Considered { plan, status }
}

/// Whether the end that `verb` wants is what the scheduler shows. A drain must carry our id, or it is another's.
pub(crate) fn is_so(verb: &str, id: &str, status: &NodeStatus) -> bool {
    match verb {
        DRAIN => status.drained() && mark_of(status).is_some_and(|mark| mark.id() == id),
        _ => !status.drained(),
    }
}

/// The mark of ours in the node's reason.
fn mark_of(status: &NodeStatus) -> Option<Reason> {
    Reason::read(status.reason.as_ref()?.raw())
}

fn answers(scheduler: &dyn Scheduler, node: &NodeName, answer: &Result<NodeStatus, Fault>) -> Vec<Precondition> {
    let (reached, known) = match answer {
        Ok(_) => (Some(true), Some(true)),
        Err(Fault::UnknownNode { .. }) => (Some(true), Some(false)),
        Err(Fault::Unreachable { .. } | Fault::NotStarted { .. }) => (Some(false), None),
        Err(_) => (None, None),
    };
    let (reply, about_it) = match answer {
        Ok(status) => ("yes".to_owned(), status.in_words()),
        Err(fault @ Fault::UnknownNode { .. }) => ("yes".to_owned(), fault.to_string()),
        Err(fault) => (fault.to_string(), "not known".to_owned()),
    };
    vec![
        Precondition { what: format!("{} answers", scheduler.via()), holds: reached, found: reply.into() },
        Precondition {
            what: format!("{} knows the node {node}", scheduler.via()),
            holds: known,
            found: about_it.into(),
        },
    ]
}

/// Slurm keeps one reason for a node, and a second drain would overwrite the first: so any reason that is not ours is
/// somebody's work.
fn nobody_elses(status: Option<&NodeStatus>) -> Precondition {
    let what = "nobody else has taken the node out of service".to_owned();
    let Some(status) = status else {
        return Precondition { what, holds: None, found: "not known".into() };
    };
    let ours = mark_of(status).is_some();
    let theirs = !ours && (status.drained() || status.reason.is_some());
    let found = match (theirs, ours) {
        (true, _) => format!("{}; ask whoever did it, gpudeck leaves it as it is", status.in_words()),
        (false, true) => format!("by gpudeck: {}", status.in_words()),
        (false, false) => "no reason is set".to_owned(),
    };
    Precondition { what, holds: Some(!theirs), found: found.into() }
}

fn who_is_hit(scheduler: &dyn Scheduler, node: &NodeName, answered: bool) -> (Precondition, Vec<Holder>) {
    let what = "it is known who is hit".to_owned();
    if !answered {
        return (Precondition { what, holds: None, found: "not known".into() }, Vec::new());
    }
    match scheduler.jobs(node) {
        Ok(jobs) => {
            let found = match jobs.len() {
                0 => "no jobs on the node".to_owned(),
                1 => "1 job on the node; it goes on to its end".to_owned(),
                many => format!("{many} jobs on the node; they go on to their end"),
            };
            (Precondition { what, holds: Some(true), found: found.into() }, jobs.iter().map(holder).collect())
        }
        Err(fault) => (Precondition { what, holds: None, found: fault.to_string().into() }, Vec::new()),
    }
}

fn holder(job: &Job) -> Holder {
    let gres = job.gres.as_ref().map(|gres| format!(", {}", gres.raw())).unwrap_or_default();
    Holder {
        entity: Entity::Job(job.id.clone()),
        name: Untrusted::new(format!("job {} ({}{gres})", job.id, job.state)),
        owner: Some(job.user.clone()),
    }
}

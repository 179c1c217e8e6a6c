//! Carries out a Plan: confirmation, expiry, every condition once more, intent to disk, act, read back, result to disk.

use std::thread;
use std::time::Duration;

use model::{Entity, Plan, Precondition, Stamp};
use serde::Serialize;

use crate::drain::{Considered, DRAIN, UNDRAIN, consider_drain, consider_undrain, is_so};
use crate::journal::{Actor, Ending, Intent, Journal, JournalError, What};
use crate::mark::{self, Reason};
use crate::scheduler::{Fault, NodeName, NodeStatus, Scheduler};

/// The one clock, handed in: the engine's live, a made-up one in tests.
pub type Clock<'a> = &'a dyn Fn() -> Stamp;

/// How long the wanted state is waited for after the act.
const VERIFY_FOR_NS: i128 = 5_000_000_000;

/// How often it is looked at; with [`MOST_LOOKS`] it also ends where the clock stands still.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const MOST_LOOKS: usize = 40;

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// Done, and read back.
    Done {
        /// What the scheduler shows now.
        state: NodeStatus,
        /// Why the journal lacks the result, where it does: the action is done, its record is not.
        #[serde(skip_serializing_if = "Option::is_none")]
        unrecorded: Option<String>,
    },
    /// There was nothing to do.
    AlreadySo {
        /// What the scheduler shows.
        state: NodeStatus,
    },
    /// Nothing was changed.
    Refused {
        /// Why, and what to do.
        why: String,
    },
    /// It was tried, and whether it happened, or may yet happen, is not known.
    Unknown {
        /// What is known.
        why: String,
    },
}

impl Outcome {
    /// 0 done or already so, 1 nothing was changed, 3 not known.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Done { .. } | Self::AlreadySo { .. } => 0,
            Self::Refused { .. } => 1,
            Self::Unknown { .. } => 3,
        }
    }
}

/// Carries `plan` out, if `typed` is what it asks for and everything that it rests on still holds. Takes some seconds at
/// most when the scheduler answers, three of its deadlines when it does not.
pub fn execute(
    plan: &Plan,
    typed: &str,
    journal: &mut Journal,
    scheduler: &dyn Scheduler,
    clock: Clock<'_>,
) -> Outcome {
    match guarded(plan, typed, journal, scheduler, clock) {
        Ok(outcome) => outcome,
        Err(why) => {
            let refusal =
                What::Refusal { id: plan.id.clone(), verb: plan.verb.clone(), why: why.clone(), by: Actor::here() };
            match journal.append(clock(), refusal) {
                Ok(()) => Outcome::Refused { why },
                Err(error) => Outcome::Refused { why: format!("{why}; and {error}") },
            }
        }
    }
}

/// Errs with why nothing was changed.
fn guarded(
    plan: &Plan,
    typed: &str,
    journal: &mut Journal,
    scheduler: &dyn Scheduler,
    clock: Clock<'_>,
) -> Result<Outcome, String> {
    let node = confirmed(plan, typed)?;
    let now = clock();
    fresh(plan, now)?;
    possible(&plan.preconditions)?;
    let held = journal.hold().map_err(|error| error.to_string())?;
    let Considered { plan: again, status } = consider_again(plan, &node, journal, scheduler, now)?;
    possible_still(plan, &again)?;
    let before = status.ok_or("the node's state is not known")?;
    settle_node(journal, node.as_str(), &before, now).map_err(|error| error.to_string())?;
    let Some(step) = again.steps.first() else {
        return Ok(Outcome::AlreadySo { state: before });
    };
    if again.id != plan.id || again.steps != plan.steps {
        return Err("the node's state has changed since the plan was made; make it anew".to_owned());
    }
    let intent = Intent {
        id: plan.id.clone(),
        verb: plan.verb.clone(),
        node: node.to_string(),
        via: plan.via.clone(),
        reason: plan.reason.clone(),
        incident: plan.incident.clone(),
        command: step.command.clone(),
        before,
        by: Actor::here(),
    };
    journal.append(now, What::Intent(intent)).map_err(|error| error.to_string())?;
    let outcome = act(plan, &node, scheduler, clock);
    let outcome = record(journal, &plan.id, outcome, clock());
    drop(held);
    Ok(outcome)
}

fn confirmed(plan: &Plan, typed: &str) -> Result<NodeName, String> {
    let node = NodeName::new(&plan.confirm).map_err(|error| error.to_string())?;
    if plan.target != Entity::Node {
        return Err(format!("{} is not a node; only a whole node can be drained", plan.target));
    }
    if typed.trim() == node.as_str() {
        Ok(node)
    } else {
        Err(format!("not confirmed: type {node} to {} it", model::text::clean(&plan.verb, 20)))
    }
}

/// A plan counts for two minutes by every clock that it knows, and never before it was made.
fn fresh(plan: &Plan, now: Stamp) -> Result<(), String> {
    let ages = ages_ns(plan.made, now);
    let most = i128::from(plan.expires_after_s.min(crate::drain::EXPIRES_AFTER_S)) * 1_000_000_000;
    if ages.iter().all(Option::is_none) {
        return Err("when the plan was made is not known; make it anew".to_owned());
    }
    if ages.into_iter().flatten().all(|age| (0..=most).contains(&age)) {
        Ok(())
    } else {
        Err(format!("the plan has expired: it counts for {} s; make it anew", most / 1_000_000_000))
    }
}

/// Ages by the monotonic and by the wall clock, where both stamps know it.
fn ages_ns(from: Stamp, to: Stamp) -> [Option<i128>; 2] {
    let mono = from.mono_ns.zip(to.mono_ns).map(|(from, to)| i128::from(to) - i128::from(from));
    let real = from.real_ns.zip(to.real_ns).map(|(from, to)| i128::from(to) - i128::from(from));
    [mono, real]
}

fn possible(preconditions: &[Precondition]) -> Result<(), String> {
    let obstacles: Vec<String> =
        preconditions.iter().filter(|condition| condition.holds != Some(true)).map(obstacle).collect();
    if obstacles.is_empty() { Ok(()) } else { Err(obstacles.join("; ")) }
}

fn obstacle(condition: &Precondition) -> String {
    let holds = if condition.holds.is_none() { "could not be found out" } else { "does not hold" };
    format!("\"{}\" {holds}: {}", condition.what, condition.found.display(300))
}

fn possible_still(plan: &Plan, again: &Plan) -> Result<(), String> {
    possible(&again.preconditions).map_err(|obstacles| {
        let changed: Vec<&str> = again
            .obstacles()
            .filter(|now| plan.preconditions.iter().any(|then| then.what == now.what && then.holds != now.holds))
            .map(|now| now.what.as_str())
            .collect();
        match changed.as_slice() {
            [] => obstacles,
            changed => format!("{obstacles} (changed since the plan was made: {})", changed.join(", ")),
        }
    })
}

/// Makes the plan once more from what it wants alone: nothing that a plan file claims is run or believed.
fn consider_again(
    plan: &Plan,
    node: &NodeName,
    journal: &Journal,
    scheduler: &dyn Scheduler,
    now: Stamp,
) -> Result<Considered, String> {
    let not_ours = || "the plan does not read like one that gpudeck made; make it anew".to_owned();
    if plan.via != scheduler.via() {
        return Err(format!("the plan is for {}, not for {}", model::text::clean(&plan.via, 20), scheduler.via()));
    }
    match plan.verb.as_str() {
        DRAIN => {
            let reason = wanted_reason(plan, node).ok_or_else(not_ours)?;
            Ok(consider_drain(scheduler, node, &reason, plan.incident.clone(), now))
        }
        UNDRAIN => Ok(consider_undrain(scheduler, node, journal, now)),
        _ => Err(not_ours()),
    }
}

/// The reason of a drain plan, if mark, id, incident and words fit each other.
fn wanted_reason(plan: &Plan, node: &NodeName) -> Option<Reason> {
    let reason = Reason::read(&plan.reason)?;
    let words = mark::fit(reason.text());
    let cause = plan.incident.as_deref().unwrap_or(&words);
    let id = mark::plan_id(DRAIN, node.as_str(), cause);
    let remade = Reason::new(&id, &words);
    (remade.to_string() == plan.reason && id == plan.id).then_some(remade)
}

fn act(plan: &Plan, node: &NodeName, scheduler: &dyn Scheduler, clock: Clock<'_>) -> Outcome {
    let asked = match plan.verb.as_str() {
        // Both were held against each other when the plan was made once more.
        DRAIN => match Reason::read(&plan.reason) {
            Some(reason) => scheduler.drain(node, &reason),
            None => return Outcome::Refused { why: "the plan has no reason of gpudeck's".to_owned() },
        },
        _ => scheduler.undrain(node),
    };
    match asked {
        Ok(()) => match read_back(plan, node, scheduler, clock) {
            Ok(state) => Outcome::Done { state, unrecorded: None },
            Err(seen) => Outcome::Unknown { why: format!("{} took the command, but {seen}", plan.via) },
        },
        Err(fault) if fault.leaves_unknown() => match read_back(plan, node, scheduler, clock) {
            Ok(state) => Outcome::Done { state, unrecorded: None },
            Err(seen) => Outcome::Unknown {
                why: format!("{fault}, and {seen}; it may still take effect, so look again before doing anything"),
            },
        },
        Err(fault @ (Fault::Unreachable { .. } | Fault::NotStarted { .. })) => {
            Outcome::Refused { why: fault.to_string() }
        }
        // It said no; whether that is all of the truth, only the node's state tells.
        Err(fault) => match scheduler.node(node) {
            Ok(state) if is_so(&plan.verb, &plan.id, &state) => Outcome::Done { state, unrecorded: None },
            Ok(_) => Outcome::Refused { why: fault.to_string() },
            Err(unread) => Outcome::Unknown { why: format!("{fault}, and the node could not be read back: {unread}") },
        },
    }
}

/// Looks until the scheduler shows what was wanted. Errs with what was seen last, in words that go on after "and".
fn read_back(plan: &Plan, node: &NodeName, scheduler: &dyn Scheduler, clock: Clock<'_>) -> Result<NodeStatus, String> {
    let begun = clock();
    let mut seen = "it was not read back".to_owned();
    for _ in 0..MOST_LOOKS {
        seen = match scheduler.node(node) {
            Ok(state) if is_so(&plan.verb, &plan.id, &state) => return Ok(state),
            Ok(state) => format!("the node reads {}", state.in_words()),
            Err(fault) => format!("the node could not be read back: {fault}"),
        };
        if ages_ns(begun, clock()).into_iter().flatten().any(|age| age >= VERIFY_FOR_NS) {
            break;
        }
        thread::sleep(LOOK_EVERY);
    }
    Err(seen)
}

fn record(journal: &mut Journal, id: &str, outcome: Outcome, now: Stamp) -> Outcome {
    let (ending, why, after) = match &outcome {
        Outcome::Done { state, .. } | Outcome::AlreadySo { state } => {
            (Ending::Done, String::new(), Some(state.clone()))
        }
        Outcome::Refused { why } => (Ending::Refused, why.clone(), None),
        Outcome::Unknown { why } => (Ending::Unknown, why.clone(), None),
    };
    match (journal.append(now, What::Result { id: id.to_owned(), ending, why, after }), outcome) {
        (Ok(()), outcome) => outcome,
        (Err(error), Outcome::Done { state, .. }) => Outcome::Done { state, unrecorded: Some(error.to_string()) },
        (Err(error), Outcome::Refused { why }) => Outcome::Refused { why: format!("{why}; and {error}") },
        (Err(error), Outcome::Unknown { why }) => Outcome::Unknown { why: format!("{why}; and {error}") },
        (Err(_), already) => already,
    }
}

/// What became of an intent whose end was not known.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Settled {
    /// The intent.
    pub intent: Intent,
    /// Whether the scheduler shows what it wanted; `None` where it could not be asked.
    pub done: Option<bool>,
    /// What was found, in words.
    pub found: String,
}

/// Looks what became of every intent whose end is not known, writes it down, and repeats nothing. For the start of
/// whatever acts, and for the person who was told "unknown".
pub fn settle(
    journal: &mut Journal,
    scheduler: &dyn Scheduler,
    clock: Clock<'_>,
) -> Result<Vec<Settled>, JournalError> {
    let _held = journal.hold()?;
    let open: Vec<Intent> = journal.unfinished().into_iter().cloned().collect();
    let mut settled = Vec::new();
    for intent in open {
        let read = NodeName::new(&intent.node).map_err(|error| error.to_string());
        let read = read.and_then(|node| scheduler.node(&node).map_err(|fault| fault.to_string()));
        settled.push(match read {
            Ok(state) => settle_one(journal, intent, &state, clock())?,
            Err(why) => Settled { intent, done: None, found: why },
        });
    }
    Ok(settled)
}

fn settle_node(journal: &mut Journal, node: &str, state: &NodeStatus, now: Stamp) -> Result<(), JournalError> {
    let open: Vec<Intent> = journal.unfinished().into_iter().filter(|intent| intent.node == node).cloned().collect();
    for intent in open {
        settle_one(journal, intent, state, now)?;
    }
    Ok(())
}

fn settle_one(journal: &mut Journal, intent: Intent, state: &NodeStatus, now: Stamp) -> Result<Settled, JournalError> {
    let done = is_so(&intent.verb, &intent.id, state);
    let found = state.in_words();
    let ending = if done { Ending::FoundDone } else { Ending::FoundNotDone };
    let result = What::Result { id: intent.id.clone(), ending, why: found.clone(), after: Some(state.clone()) };
    journal.append(now, result)?;
    Ok(Settled { intent, done: Some(done), found })
}

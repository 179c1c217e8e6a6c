//! What `execute` does when the world is not as the plan thought, against a scripted scheduler; and what the journal
//! does when its file is not as it should be.

#![allow(clippy::unwrap_used, clippy::panic)] // a test

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::time::Duration;

use actions::journal::{Ending, What};
use actions::mark::Reason;
use actions::{
    ActionError, Fault, Job, Journal, JournalError, NodeName, NodeStatus, Outcome, Scheduler, execute, plan_drain,
    plan_undrain, settle,
};
use model::{Class, Confidence, Entity, Incident, Plan, Root, Severity, Stamp, Step};
use tempfile::TempDir;

const S: u64 = 1_000_000_000;

/// Answers from a script; the last answer stays. A change that is accepted shows at the next look, unless `deaf`.
struct Scripted {
    answers: RefCell<VecDeque<Result<NodeStatus, Fault>>>,
    jobs: Result<Vec<Job>, Fault>,
    on_change: Result<(), Fault>,
    deaf: bool,
    changes: Cell<usize>,
    journal: PathBuf,
    journal_at_change: RefCell<String>,
}

impl Scripted {
    fn change(&self, becomes: NodeStatus) -> Result<(), Fault> {
        self.changes.set(self.changes.get() + 1);
        *self.journal_at_change.borrow_mut() = fs::read_to_string(&self.journal).unwrap();
        if !self.deaf {
            *self.answers.borrow_mut() = [Ok(becomes)].into();
        }
        self.on_change.clone()
    }

    fn answers(&self, answers: impl IntoIterator<Item = Result<NodeStatus, Fault>>) {
        *self.answers.borrow_mut() = answers.into_iter().collect();
    }
}

impl Scheduler for Scripted {
    fn via(&self) -> &'static str {
        "slurm"
    }

    fn node(&self, _: &NodeName) -> Result<NodeStatus, Fault> {
        let mut answers = self.answers.borrow_mut();
        if answers.len() > 1 { answers.pop_front().unwrap() } else { answers.front().unwrap().clone() }
    }

    fn jobs(&self, _: &NodeName) -> Result<Vec<Job>, Fault> {
        self.jobs.clone()
    }

    fn drain_step(&self, node: &NodeName, reason: &Reason) -> Step {
        Step { what: "drain".into(), command: vec!["drain".into(), node.to_string(), reason.to_string()], undo: None }
    }

    fn undrain_step(&self, node: &NodeName, _: &Reason) -> Step {
        Step { what: "undrain".into(), command: vec!["undrain".into(), node.to_string()], undo: None }
    }

    fn drain(&self, _: &NodeName, reason: &Reason) -> Result<(), Fault> {
        self.change(drained(&reason.to_string()))
    }

    fn undrain(&self, _: &NodeName) -> Result<(), Fault> {
        self.change(idle())
    }
}

struct Stage {
    folder: TempDir,
    slurm: Scripted,
    journal: Journal,
    now: Cell<u64>,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.jsonl");
        let journal = Journal::open(&path).unwrap();
        let slurm = Scripted {
            answers: RefCell::new([Ok(idle())].into()),
            jobs: Ok(Vec::new()),
            on_change: Ok(()),
            deaf: false,
            changes: Cell::new(0),
            journal: path,
            journal_at_change: RefCell::default(),
        };
        Self { folder, slurm, journal, now: Cell::new(1_000 * S) }
    }

    fn plan(&self) -> Plan {
        plan_drain(&self.slurm, "gpu01", "Xid 79", None, stamp(self.now.get())).unwrap()
    }

    /// Every look at the clock costs two seconds, so that waiting ends soon.
    fn execute(&mut self, plan: &Plan) -> Outcome {
        let now = &self.now;
        let clock = || {
            now.set(now.get() + 2 * S);
            stamp(now.get())
        };
        execute(plan, "gpu01", &mut self.journal, &self.slurm, &clock)
    }

    fn refused(&mut self, plan: &Plan) -> String {
        match self.execute(plan) {
            Outcome::Refused { why } => why,
            other => panic!("{other:?}"),
        }
    }

    fn last_entry(&self) -> &What {
        &self.journal.entries().last().unwrap().what
    }
}

fn stamp(ns: u64) -> Stamp {
    Stamp::new(ns, 1_795_451_640_000_000_000 + i64::try_from(ns).unwrap())
}

fn idle() -> NodeStatus {
    NodeStatus { state: vec!["IDLE".into()], ..NodeStatus::default() }
}

fn drained(reason: &str) -> NodeStatus {
    NodeStatus { state: vec!["IDLE".into(), "DRAIN".into()], reason: Some(reason.into()), ..NodeStatus::default() }
}

fn timed_out() -> Fault {
    Fault::TimedOut { what: "scontrol update".into(), after: Duration::from_secs(10) }
}

#[test]
fn the_intent_is_on_disk_before_the_act_and_the_result_after() {
    let mut stage = Stage::new();
    let plan = stage.plan();
    assert!(matches!(stage.execute(&plan), Outcome::Done { unrecorded: None, .. }));
    let before = stage.slurm.journal_at_change.borrow().clone();
    assert!(
        before.contains(r#""entry":"intent""#) && before.contains(&plan.id) && !before.contains(r#""entry":"result""#)
    );
    assert!(matches!(stage.last_entry(), What::Result { ending: Ending::Done, .. }));
}

#[test]
fn a_plan_counts_two_minutes_and_never_before_it_was_made() {
    let mut stage = Stage::new();
    let mut plan = stage.plan();
    plan.expires_after_s = u64::MAX;
    stage.now.set(1_000 * S + 121 * S);
    assert!(stage.refused(&plan).contains("expired"));
    stage.now.set(900 * S);
    assert!(stage.refused(&plan).contains("expired"));
    plan.made = Stamp::default();
    assert!(stage.refused(&plan).contains("not known"));
    assert_eq!(stage.slurm.changes.get(), 0);
}

#[test]
fn refusals_are_written_down_too() {
    let mut stage = Stage::new();
    let plan = stage.plan();
    stage.now.set(2_000 * S);
    stage.refused(&plan);
    assert!(matches!(stage.last_entry(), What::Refusal { .. }));
}

#[test]
fn a_plan_that_was_altered_is_not_carried_out() {
    let stage_and_plan = || {
        let stage = Stage::new();
        let plan = stage.plan();
        (stage, plan)
    };
    let alterations: [fn(&mut Plan); 6] = [
        |plan| plan.reason = plan.reason.replace("Xid", "Yid"),
        |plan| plan.id = "000000000000".into(),
        |plan| plan.incident = Some("other".into()),
        |plan| plan.steps[0].command = vec!["rm".into(), "-rf".into(), "/".into()],
        |plan| plan.via = "kubernetes".into(),
        |plan| plan.verb = "reboot".into(),
    ];
    for alter in alterations {
        let (mut stage, mut plan) = stage_and_plan();
        alter(&mut plan);
        stage.refused(&plan);
        assert_eq!(stage.slurm.changes.get(), 0, "{plan:?}");
    }
    let (mut stage, mut plan) = stage_and_plan();
    plan.confirm = "gpu[01-99]".into();
    assert!(stage.refused(&plan).contains("not the name of one node"));
}

#[test]
fn what_changed_since_the_plan_is_named() {
    let mut stage = Stage::new();
    let plan = stage.plan();
    stage.slurm.answers([Ok(drained("bad fan"))]);
    let why = stage.refused(&plan);
    assert!(why.contains("bad fan") && why.contains("changed since the plan was made: nobody else"), "{why}");
    stage.slurm.answers([Err(timed_out())]);
    assert!(stage.refused(&plan).contains("could not be found out"));
    assert_eq!(stage.slurm.changes.get(), 0);
}

#[test]
fn nobody_is_hit_unseen() {
    let mut stage = Stage::new();
    stage.slurm.jobs = Err(timed_out());
    let plan = stage.plan();
    assert!(stage.refused(&plan).contains("who is hit"));
}

#[test]
fn a_drain_without_our_mark_is_somebody_elses_even_without_a_reason() {
    let mut stage = Stage::new();
    for theirs in [drained("bad fan"), NodeStatus { reason: None, ..drained("") }, drained("gpudeck: by hand")] {
        stage.slurm.answers([Ok(theirs.clone())]);
        let plan = stage.plan();
        assert_eq!(plan.obstacles().count(), 1, "{theirs:?}");
        stage.refused(&plan);
        let undrain = plan_undrain(&stage.slurm, "gpu01", &stage.journal, stamp(stage.now.get())).unwrap();
        stage.refused(&undrain);
    }
    assert_eq!(stage.slurm.changes.get(), 0);
}

#[test]
fn a_time_out_is_unknown_until_the_node_shows_otherwise() {
    let mut stage = Stage::new();
    (stage.slurm.on_change, stage.slurm.deaf) = (Err(timed_out()), true);
    let plan = stage.plan();
    let Outcome::Unknown { why } = stage.execute(&plan) else { panic!("it claims to know") };
    assert!(why.contains("gave no answer") && why.contains("may still take effect"), "{why}");
    assert_eq!(stage.journal.unfinished().len(), 1);

    // Taken after all: the same time-out, but the node shows it.
    let mut stage = Stage::new();
    stage.slurm.on_change = Err(timed_out());
    let plan = stage.plan();
    assert!(matches!(stage.execute(&plan), Outcome::Done { .. }));
}

#[test]
fn accepted_but_not_to_be_seen_is_unknown() {
    let mut stage = Stage::new();
    stage.slurm.deaf = true;
    let plan = stage.plan();
    let Outcome::Unknown { why } = stage.execute(&plan) else { panic!("it claims to know") };
    assert!(why.contains("took the command, but the node reads IDLE"), "{why}");
}

#[test]
fn a_definite_no_is_a_refusal_with_its_words() {
    let mut stage = Stage::new();
    (stage.slurm.on_change, stage.slurm.deaf) = (Err(Fault::Denied { said: "Invalid user id".into() }), true);
    let plan = stage.plan();
    let outcome = stage.execute(&plan);
    assert!(matches!(&outcome, Outcome::Refused { why } if why.contains("Invalid user id")), "{outcome:?}");
    assert_eq!(outcome.exit_code(), 1);
    assert!(stage.journal.unfinished().is_empty());
}

#[test]
fn what_was_begun_and_never_ended_is_settled_by_looking_not_by_repeating() {
    let mut stage = Stage::new();
    (stage.slurm.on_change, stage.slurm.deaf) = (Err(timed_out()), true);
    let plan = stage.plan();
    stage.execute(&plan);

    let path = stage.folder.path().join("journal.jsonl");
    let mut later = Journal::open(&path).unwrap();
    assert_eq!(later.unfinished()[0].id, plan.id);
    stage.slurm.answers([Ok(drained(&plan.reason))]);
    let settled = settle(&mut later, &stage.slurm, &|| stamp(2_000 * S)).unwrap();
    assert_eq!(settled[0].done, Some(true));
    assert_eq!(stage.slurm.changes.get(), 1);
    assert!(Journal::open(&path).unwrap().unfinished().is_empty());
}

fn incident(id: &str) -> Incident {
    Incident {
        id: id.into(),
        severity: Severity::Fatal,
        started: stamp(1),
        ended: None,
        last: stamp(2),
        root: Root {
            kind: "xid".into(),
            code: Some(79),
            pci: None,
            event: None,
            rule: "gpu-fell-off-the-bus".into(),
            entity: Entity::gpu("GPU-1"),
            title: "GPU has fallen off the bus".into(),
            confidence: Confidence::High,
            reason: "the driver says so".into(),
        },
        symptoms: Vec::new(),
        evidence: Vec::new(),
        class: Class::Bus,
        advice: Vec::new(),
        refuted_by: None,
        hits: Vec::new(),
    }
}

#[test]
fn an_incident_gives_the_reason_and_makes_the_intent_its_own() {
    let mut stage = Stage::new();
    let plan_for = |stage: &Stage, id: &str| {
        plan_drain(&stage.slurm, "gpu01", "", Some(&incident(id)), stamp(stage.now.get())).unwrap()
    };
    let plan = plan_for(&stage, "boot1-79");
    assert_eq!(plan.reason, format!("gpudeck:{} GPU has fallen off the bus", plan.id));
    assert_ne!(plan_for(&stage, "boot2-79").id, plan.id);
    // As a file between planning and acting.
    let plan: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
    assert!(matches!(stage.execute(&plan), Outcome::Done { .. }));

    let undrain = plan_undrain(&stage.slurm, "gpu01", &stage.journal, stamp(stage.now.get())).unwrap();
    assert_eq!((undrain.incident.as_deref(), undrain.reason.as_str()), (Some("boot1-79"), plan.reason.as_str()));
    assert!(matches!(stage.execute(&undrain), Outcome::Done { .. }));
    assert!(matches!(stage.execute(&undrain), Outcome::AlreadySo { .. }));
}

#[test]
fn a_reason_or_an_incident_there_must_be() {
    let stage = Stage::new();
    let refused = |node, reason| plan_drain(&stage.slurm, node, reason, None, stamp(1)).unwrap_err();
    assert_eq!(refused("gpu01", " \n"), ActionError::NoReason);
    assert!(matches!(refused("ALL", "x"), ActionError::NodeName(_)));
}

#[test]
fn the_journal_is_private_and_not_behind_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/journal.jsonl");
    Journal::open(&path).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(folder.path().join("deep")).unwrap().permissions().mode() & 0o777, 0o700);

    let link = folder.path().join("link");
    symlink(&path, &link).unwrap();
    assert!(Journal::open(&link).unwrap_err().to_string().contains("symbolic link"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(Journal::open(&path).unwrap_err().to_string().contains("others may write"));
    assert!(matches!(Journal::open(folder.path()), Err(JournalError::Io { .. })));
}

#[test]
fn a_damaged_journal_stops_all_acting_and_says_where() {
    let mut stage = Stage::new();
    let plan = stage.plan();
    stage.execute(&plan);
    let path = stage.folder.path().join("journal.jsonl");
    let whole = fs::read(&path).unwrap();

    let torn = whole.get(..whole.len() - 10).unwrap();
    fs::write(&path, torn).unwrap();
    let error = Journal::open(&path).unwrap_err();
    assert!(matches!(error, JournalError::Damaged { line: 2, .. }) && error.to_string().contains("nothing is changed"));

    // Damaged by another while it is open: seen at the moment of acting.
    let undrain = plan_undrain(&stage.slurm, "gpu01", &stage.journal, stamp(stage.now.get())).unwrap();
    fs::write(&path, b"not ours\n").unwrap();
    assert!(stage.refused(&undrain).contains("damaged in line 1"));
    assert_eq!(stage.slurm.changes.get(), 1);
}

#[test]
fn two_do_not_act_at_once() {
    let mut stage = Stage::new();
    let path = stage.folder.path().join("journal.jsonl");
    let other = fs::File::open(&path).unwrap();
    rustix::fs::flock(&other, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let plan = stage.plan();
    assert!(stage.refused(&plan).contains("another gpudeck is acting"));
    drop(other);
    assert!(matches!(stage.execute(&plan), Outcome::Done { .. }));
}

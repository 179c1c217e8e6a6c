//! Drain and undrain against a real Slurm of one node (`tests/peers/slurm.sh`): the real commands, the real controller,
//! stopped and killed at the worst moments. Needs root and Slurm; says so where they are missing.
//!
//! The test starts itself once more inside the cluster's namespaces; the environment tells which of the two it is.

#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)] // a test; it starts the cluster and srun

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use actions::mark::Reason;
use actions::{
    Fault, Job, Journal, NodeName, NodeStatus, Outcome, Scheduler, SlurmCli, SlurmSetup, execute, plan_drain,
    plan_undrain, settle,
};
use model::{Plan, Stamp, Step};
use rustix::process::{Pid, Signal, kill_process};
use rustix::time::{ClockId, clock_gettime};

const INSIDE: &str = "GPUDECK_TEST_INSIDE_SLURM";
const NODE: &str = "gpu01";

#[test]
fn a_real_node_is_drained_and_given_back_and_nobody_elses_is() {
    if std::env::var_os(INSIDE).is_some() {
        return scenario();
    }
    let name = "a_real_node_is_drained_and_given_back_and_nobody_elses_is";
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/peers/slurm.sh");
    let log = tempfile::NamedTempFile::new().unwrap();
    // One open file for both streams, so that neither writes over the other.
    let output = log.reopen().unwrap();
    let child = Command::new(script)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .spawn()
        .unwrap();
    let status = Cluster(child).wait(Duration::from_secs(90));
    let said = std::fs::read_to_string(log.path()).unwrap();
    match status {
        // Written past the test's capture, so that a skipped test is never taken for a passed one.
        Some(77) => std::io::stderr().write_all(said.as_bytes()).unwrap(),
        Some(0) => assert!(said.contains("1 passed"), "{said}"),
        other => panic!("inside the cluster: exit {other:?}\n{said}"),
    }
}

/// Takes the cluster down with it, whatever happens.
struct Cluster(Child);

impl Cluster {
    fn wait(mut self, most: Duration) -> Option<i32> {
        for _ in 0..most.as_millis() / 50 {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            sleep(Duration::from_millis(50));
        }
        None
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn scenario() {
    let slurm = slurm(Duration::from_secs(10));
    let mut journal = journal("journal.jsonl");
    drained_under_a_running_job(&slurm, &mut journal);
    given_back(&slurm, &mut journal);
    somebody_elses_stays(&slurm, &mut journal);
    another_nodes_journal_does_not_undrain(&slurm, &mut journal);
    stopped_controller_leaves_it_unknown(&mut journal);
    dead_controller_refuses(&slurm, &mut journal);
}

fn drained_under_a_running_job(slurm: &SlurmCli, journal: &mut Journal) {
    let mut job = Command::new("srun").args(["--gres=gpu:2", "sleep", "60"]).stderr(Stdio::null()).spawn().unwrap();
    wait_for("the job", || !slurm.jobs(&node()).unwrap().is_empty());

    let plan = drain_plan(slurm, "GPU 3 has fallen off the bus: \"Xid 79\"");
    assert_eq!(plan.obstacles().count(), 0, "{plan:#?}");
    assert_eq!(plan.holders.len(), 1);
    assert_eq!(plan.holders[0].owner.as_ref().unwrap().raw(), "root");
    assert!(plan.holders[0].name.raw().contains("gpu:2"), "{:?}", plan.holders);

    assert!(matches!(execute(&plan, "gpu02", journal, slurm, &now), Outcome::Refused { .. }));
    assert!(!status(slurm).drained(), "an unconfirmed plan changed the node");

    let Outcome::Done { state, unrecorded: None } = execute(&plan, NODE, journal, slurm, &now) else {
        panic!("not drained: {:?}", status(slurm));
    };
    assert!(state.draining(), "{state:?}");
    assert_eq!(state.reason.unwrap().raw(), plan.reason);
    assert_eq!(plan.reason, format!("gpudeck:{} GPU 3 has fallen off the bus: Xid 79", plan.id));
    assert_eq!(state.reason_by.unwrap().raw(), "root");
    let set_at = state.reason_at.unwrap().real_ns.unwrap();
    assert!((now().real_ns.unwrap() - set_at).abs() < 60_000_000_000, "Slurm's time is not read as UTC");

    let again = drain_plan(slurm, "GPU 3 has fallen off the bus: \"Xid 79\"");
    assert_eq!((again.id.as_str(), again.steps.len()), (plan.id.as_str(), 0));
    assert!(matches!(execute(&again, NODE, journal, slurm, &now), Outcome::AlreadySo { .. }));
    assert!(journal.unfinished().is_empty());

    assert!(job.try_wait().unwrap().is_none(), "the drain ended a running job");
    by_hand("scancel", &["--user=root"]);
    job.wait().unwrap();
    wait_for("drained", || status(slurm).drained() && !status(slurm).draining());
}

fn given_back(slurm: &SlurmCli, journal: &mut Journal) {
    let plan = plan_undrain(slurm, NODE, journal, now()).unwrap();
    assert_eq!(plan.obstacles().count(), 0, "{plan:#?}");
    assert!(matches!(execute(&plan, NODE, journal, slurm, &now), Outcome::Done { .. }));
    wait_for("idle", || status(slurm).state == ["IDLE"]);
    assert_eq!(status(slurm).reason, None);
    assert!(matches!(execute(&plan, NODE, journal, slurm, &now), Outcome::AlreadySo { .. }));
}

fn somebody_elses_stays(slurm: &SlurmCli, journal: &mut Journal) {
    let planned_before = drain_plan(slurm, "Xid 79");
    by_hand("scontrol", &["update", "NodeName=gpu01", "State=DRAIN", "Reason=bad fan, ask Ada"]);
    let theirs = status(slurm);

    let Outcome::Refused { why } = execute(&planned_before, NODE, journal, slurm, &now) else { panic!("overwritten") };
    assert!(why.contains("bad fan, ask Ada") && why.contains("changed since"), "{why}");
    let planned_after = drain_plan(slurm, "Xid 79");
    assert_eq!(planned_after.obstacles().count(), 1);
    assert!(matches!(execute(&planned_after, NODE, journal, slurm, &now), Outcome::Refused { .. }));
    let undrain = plan_undrain(slurm, NODE, journal, now()).unwrap();
    assert!(undrain.steps.is_empty());
    assert!(matches!(execute(&undrain, NODE, journal, slurm, &now), Outcome::Refused { .. }));

    assert_eq!(status(slurm), theirs, "somebody else's drain was touched");
    by_hand("scontrol", &["update", "NodeName=gpu01", "State=UNDRAIN"]);
}

fn another_nodes_journal_does_not_undrain(slurm: &SlurmCli, journal: &mut Journal) {
    let plan = drain_plan(slurm, "row remap pending");
    assert!(matches!(execute(&plan, NODE, journal, slurm, &now), Outcome::Done { .. }));
    let mut elsewhere = self::journal("elsewhere.jsonl");
    let undrain = plan_undrain(slurm, NODE, &elsewhere, now()).unwrap();
    let Outcome::Refused { why } = execute(&undrain, NODE, &mut elsewhere, slurm, &now) else { panic!("undrained") };
    assert!(why.contains("is not in it"), "{why}");
    assert!(status(slurm).drained());
    let undrain = plan_undrain(slurm, NODE, journal, now()).unwrap();
    assert!(matches!(execute(&undrain, NODE, journal, slurm, &now), Outcome::Done { .. }));
    wait_for("idle", || status(slurm).state == ["IDLE"]);
}

fn stopped_controller_leaves_it_unknown(journal: &mut Journal) {
    let hasty = slurm(Duration::from_secs(1));
    let stopping = StopsTheController(&hasty);
    let plan = drain_plan(&stopping, "NVLink down");
    let outcome = execute(&plan, NODE, journal, &stopping, &now);
    let Outcome::Unknown { why } = &outcome else { panic!("{outcome:?}") };
    assert!(why.contains("gave no answer") && outcome.exit_code() == 3, "{why}");
    assert_eq!(journal.unfinished().len(), 1);

    // Asked while it does not answer: nothing is claimed.
    assert_eq!(settle(journal, &hasty, &now).unwrap()[0].done, None);
    let Outcome::Refused { why } = execute(&plan, NODE, journal, &hasty, &now) else { panic!("acted blindly") };
    assert!(why.contains("could not be found out"), "{why}");

    signal_controller(Signal::CONT);
    let patient = slurm(Duration::from_secs(10));
    wait_for("the drain that was sent to the stopped controller", || status(&patient).drained());
    let reread = Journal::open(&scratch().join("journal.jsonl")).unwrap();
    assert_eq!(reread.unfinished().len(), 1, "what a next start of gpudeck finds");
    drop(reread);
    assert_eq!(settle(journal, &patient, &now).unwrap()[0].done, Some(true));
    assert!(journal.unfinished().is_empty());

    let undrain = plan_undrain(&patient, NODE, journal, now()).unwrap();
    assert!(matches!(execute(&undrain, NODE, journal, &patient, &now), Outcome::Done { .. }));
}

fn dead_controller_refuses(slurm: &SlurmCli, journal: &mut Journal) {
    signal_controller(Signal::KILL);
    // Until it is gone altogether, connections to it break off instead of being refused.
    wait_for("the end of the controller", || rustix::process::test_kill_process(controller()).is_err());
    // Slurm's commands try for 9 s.
    let plan = drain_plan(slurm, "NVLink down");
    let entries = journal.entries().len();
    let Outcome::Refused { why } = execute(&plan, NODE, journal, slurm, &now) else { panic!("it cannot have acted") };
    assert!(why.contains("controller does not answer") && why.contains("connect failure"), "{why}");
    assert_eq!(journal.entries().len(), entries + 1, "the refusal and no intent");
}

/// Slurm whose controller hangs between the last look and the act.
struct StopsTheController<'a>(&'a SlurmCli);

impl Scheduler for StopsTheController<'_> {
    fn via(&self) -> &'static str {
        self.0.via()
    }

    fn node(&self, node: &NodeName) -> Result<NodeStatus, Fault> {
        self.0.node(node)
    }

    fn jobs(&self, node: &NodeName) -> Result<Vec<Job>, Fault> {
        self.0.jobs(node)
    }

    fn drain_step(&self, node: &NodeName, reason: &Reason) -> Step {
        self.0.drain_step(node, reason)
    }

    fn undrain_step(&self, node: &NodeName, reason: &Reason) -> Step {
        self.0.undrain_step(node, reason)
    }

    fn drain(&self, node: &NodeName, reason: &Reason) -> Result<(), Fault> {
        signal_controller(Signal::STOP);
        self.0.drain(node, reason)
    }

    fn undrain(&self, node: &NodeName) -> Result<(), Fault> {
        self.0.undrain(node)
    }
}

fn slurm(deadline: Duration) -> SlurmCli {
    let slurm_conf = std::env::var_os("SLURM_CONF").map(PathBuf::from);
    SlurmCli::on_this_node(SlurmSetup { slurm_conf, deadline, ..SlurmSetup::default() }).unwrap()
}

fn scratch() -> PathBuf {
    PathBuf::from(std::env::var_os("SLURM_PEER_DIR").unwrap())
}

fn journal(name: &str) -> Journal {
    Journal::open(&scratch().join(name)).unwrap()
}

fn drain_plan(slurm: &dyn Scheduler, reason: &str) -> Plan {
    plan_drain(slurm, NODE, reason, None, now()).unwrap()
}

fn node() -> NodeName {
    NodeName::of_this_host().unwrap()
}

fn status(slurm: &SlurmCli) -> NodeStatus {
    slurm.node(&node()).unwrap()
}

fn controller() -> Pid {
    Pid::from_raw(std::env::var("SLURM_PEER_CTLD").unwrap().parse().unwrap()).unwrap()
}

fn signal_controller(signal: Signal) {
    kill_process(controller(), signal).unwrap();
}

fn by_hand(program: &str, arguments: &[&str]) {
    assert!(Command::new(program).args(arguments).status().unwrap().success());
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..100 {
        if is_so() {
            return;
        }
        sleep(Duration::from_millis(100));
    }
    panic!("waited 10 s in vain for {what}");
}

fn now() -> Stamp {
    let ns = |clock| {
        let time = clock_gettime(clock);
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    };
    Stamp::new(u64::try_from(ns(ClockId::Monotonic)).unwrap(), ns(ClockId::Realtime))
}

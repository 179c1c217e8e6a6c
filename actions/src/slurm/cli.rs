//! Runs `scontrol` and `squeue` on this node. What they say on stderr is sorted by [`SAID`], whose texts come from
//! Slurm's `slurm_errno` messages and were seen on 22.05.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Step;

use crate::mark::Reason;
use crate::program::{self, Ended};
use crate::scheduler::{Fault, Job, NodeName, NodeStatus, Scheduler};
use crate::slurm::text::{JOB_FORMAT, read_jobs, read_node};

/// How to reach Slurm; the default finds it where packages put it.
#[derive(Clone, Debug)]
pub struct SlurmSetup {
    /// `scontrol`, absolute; searched in the usual system folders when not given.
    pub scontrol: Option<PathBuf>,
    /// `squeue`, likewise.
    pub squeue: Option<PathBuf>,
    /// `SLURM_CONF` for them; where it is not given they find it themselves.
    pub slurm_conf: Option<PathBuf>,
    /// How long one command may take. Slurm's own patience (`MessageTimeout`) is 10 s by default, and a dead controller
    /// is reported after 9 s.
    pub deadline: Duration,
}

impl Default for SlurmSetup {
    fn default() -> Self {
        Self { scontrol: None, squeue: None, slurm_conf: None, deadline: Duration::from_secs(10) }
    }
}

/// The real Slurm, through its commands. Changes nodes: never made where a recording is shown.
#[derive(Debug)]
pub struct SlurmCli {
    scontrol: PathBuf,
    squeue: PathBuf,
    environment: Vec<(&'static str, OsString)>,
    deadline: Duration,
}

impl SlurmCli {
    /// Slurm's commands on this node: the only way to a scheduler that really acts. For the commands `drain` and
    /// `undrain` and the live deck; replay, reports and diagnoses have no business here.
    pub fn on_this_node(setup: SlurmSetup) -> Result<Self, Fault> {
        let find = |name: &str, given: Option<&PathBuf>| {
            program::find(name, given.map(PathBuf::as_path))
                .map_err(|why| Fault::NotStarted { program: name.to_owned(), why })
        };
        let scontrol = find("scontrol", setup.scontrol.as_ref())?;
        let squeue = find("squeue", setup.squeue.as_ref())?;
        // Times in UTC, words in English; everything else from slurm.conf, not from the caller's environment.
        let mut environment = vec![
            ("PATH", OsString::from("/usr/sbin:/usr/bin:/sbin:/bin")),
            ("LC_ALL", OsString::from("C")),
            ("TZ", OsString::from("UTC")),
        ];
        environment.extend(setup.slurm_conf.map(|conf| ("SLURM_CONF", conf.into_os_string())));
        Ok(Self { scontrol, squeue, environment, deadline: setup.deadline })
    }

    fn update(&self, node: &NodeName, state: &str, reason: Option<&str>) -> Vec<String> {
        let mut command = vec![
            self.scontrol.display().to_string(),
            "update".to_owned(),
            format!("NodeName={node}"),
            format!("State={state}"),
        ];
        command.extend(reason.map(|reason| format!("Reason={reason}")));
        command
    }

    /// Runs `program` and returns what it printed, or what its failure means for `what` was asked.
    fn run(&self, program: &Path, what: &str, arguments: &[String]) -> Result<String, Fault> {
        let environment = self.environment.iter().map(|(name, value)| (*name, value.as_os_str()));
        let what = what.to_owned();
        match program::run(program, arguments, environment, self.deadline) {
            Ended::NotStarted(why) => Err(Fault::NotStarted { program: program.display().to_string(), why }),
            Ended::TimedOut => Err(Fault::TimedOut { what, after: self.deadline }),
            Ended::Exited { status, stdout, stderr } => {
                let out = String::from_utf8_lossy(&stdout.bytes).into_owned();
                let said = format!("{} {}", String::from_utf8_lossy(&stderr.bytes).trim(), out.trim());
                match status.code() {
                    Some(0) if stdout.cut => Err(Fault::Unreadable { what, found: "more than 1 MiB".to_owned() }),
                    Some(0) => Ok(out),
                    Some(_) => Err(sort(what, &said)),
                    None => Err(Fault::Unclear { what, said: format!("ended by {status}") }),
                }
            }
        }
    }
}

/// What a failed command said, and what that means for what was asked.
#[derive(Clone, Copy, Debug)]
enum Meaning {
    /// The controller was never reached.
    Unreachable,
    /// It was reached, or may have been, and did not answer.
    Unclear,
    /// It knows no such node.
    UnknownNode,
    /// It knows this user, and that is not enough.
    Denied,
    /// It understood and said no.
    Refused,
}

/// Texts in the order in which they are looked for. "Unable to contact slurm controller" comes in several kinds; only a
/// failed connect proves that nothing was sent. A text that is not here (also the C library's "Transport endpoint is not
/// connected", which a dying controller leaves behind) proves nothing either way: it is [`Meaning::Unclear`].
const SAID: &[(&str, Meaning)] = &[
    ("(connect failure)", Meaning::Unreachable),
    ("in standby mode", Meaning::Unreachable),
    ("Could not establish a configuration source", Meaning::Unreachable),
    ("Unable to contact slurm controller", Meaning::Unclear),
    ("Invalid node name", Meaning::UnknownNode),
    ("not found", Meaning::UnknownNode),
    ("Invalid user id", Meaning::Denied),
    ("ermission denied", Meaning::Denied),
    ("error: Invalid", Meaning::Refused),
];

fn sort(what: String, said: &str) -> Fault {
    let meaning = SAID.iter().find(|(text, _)| said.contains(text)).map_or(Meaning::Unclear, |(_, meaning)| *meaning);
    let said = model::text::clean(said.trim(), 300);
    match meaning {
        Meaning::Unreachable => Fault::Unreachable { said },
        Meaning::Unclear => Fault::Unclear { what, said },
        Meaning::UnknownNode => Fault::UnknownNode { said },
        Meaning::Denied => Fault::Denied { said },
        Meaning::Refused => Fault::Refused { what, said },
    }
}

impl Scheduler for SlurmCli {
    fn via(&self) -> &'static str {
        "slurm"
    }

    fn node(&self, node: &NodeName) -> Result<NodeStatus, Fault> {
        let what = "scontrol show node";
        let arguments = ["show", "node", node.as_str()].map(str::to_owned);
        let output = self.run(&self.scontrol, what, &arguments)?;
        read_node(&output, node.as_str()).map_err(|found| Fault::Unreadable { what: what.to_owned(), found })
    }

    fn jobs(&self, node: &NodeName) -> Result<Vec<Job>, Fault> {
        let arguments = [
            "--noheader".to_owned(),
            format!("--nodelist={node}"),
            // Only states in which a job holds its nodes; a waiting job that asks for this node is not hit yet.
            "--states=RUNNING,COMPLETING,CONFIGURING,SUSPENDED".to_owned(),
            format!("--format={JOB_FORMAT}"),
        ];
        let output = self.run(&self.squeue, "squeue", &arguments)?;
        read_jobs(&output).map_err(|found| Fault::Unreadable { what: "squeue".to_owned(), found })
    }

    fn drain_step(&self, node: &NodeName, reason: &Reason) -> Step {
        Step {
            what: "keep new jobs off the node; jobs that run go on to their end".to_owned(),
            command: self.update(node, "DRAIN", Some(&reason.to_string())),
            undo: Some(self.update(node, "UNDRAIN", None)),
        }
    }

    // UNDRAIN, not RESUME: it takes the drain away and nothing else, so a node that is down stays down (scontrol(1)).
    fn undrain_step(&self, node: &NodeName, reason: &Reason) -> Step {
        Step {
            what: "let new jobs onto the node again".to_owned(),
            command: self.update(node, "UNDRAIN", None),
            undo: Some(self.update(node, "DRAIN", Some(&reason.to_string()))),
        }
    }

    fn drain(&self, node: &NodeName, reason: &Reason) -> Result<(), Fault> {
        let command = self.update(node, "DRAIN", Some(&reason.to_string()));
        self.run(&self.scontrol, "scontrol update", command.get(1..).unwrap_or_default()).map(drop)
    }

    fn undrain(&self, node: &NodeName) -> Result<(), Fault> {
        let command = self.update(node, "UNDRAIN", None);
        self.run(&self.scontrol, "scontrol update", command.get(1..).unwrap_or_default()).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failed_connect_proves_that_nothing_was_asked() {
        let sorted = |said: &str| sort("scontrol update".to_owned(), said);
        let dead = sorted("slurm_update error: Unable to contact slurm controller (connect failure)");
        assert!(matches!(dead, Fault::Unreachable { .. }) && !dead.leaves_unknown());
        for unsure in [
            "slurm_update error: Socket timed out on send/recv operation",
            "slurm_update error: Unable to contact slurm controller (receive failure)",
            "slurm_update error: Zero Bytes were transmitted or received",
            "slurm_update error: Transport endpoint is not connected",
            "",
        ] {
            assert!(sorted(unsure).leaves_unknown(), "{unsure}");
        }
        assert!(matches!(sorted("Node gpu02 not found"), Fault::UnknownNode { .. }));
        assert!(matches!(sorted("slurm_update error: Invalid user id"), Fault::Denied { .. }));
        assert!(matches!(sorted("slurm_update error: Invalid node state specified"), Fault::Refused { .. }));
    }

    #[test]
    fn a_missing_slurm_is_said_with_what_to_do() {
        let setup = SlurmSetup { scontrol: Some("/no/such/scontrol".into()), ..SlurmSetup::default() };
        let fault = SlurmCli::on_this_node(setup).unwrap_err().to_string();
        assert!(fault.contains("scontrol") && fault.contains("/no/such/scontrol"), "{fault}");
    }
}

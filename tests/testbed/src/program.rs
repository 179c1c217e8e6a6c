//! The built program, started with a simulated driver and a sysroot.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Once;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::NamedTempFile;

use crate::{mono_ns, wait_until};

/// The directory that cargo builds into, found from where this program lies.
fn target() -> PathBuf {
    let own = std::env::current_exe().expect("we run from a file");
    let mut directory = own.parent().expect("files lie in directories");
    if directory.ends_with("deps") {
        directory = directory.parent().expect("deps lies in the target directory");
    }
    directory.to_owned()
}

/// A program of this workspace, built as it is now: a stale one would be tested without anybody noticing.
pub fn built(name: &str) -> PathBuf {
    static BUILD: Once = Once::new();
    BUILD.call_once(|| {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // Everything, as `make test` builds it: a narrower choice has other features and would build all anew.
        cargo.args(["build", "--quiet", "--workspace", "--all-targets"]);
        if target().ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo runs").success(), "the programs under test do not build");
    });
    target().join(name)
}

/// The simulated driver library.
pub fn driver_library() -> PathBuf {
    built("libnvml_sim.so")
}

/// A `gpudeck` command line in the making: which node it looks at, and how its driver behaves.
#[derive(Debug)]
pub struct Deck {
    command: Command,
    // Deleted when the run is over.
    scenario: Option<NamedTempFile>,
}

/// A running or ended `gpudeck`.
#[derive(Debug)]
pub struct Run {
    child: Child,
    _scenario: Option<NamedTempFile>,
}

impl Deck {
    /// `gpudeck ARGUMENTS…`
    pub fn new<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(arguments: I) -> Self {
        let mut command = Command::new(built("gpudeck"));
        command.args(arguments).env_remove("GPUDECK_NVML_SIM").env_remove("NO_COLOR").stdin(Stdio::null());
        Self { command, scenario: None }
    }

    /// With a driver that plays this scenario (TOML), its time beginning now.
    pub fn driver(mut self, scenario: &str) -> Self {
        let file = NamedTempFile::new().expect("a temporary file");
        fs::write(file.path(), scenario).expect("writable");
        self.command
            .arg("--nvml-lib")
            .arg(driver_library())
            .env("GPUDECK_NVML_SIM", file.path())
            .env("GPUDECK_NVML_SIM_EPOCH", mono_ns().to_string());
        self.scenario = Some(file);
        self
    }

    /// On the node below this directory.
    pub fn root(mut self, root: &Path) -> Self {
        self.command.arg("--root").arg(root);
        self
    }

    /// With this in its environment.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// With one more argument.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// With standard input from a file.
    pub fn input(mut self, path: &Path) -> Self {
        self.command.stdin(fs::File::open(path).expect("the input is there"));
        self
    }

    /// On a machine of this name: in a UTS namespace of its own. Needs root.
    pub fn on_host(self, name: &str) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--uts", "sh", "-c", r#"hostname "$0" && exec "$@""#, name]).arg(self.command.get_program());
        command.args(self.command.get_args()).stdin(Stdio::null());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Self { command, scenario: self.scenario }
    }

    /// Runs it to its end.
    pub fn output(mut self) -> Output {
        self.command.output().expect("gpudeck starts")
    }

    /// Runs it to its end and gives what it printed, which must be JSON.
    pub fn json(self) -> serde_json::Value {
        let output = self.output();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            panic!("not JSON ({error}): {out}\n{err}")
        })
    }

    /// Starts it; what it says on standard error is kept for [`Run::finish`].
    pub fn start(mut self) -> Run {
        let child = self.command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("gpudeck starts");
        Run { child, _scenario: self.scenario }
    }

    /// Its program, arguments and environment, for a terminal to start.
    pub fn parts(self) -> (Command, Option<NamedTempFile>) {
        (self.command, self.scenario)
    }
}

impl Run {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("our own child");
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().expect("our own child").is_some()
    }

    /// Waits for its end, at most `patience`.
    pub fn finish(mut self, patience: Duration) -> Output {
        let ended = wait_until(patience, || self.child.try_wait().expect("our own child").is_some());
        if !ended {
            let _ended_meanwhile = self.child.kill();
        }
        let output = self.child.wait_with_output().expect("our own child");
        assert!(ended, "gpudeck did not end in time: {}", String::from_utf8_lossy(&output.stderr));
        output
    }
}

//! The one place that starts a program: an absolute path, an argument vector, no shell, an environment of our own, a
//! deadline, and no more output kept than was agreed.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Where system programs lie. The caller's `PATH` is not asked: it may name a folder that somebody else writes to.
const FOLDERS: &[&str] = &["/usr/bin", "/usr/local/bin", "/usr/sbin", "/usr/local/sbin", "/opt/slurm/bin", "/bin"];

/// The most that is kept of one output stream, in bytes.
pub(crate) const MOST_OUTPUT: u64 = 1 << 20;

/// How often a running program is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long output may still trickle in once the program has ended: something that it left behind may hold the pipe.
const OUTPUT_GRACE: Duration = Duration::from_millis(500);

/// How a program ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself.
    Exited { status: ExitStatus, stdout: Captured, stderr: Captured },
    /// It was killed at the deadline.
    TimedOut,
    /// It never ran.
    NotStarted(String),
}

/// What came out of one stream.
#[derive(Debug, Default)]
pub(crate) struct Captured {
    pub(crate) bytes: Vec<u8>,
    /// Whether there was more than [`MOST_OUTPUT`], or the end was not seen.
    pub(crate) cut: bool,
}

/// Finds a program: the path given, or `name` in the fixed folders. Errs with what to do.
pub(crate) fn find(name: &str, given: Option<&Path>) -> Result<PathBuf, String> {
    match given {
        Some(path) if !path.is_absolute() => Err(format!("{} must be an absolute path", path.display())),
        Some(path) => usable(path).map(|()| path.to_owned()).map_err(|why| format!("{}: {why}", path.display())),
        None => FOLDERS
            .iter()
            .map(|folder| Path::new(folder).join(name))
            .find(|path| usable(path).is_ok())
            .ok_or_else(|| format!("not found in {}; install it or give its path", FOLDERS.join(", "))),
    }
}

fn usable(path: &Path) -> Result<(), String> {
    let found = path.metadata().map_err(|error| error.to_string())?;
    let mode = found.permissions().mode();
    if !found.is_file() || mode & 0o111 == 0 {
        return Err("not an executable file".to_owned());
    }
    if mode & 0o002 != 0 || (mode & 0o020 != 0 && found.gid() != 0) {
        return Err("others may write to it, so it is not run".to_owned());
    }
    Ok(())
}

/// Runs a program and waits for it, at most `deadline`.
///
/// The deadline is counted in the sleeps between two looks, so that no clock is read; on a busy machine it is a little
/// longer than asked.
pub(crate) fn run<'a>(
    program: &Path,
    arguments: &[String],
    environment: impl IntoIterator<Item = (&'a str, &'a OsStr)>,
    deadline: Duration,
) -> Ended {
    #[allow(clippy::disallowed_methods)] // Actions are what this program starts others for; this is the only place.
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // A group of its own: Ctrl-C in the terminal must not tear a change in two.
    command.process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ended::NotStarted(error.to_string()),
    };
    let stdout = capture(child.stdout.take());
    let stderr = capture(child.stderr.take());
    match wait(&mut child, deadline) {
        Ok(Some(status)) => Ended::Exited { status, stdout: collect(&stdout), stderr: collect(&stderr) },
        // A child that cannot be waited for has an unknown end, just as one that takes too long.
        Ok(None) | Err(_) => {
            kill(&mut child);
            Ended::TimedOut
        }
    }
}

fn wait(child: &mut Child, deadline: Duration) -> std::io::Result<Option<ExitStatus>> {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if waited >= deadline {
            return Ok(None);
        }
        thread::sleep(LOOK_EVERY);
        waited += LOOK_EVERY;
    }
}

/// Kills it and what it started. A process in an uninterruptible call does not die at once: a thread waits for it, so
/// that nobody else has to.
fn kill(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group {
        // Fails only when it has just ended by itself.
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).ok();
        thread::spawn(move || rustix::process::waitpid(Some(group), rustix::process::WaitOptions::empty()).ok());
    }
}

fn capture(stream: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Captured> {
    let (sender, receiver) = mpsc::channel();
    if let Some(mut stream) = stream {
        thread::spawn(move || {
            let mut bytes = Vec::new();
            let read = stream.by_ref().take(MOST_OUTPUT + 1).read_to_end(&mut bytes);
            let most = usize::try_from(MOST_OUTPUT).unwrap_or(usize::MAX);
            let cut = read.is_err() || bytes.len() > most;
            bytes.truncate(most);
            // The receiver is gone when the deadline has passed: then nobody wants it.
            drop(sender.send(Captured { bytes, cut }));
            // Reads on, so that a program that says too much is not stopped by a full pipe.
            drop(std::io::copy(&mut stream, &mut std::io::sink()));
        });
    }
    receiver
}

fn collect(receiver: &mpsc::Receiver<Captured>) -> Captured {
    receiver.recv_timeout(OUTPUT_GRACE).unwrap_or(Captured { bytes: Vec::new(), cut: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, deadline: Duration) -> Ended {
        run(Path::new("/bin/sh"), &["-c".to_owned(), script.to_owned()], [("LC_ALL", OsStr::new("C"))], deadline)
    }

    #[test]
    fn output_and_exit_code_are_told() {
        let Ended::Exited { status, stdout, stderr } = shell("echo out; echo err >&2; exit 3", Duration::from_secs(5))
        else {
            panic!("it did not exit");
        };
        assert_eq!(
            (status.code(), stdout.bytes.as_slice(), stderr.bytes.as_slice()),
            (Some(3), &b"out\n"[..], &b"err\n"[..])
        );
    }

    #[test]
    fn the_environment_is_only_what_was_given() {
        let Ended::Exited { stdout, .. } = shell("env", Duration::from_secs(5)) else { panic!("it did not exit") };
        let text = String::from_utf8(stdout.bytes).unwrap();
        assert!(text.contains("LC_ALL=C") && !text.contains("CARGO") && !text.contains("HOME="), "{text}");
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        // A length that no other process sleeps for, by which the two are found again.
        let length = format!("30.{}", std::process::id());
        let ended = shell(&format!("sleep {length} & sleep {length}"), Duration::from_millis(100));
        assert!(matches!(ended, Ended::TimedOut));
        let alive = || {
            std::fs::read_dir("/proc").unwrap().flatten().any(|process| {
                std::fs::read_to_string(process.path().join("cmdline")).is_ok_and(|line| line.contains(&length))
            })
        };
        for _ in 0..100 {
            if !alive() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it lives on");
    }

    #[test]
    fn too_much_output_is_cut_and_said() {
        let Ended::Exited { stdout, .. } = shell("head -c 3000000 /dev/zero", Duration::from_secs(10)) else {
            panic!("it did not exit");
        };
        assert!(stdout.cut && stdout.bytes.len() == 1 << 20);
    }

    #[test]
    fn programs_are_not_searched_where_the_caller_says() {
        assert!(find("sh", None).unwrap().is_absolute());
        assert!(find("no-such-program", None).unwrap_err().contains("/usr/bin"));
        assert!(find("sh", Some(Path::new("bin/sh"))).unwrap_err().contains("absolute"));
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("open");
        std::fs::write(&open, "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(find("x", Some(&open)).unwrap_err().contains("others may write"));
    }
}

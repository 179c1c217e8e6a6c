//! A real FUSE mount served by a process of its own, which a test can stop.

use std::fs::{self, File};
use std::io::Read;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::program::built;
use crate::wait_until;

/// The mount. Dropping it lets the daemon go on, aborts what hangs, and unmounts: nothing is left behind.
#[derive(Debug)]
pub struct CacheFs {
    directory: PathBuf,
    daemon: Child,
    // Deleted after the mount is gone.
    _temporary: Option<TempDir>,
}

impl CacheFs {
    /// Mounts it on a directory of its own; `None`, with the reason on standard error, where this machine cannot.
    pub fn mount() -> Option<Self> {
        let temporary = TempDir::new().expect("a temporary directory");
        let mut mounted = Self::mount_at(temporary.path())?;
        mounted._temporary = Some(temporary);
        Some(mounted)
    }

    /// Mounts it here.
    pub fn mount_at(directory: &Path) -> Option<Self> {
        if !crate::is_root() || !Path::new("/dev/fuse").exists() {
            let _nobody_reads = writeln!(std::io::stderr(), "skipped: a FUSE mount needs root and /dev/fuse");
            return None;
        }
        fs::create_dir_all(directory).expect("writable");
        let daemon = Command::new(built("cache-fs"))
            .arg(directory)
            .stdin(Stdio::null())
            .spawn()
            .expect("the file system's program is built");
        let mounted = Self { directory: directory.to_owned(), daemon, _temporary: None };
        let up = wait_until(Duration::from_secs(10), || mounted.connection().is_some());
        assert!(up, "the file system was not mounted within 10 s");
        // Needed for `abort` and `waiting`; a machine without systemd does not have it.
        if fs::read_dir("/sys/fs/fuse/connections").is_ok_and(|mut entries| entries.next().is_none()) {
            let _mounted_by_somebody_else = Command::new("mount")
                .args(["-t", "fusectl", "none", "/sys/fs/fuse/connections"])
                .stderr(Stdio::null())
                .status();
        }
        Some(mounted)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.directory.clone()
    }

    /// Reads the first `bytes` of its data.
    pub fn read(&self, bytes: u64) {
        let file = File::open(self.path().join("data")).expect("the data is there");
        let read = file.take(bytes).read_to_end(&mut Vec::new()).expect("readable");
        assert_eq!(u64::try_from(read).expect("fits"), bytes);
    }

    /// Stops the daemon (SIGSTOP): it answers nothing any more.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn go_on(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.daemon.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("our own child");
    }

    /// The number of the connection: the minor of its device, from mountinfo, which never asks the daemon.
    fn connection(&self) -> Option<u32> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let path = self.directory.to_str()?;
        let line = mounts.lines().find(|line| line.split(' ').nth(4) == Some(path))?;
        line.split(' ').nth(2)?.split_once(':')?.1.parse().ok()
    }
}

impl Drop for CacheFs {
    fn drop(&mut self) {
        self.go_on();
        if let Some(number) = self.connection() {
            let _gone_already = fs::write(format!("/sys/fs/fuse/connections/{number}/abort"), "1");
        }
        let _gone_already = Command::new("umount").arg("-l").arg(&self.directory).stderr(Stdio::null()).status();
        let _ended_already = self.daemon.kill();
        let _reaped = self.daemon.wait();
    }
}

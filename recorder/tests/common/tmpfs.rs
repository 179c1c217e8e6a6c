#![allow(clippy::disallowed_methods, reason = "mount(8) is a program")]

use std::path::Path;
use std::process::Command;

/// A small file system of our own, gone when dropped.
#[derive(Debug)]
pub struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    /// Mounts one of this size, such as `256k`; needs root.
    pub fn mount(size: &str) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "gpudeck-test"])
            .arg(directory.path())
            .output()
            .map_err(|error| error.to_string())?;
        mounted
            .status
            .success()
            .then_some(Self(directory))
            .ok_or_else(|| String::from_utf8_lossy(&mounted.stderr).into_owned())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0.path()).status().unwrap();
    }
}

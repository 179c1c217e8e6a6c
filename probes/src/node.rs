//! Which node is read: the one we run on, or a tree of files below `--root`.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// `f_type` of a live procfs (statfs(2), `linux/magic.h` PROC_SUPER_MAGIC).
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// Where the node's `/sys`, `/proc` and `/dev` are, and how it is to be read.
#[derive(Clone, Debug)]
pub struct Node {
    root: PathBuf,
    live: bool,
    /// The driver library, where it was named.
    pub nvml_lib: Option<PathBuf>,
    /// How long between two readings of fast sources.
    pub interval: Duration,
    /// How long between two readings of what is read faster than that; `None`: nothing is.
    pub burst: Option<Duration>,
    /// Whether command lines may be read; they can hold secrets.
    pub command_lines: bool,
}

impl Node {
    /// The node whose files lie below `root` (`/` for this one). A tree without a live procfs is a captured one:
    /// nothing but its files is read.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let live = root == Path::new("/")
            || rustix::fs::statfs(root.join("proc"))
                .is_ok_and(|stat| u64::try_from(stat.f_type).is_ok_and(|magic| magic == PROC_SUPER_MAGIC));
        Self { root, live, nvml_lib: None, interval: Duration::from_secs(1), burst: None, command_lines: false }
    }

    /// With this driver library.
    pub fn with_nvml_lib(self, nvml_lib: Option<PathBuf>) -> Self {
        Self { nvml_lib, ..self }
    }

    /// With this interval between two readings of fast sources.
    pub fn every(self, interval: Duration) -> Self {
        Self { interval, ..self }
    }

    /// With this interval between two readings of what is read fastest.
    pub fn burst_every(self, burst: Option<Duration>) -> Self {
        Self { burst, ..self }
    }

    /// The path of a file of the node, given as on the node (`/proc/stat`).
    pub fn path(&self, absolute: impl AsRef<Path>) -> PathBuf {
        let absolute = absolute.as_ref();
        self.root.join(absolute.strip_prefix("/").unwrap_or(absolute))
    }

    /// Whether the files are those of a running kernel, rather than a captured tree.
    pub fn live(&self) -> bool {
        self.live
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether it is the node that we run on, seen from its own root.
    pub fn is_here(&self) -> bool {
        self.root == Path::new("/")
    }
}

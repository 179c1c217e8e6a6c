//! Which processes hold a GPU: those that have one of its device files open.
//!
//! Links below `/proc/PID/fd` are read and never followed (proc(5)); opening a device file could wake or wait for a
//! driver.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;

use super::gpus::{DeviceFile, device_file};
use super::parse;
use crate::Node;
use crate::tree::Directory;

/// The most open files looked at in one process.
const MOST_FILES: usize = 16_384;
/// The most processes looked at in one search.
const MOST_PROCESSES: usize = 32_768;
/// Searches in which a new process is looked at every time; later only every so many searches, in turns.
const WHILE_NEW: u32 = 6;

/// Finds the processes that hold a GPU.
#[derive(Debug, Default)]
pub(super) struct Search {
    /// Of the processes that hold none: in how many searches.
    without: HashMap<u32, u32>,
    /// Processes whose open files could not be looked at in the last search.
    pub(super) denied: usize,
}

impl Search {
    /// Looks at all processes: those that hold a GPU, with the device files.
    pub(super) fn all(&mut self, node: &Node, pids: &[u32]) -> BTreeMap<u32, BTreeSet<DeviceFile>> {
        let mut holders = BTreeMap::new();
        let mut without = HashMap::new();
        self.denied = 0;
        for pid in pids.iter().copied().take(MOST_PROCESSES) {
            let searches = self.without.get(&pid).copied().unwrap_or(0);
            let is_turn = searches < WHILE_NEW || searches.wrapping_add(pid) % WHILE_NEW == 0;
            match if is_turn { device_files(node, pid) } else { Ok(BTreeSet::new()) } {
                Ok(files) if files.is_empty() => {
                    without.insert(pid, searches.saturating_add(1));
                }
                Ok(files) => {
                    holders.insert(pid, files);
                }
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    self.denied += usize::from(!is_of_kernel(node, pid));
                }
                // It ended meanwhile.
                Err(_) => {}
            }
        }
        self.without = without;
        holders
    }
}

/// The device files of GPUs that a process has open.
///
/// # Errors
/// It ended, or it is somebody else's.
pub(super) fn device_files(node: &Node, pid: u32) -> io::Result<BTreeSet<DeviceFile>> {
    let open = Directory::open(node, format!("/proc/{pid}/fd"))?;
    let targets = open.names()?.into_iter().take(MOST_FILES).filter_map(|name| open.link(&name).ok());
    Ok(targets.filter_map(|target| device_file(target.to_str()?)).collect())
}

fn is_of_kernel(node: &Node, pid: u32) -> bool {
    let stat = Directory::open(node, format!("/proc/{pid}")).and_then(|process| process.bytes("stat", 4096));
    stat.ok().and_then(|bytes| parse::stat(&bytes)).is_some_and(|stat| stat.of_kernel)
}

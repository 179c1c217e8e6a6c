//! Tasks in uninterruptible sleep (state D): what a hung driver or file system leaves behind. Many tasks pass through D
//! for a moment; one that is found there in two scans in a row is stuck.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::parse;

/// Up to this many tasks every thread is looked at; beyond it only each process' first, since a scan must stay cheap.
const MOST_THREADS: u64 = 2_000;
/// The most processes looked at in one scan.
const MOST_PROCESSES: usize = 32_768;

/// Tasks found in D, by task id and start time (ids are reused).
#[derive(Debug, Default)]
pub struct BlockedTasks {
    before: Option<HashSet<(u32, u64)>>,
}

impl BlockedTasks {
    /// Looks at all tasks below `proc`; `tasks` is how many there are, where known. Tells how many were in D now and at
    /// the scan before; `None` at the first scan.
    ///
    /// # Errors
    /// `proc` cannot be listed.
    pub fn scan(&mut self, proc: &Path, tasks: Option<u64>) -> io::Result<Option<u64>> {
        let now = in_d_state(proc, tasks.is_some_and(|count| count <= MOST_THREADS))?;
        let still = self.before.as_ref().map(|before| now.intersection(before).count() as u64);
        self.before = Some(now);
        Ok(still)
    }
}

fn in_d_state(proc: &Path, threads: bool) -> io::Result<HashSet<(u32, u64)>> {
    let mut found = HashSet::new();
    for process in numbered(proc)?.take(MOST_PROCESSES) {
        let directory = proc.join(process.to_string());
        // A process that ended meanwhile has no tasks: not an error.
        match numbered(&directory.join("task")) {
            Ok(tasks) if threads => {
                let tasks: Vec<u32> = tasks.collect();
                found.extend(tasks.into_iter().filter_map(|task| {
                    let stat = directory.join("task").join(task.to_string()).join("stat");
                    Some((task, started_in_d(&stat)?))
                }));
            }
            _ => found.extend(started_in_d(&directory.join("stat")).map(|start| (process, start))),
        }
    }
    Ok(found)
}

fn numbered(directory: &Path) -> io::Result<impl Iterator<Item = u32>> {
    Ok(std::fs::read_dir(directory)?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()))
}

fn started_in_d(stat: &Path) -> Option<u64> {
    let mut bytes = [0; 1024];
    let length = File::open(stat).ok()?.read(&mut bytes).ok()?;
    parse::task(bytes.get(..length)?).and_then(|(state, start)| (state == b'D').then_some(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(proc: &Path, pid: u32, state: char, start: u64) {
        let directory = proc.join(pid.to_string());
        std::fs::create_dir_all(&directory).unwrap();
        let stat = format!("{pid} (python) {state} 1 1 1 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 {start} 0 0");
        std::fs::write(directory.join("stat"), stat).unwrap();
    }

    #[test]
    fn a_task_counts_once_it_is_found_blocked_twice_in_a_row() {
        let tree = tempfile::tempdir().unwrap();
        let mut blocked = BlockedTasks::default();
        task(tree.path(), 10, 'D', 100);
        task(tree.path(), 11, 'S', 100);
        task(tree.path(), 12, 'D', 100);
        assert_eq!(blocked.scan(tree.path(), Some(3)).unwrap(), None);
        task(tree.path(), 11, 'D', 100);
        task(tree.path(), 12, 'D', 900);
        assert_eq!(blocked.scan(tree.path(), Some(3)).unwrap(), Some(1), "11 is new in D, 12 is another task");
        task(tree.path(), 10, 'S', 100);
        assert_eq!(blocked.scan(tree.path(), Some(3)).unwrap(), Some(2));
    }
}

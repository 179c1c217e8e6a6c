//! The files of a process in procfs: pure functions from what they hold to what it means (proc(5), passwd(5)).

use std::collections::{BTreeMap, BTreeSet};

/// The most CPUs that a list may name; Linux takes 8192.
const MOST_CPUS: u32 = 16_384;
/// The flag of a thread of the kernel's own (`include/linux/sched.h`).
const PF_KTHREAD: u64 = 0x0020_0000;
/// The most accounts taken of `passwd`.
const MOST_ACCOUNTS: usize = 65_536;

/// `/proc/PID/stat`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Name of the executable or of the thread, at most 15 bytes; the process may set it to anything.
    pub command: Vec<u8>,
    /// R, S, D, Z, T, …
    pub state: char,
    /// Whether it is a thread of the kernel's own.
    pub of_kernel: bool,
    /// User and system time, clock ticks.
    pub cpu_ticks: u64,
    /// Clock ticks after boot at which it began.
    pub start: u64,
}

/// The name stands in parentheses and may hold parentheses and spaces itself: the last one closes it.
pub fn stat(bytes: &[u8]) -> Option<Stat> {
    let open = bytes.iter().position(|byte| *byte == b'(')?;
    let close = bytes.iter().rposition(|byte| *byte == b')')?;
    let command = bytes.get(open + 1..close)?.to_vec();
    let rest = std::str::from_utf8(bytes.get(close + 1..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    // From field 3 on: flags are field 9, user time is 14, system time 15, start 22.
    let flags: u64 = fields.nth(5)?.parse().ok()?;
    let user: u64 = fields.nth(4)?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    let start = fields.nth(6)?.parse().ok()?;
    Some(Stat { command, state, of_kernel: flags & PF_KTHREAD != 0, cpu_ticks: user.saturating_add(system), start })
}

/// `/proc/PID/status`, as far as it is told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Effective user id.
    pub uid: Option<u32>,
    /// Resident memory, bytes. A zombie and a kernel thread have none.
    pub resident: Option<u64>,
    /// CPUs that it may run on.
    pub cpus: Option<BTreeSet<u32>>,
}

/// Lines `Key:\tvalue`.
pub fn status(text: &str) -> Status {
    let mut status = Status::default();
    for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
        let mut words = value.split_ascii_whitespace();
        match key {
            "Uid" => status.uid = words.nth(1).and_then(|word| word.parse().ok()),
            "VmRSS" => {
                let kibibytes = words.next().and_then(|word| word.parse::<u64>().ok());
                status.resident = kibibytes.map(|count| count.saturating_mul(1024));
            }
            "Cpus_allowed_list" => status.cpus = cpu_list(value),
            _ => {}
        }
    }
    status
}

/// A list of CPUs as the kernel writes it: `0-3,8,10-11`. `None`: not such a list. An empty list is an empty set.
pub fn cpu_list(text: &str) -> Option<BTreeSet<u32>> {
    let mut cpus = BTreeSet::new();
    for part in text.trim().split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        if first > last || last >= MOST_CPUS {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// `/etc/passwd`: user ids and names; of several names the first.
pub fn accounts(text: &str) -> BTreeMap<u32, String> {
    let mut accounts = BTreeMap::new();
    for line in text.lines().take(MOST_ACCOUNTS) {
        let mut fields = line.split(':');
        let (Some(name), Some(Ok(uid))) = (fields.next(), fields.nth(1).map(str::parse)) else { continue };
        if !name.is_empty() {
            accounts.entry(uid).or_insert_with(|| name.to_owned());
        }
    }
    accounts
}

/// `/proc/PID/cmdline`: arguments, each ended by NUL.
pub fn command_line(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let line = text.trim_end_matches('\0').replace('\0', " ");
    (!line.trim().is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_with_parentheses_does_not_move_the_fields() {
        let line = b"4321 (py) R 1 (x) D 1 4321 4321 0 -1 4194560 1 2 3 4 250 50 0 0 20 0 9 0 987654 1 2 3\n";
        let stat = stat(line).unwrap();
        assert_eq!(stat.command, b"py) R 1 (x");
        assert_eq!((stat.state, stat.of_kernel, stat.cpu_ticks, stat.start), ('D', false, 300, 987_654));
        let thread = super::stat(b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 1 0 0 20 0 1 0 7 0 0\n").unwrap();
        assert!(thread.of_kernel);
        assert_eq!(super::stat(b"1 (init"), None);
        assert_eq!(super::stat(b"1 (init) S 1"), None);
    }

    #[test]
    fn status_tells_user_memory_and_cpus() {
        let found =
            status("Name:\tpython\nUid:\t1000\t1001\t1000\t1000\nVmRSS:\t  2048 kB\nCpus_allowed_list:\t0-2,5\n");
        assert_eq!(found.uid, Some(1001));
        assert_eq!(found.resident, Some(2 << 20));
        assert_eq!(found.cpus, Some(BTreeSet::from([0, 1, 2, 5])));
        assert_eq!(status("Name:\tkworker\nUid:\tx\n"), Status::default());
    }

    #[test]
    fn a_list_of_cpus_that_would_fill_the_memory_is_none() {
        assert_eq!(cpu_list("0-4294967295"), None);
        assert_eq!(cpu_list("5-1"), None);
        assert_eq!(cpu_list("a"), None);
        assert_eq!(cpu_list("\n"), Some(BTreeSet::new()));
    }

    #[test]
    fn accounts_keep_the_first_name_of_a_number() {
        let text = "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\nann:x:1000:\nbroken\n:x:5:\n";
        assert_eq!(accounts(text), BTreeMap::from([(0, "root".to_owned()), (1000, "ann".to_owned())]));
    }

    #[test]
    fn arguments_are_joined() {
        assert_eq!(command_line(b"python\0train.py\0--lr\x001\0").as_deref(), Some("python train.py --lr 1"));
        assert_eq!(command_line(b"\0"), None);
    }

    proptest! {
        #[test]
        fn nothing_that_a_file_holds_panics(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (stat(&bytes), command_line(&bytes), status(&text), cpu_list(&text), accounts(&text));
        }
    }
}

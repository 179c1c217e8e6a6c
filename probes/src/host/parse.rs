//! The texts of `/proc` that the host probe reads (proc(5), `Documentation/accounting/psi.rst`): pure functions from
//! text to numbers. `None`: the text does not hold it.

use model::reading::count_as_f64;

/// CPU time since boot, all CPUs together, in clock ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTimes {
    /// Spent in user space, the kernel and interrupts.
    pub busy: u64,
    /// Idle with I/O outstanding. The kernel says that this may go backwards.
    pub iowait: u64,
    /// All there was, with what a hypervisor took.
    pub total: u64,
    /// CPUs online.
    pub cpus: u64,
}

/// Shares of CPU time over an interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CpuShare {
    /// In use, per cent of all CPUs.
    pub busy_percent: f64,
    /// Idle with I/O outstanding, per cent of all CPUs.
    pub iowait_percent: f64,
}

impl CpuTimes {
    /// The shares since `before`; `None` when no tick has passed.
    pub fn since(self, before: Self) -> Option<CpuShare> {
        let total = self.total.checked_sub(before.total).filter(|ticks| *ticks > 0)?;
        let share =
            |now: u64, then: u64| 100.0 * count_as_f64(now.saturating_sub(then).min(total)) / count_as_f64(total);
        Some(CpuShare {
            busy_percent: share(self.busy, before.busy),
            iowait_percent: share(self.iowait, before.iowait),
        })
    }
}

/// `/proc/stat`: user, nice, system, idle, iowait, irq, softirq, steal; guest time is part of user time.
pub fn cpu_times(stat: &str) -> Option<CpuTimes> {
    let all = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let mut ticks = [0u64; 8];
    let mut words = all.split_ascii_whitespace();
    for (index, slot) in ticks.iter_mut().enumerate() {
        match words.next() {
            Some(word) => *slot = word.parse().ok()?,
            // Old kernels tell the first four only.
            None if index >= 4 => break,
            None => return None,
        }
    }
    let [user, nice, system, idle, iowait, irq, softirq, steal] = ticks;
    let busy = [user, nice, system, irq, softirq].iter().fold(0, |sum: u64, part| sum.saturating_add(*part));
    let total = [idle, iowait, steal].iter().fold(busy, |sum, part| sum.saturating_add(*part));
    let is_cpu =
        |line: &&str| line.strip_prefix("cpu").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    Some(CpuTimes { busy, iowait, total, cpus: stat.lines().filter(is_cpu).count() as u64 })
}

/// `/proc/loadavg`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Average over one minute.
    pub one_minute: f64,
    /// Tasks (threads) that exist.
    pub tasks: u64,
}

/// `/proc/loadavg`: `0.21 0.32 0.31 1/97 21981`.
pub fn load(text: &str) -> Option<Load> {
    let mut words = text.split_ascii_whitespace();
    let one_minute = finite(words.next()?)?;
    let tasks = words.nth(2)?.split_once('/')?.1.parse().ok()?;
    Some(Load { one_minute, tasks })
}

/// `/proc/meminfo`, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Installed.
    pub total: u64,
    /// Can be given out without swapping; at most `total`.
    pub available: u64,
    /// Swap in use.
    pub swap_used: u64,
}

/// `/proc/meminfo`.
pub fn memory(text: &str) -> Option<Memory> {
    let bytes = |name: &str| total(text, name).map(|kib| kib.saturating_mul(1024));
    let total = bytes("MemTotal:")?;
    let swap_free = bytes("SwapFree:").unwrap_or(0);
    Some(Memory {
        total,
        available: bytes("MemAvailable:")?.min(total),
        swap_used: bytes("SwapTotal:").unwrap_or(0).saturating_sub(swap_free),
    })
}

/// The number behind a name at the start of a line: `/proc/vmstat`, `/proc/meminfo`, `/proc/stat`'s `btime`.
pub fn total(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        if words.next() == Some(name) { words.next()?.parse().ok() } else { None }
    })
}

/// `/proc/pressure/*`: the `avg10` of the line for `who` (`some` or `full`), per cent.
pub fn pressure(text: &str, who: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.split_ascii_whitespace().next() == Some(who))?;
    finite(line.split_ascii_whitespace().find_map(|word| word.strip_prefix("avg10="))?)
}

/// `/proc/net/snmp`: a line of column names, then a line of numbers, both behind the protocol's name.
pub fn snmp(text: &str, protocol: &str, column: &str) -> Option<u64> {
    let mut lines = text.lines().filter(|line| line.split_ascii_whitespace().next() == Some(protocol));
    let place = lines.next()?.split_ascii_whitespace().position(|name| name == column)?;
    lines.next()?.split_ascii_whitespace().nth(place)?.parse().ok()
}

/// `/proc/uptime`: seconds since boot, suspended time included.
pub fn uptime(text: &str) -> Option<f64> {
    finite(text.split_ascii_whitespace().next()?)
}

/// `/proc/version`: `Linux version RELEASE …`.
pub fn release(text: &str) -> Option<String> {
    text.strip_prefix("Linux version ")?.split_ascii_whitespace().next().map(str::to_owned)
}

/// `/proc/PID/stat`: the state and the start time in clock ticks since boot. The name in parentheses may itself hold
/// parentheses and spaces, so the fields are counted from the last one.
pub fn task(stat: &[u8]) -> Option<(u8, u64)> {
    let behind = stat.iter().rposition(|byte| *byte == b')')?.checked_add(1)?;
    let rest = std::str::from_utf8(stat.get(behind..)?).ok()?;
    let mut words = rest.split_ascii_whitespace();
    let state = *words.next()?.as_bytes().first()?;
    // Field 22; the state is field 3.
    let start = words.nth(18)?.parse().ok()?;
    Some((state, start))
}

fn finite(word: &str) -> Option<f64> {
    word.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STAT: &str = "cpu  55469 0 11069 331338 1371 0 88 247 0 0\n\
                        cpu0 25855 0 5129 168309 329 0 17 119 0 0\n\
                        cpu1 29613 0 5939 163029 1042 0 70 128 0 0\n\
                        intr 1 2 3\nctxt 77\nbtime 1795439000\n";

    #[test]
    fn shares_are_of_all_cpus_and_of_the_interval() {
        let before = cpu_times(STAT).unwrap();
        assert_eq!(before.cpus, 2);
        assert_eq!(before.total, 55469 + 11069 + 331_338 + 1371 + 88 + 247);
        let after = CpuTimes { busy: before.busy + 50, iowait: before.iowait + 25, total: before.total + 200, cpus: 2 };
        let share = after.since(before).unwrap();
        assert_eq!((share.busy_percent, share.iowait_percent), (25.0, 12.5));
        assert_eq!(before.since(before), None, "no tick passed");
    }

    #[test]
    fn iowait_that_goes_backwards_is_no_negative_share() {
        let before = cpu_times(STAT).unwrap();
        let after = CpuTimes { iowait: before.iowait - 10, total: before.total + 200, ..before };
        assert_eq!(after.since(before).unwrap().iowait_percent, 0.0);
    }

    #[test]
    fn real_files_read_as_they_stand() {
        assert_eq!(load("0.21 0.32 0.31 1/97 21981\n"), Some(Load { one_minute: 0.21, tasks: 97 }));
        let meminfo = "MemTotal:       24684096 kB\nMemFree:  100 kB\nMemAvailable:   12342048 kB\nSwapTotal: 8 kB\nSwapFree: 2 kB\n";
        let memory = memory(meminfo).unwrap();
        assert_eq!((memory.total, memory.available, memory.swap_used), (24_684_096 << 10, 12_342_048 << 10, 6 << 10));
        let psi =
            "some avg10=1.16 avg60=1.58 avg300=1.66 total=126541919\nfull avg10=0.25 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!((pressure(psi, "some"), pressure(psi, "full")), (Some(1.16), Some(0.25)));
        assert_eq!(pressure("some\n", "some"), None);
        let snmp_text = "Tcp: RtoAlgorithm RtoMin RtoMax MaxConn ActiveOpens PassiveOpens AttemptFails EstabResets \
                         CurrEstab InSegs OutSegs RetransSegs InErrs OutRsts InCsumErrors\n\
                         Tcp: 1 200 120000 -1 105 2 0 78 0 6636 4618 3 0 112 0\n";
        assert_eq!((snmp(snmp_text, "Tcp:", "OutSegs"), snmp(snmp_text, "Tcp:", "RetransSegs")), (Some(4618), Some(3)));
        assert_eq!(total("pgfault 3\noom_kill 7\n", "oom_kill"), Some(7));
        assert_eq!(total(STAT, "btime"), Some(1_795_439_000));
        assert_eq!(uptime("1370.02 2000.11\n"), Some(1370.02));
        assert_eq!(release("Linux version 6.1.0-56-amd64 (debian-kernel@…) #1 SMP").as_deref(), Some("6.1.0-56-amd64"));
    }

    #[test]
    fn a_task_named_like_a_state_is_not_misread() {
        let stat = b"17 (a) D (b) S 1 17 17 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4242 0 0 1844";
        assert_eq!(task(stat), Some((b'S', 4242)));
        assert_eq!(task(b"17 (short) D 1"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in any::<String>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (cpu_times(&text), load(&text), memory(&text), pressure(&text, "some"), uptime(&text), release(&text));
            let _ = (snmp(&text, "Tcp:", "OutSegs"), total(&text, "oom_kill"), task(&bytes));
        }
    }
}

//! The host: CPU, memory, pressure, `/dev/shm`, TCP, tasks that hang, and what the node is.
//!
//! Facts: proc(5), `Documentation/accounting/psi.rst`, `Documentation/admin-guide/mm/numa_memory_policy.rst`. The
//! parsers are our own ([`parse`]): those of the `procfs` crate slice text at fixed places and fail as a whole on a
//! field that a kernel dropped, and a captured tree may hold anything.

pub mod blocked;
pub mod parse;

use std::io;
use std::time::Duration;

use model::reading::count_as_f64;
use model::{Draft, Entity, EntityInfo, Metric, Reading, catalogue as metrics};

use crate::tree::{self, Directory};
use crate::{Node, Polled};
use blocked::BlockedTasks;
use parse::CpuTimes;

/// The most bytes read of one file; `/proc/stat` of a machine with a thousand CPUs stays below it.
const MOST_BYTES: u64 = 1 << 20;
/// How long between two scans of all tasks, nanoseconds.
const SCAN_EVERY_NS: u64 = 5_000_000_000;

/// The probe.
#[derive(Debug)]
pub struct Host {
    node: Node,
    /// CPU time at the last reading, from which the shares of the next interval are made.
    cpu_before: Option<CpuTimes>,
    blocked: BlockedTasks,
    scanned_at: Option<u64>,
    /// What the last Frame told of the node and its NUMA nodes.
    told: Vec<EntityInfo>,
}

impl Host {
    /// Reads this node.
    pub fn new(node: &Node) -> Self {
        Self {
            node: node.clone(),
            cpu_before: None,
            blocked: BlockedTasks::default(),
            scanned_at: None,
            told: Vec::new(),
        }
    }
}

impl Polled for Host {
    fn period(&self) -> Duration {
        self.node.interval
    }

    fn read(&mut self, draft: &mut Draft) {
        self.read_identity(draft);
        self.read_cpu(draft);
        let tasks = self.read_load(draft);
        self.read_memory(draft);
        self.read_pressure(draft);
        self.read_shared_memory(draft);
        self.read_tcp(draft);
        self.read_totals(draft);
        self.scan_tasks(tasks, draft);
        tree::sign(draft, "ok");
    }
}

impl Host {
    fn read_identity(&mut self, draft: &mut Draft) {
        let name = self.host_name(draft);
        put(draft, metrics::HOST_NAME, name.clone());
        let kernel = self.first_line("/proc/sys/kernel/osrelease", draft).or_else(|missing| {
            self.text("/proc/version", draft).map(|text| parse::release(&text)).map_err(|_| missing)
        });
        put(draft, metrics::HOST_KERNEL, kernel);

        let label = name.ok().flatten().unwrap_or_default();
        let mut known = vec![EntityInfo::new(Entity::Node, label)];
        known.extend(
            self.numa_nodes()
                .into_iter()
                .map(|number| EntityInfo::new(Entity::Numa(number), format!("NUMA {number}")).under(Entity::Node)),
        );
        for gone in self.told.iter().filter(|old| !known.iter().any(|info| info.entity == old.entity)) {
            draft.gone.push(gone.entity.clone());
        }
        draft.entities.extend(known.iter().filter(|info| !self.told.contains(info)).cloned());
        self.told = known;
    }

    /// `/proc/sys/kernel/hostname` tells the name of the *reader's* UTS namespace, so a node seen from a container or a
    /// captured tree is asked for its file first.
    fn host_name(&self, draft: &mut Draft) -> Result<Option<String>, Reading> {
        let (running, configured) = ("/proc/sys/kernel/hostname", "/etc/hostname");
        let order = if self.node.is_here() { [running, configured] } else { [configured, running] };
        match self.first_line(order[0], draft) {
            Ok(Some(name)) => Ok(Some(name)),
            _ => self.first_line(order[1], draft),
        }
    }

    fn numa_nodes(&self) -> Vec<u32> {
        // A kernel without NUMA has no such directory, and then there is nothing to tell.
        let Ok(directory) = Directory::open(&self.node, "/sys/devices/system/node") else { return Vec::new() };
        let names = directory.names().unwrap_or_default();
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.strip_prefix("node")?.parse().ok()).collect();
        numbers.sort_unstable();
        numbers
    }

    fn read_cpu(&mut self, draft: &mut Draft) {
        let times = self.text("/proc/stat", draft).map(|text| parse::cpu_times(&text));
        put(draft, metrics::HOST_CPUS, times.clone().map(|times| times.map(|times| times.cpus)));
        let now = match times {
            Ok(Some(now)) => now,
            Ok(None) => return,
            Err(missing) => {
                draft.read(&Entity::Node, metrics::HOST_CPU, missing.clone());
                draft.read(&Entity::Node, metrics::HOST_IOWAIT, missing);
                return;
            }
        };
        if let Some(share) = self.cpu_before.replace(now).and_then(|before| now.since(before)) {
            draft.read(&Entity::Node, metrics::HOST_CPU, share.busy_percent);
            draft.read(&Entity::Node, metrics::HOST_IOWAIT, share.iowait_percent);
        }
    }

    /// Returns how many tasks the node has.
    fn read_load(&self, draft: &mut Draft) -> Option<u64> {
        let load = self.text("/proc/loadavg", draft).map(|text| parse::load(&text));
        put(draft, metrics::HOST_LOAD1, load.clone().map(|load| load.map(|load| load.one_minute)));
        load.ok().flatten().map(|load| load.tasks)
    }

    fn read_memory(&self, draft: &mut Draft) {
        let memory = self.text("/proc/meminfo", draft).map(|text| parse::memory(&text));
        let part = |of: fn(parse::Memory) -> Reading| memory.clone().map(|memory| memory.map(of));
        put(draft, metrics::HOST_MEM_TOTAL, part(|memory| memory.total.into()));
        put(draft, metrics::HOST_MEM_AVAILABLE, part(|memory| count_as_f64(memory.available).into()));
        put(draft, metrics::HOST_MEM_USED, part(|memory| percent(memory.total - memory.available, memory.total)));
        put(draft, metrics::HOST_SWAP_USED, part(|memory| count_as_f64(memory.swap_used).into()));
    }

    fn read_pressure(&self, draft: &mut Draft) {
        let series: [(&str, &str, &'static Metric); 5] = [
            ("/proc/pressure/cpu", "some", metrics::HOST_PSI_CPU),
            ("/proc/pressure/memory", "some", metrics::HOST_PSI_MEMORY),
            ("/proc/pressure/memory", "full", metrics::HOST_PSI_MEMORY_FULL),
            ("/proc/pressure/io", "some", metrics::HOST_PSI_IO),
            ("/proc/pressure/io", "full", metrics::HOST_PSI_IO_FULL),
        ];
        for (file, who, metric) in series {
            let share = self.text(file, draft).map(|text| parse::pressure(&text, who));
            put(draft, metric, share);
        }
    }

    fn read_shared_memory(&self, draft: &mut Draft) {
        let space = if self.node.live() {
            let space = rustix::fs::statvfs(self.node.path("/dev/shm")).map_err(io::Error::from);
            tree::told(space, "/dev/shm", &Entity::Node, draft)
        } else {
            // The captured tree's files say nothing about the file system that they were on.
            Err(Reading::Unsupported)
        };
        let space = space.map(|stat| {
            let total = stat.f_blocks.saturating_mul(stat.f_frsize);
            Some((total, total.saturating_sub(stat.f_bfree.saturating_mul(stat.f_frsize))))
        });
        let part = |of: fn((u64, u64)) -> Reading| space.clone().map(|space| space.map(of));
        put(draft, metrics::HOST_SHM_TOTAL, part(|(total, _)| total.into()));
        put(draft, metrics::HOST_SHM_USED, part(|(_, used)| count_as_f64(used).into()));
        put(draft, metrics::HOST_SHM_PERCENT, part(|(total, used)| percent(used, total)));
    }

    fn read_tcp(&self, draft: &mut Draft) {
        // `/proc/net` is the reader's network namespace; the node's own is that of its first process.
        let order = if self.node.live() && !self.node.is_here() {
            ["/proc/1/net/snmp", "/proc/net/snmp"]
        } else {
            ["/proc/net/snmp", "/proc/1/net/snmp"]
        };
        let snmp = self.text(order[0], draft).or_else(|_| self.text(order[1], draft));
        for (column, metric) in
            [("OutSegs", metrics::HOST_TCP_SEGMENTS), ("RetransSegs", metrics::HOST_TCP_RETRANSMITS)]
        {
            put(draft, metric, snmp.as_ref().map(|text| parse::snmp(text, "Tcp:", column)).map_err(Clone::clone));
        }
    }

    fn read_totals(&self, draft: &mut Draft) {
        let kills = self.text("/proc/vmstat", draft);
        // `oom_kill` came with Linux 4.13.
        let kills = kills.and_then(|text| parse::total(&text, "oom_kill").map(Some).ok_or(Reading::Unsupported));
        put(draft, metrics::HOST_OOM_KILLS, kills);
        let uptime = self.text("/proc/uptime", draft).map(|text| parse::uptime(&text));
        put(draft, metrics::HOST_UPTIME, uptime);
    }

    fn scan_tasks(&mut self, tasks: Option<u64>, draft: &mut Draft) {
        let now = tree::instant(draft);
        if !tree::due(self.scanned_at, now, SCAN_EVERY_NS) {
            return;
        }
        self.scanned_at = Some(now);
        let scanned = self.blocked.scan(&self.node.path("/proc"), tasks);
        match tree::told(scanned, "/proc", &Entity::Node, draft) {
            // Nothing can be said of the first scan: it takes two in a row.
            Ok(None) => {}
            Ok(Some(count)) => draft.read(&Entity::Node, metrics::HOST_BLOCKED, count_as_f64(count)),
            Err(missing) => draft.read(&Entity::Node, metrics::HOST_BLOCKED, missing),
        }
    }

    /// The file's text; where there is none, the reading that says why.
    fn text(&self, file: &str, draft: &mut Draft) -> Result<String, Reading> {
        let bytes = tree::read(&self.node, file, MOST_BYTES);
        tree::told(bytes, file, &Entity::Node, draft).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn first_line(&self, file: &str, draft: &mut Draft) -> Result<Option<String>, Reading> {
        let text = self.text(file, draft)?;
        Ok(text.lines().next().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned))
    }
}

/// Adds what was read; a file that is there but does not hold what it should is a fault.
fn put<V: Into<Reading>>(draft: &mut Draft, metric: &'static Metric, found: Result<Option<V>, Reading>) {
    match found {
        Ok(Some(value)) => draft.read(&Entity::Node, metric, value),
        Ok(None) => {
            draft.fault(format!("parse {}", metric.name), Some(Entity::Node), "the file does not hold it");
            draft.read(&Entity::Node, metric, Reading::Unsupported);
        }
        Err(missing) => draft.read(&Entity::Node, metric, missing),
    }
}

fn percent(part: u64, whole: u64) -> Reading {
    if whole == 0 { Reading::Unsupported } else { (100.0 * count_as_f64(part) / count_as_f64(whole)).into() }
}

//! The host: CPU, memory, pressure, `/dev/shm`, TCP, tasks that hang, and what the node is.
//!
//! Facts: proc(5), `Documentation/accounting/psi.rst`, `Documentation/admin-guide/mm/numa_memory_policy.rst`. The
//! parsers are our own ([`parse`]): those of the `procfs` crate slice text at fixed places and fail as a whole on a
//! field that a kernel dropped, and a captured tree may hold anything.

pub mod blocked;
pub mod parse;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use model::reading::count_as_f64;
use model::{Draft, Entity, EntityInfo, Metric, Reading, catalogue as metrics};

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
        let state = if draft.faults.is_empty() { "ok" } else { "degraded" };
        let probe = Entity::Probe("host".to_owned());
        draft.read(&probe, metrics::PROBE_STATE, state);
        draft.read(&probe, metrics::PROBE_FAULTS, count_as_f64(draft.faults.len() as u64));
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
        let Ok(entries) = std::fs::read_dir(self.node.path("/sys/devices/system/node")) else { return Vec::new() };
        let mut numbers: Vec<u32> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("node")?.parse().ok())
            .collect();
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
            rustix::fs::statvfs(self.node.path("/dev/shm")).map_err(io::Error::from).map_err(|error| {
                let call = "statvfs /dev/shm";
                absent(&error).unwrap_or_else(|| failed(call, &error, draft))
            })
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
        let file = if self.node.is_here() || !self.node.path("/proc/1/net/snmp").exists() {
            "/proc/net/snmp"
        } else {
            "/proc/1/net/snmp"
        };
        let snmp = self.text(file, draft);
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
        let now = draft.at.mono_ns.unwrap_or(0);
        if self.scanned_at.is_some_and(|before| now.saturating_sub(before) < SCAN_EVERY_NS) {
            return;
        }
        self.scanned_at = Some(now);
        match self.blocked.scan(&self.node.path("/proc"), tasks) {
            // Nothing can be said of the first scan: it takes two in a row.
            Ok(None) => {}
            Ok(Some(count)) => draft.read(&Entity::Node, metrics::HOST_BLOCKED, count_as_f64(count)),
            Err(error) => {
                let reading = absent(&error).unwrap_or_else(|| failed("read /proc", &error, draft));
                draft.read(&Entity::Node, metrics::HOST_BLOCKED, reading);
            }
        }
    }

    /// The file's text; where there is none, the reading that says why.
    fn text(&self, file: &str, draft: &mut Draft) -> Result<String, Reading> {
        read_bounded(&self.node.path(file))
            .map_err(|error| absent(&error).unwrap_or_else(|| failed(&format!("read {file}"), &error, draft)))
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

/// The reading that stands for an error which is an answer in itself; `None` for one that is not.
fn absent(error: &io::Error) -> Option<Reading> {
    match error.kind() {
        // A kernel started with `psi=0` has the files and answers EOPNOTSUPP.
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::Unsupported => {
            Some(Reading::Unsupported)
        }
        io::ErrorKind::PermissionDenied => Some(Reading::Denied),
        _ => None,
    }
}

fn failed(call: &str, error: &io::Error, draft: &mut Draft) -> Reading {
    draft.fault(call, Some(Entity::Node), error.to_string());
    Reading::Unsupported
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    regular(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens a file, and nothing else: a pipe in a captured tree would wait for a writer.
fn regular(path: &Path) -> io::Result<File> {
    if std::fs::metadata(path)?.is_file() { File::open(path) } else { Err(io::Error::from(io::ErrorKind::NotFound)) }
}

fn percent(part: u64, whole: u64) -> Reading {
    if whole == 0 { Reading::Unsupported } else { (100.0 * count_as_f64(part) / count_as_f64(whole)).into() }
}

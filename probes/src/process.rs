//! The processes on the GPUs: what they are, whose they are, how they do.
//!
//! Facts: proc(5), cgroups(7). The driver's own list of processes (with their GPU memory) is the `nvml` probe's; this
//! probe finds the holders by their open device files, which works without a driver that answers, and tells of them
//! under the same entity: pid and start time.

pub mod gpus;
pub mod owner;
pub mod parse;
mod search;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::reading::count_as_f64;
use model::{Draft, Entity, EntityInfo, ProbeFault, Reading, Untrusted, Value, catalogue as metrics};

use crate::tree::{self, Directory};
use crate::{Node, Polled};
use gpus::{DeviceFile, Gpus};
use search::Search;

/// The least time between two readings.
const PERIOD: Duration = Duration::from_secs(2);
/// How long between two searches through all processes, nanoseconds.
const SEARCH_EVERY_NS: u64 = 10_000_000_000;
/// How long between two readings of the accounts and the GPUs of the node, nanoseconds.
const LEARN_EVERY_NS: u64 = 60_000_000_000;
/// The most processes told of.
const MOST_HOLDERS: usize = 4_096;
const MOST_STAT: u64 = 4 << 10;
const MOST_COMMAND_LINE: u64 = 4 << 10;
const MOST_ENVIRONMENT: u64 = 1 << 20;
const MOST_PASSWD: u64 = 4 << 20;

/// Pid and start time: pids are reused.
type Key = (u32, u64);

/// The probe.
#[derive(Debug)]
pub struct Processes {
    node: Node,
    holders: BTreeMap<Key, Holder>,
    search: Search,
    searched_at: Option<u64>,
    accounts: BTreeMap<u32, String>,
    gpus: Gpus,
    learnt_at: Option<u64>,
}

/// What is kept of a process between two readings.
#[derive(Debug, Default)]
struct Holder {
    files: BTreeSet<DeviceFile>,
    told: Option<EntityInfo>,
    /// The name under which the command line was read, and what it was.
    command_line: Option<(Vec<u8>, Option<String>)>,
    /// The job that the environment names, once it could be looked at.
    job_of_environment: Option<Result<Option<String>, Reading>>,
    /// CPU time at the last reading, clock ticks, and when that was.
    cpu_before: Option<(u64, u64)>,
}

impl Processes {
    /// Reads this node.
    pub fn new(node: &Node) -> Self {
        Self {
            node: node.clone(),
            holders: BTreeMap::new(),
            search: Search::default(),
            searched_at: None,
            accounts: BTreeMap::new(),
            gpus: Gpus::default(),
            learnt_at: None,
        }
    }
}

impl Polled for Processes {
    fn period(&self) -> Duration {
        self.node.interval.max(PERIOD)
    }

    fn read(&mut self, draft: &mut Draft) {
        let pids = match Directory::open(&self.node, "/proc").and_then(|proc| proc.names()) {
            Ok(names) => names.iter().filter_map(|name| name.parse().ok()).collect::<Vec<u32>>(),
            Err(error) => {
                let state = tree::state_without_source(&error);
                let probe = Entity::Probe(draft.probe.clone());
                let _missing = tree::told::<()>(Err(error), "/proc", &probe, draft);
                return tree::sign(draft, state);
            }
        };
        let now = tree::instant(draft);
        if tree::due(self.learnt_at, now, LEARN_EVERY_NS) {
            self.learn();
            self.learnt_at = Some(now);
            // The driver's probe may have told a process gone that let go of its context and not of its device files.
            self.holders.values_mut().for_each(|holder| holder.told = None);
        }
        let found = if tree::due(self.searched_at, now, SEARCH_EVERY_NS) {
            self.searched_at = Some(now);
            self.search.all(&self.node, &pids)
        } else {
            let known = self.holders.keys().map(|(pid, _)| *pid);
            known.filter_map(|pid| Some((pid, search::device_files(&self.node, pid).ok()?))).collect()
        };
        self.tell(found, draft);
        self.tell_denied(draft);
        tree::sign(draft, "ok");
    }
}

impl Processes {
    fn learn(&mut self) {
        let passwd = tree::read(&self.node, "/etc/passwd", MOST_PASSWD).unwrap_or_default();
        self.accounts = parse::accounts(&String::from_utf8_lossy(&passwd));
        self.gpus = Gpus::find(&self.node);
    }

    fn tell(&mut self, mut found: BTreeMap<u32, BTreeSet<DeviceFile>>, draft: &mut Draft) {
        let mut before = std::mem::take(&mut self.holders);
        // A known holder without open files may be a zombie whose other threads hang in the driver.
        for (pid, _) in before.keys() {
            found.entry(*pid).or_default();
        }
        for (pid, files) in found.into_iter().take(MOST_HOLDERS) {
            let Ok(process) = Directory::open(&self.node, format!("/proc/{pid}")) else { continue };
            let Some(stat) = process.bytes("stat", MOST_STAT).ok().and_then(|bytes| parse::stat(&bytes)) else {
                continue;
            };
            let key = (pid, stat.start);
            let known = before.contains_key(&key);
            if files.is_empty() && !(known && stat.state == 'Z') {
                continue;
            }
            let mut holder = before.remove(&key).unwrap_or_default();
            if !files.is_empty() {
                holder.files = files;
            }
            self.tell_process(key, &stat, &process, &mut holder, draft);
            self.holders.insert(key, holder);
        }
        draft.gone.extend(before.into_keys().map(|(pid, start)| Entity::Process(pid, start)));
    }

    fn tell_process(&self, key: Key, stat: &parse::Stat, process: &Directory, holder: &mut Holder, draft: &mut Draft) {
        let entity = Entity::Process(key.0, key.1);
        let command = Untrusted::from_bytes(&stat.command);
        let label =
            holder.label(stat, process, self.node.command_lines).map_or_else(|| command.clone(), Untrusted::from);
        let info = EntityInfo::new(entity.clone(), label);
        if holder.told.as_ref() != Some(&info) {
            draft.entities.push(info.clone());
            holder.told = Some(info);
        }
        draft.read(&entity, metrics::PROCESS_COMMAND, Value::Text(command));
        draft.read(&entity, metrics::PROCESS_STATE, stat.state.to_string());
        let wait_channel = wait_channel(stat, process, &entity, draft);
        draft.read(&entity, metrics::PROCESS_WCHAN, wait_channel);
        self.tell_status(&entity, process, holder, draft);
        tell_owner(&entity, stat, process, holder, draft);

        let now = tree::instant(draft);
        let before = holder.cpu_before.replace((stat.cpu_ticks, now));
        // In a captured tree no time passes.
        if let Some((ticks, at)) = before.filter(|_| self.node.live()) {
            draft.read(
                &entity,
                metrics::PROCESS_CPU,
                cpu_percent(stat.cpu_ticks.saturating_sub(ticks), now - at.min(now)),
            );
        }
    }

    fn tell_status(&self, entity: &Entity, process: &Directory, holder: &Holder, draft: &mut Draft) {
        let status = tree::told(process.text("status"), "status", entity, draft).map(|text| parse::status(&text));
        let user = |uid: u32| self.accounts.get(&uid).cloned().unwrap_or_else(|| uid.to_string());
        let near = self.gpus.near_cpus(&self.node, &holder.files);
        let far = |status: &parse::Status| Some(near.as_ref()?.is_disjoint(status.cpus.as_ref()?));
        let readings = match &status {
            Ok(status) => [
                status.uid.map(|uid| Value::from(user(uid))),
                status.resident.map(|bytes| Value::Number(count_as_f64(bytes))),
                far(status).map(Value::Flag),
            ]
            .map(|value| value.map_or(Reading::Unsupported, Reading::Good)),
            Err(missing) => [missing.clone(), missing.clone(), missing.clone()],
        };
        let series = [metrics::PROCESS_USER, metrics::PROCESS_RSS, metrics::PROCESS_NUMA_FAR];
        for (metric, reading) in series.into_iter().zip(readings) {
            draft.read(entity, metric, reading);
        }
    }

    fn tell_denied(&self, draft: &mut Draft) {
        let denied = self.search.denied;
        if denied > 0 {
            let why =
                format!("the open files of {denied} processes may not be looked at: which GPUs they hold is not known");
            draft.faults.push(ProbeFault {
                call: "readlink /proc/PID/fd".to_owned(),
                entity: None,
                why: why.into(),
                advice: Some("run gpudeck as root, or give it CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH".to_owned()),
            });
        }
    }
}

impl Holder {
    /// The command line, where it may be told and could be read. It is read once for each name that the process has:
    /// reading it takes a lock that a hung process may hold, so never while it hangs.
    fn label(&mut self, stat: &parse::Stat, process: &Directory, allowed: bool) -> Option<String> {
        if !allowed {
            return None;
        }
        let is_known = self.command_line.as_ref().is_some_and(|(command, _)| *command == stat.command);
        if !is_known && stat.state != 'D' {
            let bytes = process.bytes("cmdline", MOST_COMMAND_LINE).unwrap_or_default();
            self.command_line = Some((stat.command.clone(), parse::command_line(&bytes)));
        }
        self.command_line.as_ref().and_then(|(_, line)| line.clone())
    }

    fn job_of_environment(&mut self, stat: &parse::Stat, process: &Directory) -> Result<Option<String>, Reading> {
        // Takes the same lock as the command line.
        if self.job_of_environment.is_none() && stat.state != 'D' {
            let environ = process.bytes("environ", MOST_ENVIRONMENT);
            let missing = |error: std::io::Error| tree::absent(&error).unwrap_or(Reading::Unsupported);
            self.job_of_environment = Some(environ.map(|bytes| owner::job_of_environment(&bytes)).map_err(missing));
        }
        self.job_of_environment.clone().unwrap_or(Err(Reading::Unsupported))
    }
}

/// Container, pod and job; an empty text where the group was read and names none.
fn tell_owner(entity: &Entity, stat: &parse::Stat, process: &Directory, holder: &mut Holder, draft: &mut Draft) {
    let owner = tree::told(process.text("cgroup"), "cgroup", entity, draft).map(|text| owner::by_cgroup(&text));
    let container = owner.clone().map(|owner| owner.container.unwrap_or_default());
    let pod = owner.clone().map(|owner| owner.pod.unwrap_or_default());
    let job = match owner {
        Ok(owner::Owner { job: Some(job), .. }) => Ok(job),
        owner => {
            let sluid = owner.ok().and_then(|owner| owner.sluid);
            match (holder.job_of_environment(stat, process), sluid) {
                (Ok(Some(job)), _) => Ok(job),
                (_, Some(sluid)) => Ok(sluid),
                (Ok(None), None) => Ok(String::new()),
                (Err(missing), None) => Err(missing),
            }
        }
    };
    for (metric, found) in
        [(metrics::PROCESS_CONTAINER, container), (metrics::PROCESS_POD, pod), (metrics::PROCESS_JOB, job)]
    {
        draft.read(entity, metric, found.map_or_else(|missing| missing, Reading::from));
    }
}

/// Where in the kernel a process in D waits; an empty text for one that does not. The kernel says `0` to those who may
/// not know.
fn wait_channel(stat: &parse::Stat, process: &Directory, entity: &Entity, draft: &mut Draft) -> Reading {
    if stat.state != 'D' {
        return "".into();
    }
    match tree::told(process.text("wchan"), "wchan", entity, draft) {
        Ok(function) if function.trim() == "0" => Reading::Denied,
        Ok(function) => function.trim().into(),
        Err(missing) => missing,
    }
}

/// Per cent of one CPU.
fn cpu_percent(ticks: u64, elapsed_ns: u64) -> Reading {
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    if elapsed_ns == 0 || ticks_per_second == 0 {
        return Reading::Unsupported;
    }
    let seconds = count_as_f64(ticks) / count_as_f64(ticks_per_second);
    (100.0 * seconds / (count_as_f64(elapsed_ns) / 1e9)).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_busy_cpu_is_a_hundred_per_cent() {
        let second = rustix::param::clock_ticks_per_second();
        assert_eq!(cpu_percent(second, 1_000_000_000), Reading::from(100.0));
        assert_eq!(cpu_percent(4 * second, 2_000_000_000), Reading::from(200.0));
        assert_eq!(cpu_percent(0, 2_000_000_000), Reading::from(0.0));
        assert_eq!(cpu_percent(5, 0), Reading::Unsupported);
    }
}

//! The processes that hold a context on a GPU, and how much of its memory.
//!
//! The driver tells pids; a process is known by pid and start time (proc(5), `/proc/PID/stat` field 22), read below the
//! node's root. A process on several GPUs is told of by each GPU's poller, so what is known of all is shared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;

use model::catalogue::{GPU_PROCESSES, PROCESS_GPU_MEM};
use model::reading::count_as_f64;
use model::{Entity, EntityInfo, Untrusted};
use nvml_raw::Device;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;

use super::answer::Meaning;
use super::tick::{Tick, whole};
use crate::Node;

/// The most processes that are told of for one GPU.
const MOST_PROCESSES: usize = 4096;
/// More than any `/proc/PID/stat`.
const MOST_STAT_BYTES: u64 = 4096;

/// A process: pid and start time.
type Key = (u32, u64);

/// MIG instance and compute instance that a process runs on.
type Instance = (Option<u32>, Option<u32>);

/// A process as one GPU sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pid: u32,
    start: u64,
    command: Option<Untrusted>,
    /// Bytes of this GPU's memory, where the driver tells.
    memory: Option<u64>,
}

#[derive(Debug, Default)]
struct Known {
    label: Untrusted,
    /// Bytes by GPU, where the driver tells.
    on: BTreeMap<Entity, Option<u64>>,
}

/// The processes of all GPUs.
#[derive(Debug, Default)]
pub(super) struct Holders {
    known: BTreeMap<Key, Known>,
}

/// What one GPU's list changes.
#[derive(Debug, Default)]
struct Change {
    /// New, or on other GPUs than before.
    told: Vec<EntityInfo>,
    /// On no GPU any more.
    gone: Vec<Entity>,
    /// Memory over all GPUs of those on this GPU, and of those just gone from it.
    memory: Vec<(Entity, Option<u64>)>,
}

impl Holders {
    /// This GPU's list is now this one.
    fn update(&mut self, gpu: &Entity, seen: &[Holder]) -> Change {
        let mut change = Change::default();
        let mut touched = BTreeSet::new();
        let present: BTreeSet<Key> = seen.iter().map(|holder| (holder.pid, holder.start)).collect();
        for (key, known) in &mut self.known {
            if !present.contains(key) && known.on.remove(gpu).is_some() {
                touched.insert(*key);
            }
        }
        let mut regrouped = touched.clone();
        for holder in seen {
            let key = (holder.pid, holder.start);
            let known = self.known.entry(key).or_default();
            if known.on.insert(gpu.clone(), holder.memory).is_none() {
                regrouped.insert(key);
            }
            known.label = match &holder.command {
                Some(command) => command.clone(),
                None => format!("pid {}", holder.pid).into(),
            };
            touched.insert(key);
        }
        for key in touched {
            let entity = Entity::Process(key.0, key.1);
            let Some(known) = self.known.get(&key) else { continue };
            if known.on.is_empty() {
                self.known.remove(&key);
                change.gone.push(entity);
                continue;
            }
            if regrouped.contains(&key) {
                let gpus = known.on.keys().cloned().collect();
                change.told.push(EntityInfo::new(entity.clone(), known.label.clone()).linked_to(gpus));
            }
            change.memory.push((entity, known.on.values().flatten().copied().reduce(u64::saturating_add)));
        }
        change
    }

    /// The GPU's processes are not known any more: the driver is gone. Those that are on no other GPU.
    pub(super) fn forget(&mut self, gpu: &Entity) -> Vec<Entity> {
        self.update(gpu, &[]).gone
    }
}

/// Asks for the GPU's processes: compute, graphics and MPS clients. `None` where the driver does not tell now.
pub(super) fn ask(tick: &mut Tick, device: &Device, node: &Node, before: &[Holder]) -> Option<Vec<Holder>> {
    let compute = tick.attempt("nvmlDeviceGetComputeRunningProcesses_v3", || device.running_compute_processes())?;
    let processes = match compute {
        Ok(processes) => processes,
        Err(Meaning::Absent) => Vec::new(),
        Err(meaning) => {
            tick.without(GPU_PROCESSES, meaning);
            return None;
        }
    };
    let graphics = tick.ask("nvmlDeviceGetGraphicsRunningProcesses_v3", || device.running_graphics_processes());
    let shared = tick.ask("nvmlDeviceGetMPSComputeRunningProcesses_v3", || device.mps_running_compute_processes());
    if tick.over() {
        return None;
    }
    let others = [graphics, shared].into_iter().flatten().flatten();
    Some(holders(processes.into_iter().chain(others), node, before))
}

/// Tells of the GPU's processes: their number, their memory, which are new and which are gone.
pub(super) fn tell(tick: &mut Tick, all: &mut Holders, seen: &[Holder]) {
    tick.put(GPU_PROCESSES, whole(GPU_PROCESSES, seen.len() as u64));
    let change = all.update(&tick.gpu().clone(), seen);
    tick.draft.entities.extend(change.told);
    tick.draft.gone.extend(change.gone);
    for (entity, memory) in change.memory {
        let memory = memory.map(|bytes| count_as_f64(bytes).into()).ok_or(Meaning::Absent);
        tick.take(&entity, PROCESS_GPU_MEM, memory);
    }
}

/// One entry per process: it may stand in several of the driver's lists, and once per MIG instance.
fn holders(processes: impl Iterator<Item = ProcessInfo>, node: &Node, before: &[Holder]) -> Vec<Holder> {
    let mut by_pid: BTreeMap<u32, BTreeMap<Instance, Option<u64>>> = BTreeMap::new();
    for process in processes.take(MOST_PROCESSES) {
        let memory = match process.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        };
        let instance = (process.gpu_instance_id, process.compute_instance_id);
        let held = by_pid.entry(process.pid).or_default().entry(instance).or_default();
        // The lists tell the same memory of the same process: the larger, not the sum.
        *held = memory.max(*held);
    }
    by_pid
        .into_iter()
        .map(|(pid, instances)| {
            let memory = instances.values().flatten().copied().reduce(u64::saturating_add);
            match stat(node, pid) {
                Some((command, start)) => Holder { pid, start, command: Some(command), memory },
                None => match before.iter().find(|holder| holder.pid == pid) {
                    // It is ending, and the driver still lists it: the same process as before.
                    Some(same) => Holder { memory, ..same.clone() },
                    None => Holder { pid, start: 0, command: None, memory },
                },
            }
        })
        .collect()
}

fn stat(node: &Node, pid: u32) -> Option<(Untrusted, u64)> {
    let mut bytes = Vec::new();
    File::open(node.path(format!("/proc/{pid}/stat"))).ok()?.take(MOST_STAT_BYTES).read_to_end(&mut bytes).ok()?;
    parse_stat(&bytes)
}

/// Command and start time from `/proc/PID/stat`. The command stands in parentheses and may hold some itself.
fn parse_stat(bytes: &[u8]) -> Option<(Untrusted, u64)> {
    let open = bytes.iter().position(|byte| *byte == b'(')?;
    let close = bytes.iter().rposition(|byte| *byte == b')')?;
    let command = bytes.get(open + 1..close)?;
    // Field 3 is the first behind the command; the start is field 22.
    let start = std::str::from_utf8(bytes.get(close + 1..)?).ok()?.split_ascii_whitespace().nth(19)?;
    Some((Untrusted::from_bytes(command), start.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder(pid: u32, memory: Option<u64>) -> Holder {
        Holder { pid, start: 7, command: Some("python".into()), memory }
    }

    #[test]
    fn a_process_on_two_gpus_holds_the_memory_of_both() {
        let (first, second) = (Entity::gpu("GPU-a"), Entity::gpu("GPU-b"));
        let mut all = Holders::default();
        let change = all.update(&first, &[holder(1, Some(10)), holder(2, None)]);
        assert_eq!(change.told.len(), 2);
        assert_eq!(change.memory, [(Entity::Process(1, 7), Some(10)), (Entity::Process(2, 7), None)]);
        let change = all.update(&second, &[holder(1, Some(5))]);
        assert_eq!(change.memory, [(Entity::Process(1, 7), Some(15))]);
        assert_eq!(change.told[0].linked, [first.clone(), second.clone()]);
        // The same again is nothing to tell.
        assert!(all.update(&second, &[holder(1, Some(5))]).told.is_empty());
        // It leaves one GPU, then the other.
        let change = all.update(&first, &[]);
        assert_eq!(change.gone, [Entity::Process(2, 7)]);
        assert_eq!(change.memory, [(Entity::Process(1, 7), Some(5))]);
        assert_eq!(change.told[0].linked, std::slice::from_ref(&second));
        assert_eq!(all.forget(&second), [Entity::Process(1, 7)]);
    }

    #[test]
    fn a_command_may_hold_parentheses_and_blanks() {
        let line = b"42 (a (b) c) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 2";
        let (command, start) = parse_stat(line).unwrap();
        assert_eq!((command.raw(), start), ("a (b) c", 987_654));
        for torn in [&b""[..], b"42", b"42 (x", b")(", b"42 (x) S 1"] {
            assert_eq!(parse_stat(torn), None);
        }
    }
}

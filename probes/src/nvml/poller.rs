//! One GPU: its identity and its tiers, each with a Draft of its own.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::Scope;
use std::time::Duration;

use model::catalogue::GPU_STATE;
use model::{Draft, Entity, EntityInfo, GpuKey, PciAddress, Reading};
use nvml_raw::{Device, Driver};

use super::burst::Burst;
use super::holders::{self, Holder};
use super::instances::Instances;
use super::links::Links;
use super::supervisor::{Generation, Shared};
use super::tick::{End, Faults, Tick};
use super::watch::{Role, Watch, lock};
use super::{fast, listener, mid, slow};
use crate::Node;
use crate::worker::STOP_POLL;

/// The period of the middle tier.
const MID: Duration = Duration::from_secs(5);
/// The period of the slow tier.
const SLOW: Duration = Duration::from_secs(60);
/// A wake-up does not lead to a reading sooner than this after the last one: events can come in storms.
const WAKE_GAP: Duration = Duration::from_millis(200);

/// Polls the GPU of this number until the driver's generation ends.
pub(super) fn poll<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared<'scope>,
    driver: Arc<Driver>,
    generation: &Arc<Generation>,
    index: u32,
) {
    let presumed = presumed(shared.node, index, generation.gpus);
    let entity = presumed.as_ref().map_or_else(|| Entity::Probe("nvml".to_owned()), |info| info.entity.clone());
    let watch = shared.watches.add(Role::Gpu, shared.outlet, entity, Some(index));
    lock(&watch.subject).presumed = presumed;
    let (wake, woken) = mpsc::channel();
    let mut poller = Poller {
        shared,
        generation,
        index,
        watch: Arc::clone(&watch),
        faults: Faults::default(),
        told: None,
        links: Links::default(),
        instances: Instances::default(),
        holders: Vec::new(),
        burst: shared.node.burst.map(|_| Burst::default()),
        woken,
    };
    poller.run(
        &driver,
        |gpu, wake: Sender<()>| {
            let (driver, generation) = (Arc::clone(&driver), Arc::clone(generation));
            scope.spawn(move || listener::listen(shared, driver, &generation, index, gpu, &wake));
        },
        wake,
    );
    drop(poller);
    watch.long_call("nvmlShutdown", || drop(driver));
}

/// When a tier is due, monotonic nanoseconds.
#[derive(Debug, Default)]
struct Due {
    burst: u64,
    fast: u64,
    mid: u64,
    slow: u64,
}

struct Poller<'a> {
    shared: &'a Shared<'a>,
    generation: &'a Generation,
    index: u32,
    watch: Arc<Watch>,
    faults: Faults,
    told: Option<EntityInfo>,
    links: Links,
    instances: Instances,
    holders: Vec<Holder>,
    burst: Option<Burst>,
    woken: Receiver<()>,
}

impl Poller<'_> {
    fn run(&mut self, driver: &Driver, listen: impl FnOnce(Entity, Sender<()>), wake: Sender<()>) {
        let mut listen = Some((listen, wake));
        while self.going() {
            let began_ns = self.now_ns();
            if let Some((device, gpu)) = self.find(driver) {
                if let Some((listen, wake)) = listen.take() {
                    listen(Entity::Gpu(gpu.clone()), wake);
                }
                self.tiers(&device, &gpu);
            }
            self.rest(began_ns + as_ns(self.shared.node.interval));
        }
        if self.generation.gone.load(Ordering::Relaxed) {
            self.tell_gone();
        }
    }

    /// Handle and identity, asked for again whenever the GPU was lost: after a reset the handle may be another.
    fn find<'d>(&mut self, driver: &'d Driver) -> Option<(Device<'d>, GpuKey)> {
        let mut tick = Tick::begin(&self.watch, &mut self.faults, self.shared.outlet.draft(), true);
        let index = self.index;
        let found = tick.ask("nvmlDeviceGetHandleByIndex_v2", || driver.device_by_index(index)).and_then(|device| {
            let pci = tick.attempt("nvmlDeviceGetPciInfo_v3", || device.pci_info())?;
            let uuid = tick.attempt("nvmlDeviceGetUUID", || device.uuid())?;
            let pci = pci.ok().and_then(|pci| pci.bus_id.parse::<PciAddress>().ok());
            let key = uuid.ok().map(GpuKey::Uuid).or_else(|| pci.map(GpuKey::Pci))?;
            Some((device, key, pci))
        });
        let Some((device, key, pci)) = found else {
            let (draft, end) = tick.finish();
            self.send_not_found(draft, end);
            return None;
        };
        let mut draft = tick.draft;
        let entity = Entity::Gpu(key.clone());
        if self.told.as_ref().is_some_and(|told| told.entity != entity) {
            // Another GPU has this number now: GPUs came or went.
            self.generation.renew.store(true, Ordering::Relaxed);
            return None;
        }
        let info = EntityInfo {
            pci,
            numa: pci.and_then(|pci| numa_node(self.shared.node, pci)),
            ..EntityInfo::new(entity.clone(), format!("GPU {index}"))
        };
        if let Some(pci) = pci {
            lock(&self.shared.gpus_at).insert(pci.with_function(0), entity.clone());
        }
        draft.gone.extend(self.now_known_as(entity));
        if self.told.as_ref() != Some(&info) {
            draft.entities.push(info.clone());
            self.told = Some(info);
            self.shared.outlet.send(draft);
        }
        Some((device, key))
    }

    /// The driver has told who it is. The presumed GPU, if something was said of that one.
    fn now_known_as(&self, entity: Entity) -> Option<Entity> {
        let mut subject = lock(&self.watch.subject);
        let unsaid = subject.presumed.take().is_some();
        let before = std::mem::replace(&mut subject.entity, entity);
        (!unsaid && before != subject.entity && matches!(before, Entity::Gpu(_))).then_some(before)
    }

    /// Says what is known of a GPU that the driver does not hand out: of one that is not even presumed, the fault alone.
    fn send_not_found(&mut self, mut draft: Draft, end: Option<End>) {
        let mut subject = lock(&self.watch.subject);
        if !matches!(subject.entity, Entity::Gpu(_)) || end.is_none() {
            draft.samples.clear();
        }
        if !(draft.samples.is_empty() && draft.faults.is_empty()) {
            draft.entities.extend(subject.presumed.take());
            drop(subject);
            self.shared.outlet.send(draft);
        }
        if end == Some(End::Gone) {
            self.generation.end_gone();
        }
    }

    /// Reads the tiers as they fall due, until the GPU or the driver is gone.
    fn tiers(&mut self, device: &Device, gpu: &GpuKey) {
        let mut due = Due::default();
        let burst_ns = self.shared.node.burst.map(as_ns);
        while self.going() {
            let began_ns = self.now_ns();
            let node = self.shared.node;
            if began_ns >= due.fast {
                due.fast = next(due.fast, began_ns, as_ns(node.interval));
                due.burst = began_ns.saturating_add(burst_ns.unwrap_or(u64::MAX));
                if self.fast_pass(device).is_some() {
                    return;
                }
            } else if began_ns >= due.burst {
                due.burst = next(due.burst, began_ns, burst_ns.unwrap_or(u64::MAX));
                if self.burst_pass(device).is_some() {
                    return;
                }
            }
            if began_ns >= due.slow {
                due.slow = next(due.slow, began_ns, as_ns(SLOW));
                if self.pass(|tick, own| own.slow(tick, device, gpu)).is_some() {
                    return;
                }
            }
            if began_ns >= due.mid {
                due.mid = next(due.mid, began_ns, as_ns(MID.max(node.interval)));
                if self.pass(|tick, own| own.mid(tick, device, gpu)).is_some() {
                    return;
                }
            }
            if self.rest(due.burst.min(due.fast).min(due.mid).min(due.slow)) {
                self.rest_unwoken(began_ns + as_ns(WAKE_GAP));
                due.fast = self.now_ns();
                due.mid = due.fast;
            }
        }
    }

    /// The fast tier; with it what the burst tier has come to, and its part of what is read.
    fn fast_pass(&mut self, device: &Device) -> Option<End> {
        let mut tick = Tick::begin(&self.watch, &mut self.faults, self.shared.outlet.draft(), true);
        fast::read(&mut tick, device);
        if let Some(burst) = &mut self.burst {
            burst.tell_extremes(&mut tick);
        }
        let (draft, end) = tick.finish();
        let as_burst = self.burst.is_some().then(|| Burst::of_the_fast_tier(&draft));
        let _ended = self.send(draft, end);
        // Behind the Draft that declares its series.
        if let (Some(draft), None) = (as_burst, end) {
            self.shared.outlet.send(draft);
        }
        end
    }

    /// The burst tier. Where it ends early, what it has to say is for everybody.
    fn burst_pass(&mut self, device: &Device) -> Option<End> {
        let burst = self.burst.as_mut()?;
        let draft = Draft { burst: true, ..self.shared.outlet.draft() };
        let mut tick = Tick::begin(&self.watch, &mut self.faults, draft, true);
        burst.read(&mut tick, device);
        let (mut draft, end) = tick.finish();
        if end.is_none() {
            burst.keep(&mut draft);
        }
        self.send(draft, end)
    }

    fn send(&self, draft: Draft, end: Option<End>) -> Option<End> {
        self.shared.outlet.send(draft);
        if end == Some(End::Gone) {
            self.generation.end_gone();
        }
        end
    }

    /// One pass with a Draft of its own. Why it ended early, if it did.
    fn pass(&mut self, read: impl FnOnce(&mut Tick, &mut Own)) -> Option<End> {
        let mut tick = Tick::begin(&self.watch, &mut self.faults, self.shared.outlet.draft(), false);
        let mut own = Own {
            shared: self.shared,
            index: self.index,
            links: &mut self.links,
            instances: &mut self.instances,
            holders: &mut self.holders,
        };
        read(&mut tick, &mut own);
        let (draft, end) = tick.finish();
        self.send(draft, end)
    }

    /// The driver is gone, whoever noticed first: so are this GPU's readings, and the processes on it.
    fn tell_gone(&mut self) {
        let subject = lock(&self.watch.subject);
        if !matches!(subject.entity, Entity::Gpu(_)) {
            return;
        }
        let mut draft = self.shared.outlet.draft();
        draft.read(&subject.entity, GPU_STATE, End::Gone.state());
        subject.instead(true, &Reading::Lost, &mut draft);
        draft.gone = lock(&self.shared.holders).forget(&subject.entity);
        drop(subject);
        self.shared.outlet.send(draft);
    }

    fn going(&self) -> bool {
        !self.generation.over.load(Ordering::Relaxed) && !self.shared.outlet.stopping()
    }

    fn now_ns(&self) -> u64 {
        self.shared.outlet.now().mono_ns.unwrap_or(0)
    }

    /// Sleeps until an instant or a wake-up. Whether it was a wake-up.
    fn rest(&self, until_ns: u64) -> bool {
        while self.going() {
            let left = until_ns.saturating_sub(self.now_ns());
            if left == 0 {
                return false;
            }
            match self.woken.recv_timeout(Duration::from_nanos(left).min(STOP_POLL)) {
                Ok(()) => return true,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    std::thread::sleep(Duration::from_nanos(left).min(STOP_POLL));
                }
            }
        }
        false
    }

    /// Sleeps until an instant; wake-ups until then count as answered.
    fn rest_unwoken(&self, until_ns: u64) {
        while self.rest(until_ns) {}
        while self.woken.try_recv().is_ok() {}
    }
}

/// What the slower tiers remember from pass to pass.
struct Own<'a> {
    shared: &'a Shared<'a>,
    index: u32,
    links: &'a mut Links,
    instances: &'a mut Instances,
    holders: &'a mut Vec<Holder>,
}

impl Own<'_> {
    fn slow(&mut self, tick: &mut Tick, device: &Device, gpu: &GpuKey) {
        slow::read(tick, device, self.index);
        self.links.find(tick, device, gpu, |at| lock(&self.shared.gpus_at).get(&at.with_function(0)).cloned());
    }

    fn mid(&mut self, tick: &mut Tick, device: &Device, gpu: &GpuKey) {
        mid::read(tick, device);
        self.links.read(tick, device, gpu);
        self.instances.read(tick, device);
        if let Some(seen) = holders::ask(tick, device, self.shared.node, self.holders) {
            holders::tell(tick, &mut lock(&self.shared.holders), &seen);
            *self.holders = seen;
        }
    }
}

/// The next beat after `now_ns` of a tier that beats since `due_ns`: ticks that were missed are skipped, not caught up.
fn next(due_ns: u64, now_ns: u64, period_ns: u64) -> u64 {
    if due_ns == 0 {
        return now_ns.saturating_add(period_ns);
    }
    let late = now_ns.saturating_sub(due_ns) / period_ns.max(1);
    due_ns.saturating_add((late + 1).saturating_mul(period_ns))
}

fn as_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).max(1)
}

/// The GPU at this place in the order of the bus, by which the driver numbers them, where the node shows as many as the
/// driver counts: for when the driver does not come to tell (`/proc/driver/nvidia/gpus`, the driver's README).
fn presumed(node: &Node, index: u32, count: u32) -> Option<EntityInfo> {
    let entries = fs::read_dir(node.path("/proc/driver/nvidia/gpus")).ok()?.flatten();
    let mut addresses: Vec<PciAddress> =
        entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).take(1_024).collect();
    addresses.sort_unstable();
    let place = usize::try_from(index).ok().filter(|_| u32::try_from(addresses.len()) == Ok(count))?;
    let address = *addresses.get(place)?;
    let info = EntityInfo::new(Entity::Gpu(GpuKey::Pci(address)), format!("GPU {index}")).at(address);
    Some(info.on_numa(numa_node(node, address)))
}

/// The NUMA node of a PCI device (sysfs-bus-pci, `numa_node`; -1 where the firmware does not tell).
fn numa_node(node: &Node, pci: PciAddress) -> Option<u32> {
    let text = fs::read_to_string(node.path(format!("/sys/bus/pci/devices/{pci}/numa_node"))).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missed_beats_are_skipped() {
        assert_eq!(next(0, 500, 100), 600);
        assert_eq!(next(600, 610, 100), 700);
        assert_eq!(next(600, 1_050, 100), 1_100);
    }
}

//! MIG: whether it is on, and the instances that exist.
//!
//! Facts: nvml.h of CUDA 13.0. While enumerating, "not found" and "invalid argument" mark a gap, as in NVIDIA's own code.

use std::collections::BTreeMap;

use model::catalogue::{GPU_MIG_DEVICES, GPU_MIG_MODE, GPU_MIG_PENDING, MIG_MEM_TOTAL, MIG_MEM_USED, MIG_PROFILE};
use model::reading::count_as_f64;
use model::{Entity, EntityInfo};
use nvml_raw::Device;

use super::fast::without;
use super::tick::{Tick, whole};

/// The most instances that any GPU has, with room.
const MOST_INSTANCES: u32 = 32;

/// The instances that were told of, with their labels.
#[derive(Debug, Default)]
pub(super) struct Instances {
    told: BTreeMap<String, String>,
}

impl Instances {
    /// Reads the mode and, where it is on, the instances; tells of those that are new or gone.
    pub(super) fn read(&mut self, tick: &mut Tick, device: &Device) {
        let mode = match tick.attempt("nvmlDeviceGetMigMode", || device.mig_mode()) {
            Some(Ok(mode)) => mode,
            Some(Err(meaning)) => return without(tick, &[GPU_MIG_MODE, GPU_MIG_PENDING, GPU_MIG_DEVICES], meaning),
            None => return,
        };
        tick.put(GPU_MIG_MODE, mode.current != 0);
        tick.put(GPU_MIG_PENDING, mode.pending != 0);
        let most = match mode.current {
            0 => Some(Ok(0)),
            _ => tick.attempt("nvmlDeviceGetMaxMigDeviceCount", || device.mig_device_count()),
        };
        let most = match most {
            Some(Ok(most)) => most.min(MOST_INSTANCES),
            Some(Err(meaning)) => return without(tick, &[GPU_MIG_DEVICES], meaning),
            None => return,
        };
        let mut found = BTreeMap::new();
        for index in 0..most {
            let instance = tick.ask("nvmlDeviceGetMigDeviceHandleByIndex", || device.mig_device_by_index(index));
            let Some(instance) = instance else { continue };
            if let Some((uuid, label)) = read_one(tick, &instance) {
                found.insert(uuid, label);
            }
        }
        // Where the pass broke off, what was not seen is not gone.
        if !tick.over() {
            tick.put(GPU_MIG_DEVICES, whole(GPU_MIG_DEVICES, found.len() as u64));
            self.tell(tick, found);
        }
    }

    fn tell(&mut self, tick: &mut Tick, found: BTreeMap<String, String>) {
        for (uuid, label) in found.iter().filter(|(uuid, label)| self.told.get(*uuid) != Some(*label)) {
            let info = EntityInfo::new(Entity::Mig(uuid.clone()), label.as_str()).under(tick.gpu().clone());
            tick.draft.entities.push(info);
        }
        let gone = self.told.keys().filter(|uuid| !found.contains_key(*uuid));
        tick.draft.gone.extend(gone.map(|uuid| Entity::Mig(uuid.clone())));
        self.told = found;
    }
}

fn read_one(tick: &mut Tick, instance: &Device) -> Option<(String, String)> {
    let uuid = tick.ask("nvmlDeviceGetUUID", || instance.uuid())?;
    let entity = Entity::Mig(uuid.clone());
    let name = tick.attempt("nvmlDeviceGetName", || instance.name())?;
    let label = name.clone().unwrap_or_else(|_| uuid.clone());
    tick.take(&entity, MIG_PROFILE, name.map(Into::into));
    let memory = tick.attempt("nvmlDeviceGetMemoryInfo_v2", || nvml_raw::device::memory(instance))?;
    tick.take(&entity, MIG_MEM_USED, memory.map(|memory| count_as_f64(memory.used).into()));
    tick.take(&entity, MIG_MEM_TOTAL, memory.map(|memory| count_as_f64(memory.total).into()));
    Some((uuid, label))
}

//! The NVLinks of one GPU: state, traffic and errors, and what each leads to.
//!
//! Facts: `NVML_FI_DEV_NVLINK_*` in nvml.h of CUDA 13.0; the error counters are those of NVLink 1 to 4. Checksum errors of
//! flits are read as a field, those of data (a call per link) in the slow tier only.

use std::collections::BTreeMap;

use model::catalogue::{
    NVLINK_CRC_DATA, NVLINK_CRC_FLIT, NVLINK_RECOVERY, NVLINK_REPLAY, NVLINK_RX, NVLINK_STATE, NVLINK_TX,
    NVLINK_VERSION,
};
use model::{Entity, EntityInfo, GpuKey, Metric, PciAddress, Value};
use nvml_raw::{Device, Far, Field, FieldValue};
use nvml_wrapper::enum_wrappers::nv_link::ErrorCounter;

use super::answer::Meaning;
use super::batch::Scale;
use super::tick::{Tick, whole};

/// The most links that any header lists (CUDA 13.3).
const MOST_LINKS: u32 = 36;
/// The field that tells how many links the GPU has.
const LINK_COUNT: Field = Field::new(91);

/// Field, metric, scale; each is asked for every link.
static PER_LINK: &[(u32, &Metric, Scale)] = &[
    (165, NVLINK_STATE, Scale::As),
    (138, NVLINK_TX, Scale::Times(1024)),
    (139, NVLINK_RX, Scale::Times(1024)),
    (161, NVLINK_REPLAY, Scale::As),
    (162, NVLINK_RECOVERY, Scale::As),
    (163, NVLINK_CRC_FLIT, Scale::As),
];

/// The links that were found, with what was told of them.
#[derive(Debug, Default)]
pub(super) struct Links {
    told: BTreeMap<u32, EntityInfo>,
    /// Checksum errors of data: the first link said that this GPU does not count them.
    uncounted: bool,
}

impl Links {
    /// Finds the links and what they lead to; tells of those that are new or lead elsewhere. `known` names the GPU at an
    /// address.
    pub(super) fn find(
        &mut self,
        tick: &mut Tick,
        device: &Device,
        gpu: &GpuKey,
        known: impl Fn(PciAddress) -> Option<Entity>,
    ) {
        for link in 0..count(tick, device) {
            let wrapper = device.link_wrapper_for(link);
            let far =
                tick.ask("nvmlDeviceGetNvLinkRemoteDeviceType", || nvml_raw::device::nvlink_far_end(device, link));
            let at = tick.ask("nvmlDeviceGetNvLinkRemotePciInfo_v2", || wrapper.remote_pci_info());
            let at = at.and_then(|pci| pci.bus_id.parse::<PciAddress>().ok());
            let peer = at.map(|at| match far {
                Some(Far::Switch) => Entity::NvSwitch(at),
                _ => known(at).unwrap_or(Entity::Pci(at)),
            });
            let entity = Entity::NvLink(gpu.clone(), link);
            let info = EntityInfo::new(entity.clone(), format!("NVLink {link}"))
                .under(tick.gpu().clone())
                .linked_to(peer.into_iter().collect());
            if self.told.get(&link) != Some(&info) {
                tick.draft.entities.push(info.clone());
                self.told.insert(link, info);
            }
            if let Some(version) = tick.attempt("nvmlDeviceGetNvLinkVersion", || wrapper.version()) {
                tick.take(&entity, NVLINK_VERSION, version.map(|version| whole(NVLINK_VERSION, u64::from(version))));
            }
            self.data_errors(tick, device, link, &entity);
        }
    }

    fn data_errors(&mut self, tick: &mut Tick, device: &Device, link: u32, entity: &Entity) {
        let call = || device.link_wrapper_for(link).error_counter(ErrorCounter::DlCrcData);
        let answer = match self.uncounted {
            true => Some(Err(Meaning::Absent)),
            false => tick.attempt("nvmlDeviceGetNvLinkErrorCounter", call),
        };
        let Some(answer) = answer else { return };
        self.uncounted |= answer == Err(Meaning::Absent);
        tick.take(entity, NVLINK_CRC_DATA, answer.map(Value::Count));
    }

    /// Reads state, traffic and errors of every link in one call.
    pub(super) fn read(&self, tick: &mut Tick, device: &Device, gpu: &GpuKey) {
        let asked: Vec<_> = self.told.keys().flat_map(|link| PER_LINK.iter().map(|entry| (*link, *entry))).collect();
        if asked.is_empty() {
            return;
        }
        let fields: Vec<Field> = asked.iter().map(|(link, (id, ..))| Field::of(*id, *link)).collect();
        let replies = tick.fields(device, &fields);
        for ((link, (_, metric, scale)), reply) in asked.into_iter().zip(replies) {
            let value = reply.and_then(|reply| value(metric, scale, reply.value).ok_or(Meaning::Failed));
            tick.take(&Entity::NvLink(gpu.clone(), link), metric, value);
        }
    }
}

/// How many links there are; older drivers have no field for it, there the links are tried one by one.
fn count(tick: &mut Tick, device: &Device) -> u32 {
    match tick.fields(device, &[LINK_COUNT]).first() {
        Some(Ok(reply)) => {
            let count = reply.value.as_u64().and_then(|count| u32::try_from(count).ok());
            count.unwrap_or(0).min(MOST_LINKS)
        }
        Some(Err(Meaning::Absent)) => {
            let mut is_link = |link: &u32| {
                tick.ask("nvmlDeviceGetNvLinkState", || device.link_wrapper_for(*link).is_active()).is_some()
            };
            let found = (0..MOST_LINKS).take_while(|link| is_link(link)).count();
            u32::try_from(found).unwrap_or(MOST_LINKS)
        }
        _ => 0,
    }
}

fn value(metric: &'static Metric, scale: Scale, value: FieldValue) -> Option<Value> {
    if metric.name != NVLINK_STATE.name {
        return scale.value(metric, value);
    }
    Some(match value.as_u64()? {
        0 => Value::from("inactive"),
        1 => Value::from("active"),
        2 => Value::from("sleep"),
        other => Value::from(format!("state {other}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_active_inactive_or_asleep() {
        let state = |raw| value(NVLINK_STATE, Scale::As, FieldValue::Unsigned(raw));
        assert_eq!(state(0), Some(Value::from("inactive")));
        assert_eq!(state(2), Some(Value::from("sleep")));
        assert_eq!(state(9), Some(Value::from("state 9")));
    }

    #[test]
    fn link_traffic_is_counted_in_kib() {
        let sent = value(NVLINK_TX, Scale::Times(1024), FieldValue::Unsigned(3));
        assert_eq!(sent, Some(Value::Count(3072)));
        assert_eq!(value(NVLINK_TX, Scale::Times(1024), FieldValue::Unsigned(u64::MAX)), None);
    }
}

//! The things on a node that samples and events are about, keyed by what survives re-enumeration.
//!
//! An [`Entity`] prints and parses in the command line's TARGET syntax (`node`, `gpu:UUID`, `gpu:PCI`, `port:mlx5_0/1`,
//! `mount:/path`, …). [`Inventory`] holds what is known about them: their tree, their PCI addresses, their aliases.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::address::PciAddress;
use crate::catalogue::EntityKind;

/// What identifies a GPU: its UUID where the driver told it, else its PCI address. Never its index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GpuKey {
    /// `GPU-…`, as the driver prints it.
    Uuid(String),
    /// Where only the bus or the kernel log knows it.
    Pci(PciAddress),
}

/// Something on the node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// The node itself.
    Node,
    /// A NUMA node.
    Numa(u32),
    /// A PCI function.
    Pci(PciAddress),
    /// A GPU.
    Gpu(GpuKey),
    /// A MIG instance, by its UUID.
    Mig(String),
    /// One NVLink of a GPU.
    NvLink(GpuKey, u32),
    /// An NVSwitch.
    NvSwitch(PciAddress),
    /// An RDMA port: device and port number.
    RdmaPort(String, u32),
    /// A network interface.
    Interface(String),
    /// A mount point.
    Mount(String),
    /// A process: pid and start time in clock ticks since boot (`/proc/PID/stat` field 22), since pids are reused.
    Process(u32, u64),
    /// A container, by its runtime's id.
    Container(String),
    /// A scheduler's job.
    Job(String),
    /// One of gpudeck's own probes.
    Probe(String),
}

/// Why a text is not a TARGET.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is not a target; expected node, gpu:UUID, gpu:PCI, port:DEVICE/PORT, mount:/PATH, pci:ADDRESS, \
     nvlink:GPU/LINK, nvswitch:PCI, mig:UUID, netif:NAME, numa:N, process:PID@START, container:ID, job:ID or probe:NAME"
)]
pub struct NotATarget {
    /// The text as found.
    pub found: String,
}

impl Entity {
    /// Which kind of thing it is.
    pub fn kind(&self) -> EntityKind {
        match self {
            Self::Node => EntityKind::Node,
            Self::Numa(_) => EntityKind::Numa,
            Self::Pci(_) => EntityKind::Pci,
            Self::Gpu(_) => EntityKind::Gpu,
            Self::Mig(_) => EntityKind::Mig,
            Self::NvLink(..) => EntityKind::NvLink,
            Self::NvSwitch(_) => EntityKind::NvSwitch,
            Self::RdmaPort(..) => EntityKind::RdmaPort,
            Self::Interface(_) => EntityKind::Interface,
            Self::Mount(_) => EntityKind::Mount,
            Self::Process(..) => EntityKind::Process,
            Self::Container(_) => EntityKind::Container,
            Self::Job(_) => EntityKind::Job,
            Self::Probe(_) => EntityKind::Probe,
        }
    }

    /// The GPU known by its UUID.
    pub fn gpu(uuid: impl Into<String>) -> Self {
        Self::Gpu(GpuKey::Uuid(uuid.into()))
    }
}

impl fmt::Display for GpuKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => f.write_str(uuid),
            Self::Pci(pci) => pci.fmt(f),
        }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node => f.write_str("node"),
            Self::Numa(number) => write!(f, "numa:{number}"),
            Self::Pci(pci) => write!(f, "pci:{pci}"),
            Self::Gpu(key) => write!(f, "gpu:{key}"),
            Self::Mig(uuid) => write!(f, "mig:{uuid}"),
            Self::NvLink(gpu, link) => write!(f, "nvlink:{gpu}/{link}"),
            Self::NvSwitch(pci) => write!(f, "nvswitch:{pci}"),
            Self::RdmaPort(device, port) => write!(f, "port:{device}/{port}"),
            Self::Interface(name) => write!(f, "netif:{name}"),
            Self::Mount(path) => write!(f, "mount:{path}"),
            Self::Process(pid, start) => write!(f, "process:{pid}@{start}"),
            Self::Container(id) => write!(f, "container:{id}"),
            Self::Job(id) => write!(f, "job:{id}"),
            Self::Probe(name) => write!(f, "probe:{name}"),
        }
    }
}

impl FromStr for Entity {
    type Err = NotATarget;

    fn from_str(text: &str) -> Result<Self, NotATarget> {
        parse(text).ok_or_else(|| NotATarget { found: text.chars().take(200).collect() })
    }
}

fn parse(text: &str) -> Option<Entity> {
    if text == "node" {
        return Some(Entity::Node);
    }
    let (scheme, rest) = text.split_once(':')?;
    if rest.is_empty() {
        return None;
    }
    Some(match scheme {
        "numa" => Entity::Numa(rest.parse().ok()?),
        "pci" => Entity::Pci(rest.parse().ok()?),
        "gpu" => Entity::Gpu(gpu_key(rest)),
        "mig" => Entity::Mig(rest.to_owned()),
        "nvlink" => {
            let (gpu, link) = rest.rsplit_once('/')?;
            Entity::NvLink(gpu_key(gpu), link.parse().ok()?)
        }
        "nvswitch" => Entity::NvSwitch(rest.parse().ok()?),
        "port" => {
            let (device, port) = rest.rsplit_once('/')?;
            Entity::RdmaPort(device.to_owned(), port.parse().ok()?)
        }
        "netif" => Entity::Interface(rest.to_owned()),
        "mount" => Entity::Mount(rest.to_owned()),
        "process" => {
            let (pid, start) = rest.split_once('@').unwrap_or((rest, "0"));
            Entity::Process(pid.parse().ok()?, start.parse().ok()?)
        }
        "container" => Entity::Container(rest.to_owned()),
        "job" => Entity::Job(rest.to_owned()),
        "probe" => Entity::Probe(rest.to_owned()),
        _ => return None,
    })
}

fn gpu_key(text: &str) -> GpuKey {
    text.parse().map_or_else(|_| GpuKey::Uuid(text.to_owned()), GpuKey::Pci)
}

impl Serialize for Entity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Entity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What is known about an entity beside its samples. A Frame carries it when it is new or has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityInfo {
    /// Which one.
    pub entity: Entity,
    /// What a person calls it: `GPU 3`, `mlx5_0/1`, `/data`, `python train.py`. From outside, so untrusted.
    #[serde(default)]
    pub label: crate::text::Untrusted,
    /// What it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Entity>,
    /// Its place on the PCI bus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pci: Option<PciAddress>,
    /// The NUMA node it hangs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub numa: Option<u32>,
    /// What it is linked to: the far end of an NVLink, the port of an interface, the GPUs of a process.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub linked: Vec<Entity>,
}

impl EntityInfo {
    /// An entity of which only the label is known.
    pub fn new(entity: Entity, label: impl Into<crate::text::Untrusted>) -> Self {
        Self { entity, label: label.into(), parent: None, pci: None, numa: None, linked: Vec::new() }
    }

    /// With its parent.
    pub fn under(self, parent: Entity) -> Self {
        Self { parent: Some(parent), ..self }
    }

    /// With its PCI address.
    pub fn at(self, pci: PciAddress) -> Self {
        Self { pci: Some(pci), ..self }
    }

    /// With its NUMA node.
    pub fn on_numa(self, numa: Option<u32>) -> Self {
        Self { numa, ..self }
    }

    /// With what it is linked to.
    pub fn linked_to(self, linked: Vec<Entity>) -> Self {
        Self { linked, ..self }
    }
}

/// Everything known about the entities of a node: a tree (parents) and a topology (PCI, NUMA, links).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    known: BTreeMap<Entity, EntityInfo>,
    gpus_by_pci: BTreeMap<PciAddress, Entity>,
}

impl Inventory {
    /// Takes in what a Frame tells. Of a process two probes tell: the driver's knows its GPUs, the other one does not,
    /// so one that names none leaves them as they are known.
    pub fn learn(&mut self, info: &EntityInfo) {
        if let (Entity::Gpu(GpuKey::Uuid(_)), Some(pci)) = (&info.entity, info.pci) {
            self.gpus_by_pci.insert(pci.with_function(0), info.entity.clone());
        }
        let mut info = info.clone();
        if let (Entity::Process(..), [], Some(known)) =
            (&info.entity, info.linked.as_slice(), self.known.get(&info.entity))
        {
            info.linked.clone_from(&known.linked);
        }
        self.known.insert(info.entity.clone(), info);
    }

    /// Forgets an entity that is gone.
    pub fn forget(&mut self, entity: &Entity) {
        if let Some(info) = self.known.remove(entity) {
            self.gpus_by_pci.retain(|_, gpu| *gpu != info.entity);
        }
    }

    /// What is known about it.
    pub fn get(&self, entity: &Entity) -> Option<&EntityInfo> {
        self.known.get(entity)
    }

    /// All entities in their order.
    pub fn iter(&self) -> impl Iterator<Item = &EntityInfo> {
        self.known.values()
    }

    /// All entities of one kind, in their order.
    pub fn of_kind(&self, kind: EntityKind) -> impl Iterator<Item = &EntityInfo> {
        self.known.values().filter(move |info| info.entity.kind() == kind)
    }

    /// The GPUs in bus order, as people number them; those without a known address last.
    pub fn gpus(&self) -> Vec<&EntityInfo> {
        let mut gpus: Vec<_> = self.of_kind(EntityKind::Gpu).collect();
        gpus.sort_by_key(|info| (self.pci_of(&info.entity).is_none(), self.pci_of(&info.entity), &info.entity));
        gpus
    }

    /// The name under which an entity's samples are kept: a GPU that the kernel log knows by its PCI address is the one
    /// that the driver knows by its UUID.
    pub fn canonical(&self, entity: &Entity) -> Entity {
        let known_gpu = |pci: &PciAddress| match self.gpus_by_pci.get(&pci.with_function(0)) {
            Some(Entity::Gpu(key)) => Some(key.clone()),
            _ => None,
        };
        match entity {
            Entity::Gpu(GpuKey::Pci(pci)) => known_gpu(pci).map_or_else(|| entity.clone(), Entity::Gpu),
            Entity::NvLink(GpuKey::Pci(pci), link) => {
                known_gpu(pci).map_or_else(|| entity.clone(), |gpu| Entity::NvLink(gpu, *link))
            }
            other => other.clone(),
        }
    }

    /// The entity's PCI address: its own, or that of the GPU or switch it belongs to.
    pub fn pci_of(&self, entity: &Entity) -> Option<PciAddress> {
        match entity {
            Entity::Pci(pci) | Entity::NvSwitch(pci) | Entity::Gpu(GpuKey::Pci(pci)) => Some(*pci),
            Entity::NvLink(GpuKey::Pci(pci), _) => Some(*pci),
            Entity::NvLink(gpu, _) => self.pci_of(&Entity::Gpu(gpu.clone())),
            other => self.known.get(other).and_then(|info| info.pci),
        }
    }

    /// The GPU at a PCI address: any function of the card.
    pub fn gpu_at(&self, pci: PciAddress) -> Option<&Entity> {
        self.gpus_by_pci.get(&pci.with_function(0))
    }

    /// The PCI devices above a device, nearest first: its port, the switch, up to the root port.
    pub fn upstream(&self, pci: PciAddress) -> Vec<PciAddress> {
        let mut path = Vec::new();
        let mut here = Entity::Pci(pci);
        // A tree that a captured file describes may hold a cycle; a PCIe path has at most a handful of bridges.
        while path.len() < 32 {
            match self.known.get(&here).and_then(|info| info.parent.clone()) {
                Some(Entity::Pci(parent)) => {
                    path.push(parent);
                    here = Entity::Pci(parent);
                }
                _ => break,
            }
        }
        path
    }

    /// What a person calls it: its label, or the target syntax where it has none.
    pub fn label(&self, entity: &Entity) -> String {
        match self.known.get(entity) {
            Some(info) if !info.label.raw().is_empty() => info.label.display(60),
            _ => crate::text::clean(&entity.to_string(), 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_read_back_as_they_print() {
        for target in [
            "node",
            "gpu:GPU-12ab",
            "gpu:0000:4f:00.0",
            "port:mlx5_0/1",
            "mount:/data/a b",
            "pci:0000:00:01.0",
            "nvlink:GPU-1/17",
            "nvlink:0000:4f:00.0/3",
            "nvswitch:0000:05:00.0",
            "process:77@1234",
            "probe:nvml",
        ] {
            assert_eq!(target.parse::<Entity>().unwrap().to_string(), target);
        }
        assert!("disk:sda".parse::<Entity>().unwrap_err().to_string().contains("port:DEVICE/PORT"));
    }

    #[test]
    fn the_kernels_name_for_a_gpu_leads_to_the_drivers() {
        let pci: PciAddress = "0000:4f:00.0".parse().unwrap();
        let mut inventory = Inventory::default();
        assert_eq!(inventory.canonical(&Entity::Gpu(GpuKey::Pci(pci))), Entity::Gpu(GpuKey::Pci(pci)));
        inventory.learn(&EntityInfo::new(Entity::gpu("GPU-1"), "GPU 0").at(pci));
        assert_eq!(inventory.canonical(&Entity::Gpu(GpuKey::Pci(pci))), Entity::gpu("GPU-1"));
        assert_eq!(inventory.gpu_at(pci.with_function(1)), Some(&Entity::gpu("GPU-1")));
        inventory.forget(&Entity::gpu("GPU-1"));
        assert_eq!(inventory.gpu_at(pci), None);
    }

    #[test]
    fn a_probe_that_does_not_know_a_processs_gpus_leaves_them() {
        let process = Entity::Process(77, 1234);
        let mut inventory = Inventory::default();
        inventory.learn(&EntityInfo::new(process.clone(), "python").linked_to(vec![Entity::gpu("GPU-1")]));
        inventory.learn(&EntityInfo::new(process.clone(), "python train.py"));
        assert_eq!(inventory.get(&process).unwrap().linked, [Entity::gpu("GPU-1")]);
        assert_eq!(inventory.label(&process), "python train.py");
        let interface = Entity::Interface("eth0".to_owned());
        inventory.learn(&EntityInfo::new(interface.clone(), "eth0").linked_to(vec![process]));
        inventory.learn(&EntityInfo::new(interface.clone(), "eth0"));
        assert_eq!(inventory.get(&interface).unwrap().linked, []);
    }

    #[test]
    fn a_circular_tree_ends() {
        let (a, b): (PciAddress, PciAddress) = ("0000:00:01.0".parse().unwrap(), "0000:01:00.0".parse().unwrap());
        let mut inventory = Inventory::default();
        inventory.learn(&EntityInfo::new(Entity::Pci(a), "").under(Entity::Pci(b)));
        inventory.learn(&EntityInfo::new(Entity::Pci(b), "").under(Entity::Pci(a)));
        assert_eq!(inventory.upstream(a).len(), 32);
    }
}

//! The bus as a tree: which bridge a device hangs on, what the two ends of its link can do together, and which devices
//! are worth reading every second.

use std::collections::{BTreeMap, BTreeSet};

use model::{Entity, EntityInfo, PciAddress};

use super::{naming, parse};
use crate::tree::Directory;

/// What a device says of itself, read when the bus is taken stock of.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Where it is.
    pub address: PciAddress,
    /// Vendor id.
    pub vendor: u16,
    /// Device id.
    pub device: u16,
    /// The word for its class.
    pub class: &'static str,
    /// Its NUMA node, where the firmware told it.
    pub numa: Option<u32>,
    /// The function above, where the tree tells it by its links.
    pub parent: Option<PciAddress>,
    /// Of a bridge, the bus below it: tells the parents in a copied tree without links.
    pub bus_below: Option<u8>,
    /// The highest speed of its own end of the link, GT/s.
    pub speed_max: Option<f64>,
    /// The most lanes of its own end of the link.
    pub width_max: Option<u64>,
    /// Whether it is an SR-IOV virtual function: it has no link of its own.
    pub virtual_function: bool,
    /// Whether it counts the errors below it for the root complex.
    pub root_port: bool,
}

impl Facts {
    /// Reads them. `None`: no ids, so no device.
    pub(crate) fn read(address: PciAddress, directory: &Directory) -> Option<Self> {
        let text = |name: &str| directory.text(name).ok();
        let id = |name: &str| u16::try_from(text(name).and_then(|text| parse::hexadecimal(&text))?).ok();
        let (vendor, device) = (id("vendor")?, id("device")?);
        let class = text("class").and_then(|text| parse::hexadecimal(&text)).unwrap_or(0);
        let class = naming::class_word(class, vendor);
        let header = if class == "bridge" { directory.bytes("config", 64).ok() } else { None };
        Some(Self {
            address,
            vendor,
            device,
            class,
            numa: text("numa_node").and_then(|text| parse::numa_node(&text)),
            parent: parse::parent(directory.place()),
            bus_below: header.and_then(|header| parse::bus_below(&header)),
            speed_max: text("max_link_speed").and_then(|text| parse::speed(&text)),
            width_max: text("max_link_width").and_then(|text| parse::width(&text)).filter(|lanes| *lanes > 0),
            virtual_function: directory.has("physfn"),
            root_port: directory.has("aer_rootport_total_err_cor"),
        })
    }

    /// What is told of it to everybody.
    pub fn info(&self, place: &Place) -> EntityInfo {
        let info = EntityInfo::new(Entity::Pci(self.address), naming::short_name(self.vendor, self.device));
        let info = info.at(self.address).on_numa(self.numa);
        info.under(place.parent.map_or(Entity::Node, Entity::Pci))
    }

    fn is_payload(&self) -> bool {
        !self.virtual_function && !matches!(self.class, "bridge" | "other")
    }
}

/// A device's place on the bus.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// The bridge above.
    pub parent: Option<PciAddress>,
    /// The highest speed that both ends of the link above have, GT/s. `None`: no link above, or one end does not say.
    pub slot_speed: Option<f64>,
    /// The most lanes that both ends of the link above have.
    pub slot_width: Option<u64>,
    /// Whether it is read every interval: GPUs, accelerators, network adapters, NVMe, NVSwitches, the bridges above
    /// them, and root ports.
    pub watched: bool,
}

/// Finds every device's place.
pub fn arrange(devices: &[Facts]) -> BTreeMap<PciAddress, Place> {
    let known: BTreeMap<PciAddress, &Facts> = devices.iter().map(|facts| (facts.address, facts)).collect();
    let bridges: BTreeMap<(u32, u8), PciAddress> =
        devices.iter().filter_map(|facts| Some(((facts.address.domain, facts.bus_below?), facts.address))).collect();
    let parent_of = |facts: &Facts| {
        let by_bus = || bridges.get(&(facts.address.domain, facts.address.bus)).copied();
        facts.parent.or_else(by_bus).filter(|parent| *parent != facts.address && known.contains_key(parent))
    };
    let parents: BTreeMap<PciAddress, PciAddress> =
        devices.iter().filter_map(|facts| Some((facts.address, parent_of(facts)?))).collect();
    let watched = watched(devices, &parents);
    let place = |facts: &Facts| {
        let parent = parents.get(&facts.address).copied();
        let partner = parent.and_then(|parent| known.get(&parent)).filter(|_| has_link_above(facts, &parents, &known));
        let speed = partner.and_then(|partner| Some(facts.speed_max?.min(partner.speed_max?)));
        let width = partner.and_then(|partner| Some(facts.width_max?.min(partner.width_max?)));
        Place { parent, slot_speed: speed, slot_width: width, watched: watched.contains(&facts.address) }
    };
    devices.iter().map(|facts| (facts.address, place(facts))).collect()
}

fn watched(devices: &[Facts], parents: &BTreeMap<PciAddress, PciAddress>) -> BTreeSet<PciAddress> {
    let mut watched = BTreeSet::new();
    for facts in devices.iter().filter(|facts| facts.is_payload() || facts.root_port) {
        let mut here = Some(facts.address);
        // Ends at the root, or where a way up already taken is met; a circle is such a way.
        while let Some(address) = here.filter(|address| watched.insert(*address)) {
            here = parents.get(&address).copied();
        }
    }
    watched
}

/// Whether the link of a device is the one above it. Bridges take turns on the way down: a root port's link is below, a
/// switch's upstream port's above, its downstream ports' below again. The bus between a switch's own ports is no link.
fn has_link_above(
    facts: &Facts,
    parents: &BTreeMap<PciAddress, PciAddress>,
    known: &BTreeMap<PciAddress, &Facts>,
) -> bool {
    let is_bridge = |address: &PciAddress| known.get(address).is_some_and(|facts| facts.class == "bridge");
    let above = std::iter::successors(parents.get(&facts.address), |address| parents.get(*address));
    // A captured tree may hold a circle; a way up has at most a handful of bridges.
    let bridges_above = above.take_while(|address| is_bridge(address)).take(32).count();
    if facts.class == "bridge" { bridges_above % 2 == 1 } else { bridges_above > 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(address: &str, class: &'static str, parent: Option<&str>, speed: f64, width: u64) -> Facts {
        Facts {
            address: address.parse().unwrap(),
            vendor: 0x10de,
            device: 0x2330,
            class,
            numa: None,
            parent: parent.map(|parent| parent.parse().unwrap()),
            bus_below: None,
            speed_max: Some(speed),
            width_max: Some(width),
            virtual_function: false,
            root_port: false,
        }
    }

    fn place(places: &BTreeMap<PciAddress, Place>, address: &str) -> Place {
        places.get(&address.parse().unwrap()).unwrap().clone()
    }

    #[test]
    fn the_slot_is_what_both_ends_have_and_only_a_link_has_one() {
        let places = arrange(&[
            device("0000:00:01.0", "bridge", None, 32.0, 16),
            device("0000:01:00.0", "bridge", Some("0000:00:01.0"), 16.0, 16),
            device("0000:02:00.0", "bridge", Some("0000:01:00.0"), 16.0, 8),
            device("0000:03:00.0", "gpu", Some("0000:02:00.0"), 32.0, 16),
            device("0000:00:02.0", "nvme", None, 32.0, 4),
        ]);
        let slot = |address: &str| {
            let place = place(&places, address);
            place.slot_speed.zip(place.slot_width)
        };
        assert_eq!(slot("0000:00:01.0"), None, "a root port's link is below it");
        assert_eq!(slot("0000:01:00.0"), Some((16.0, 16)), "a switch's upstream port");
        assert_eq!(slot("0000:02:00.0"), None, "a switch's downstream port");
        assert_eq!(slot("0000:03:00.0"), Some((16.0, 8)), "a card in a slot of a switch");
        assert_eq!(slot("0000:00:02.0"), None, "integrated into the root complex");
    }

    #[test]
    fn a_tree_without_links_finds_its_parents_by_bus_numbers() {
        let mut port = device("0000:00:01.0", "bridge", None, 32.0, 16);
        port.bus_below = Some(0x4f);
        let elsewhere = device("0001:4f:00.0", "gpu", None, 32.0, 16);
        let places = arrange(&[port, device("0000:4f:00.0", "gpu", None, 32.0, 16), elsewhere]);
        assert_eq!(place(&places, "0000:4f:00.0").parent, Some("0000:00:01.0".parse().unwrap()));
        assert_eq!(place(&places, "0001:4f:00.0").parent, None);
    }

    #[test]
    fn what_carries_the_work_is_watched_with_the_bridges_above_it() {
        let mut function = device("0000:01:00.1", "ethernet", Some("0000:00:01.0"), 32.0, 16);
        function.virtual_function = true;
        let mut root_port = device("0000:00:04.0", "bridge", None, 32.0, 16);
        root_port.root_port = true;
        let places = arrange(&[
            device("0000:00:01.0", "bridge", None, 32.0, 16),
            device("0000:01:00.0", "gpu", Some("0000:00:01.0"), 32.0, 16),
            function,
            device("0000:00:02.0", "bridge", None, 32.0, 16),
            device("0000:00:03.0", "other", None, 32.0, 16),
            root_port,
        ]);
        let watched: Vec<String> =
            places.iter().filter(|(_, place)| place.watched).map(|(address, _)| address.to_string()).collect();
        assert_eq!(watched, ["0000:00:01.0", "0000:00:04.0", "0000:01:00.0"]);
    }

    #[test]
    fn a_circle_ends() {
        let places = arrange(&[
            device("0000:00:01.0", "bridge", Some("0000:01:00.0"), 32.0, 16),
            device("0000:01:00.0", "bridge", Some("0000:00:01.0"), 32.0, 16),
            device("0000:02:00.0", "gpu", Some("0000:01:00.0"), 32.0, 16),
        ]);
        assert!(places.values().all(|place| place.watched));
    }
}

//! How the entities of a cause and a symptom lie to each other: by device, by the PCIe tree, by links.

use model::{Entity, Inventory, PciAddress};

use crate::rule::Relation;

/// How surely two entities are related.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Tie {
    /// The inventory says so.
    Known,
    /// The topology is not known; the addresses and the short time between the two suggest it.
    Guessed,
}

/// Without a known topology, a port's error and a device's are held together only when they are this close.
const GUESS_WITHIN: u64 = 5 * model::time::NS_PER_S;

/// Whether the symptom's entity lies to the cause's as the edge demands.
pub(super) fn tie(
    inventory: &Inventory,
    cause: &Entity,
    symptom: &Entity,
    relation: Relation,
    lag: u64,
) -> Option<Tie> {
    match relation {
        Relation::Node => Some(Tie::Known),
        Relation::Same => same(inventory, cause, symptom).then_some(Tie::Known),
        Relation::Linked => linked(inventory, cause, symptom).then_some(Tie::Known),
        Relation::Upstream => above(inventory, cause, symptom, lag),
        Relation::Downstream => above(inventory, symptom, cause, lag),
    }
}

/// One entity, two functions of one device, or a part and its whole.
pub(super) fn same(inventory: &Inventory, one: &Entity, other: &Entity) -> bool {
    let (one, other) = (inventory.canonical(one), inventory.canonical(other));
    if one == other {
        return true;
    }
    let parent = |entity: &Entity| inventory.get(entity).and_then(|info| info.parent.clone());
    let device = |entity: &Entity| !matches!(entity, Entity::Process(..) | Entity::Container(_) | Entity::Job(_));
    if let (Some(here), Some(there)) = (inventory.pci_of(&one), inventory.pci_of(&other)) {
        return here.same_device(there) && device(&one) && device(&other);
    }
    match (&one, &other) {
        (Entity::NvLink(gpu, _), Entity::Gpu(whole)) | (Entity::Gpu(whole), Entity::NvLink(gpu, _)) => gpu == whole,
        (Entity::Mig(_), Entity::Gpu(_)) => parent(&one).as_ref() == Some(&other),
        (Entity::Gpu(_), Entity::Mig(_)) => parent(&other).as_ref() == Some(&one),
        _ => false,
    }
}

fn linked(inventory: &Inventory, one: &Entity, other: &Entity) -> bool {
    let names = |from: &Entity, to: &Entity| {
        inventory.get(from).is_some_and(|info| {
            info.linked.iter().any(|far| same(inventory, far, to)) || info.parent.as_ref() == Some(to)
        })
    };
    // Every GPU of a node with switches hangs on all of them.
    let fabric = |entity: &Entity| matches!(entity, Entity::Gpu(_) | Entity::NvLink(..) | Entity::NvSwitch(_));
    let switch = |entity: &Entity| matches!(entity, Entity::NvSwitch(_));
    same(inventory, one, other)
        || names(one, other)
        || names(other, one)
        || (fabric(one) && fabric(other) && (switch(one) || switch(other)))
}

fn above(inventory: &Inventory, port: &Entity, device: &Entity, lag: u64) -> Option<Tie> {
    let (port, device) = (inventory.pci_of(port)?, inventory.pci_of(device)?);
    let path = upstream(inventory, device);
    if !path.is_empty() {
        return path.contains(&port).then_some(Tie::Known);
    }
    // Buses are numbered downwards from the root, so what is above has a lower number.
    let plausible = port.domain == device.domain && port.bus < device.bus && lag <= GUESS_WITHIN;
    plausible.then_some(Tie::Guessed)
}

/// The ports above any function of a device.
fn upstream(inventory: &Inventory, device: PciAddress) -> Vec<PciAddress> {
    let own = inventory.upstream(device);
    if own.is_empty() { inventory.upstream(device.with_function(0)) } else { own }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use model::EntityInfo;

    use super::*;

    fn entity(text: &str) -> Entity {
        text.parse().unwrap()
    }

    #[test]
    fn functions_of_one_card_are_the_same_device() {
        let mut inventory = Inventory::default();
        inventory.learn(&EntityInfo::new(entity("gpu:GPU-1"), "").at("0000:09:00.0".parse().unwrap()));
        assert!(same(&inventory, &entity("gpu:GPU-1"), &entity("pci:0000:09:00.3")));
        assert!(same(&inventory, &entity("nvlink:GPU-1/3"), &entity("gpu:0000:09:00.0")));
        assert!(!same(&inventory, &entity("gpu:GPU-1"), &entity("pci:0000:0a:00.0")));
    }

    #[test]
    fn a_known_tree_decides_and_an_unknown_one_is_guessed_only_when_close() {
        let mut inventory = Inventory::default();
        let (port, gpu) = (entity("pci:0000:08:00.0"), entity("gpu:0000:09:00.0"));
        assert_eq!(tie(&inventory, &port, &gpu, Relation::Upstream, 1), Some(Tie::Guessed));
        assert_eq!(tie(&inventory, &port, &gpu, Relation::Upstream, GUESS_WITHIN + 1), None);
        inventory.learn(&EntityInfo::new(entity("pci:0000:09:00.0"), "").under(entity("pci:0000:08:01.0")));
        assert_eq!(tie(&inventory, &port, &gpu, Relation::Upstream, 1), None);
        assert_eq!(tie(&inventory, &entity("pci:0000:08:01.0"), &gpu, Relation::Upstream, 1), Some(Tie::Known));
        assert_eq!(tie(&inventory, &gpu, &entity("pci:0000:08:01.0"), Relation::Downstream, 1), Some(Tie::Known));
    }
}

//! The PCIe probe on captured trees, on trees that change while they are read, and on the machine that runs the test.
#![allow(clippy::unwrap_used, clippy::panic)]

mod captured;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use captured::{of, read, unpack, unpack_into};
use model::{Entity, Inventory, PciAddress, Reading};
use probes::Node;
use probes::pcie::Pcie;

fn address(text: &str) -> PciAddress {
    text.parse().unwrap()
}

#[test]
fn a_captured_bus_is_told_with_its_tree_and_its_links() {
    let tree = unpack("rxe-aer-before");
    let draft = read(&mut Pcie::new(&Node::at(tree.path())), "pcie", 1);
    assert_eq!(draft.faults, []);
    assert_eq!(draft.entities.len(), 15);

    let mut inventory = Inventory::default();
    draft.entities.iter().for_each(|info| inventory.learn(info));
    let way = inventory.upstream(address("0000:05:00.0"));
    assert_eq!(way, [address("0000:04:00.0"), address("0000:03:00.0"), address("0000:00:03.0")]);

    let card = of(&draft, "pci:0000:01:00.0");
    assert_eq!(card.info().label.raw(), "82574L Gigabit Network Connection");
    assert_eq!(card.info().parent, Some(Entity::Pci(address("0000:00:01.0"))));
    assert_eq!(card.info().numa, None, "-1 is unknown, not a node");
    assert_eq!(card.text("pcie.class"), "ethernet");
    assert_eq!(card.text("pcie.id"), "8086:10d3");
    assert_eq!(card.text("pcie.driver"), "e1000e");
    assert_eq!(card.text("pcie.power_state"), "D0");
    assert_eq!((card.number("pcie.speed"), card.number("pcie.width")), (2.5, 1.0));
    assert_eq!((card.number("pcie.slot_speed"), card.number("pcie.slot_width")), (2.5, 1.0));
    assert_eq!(card.number("pcie.config_gone"), 0.0);
    assert_eq!(card.number("pcie.aer_correctable"), 0.0);
    assert_eq!(card.names("pcie.aer."), Vec::<String>::new(), "no kind of error has been counted");

    let port = of(&draft, "pci:0000:00:01.0");
    assert_eq!(port.text("pcie.class"), "bridge");
    assert_eq!((port.number("pcie.speed_max"), port.number("pcie.width_max")), (16.0, 32.0));
    assert_eq!(port.reading("pcie.slot_width"), Some(Reading::Unsupported), "a root port's link is below it");
    assert_eq!(port.number("pcie.root_fatal"), 0.0);
    assert_eq!(card.reading("pcie.root_fatal"), None);

    // This switch's port says `Unknown` and 0 for the most that it can do.
    let switch = of(&draft, "pci:0000:04:00.0");
    assert_eq!(switch.reading("pcie.speed_max"), Some(Reading::Unsupported));
    assert_eq!(switch.reading("pcie.width_max"), Some(Reading::Unsupported));
    assert_eq!(of(&draft, "pci:0000:05:00.0").reading("pcie.slot_speed"), Some(Reading::Unsupported));

    // Part of the root complex: no link, no AER, no driver.
    let chipset = of(&draft, "pci:0000:00:1f.3");
    assert_eq!(chipset.reading("pcie.speed"), Some(Reading::Unsupported));
    assert_eq!(chipset.reading("pcie.aer_fatal"), Some(Reading::Unsupported));
    assert_eq!(of(&draft, "probe:pcie").text("probe.state"), "ok");
}

#[test]
fn a_copied_tree_without_links_has_the_same_topology() {
    let (linked, copied) = (unpack("rxe-aer-before"), unpack("rxe-aer-before-copied"));
    let linked = read(&mut Pcie::new(&Node::at(linked.path())), "pcie", 1);
    let copied = read(&mut Pcie::new(&Node::at(copied.path())), "pcie", 1);
    assert_eq!(linked, copied);
}

#[test]
fn the_root_port_tells_the_fatal_errors_that_the_device_does_not() {
    let tree = unpack("rxe-aer-before");
    let mut pcie = Pcie::new(&Node::at(tree.path()));
    read(&mut pcie, "pcie", 1);
    unpack_into(tree.path(), "rxe-aer-after-aer");
    let draft = read(&mut pcie, "pcie", 2);

    for (device, port) in [("pci:0000:06:00.0", "pci:0000:00:04.0"), ("pci:0000:05:00.0", "pci:0000:00:03.0")] {
        assert_eq!(of(&draft, device).number("pcie.aer_fatal"), 0.0, "{device}");
        assert_eq!(of(&draft, port).number("pcie.root_fatal"), 1.0, "{port}");
    }
    let port = of(&draft, "pci:0000:00:01.0");
    assert_eq!((port.number("pcie.root_correctable"), port.number("pcie.root_nonfatal")), (3.0, 3.0));
    assert_eq!(port.names("pcie.aer."), ["pcie.aer.nonfatal.UnxCmplt"]);

    let card = of(&draft, "pci:0000:01:00.0");
    assert_eq!((card.number("pcie.aer_correctable"), card.number("pcie.aer_nonfatal")), (3.0, 2.0));
    assert_eq!(
        card.names("pcie.aer."),
        [
            "pcie.aer.correctable.RxErr",
            "pcie.aer.correctable.BadTLP",
            "pcie.aer.correctable.Timeout",
            "pcie.aer.nonfatal.TLP",
            "pcie.aer.nonfatal.CmpltTO",
        ]
    );

    // A kind that has been counted is told of from then on, at 0 as well.
    unpack_into(tree.path(), "rxe-aer-before");
    let draft = read(&mut pcie, "pcie", 3);
    assert_eq!(of(&draft, "pci:0000:01:00.0").number("pcie.aer.correctable.RxErr"), 0.0);
}

#[test]
fn what_changes_slowly_is_read_slowly() {
    let tree = unpack("rxe-aer-before");
    let mut pcie = Pcie::new(&Node::at(tree.path()));
    read(&mut pcie, "pcie", 1);
    let fast = read(&mut pcie, "pcie", 2);
    assert_eq!(fast.entities, []);
    let card = of(&fast, "pci:0000:01:00.0");
    assert_eq!(card.number("pcie.speed"), 2.5);
    assert!(card.reading("pcie.name").is_none() && card.reading("pcie.config_gone").is_none());
    assert_eq!(of(&fast, "pci:0000:00:1f.3").names(""), Vec::<String>::new());
    assert_eq!(of(&read(&mut pcie, "pcie", 6), "pci:0000:01:00.0").number("pcie.config_gone"), 0.0);
    let slow = read(&mut pcie, "pcie", 61);
    assert_eq!(of(&slow, "pci:0000:00:1f.3").text("pcie.class"), "other");
    assert_eq!(slow.entities, [], "nothing has changed");
}

#[test]
fn a_device_that_does_not_answer_is_seen_and_one_that_is_gone_says_so_first() {
    let tree = unpack("rxe-aer-before");
    let mut pcie = Pcie::new(&Node::at(tree.path()));
    read(&mut pcie, "pcie", 1);
    let device = tree.path().join("sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0");
    fs::write(device.join("config"), [0xff; 64]).unwrap();
    fs::write(device.join("current_link_speed"), "Unknown\n").unwrap();
    let draft = read(&mut pcie, "pcie", 6);
    let card = of(&draft, "pci:0000:01:00.0");
    assert_eq!(card.number("pcie.config_gone"), 1.0);
    assert_eq!(card.reading("pcie.speed"), Some(Reading::Unsupported));

    fs::remove_file(tree.path().join("sys/bus/pci/devices/0000:01:00.0")).unwrap();
    let draft = read(&mut pcie, "pcie", 7);
    let card = of(&draft, "pci:0000:01:00.0");
    assert_eq!(card.number("pcie.config_gone"), 1.0);
    assert_eq!(card.reading("pcie.width"), Some(Reading::Lost));
    assert_eq!(draft.gone, []);
    let draft = read(&mut pcie, "pcie", 8);
    assert_eq!(draft.gone, [Entity::Pci(address("0000:01:00.0"))]);
    assert_eq!(read(&mut pcie, "pcie", 9).gone, []);
}

#[test]
fn a_sleeping_device_is_not_woken_up() {
    let tree = unpack("rxe-aer-before");
    let device = tree.path().join("sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0");
    fs::write(device.join("power_state"), "D3cold\n").unwrap();
    let draft = read(&mut Pcie::new(&Node::at(tree.path())), "pcie", 1);
    let card = of(&draft, "pci:0000:01:00.0");
    assert_eq!(card.text("pcie.power_state"), "D3cold");
    assert!(card.reading("pcie.speed").is_none() && card.reading("pcie.config_gone").is_none());
}

#[test]
fn a_link_out_of_the_tree_is_not_followed() {
    let tree = unpack("rxe-aer-before");
    let outside = unpack("rxe-aer-after-aer");
    let devices = tree.path().join("sys/bus/pci/devices");
    let target = outside.path().join("sys/devices/pci0000:00/0000:00:01.0/0000:01:00.0");
    fs::remove_file(devices.join("0000:01:00.0")).unwrap();
    symlink(target, devices.join("0000:01:00.0")).unwrap();
    let draft = read(&mut Pcie::new(&Node::at(tree.path())), "pcie", 1);
    assert_eq!(of(&draft, "pci:0000:01:00.0").names(""), Vec::<String>::new());
    assert_eq!(draft.entities.len(), 14);
}

#[test]
fn a_tree_without_a_bus_is_missing() {
    let tree = tempfile::tempdir().unwrap();
    let draft = read(&mut Pcie::new(&Node::at(tree.path())), "pcie", 1);
    assert_eq!(of(&draft, "probe:pcie").text("probe.state"), "missing");
    assert_eq!(draft.entities, []);
}

#[test]
fn this_machines_bus_is_read() {
    let draft = read(&mut Pcie::new(&Node::at("/")), "pcie", 1);
    let listed = fs::read_dir("/sys/bus/pci/devices").map_or(0, |entries| entries.count());
    assert_eq!(draft.entities.len(), listed);
    assert_eq!(draft.faults, []);
    for info in &draft.entities {
        let place = fs::canonicalize(Path::new("/sys/bus/pci/devices").join(info.pci.unwrap().to_string())).unwrap();
        let above = place.parent().unwrap().file_name().unwrap().to_str().unwrap();
        match above.parse::<PciAddress>() {
            Ok(parent) => assert_eq!(info.parent, Some(Entity::Pci(parent))),
            Err(_) => assert_eq!(info.parent, Some(Entity::Node), "{above}"),
        }
    }
}

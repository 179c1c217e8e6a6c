//! The RDMA probe on captured trees of real drivers, and on what other drivers are known to do.
#![allow(clippy::unwrap_used, clippy::panic)]

mod captured;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use captured::{of, read, unpack, unpack_into};
use model::{Entity, Kind, Metric, Reading};
use probes::Node;
use probes::rdma::Rdma;

#[test]
fn the_ports_of_an_h100_node_are_told() {
    let tree = unpack("h100-infiniband-sysfs");
    let draft = read(&mut Rdma::new(&Node::at(tree.path())), "rdma", 1);
    assert_eq!(draft.faults, []);
    assert_eq!(draft.entities.len(), 9);
    let port = of(&draft, "port:mlx5_0/1");
    assert_eq!(port.info().label.raw(), "mlx5_0/1");
    assert_eq!((port.text("rdma.state"), port.text("rdma.phys_state")), ("active".into(), "link_up".into()));
    assert_eq!(port.number("rdma.rate"), 400.0);
    assert_eq!(port.text("rdma.link_layer"), "InfiniBand");
    assert_eq!(port.text("rdma.firmware"), "28.41.1000");
    let ethernet: Vec<&Entity> = draft
        .samples
        .iter()
        .filter(|(key, reading)| key.metric.as_str() == "rdma.link_layer" && *reading == Reading::from("Ethernet"))
        .map(|(key, _)| &key.entity)
        .collect();
    let [ethernet] = ethernet.as_slice() else { panic!("{ethernet:?}") };
    assert_eq!(of(&draft, &ethernet.to_string()).number("rdma.rate"), 200.0);

    let file = |path: &str| {
        let path = tree.path().join("sys/class/infiniband/mlx5_0/ports/1").join(path);
        fs::read_to_string(path).unwrap().trim().parse::<u64>().unwrap()
    };
    let sent = Reading::from(file("counters/port_xmit_data") * 4);
    assert_eq!(port.reading("rdma.tx"), Some(sent));
    assert_eq!(port.reading("rdma.rx"), Some(Reading::from(file("counters/port_rcv_data") * 4)));
    assert_eq!(port.names("rdma.counter.").len(), 21);
    assert_eq!(port.names("rdma.hw.").len(), 25, "lifespan is no counter");
    assert_eq!(port.reading("rdma.counter.link_downed"), Some(Reading::from(file("counters/link_downed"))));
    for name in port.names("rdma.hw.") {
        assert!(matches!(Metric::find(&name).unwrap().kind, Kind::Counter { wrap: Some(32) }), "{name}");
    }
    // The capture holds the ports alone, not the devices that they are on.
    assert_eq!(port.reading("rdma.driver"), Some(Reading::Unsupported));
    assert_eq!(port.info().pci, None);
}

#[test]
fn loss_on_soft_roce_is_counted_as_it_was_seen() {
    let tree = unpack("rxe-aer-before");
    let mut rdma = Rdma::new(&Node::at(tree.path()));
    let before = read(&mut rdma, "rdma", 1);
    unpack_into(tree.path(), "rxe-aer-after-loss");
    let after = read(&mut rdma, "rdma", 2);
    let counted = |port: &str, counter: &str| {
        let name = format!("rdma.hw.{counter}");
        of(&after, port).number(&name) - of(&before, port).number(&name)
    };
    assert_eq!(counted("port:rxe1/1", "out_of_seq_request"), 37.0);
    assert_eq!(counted("port:rxe0/1", "rcvd_seq_err"), 36.0);
    assert_eq!(counted("port:rxe0/1", "completer_retry_err"), 38.0);
    assert_eq!(counted("port:rxe0/1", "link_downed"), 1.0);
    assert_eq!(counted("port:rxe1/1", "duplicate_request"), 0.0);

    let port = of(&before, "port:rxe0/1");
    assert_eq!((port.number("rdma.rate"), port.text("rdma.state")), (10.0, "active".into()));
    assert_eq!(port.text("rdma.netdev"), "v0");
    assert_eq!(port.info().linked, [Entity::Interface("v0".to_owned())]);
    assert_eq!(port.reading("rdma.tx"), Some(Reading::Unsupported), "soft-RoCE has no counters directory");
    assert_eq!(port.names("rdma.counter."), Vec::<String>::new());
    assert_eq!(after.entities, [], "told already");
}

/// A device on the PCI bus, laid out as sysfs lays it out.
fn device_on_the_bus(root: &Path) -> PathBuf {
    let hardware = root.join("sys/devices/pci0000:17/0000:17:01.0/0000:18:00.0");
    let device = hardware.join("infiniband/mlx5_0");
    for port in ["1", "2"] {
        let port = device.join("ports").join(port);
        fs::create_dir_all(port.join("counters")).unwrap();
        fs::write(port.join("state"), "4: ACTIVE\n").unwrap();
        fs::write(port.join("phys_state"), "5: LinkUp\n").unwrap();
    }
    for (interface, number) in [("ib0", "0"), ("ib1", "1")] {
        fs::create_dir_all(hardware.join("net").join(interface)).unwrap();
        fs::write(hardware.join("net").join(interface).join("dev_port"), number).unwrap();
    }
    fs::create_dir_all(root.join("sys/bus/pci/drivers/mlx5_core")).unwrap();
    fs::create_dir_all(root.join("sys/class/infiniband")).unwrap();
    fs::write(hardware.join("numa_node"), "1\n").unwrap();
    symlink("../../../../bus/pci/drivers/mlx5_core", hardware.join("driver")).unwrap();
    symlink("../../../0000:18:00.0", device.join("device")).unwrap();
    let link = root.join("sys/class/infiniband/mlx5_0");
    symlink("../../devices/pci0000:17/0000:17:01.0/0000:18:00.0/infiniband/mlx5_0", link).unwrap();
    device
}

#[test]
fn a_port_knows_the_device_the_interface_and_the_node_it_hangs_on() {
    let tree = tempfile::tempdir().unwrap();
    device_on_the_bus(tree.path());
    let draft = read(&mut Rdma::new(&Node::at(tree.path())), "rdma", 1);
    let pci = "0000:18:00.0".parse().unwrap();
    for (port, interface) in [("port:mlx5_0/1", "ib0"), ("port:mlx5_0/2", "ib1")] {
        let info = of(&draft, port).info();
        assert_eq!((info.pci, info.numa), (Some(pci), Some(1)));
        assert_eq!(info.linked, [Entity::Interface(interface.to_owned()), Entity::Pci(pci)]);
        assert_eq!(of(&draft, port).text("rdma.driver"), "mlx5_core");
    }
}

#[test]
fn odd_counters_never_fail_the_probe() {
    let tree = tempfile::tempdir().unwrap();
    let counters = device_on_the_bus(tree.path()).join("ports/1/counters");
    fs::write(counters.join("RxTIDFLGMs,32"), "7\n").unwrap();
    fs::write(counters.join("symbol_error"), "N/A (no PMA)\n").unwrap();
    fs::write(counters.join("port_xmit_data"), "N/A (no PMA)\n").unwrap();
    fs::write(counters.join("port_rcv_data"), "18446744073709551615\n").unwrap();
    fs::create_dir(counters.join("a_directory")).unwrap();
    symlink("/etc/hostname", counters.join("a_link")).unwrap();
    let draft = read(&mut Rdma::new(&Node::at(tree.path())), "rdma", 1);
    let port = of(&draft, "port:mlx5_0/1");
    assert_eq!(port.number("rdma.counter.RxTIDFLGMs,32"), 7.0);
    assert_eq!(port.reading("rdma.counter.symbol_error"), Some(Reading::Unsupported));
    assert_eq!(port.reading("rdma.tx"), Some(Reading::Unsupported));
    assert_eq!(port.reading("rdma.rx"), Some(Reading::from(u64::MAX - 3)), "wraps as the counter itself would");
    assert_eq!(port.reading("rdma.counter.a_directory"), Some(Reading::Unsupported));
    assert_eq!(of(&draft, "port:mlx5_0/2").text("rdma.state"), "active");
}

#[test]
fn a_port_that_goes_away_is_lost_then_gone() {
    let tree = unpack("rxe-aer-before");
    let mut rdma = Rdma::new(&Node::at(tree.path()));
    read(&mut rdma, "rdma", 1);
    fs::remove_file(tree.path().join("sys/class/infiniband/rxe1")).unwrap();
    let draft = read(&mut rdma, "rdma", 2);
    assert_eq!(of(&draft, "port:rxe1/1").reading("rdma.state"), Some(Reading::Lost));
    assert_eq!(of(&draft, "port:rxe0/1").text("rdma.state"), "active");
    assert_eq!(read(&mut rdma, "rdma", 3).gone, ["port:rxe1/1".parse().unwrap()]);
}

#[test]
fn a_node_without_rdma_is_read() {
    for root in [Path::new("/"), tempfile::tempdir().unwrap().path()] {
        let draft = read(&mut Rdma::new(&Node::at(root)), "rdma", 1);
        let has = root.join("sys/class/infiniband").is_dir();
        assert_eq!(of(&draft, "probe:rdma").text("probe.state"), if has { "ok" } else { "missing" });
        assert_eq!(draft.faults, []);
    }
}

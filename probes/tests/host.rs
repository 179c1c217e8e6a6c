//! The host probe on the machine that runs the test, and on a small captured tree.
#![allow(clippy::unwrap_used, clippy::panic)]

use model::{Draft, Entity, Metric, Reading, Stamp, catalogue as metrics};
use probes::host::Host;
use probes::{Node, Polled};

fn reading<'a>(draft: &'a Draft, metric: &Metric) -> Option<&'a Reading> {
    draft.samples.iter().find(|(key, _)| key.metric.as_str() == metric.name).map(|(_, reading)| reading)
}

fn read(host: &mut Host, mono_s: u64) -> Draft {
    let mut draft = Draft::new("host", Stamp { mono_ns: Some(mono_s * 1_000_000_000), real_ns: None });
    host.read(&mut draft);
    draft
}

fn number(draft: &Draft, metric: &Metric) -> f64 {
    match reading(draft, metric) {
        Some(Reading::Good(value)) => value.as_f64().unwrap(),
        other => panic!("{}: {other:?}", metric.name),
    }
}

#[test]
fn this_machine_is_read() {
    let mut host = Host::new(&Node::at("/"));
    let first = read(&mut host, 1);
    assert_eq!(first.faults, []);
    assert!(reading(&first, metrics::HOST_CPU).is_none(), "a share needs an interval");
    assert!(number(&first, metrics::HOST_CPUS) >= 1.0);
    let (total, available) = (number(&first, metrics::HOST_MEM_TOTAL), number(&first, metrics::HOST_MEM_AVAILABLE));
    assert!(total > available && available > 0.0);
    let used = number(&first, metrics::HOST_MEM_USED);
    assert!((used - 100.0 * (total - available) / total).abs() < 1e-9);
    assert!(number(&first, metrics::HOST_TCP_SEGMENTS) >= number(&first, metrics::HOST_TCP_RETRANSMITS));
    assert!(number(&first, metrics::HOST_UPTIME) > 0.0);
    let node = first.entities.iter().find(|info| info.entity == Entity::Node).unwrap();
    let Some(Reading::Good(name)) = reading(&first, metrics::HOST_NAME) else { panic!("no host name") };
    assert_eq!(node.label, *name.as_text().unwrap());

    // Burn until the kernel has counted at least one tick.
    let second = (1..)
        .map(|turn| {
            std::hint::black_box((0..5_000_000u64).fold(0, u64::wrapping_add));
            read(&mut host, 1 + 6 * turn)
        })
        .find(|second| reading(second, metrics::HOST_CPU).is_some())
        .unwrap();
    let share = number(&second, metrics::HOST_CPU);
    assert!((0.0..=100.0).contains(&share), "{share}");
    assert!(number(&second, metrics::HOST_BLOCKED) < 1e6);
    assert!(second.entities.is_empty(), "told already, and nothing has changed");
}

#[test]
fn what_a_captured_tree_lacks_is_unsupported_and_never_this_machines() {
    let tree = tempfile::tempdir().unwrap();
    let file = |path: &str, text: &str| {
        let path = tree.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    file("etc/hostname", "gpu-7\n");
    file("proc/loadavg", "3.50 1.00 1.00 2/4000 9\n");
    file("proc/vmstat", "nr_free_pages 1\noom_kill 4\n");
    file("proc/meminfo", "MemTotal: broken\n");
    std::fs::create_dir_all(tree.path().join("sys/devices/system/node/node1")).unwrap();
    let node = Node::at(tree.path());
    assert!(!node.live());
    let draft = read(&mut Host::new(&node), 1);
    assert_eq!(reading(&draft, metrics::HOST_NAME), Some(&"gpu-7".into()));
    assert_eq!(number(&draft, metrics::HOST_LOAD1), 3.5);
    assert_eq!(reading(&draft, metrics::HOST_OOM_KILLS), Some(&4u64.into()));
    for metric in [metrics::HOST_CPU, metrics::HOST_PSI_MEMORY, metrics::HOST_SHM_PERCENT, metrics::HOST_TCP_SEGMENTS] {
        assert_eq!(reading(&draft, metric), Some(&Reading::Unsupported), "{}", metric.name);
    }
    assert_eq!(reading(&draft, metrics::HOST_MEM_TOTAL), Some(&Reading::Unsupported));
    assert!(draft.faults.iter().any(|fault| fault.call.contains("host.mem_total")), "the broken file is said");
    assert!(draft.entities.iter().any(|info| info.entity == Entity::Numa(1) && info.parent == Some(Entity::Node)));
}

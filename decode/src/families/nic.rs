//! Network and RDMA adapters, above all mlx5. Formats: Linux `drivers/net/ethernet/mellanox/mlx5/core` (`events.c`,
//! `health.c`, `cmd.c`, `en_main.c`), `net/sched/sch_generic.c` (the watchdog, before and after 6.8), `bond_main.c`.

use model::Entity;

use super::{Context, Decoded, device, holds_any};
use crate::scan::Scan;

/// Drivers of network adapters whose device lines are read here.
const DRIVERS: &[&str] =
    &["mlx5_core", "mlx4_core", "mlx4_en", "bnxt_en", "ice", "i40e", "ixgbe", "igb", "e1000e", "ionic", "ena"];

pub(super) fn read(text: &str, _: Context) -> Option<Decoded> {
    if let Some(device) = device(text) {
        if !DRIVERS.contains(&device.driver) {
            return None;
        }
        let decoded = Decoded::new("nic").at_pci(device.pci).with_some("interface", device.netif);
        return event(decoded, device.text);
    }
    if let Some(said) = text.strip_prefix("mlx5_core:") {
        return event(Decoded::new("nic"), said.trim());
    }
    // A line whose device was lost on the way.
    if text.starts_with("mlx5_") && function(&mut Scan::new(text)).is_some() {
        return event(Decoded::new("nic"), text);
    }
    bond(text).or_else(|| watchdog(text)).or_else(|| hog(text))
}

/// The head of a driver's function, `mlx5_cmd_out_err:838:[(pid 1441871):] `, taken; its name.
fn function<'a>(scan: &mut Scan<'a>) -> Option<&'a str> {
    let mut ahead = *scan;
    let name = ahead.some(|c| c.is_ascii_alphanumeric() || c == '_')?;
    ahead.take(":")?;
    ahead.digits()?;
    ahead.take(":")?;
    if ahead.maybe("(pid ") {
        ahead.digits()?;
        ahead.take("):")?;
    }
    ahead.spaces();
    *scan = ahead;
    Some(name)
}

/// What a text holds, in order: the first that fits names the event.
const PHRASES: &[(&str, &str)] = &[
    ("unrecoverable hardware error", "fw_unrecoverable"),
    ("print_health_info", "fw_health_dump"),
    ("reached miss count", "health_miss_count"),
    ("health poll failed", "health_poll_failed"),
    ("mlx5_pci_err_detected", "pci_err_detected"),
    ("mlx5_error_sw_reset", "sw_reset"),
    ("handling bad device", "device_bad"),
    ("NETDEV WATCHDOG", "tx_watchdog"),
    ("TX timeout detected", "tx_timeout"),
    ("RX timeout on channel", "rx_timeout"),
    ("High Temperature", "module_high_temperature"),
    ("able unplugged", "cable_unplugged"),
    ("able plugged", "cable_plugged"),
    ("able error", "cable_error"),
    (", absent", "module_absent"),
    ("Will cause a leak of a command resource", "cmd_timeout"),
    ("cmd_exec timeout", "cmd_timeout"),
];

fn event(decoded: Decoded, said: &str) -> Option<Decoded> {
    if let Some(decoded) = power(decoded.clone(), said).or_else(|| command(decoded.clone(), said)) {
        return Some(decoded);
    }
    if let Some((_, event)) = PHRASES.iter().find(|(phrase, _)| said.contains(phrase)) {
        return Some(decoded.event(event).with_some("module", module(said)));
    }
    let link = said.trim_end_matches('.').trim();
    match link {
        _ if link.eq_ignore_ascii_case("link down") || link.starts_with("NIC Link is Down") => {
            Some(decoded.event("link_down"))
        }
        _ if link.eq_ignore_ascii_case("link up")
            || link.starts_with("NIC Link is Up")
            || link.starts_with("NIC Link is up") =>
        {
            Some(decoded.event("link_up"))
        }
        _ => None,
    }
}

/// `Port module event[error]: module 2, …`
fn module(said: &str) -> Option<i64> {
    let mut scan = Scan::new(said);
    scan.until(": module ")?;
    scan.int()
}

/// `Detected insufficient power on the PCIe slot (27W).`
fn power(decoded: Decoded, said: &str) -> Option<Decoded> {
    let mut scan = Scan::new(said);
    scan.until("Detected insufficient power on the PCIe slot (")?;
    let watts = scan.int().filter(|_| scan.rest().trim_start().starts_with('W'));
    Some(decoded.event("insufficient_power").with_some("watts", watts))
}

/// `mlx5_cmd_out_err:838:(pid 1441871): ACCESS_REG(0x805) op_mod(0x1) failed, status bad operation(0x2), syndrome (0x305684)`
fn command(decoded: Decoded, said: &str) -> Option<Decoded> {
    let mut scan = Scan::new(said);
    function(&mut scan);
    let name = scan.some(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')?;
    scan.take("(0x")?;
    scan.until(") op_mod(0x")?;
    scan.until(") failed")?;
    let event = if name == "ACCESS_REG" { "access_reg_failed" } else { "cmd_failed" };
    let syndrome = scan.until("syndrome (").and_then(|_| scan.until(")"));
    let decoded = decoded.event(event).with_some("syndrome", syndrome);
    Some(if event == "cmd_failed" { decoded.with("command", name) } else { decoded })
}

/// `bond0: (slave enp83s0f0np0): link status definitely down, disabling slave`
fn bond(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    let bond = scan.some(|c| !c.is_whitespace() && c != ':')?;
    scan.take(": ")?;
    let slave = if scan.maybe("(slave ") {
        let slave = scan.until("): ")?;
        scan.take("link status definitely down")?;
        slave
    } else {
        // Before 5.8: `bond0: link status definitely down for interface eth0, disabling it`.
        scan.take("link status definitely down for interface ")?;
        scan.some(|c| !c.is_whitespace() && c != ',')?
    };
    let decoded = Decoded::new("nic").event("bond_slave_down").with("bond", bond).with("interface", slave);
    Some(decoded.about(Entity::Interface(slave.to_owned())))
}

/// `NETDEV WATCHDOG: eth0 (mlx5_core): transmit queue 0 timed out`
fn watchdog(text: &str) -> Option<Decoded> {
    let mut scan = Scan::new(text);
    scan.take("NETDEV WATCHDOG: ")?;
    let interface = scan.word().filter(|name| !name.ends_with(':'))?;
    let decoded = Decoded::new("nic").event("tx_watchdog").with("interface", interface);
    Some(decoded.about(Entity::Interface(interface.to_owned())))
}

/// `workqueue: ib_cache_event_task [ib_core] hogged CPU for >10000us 4 times, consider switching to WQ_UNBOUND`
fn hog(text: &str) -> Option<Decoded> {
    let (work, _) = text.strip_prefix("workqueue: ")?.split_once(" hogged CPU")?;
    holds_any(work, &["ib_", "mlx5", "mlx4", "rdma"]).then(|| Decoded::new("nic").event("workqueue_hog"))
}

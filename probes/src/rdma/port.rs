//! One port of an RDMA device: where its files are, what it hangs on, and reading them.

use std::io;

use model::{Draft, Entity, EntityInfo, Metric, MetricName, PciAddress, Reading, Value, catalogue as metrics};

use super::parse;
use crate::Node;
use crate::pcie::parse as pci;
use crate::tree::{self, Directory};

/// The most counters told of one directory; the richest drivers have about 150.
const MOST_COUNTERS: usize = 256;
/// After so many counters that failed, and none that did not, a directory is left alone.
const ENOUGH_REFUSALS: usize = 3;
/// For how long, nanoseconds.
const LEFT_ALONE_NS: u64 = 600_000_000_000;

/// A port and what does not change every second.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) entity: Entity,
    pub(super) info: EntityInfo,
    directory: Directory,
    link_layer: Option<String>,
    netdev: Option<String>,
    driver: Option<String>,
    firmware: Option<String>,
    counters: Counters,
    hw_counters: Counters,
}

/// A directory of counters.
#[derive(Debug)]
struct Counters {
    directory: Option<Directory>,
    names: Vec<(String, MetricName)>,
    /// Not read before this instant, since every reading failed.
    not_before: u64,
}

impl Port {
    /// Finds a port's files and what it hangs on.
    pub(super) fn find(node: &Node, device: &str, number: u32) -> io::Result<Self> {
        let of_device = Directory::open(node, format!("/sys/class/infiniband/{device}"))?;
        let directory = of_device.enter(node, "ports")?.enter(node, &number.to_string())?;
        let hardware = of_device.enter(node, "device").ok();
        let netdev = netdev(node, &of_device, hardware.as_ref(), &directory, number);
        let pci = hardware.as_ref().and_then(address).or_else(|| pci::parent(of_device.place()));
        let numa = hardware.as_ref().and_then(|hardware| pci::numa_node(&hardware.text("numa_node").ok()?));

        let entity = Entity::RdmaPort(device.to_owned(), number);
        let mut info = EntityInfo::new(entity.clone(), format!("{device}/{number}")).under(Entity::Node).on_numa(numa);
        info.pci = pci;
        info.linked.extend(netdev.clone().map(Entity::Interface));
        info.linked.extend(pci.map(Entity::Pci));
        Ok(Self {
            entity,
            info,
            link_layer: line(&directory, "link_layer"),
            netdev,
            driver: hardware.as_ref().and_then(driver),
            firmware: line(&of_device, "fw_ver"),
            counters: Counters::find(node, &directory, "counters", "rdma.counter"),
            hw_counters: Counters::find(node, &directory, "hw_counters", "rdma.hw"),
            directory,
        })
    }

    /// Takes over from an older finding what must outlive it.
    pub(super) fn follow(&mut self, before: &Self) {
        self.counters.not_before = before.counters.not_before;
        self.hw_counters.not_before = before.hw_counters.not_before;
    }

    /// Tells what rarely changes.
    pub(super) fn tell_facts(&self, draft: &mut Draft) {
        for (metric, fact) in [
            (metrics::RDMA_LINK_LAYER, &self.link_layer),
            (metrics::RDMA_NETDEV, &self.netdev),
            (metrics::RDMA_DRIVER, &self.driver),
            (metrics::RDMA_FIRMWARE, &self.firmware),
        ] {
            let reading = fact.clone().map_or(Reading::Unsupported, Reading::from);
            draft.read(&self.entity, metric, reading);
        }
    }

    /// Tells the state and every counter.
    pub(super) fn read(&mut self, draft: &mut Draft) {
        self.put(metrics::RDMA_STATE, "state", parse::state, draft);
        self.put(metrics::RDMA_PHYS_STATE, "phys_state", parse::state, draft);
        self.put(metrics::RDMA_RATE, "rate", parse::rate, draft);
        let data = self.counters.read(&self.entity, draft);
        let bytes = |name: &str| {
            let found = data.iter().find(|(known, _)| known == name).map(|(_, reading)| reading.clone());
            match found {
                Some(Reading::Good(Value::Count(counted))) => parse::octets(counted).into(),
                Some(missing) => missing,
                None => Reading::Unsupported,
            }
        };
        draft.read(&self.entity, metrics::RDMA_TX, bytes("port_xmit_data"));
        draft.read(&self.entity, metrics::RDMA_RX, bytes("port_rcv_data"));
        self.hw_counters.read(&self.entity, draft);
    }

    /// A port that is no longer there says so once, before it is told gone.
    pub(super) fn tell_lost(&self, draft: &mut Draft) {
        draft.read(&self.entity, metrics::RDMA_STATE, Reading::Lost);
        draft.read(&self.entity, metrics::RDMA_PHYS_STATE, Reading::Lost);
        draft.read(&self.entity, metrics::RDMA_RATE, Reading::Lost);
    }

    fn put<V: Into<Value>>(
        &self,
        metric: &'static Metric,
        file: &str,
        parse: fn(&str) -> Option<V>,
        draft: &mut Draft,
    ) {
        let reading = match tree::told(self.directory.text(file), file, &self.entity, draft) {
            Ok(text) => parse(&text).map_or(Reading::Unsupported, |value| Reading::Good(value.into())),
            Err(missing) => missing,
        };
        draft.read(&self.entity, metric, reading);
    }
}

impl Counters {
    fn find(node: &Node, port: &Directory, name: &str, family: &str) -> Self {
        // Soft-RoCE has no `counters`, some drivers no `hw_counters`.
        let directory = port.enter(node, name).ok();
        let names = directory.as_ref().and_then(|directory| directory.names().ok()).unwrap_or_default();
        let names = names.into_iter().filter(|name| parse::is_counter(name)).take(MOST_COUNTERS);
        let named = names.map(|name| {
            let metric = MetricName::raw(format!("{family}.{name}"));
            (name, metric)
        });
        Self { directory, names: named.collect(), not_before: 0 }
    }

    /// Tells every counter, and returns what was told by file name.
    fn read(&mut self, entity: &Entity, draft: &mut Draft) -> Vec<(String, Reading)> {
        let now = tree::instant(draft);
        let Some(directory) = self.directory.as_ref().filter(|_| now >= self.not_before) else { return Vec::new() };
        let (told, refusal) = ask(&self.names, |name| directory.text(name));
        for ((_, metric), (_, reading)) in self.names.iter().zip(&told) {
            draft.read(entity, metric, reading.clone());
        }
        if let Some(error) = refusal {
            self.not_before = now.saturating_add(LEFT_ALONE_NS);
            let minutes = LEFT_ALONE_NS / 60_000_000_000;
            let call = format!("read {}", directory.place().display());
            let why = format!("no counter can be read ({error}); they are left alone for {minutes} minutes");
            draft.fault(call, Some(entity.clone()), why);
        }
        told
    }
}

/// Reads the counters in order. A function that another firmware owns answers every read with an error, and the driver
/// writes a line to the kernel log for each: when the first ones all fail so, the others are not asked, and the error is
/// returned beside. One that fails alone is one that this hardware does not have.
fn ask(
    names: &[(String, MetricName)],
    read: impl Fn(&str) -> io::Result<String>,
) -> (Vec<(String, Reading)>, Option<io::Error>) {
    let mut told: Vec<(String, Reading)> = Vec::with_capacity(names.len());
    let (mut answered, mut refused) = (false, 0);
    for (name, _) in names {
        let reading = match read(name) {
            Ok(text) => {
                answered = true;
                parse::counter(&text).map_or(Reading::Unsupported, Reading::from)
            }
            Err(error) => {
                let is_refusal = tree::absent(&error).is_none() || error.raw_os_error() == Some(libc::EINVAL);
                refused += usize::from(is_refusal);
                if !answered && refused >= ENOUGH_REFUSALS {
                    return (told, Some(error));
                }
                tree::absent(&error).unwrap_or(Reading::Unsupported)
            }
        };
        told.push((name.clone(), reading));
    }
    (told, None)
}

/// The network interface of a port: that of its first GID, else the device's only one or the one with the port's
/// number; soft-RoCE and siw name theirs in `parent`.
fn netdev(
    node: &Node,
    device: &Directory,
    hardware: Option<&Directory>,
    port: &Directory,
    number: u32,
) -> Option<String> {
    let by_gid = || {
        let attributes = port.enter(node, "gid_attrs").ok()?;
        line(&attributes.enter(node, "ndevs").ok()?, "0")
    };
    let by_device = || {
        let interfaces = hardware?.enter(node, "net").ok()?;
        let names = interfaces.names().ok()?;
        let has_number = |name: &&String| {
            let interface = interfaces.enter(node, name).ok();
            let dev_port = interface.and_then(|interface| line(&interface, "dev_port"));
            dev_port.and_then(|text| text.parse::<u32>().ok()) == number.checked_sub(1)
        };
        match names.as_slice() {
            [only] => Some(only.clone()),
            several => several.iter().find(has_number).cloned(),
        }
    };
    by_gid().or_else(by_device).or_else(|| line(device, "parent"))
}

fn address(hardware: &Directory) -> Option<PciAddress> {
    let by_place = || pci::address(hardware.place().file_name()?.to_str()?);
    let by_uevent = || pci::address(pci::uevent(&hardware.text("uevent").ok()?, "PCI_SLOT_NAME")?);
    by_place().or_else(by_uevent)
}

fn driver(hardware: &Directory) -> Option<String> {
    let by_uevent = || pci::uevent(&hardware.text("uevent").ok()?, "DRIVER").map(str::to_owned);
    hardware.link_name("driver").ok().or_else(by_uevent)
}

fn line(directory: &Directory, file: &str) -> Option<String> {
    let text = directory.text(file).ok()?;
    let line = text.lines().next()?.trim();
    (!line.is_empty() && line.len() <= 256).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<(String, MetricName)> {
        (0..count).map(|n| (format!("c{n}"), MetricName::raw(format!("rdma.hw.c{n}")))).collect()
    }

    #[test]
    fn a_function_that_refuses_every_counter_is_not_asked_for_all_of_them() {
        let asked = std::cell::Cell::new(0);
        let (told, refusal) = ask(&names(20), |_| {
            asked.set(asked.get() + 1);
            Err(io::Error::from_raw_os_error(libc::EIO))
        });
        assert_eq!((told.len(), asked.get()), (2, 3));
        assert_eq!(refusal.unwrap().raw_os_error(), Some(libc::EIO));
    }

    #[test]
    fn a_counter_that_fails_alone_leaves_the_others() {
        let broken = |name: &str| match name {
            "c3" => Ok("7\n".to_owned()),
            "c0" | "c1" | "c4" | "c5" | "c6" => Err(io::Error::from_raw_os_error(libc::EINVAL)),
            _ => Err(io::Error::from_raw_os_error(libc::ENOENT)),
        };
        let (told, refusal) = ask(&names(8), broken);
        assert!(refusal.is_none());
        let readings: Vec<Reading> = told.into_iter().map(|(_, reading)| reading).collect();
        assert_eq!(readings.len(), 8);
        assert_eq!(readings[3], Reading::from(7u64));
        assert!(readings.iter().enumerate().all(|(n, reading)| n == 3 || *reading == Reading::Unsupported));
    }
}

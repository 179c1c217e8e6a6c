//! PCIe: what is on the bus, how it hangs together, how fast its links run, and the errors that AER counted.
//!
//! Facts: Linux `Documentation/ABI/testing/sysfs-bus-pci` and `-devices-aer_stats`. The counters of a device and of the
//! ports above it are all told: an endpoint may say 0 while its link partner or root port counts.

mod bus;
pub mod naming;
pub mod parse;

pub use bus::{Facts, Place, arrange};

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use model::reading::count_as_f64;
use model::{Draft, Entity, EntityInfo, Metric, MetricName, PciAddress, Reading, Value, catalogue as metrics};

use crate::tree::{self, Directory};
use crate::{Node, Polled};

const DEVICES: &str = "/sys/bus/pci/devices";
/// How long between two readings of everything, nanoseconds.
const STOCK_EVERY_NS: u64 = 60_000_000_000;
/// How long between two looks whether the watched devices answer and who drives them, nanoseconds.
const CHECK_EVERY_NS: u64 = 5_000_000_000;
/// The most devices told of.
const MOST_DEVICES: usize = 8_192;

/// Severity in the name of a counter, file, total.
const AER_FILES: [(&str, &str, &Metric); 3] = [
    ("correctable", "aer_dev_correctable", metrics::PCIE_AER_CORRECTABLE),
    ("nonfatal", "aer_dev_nonfatal", metrics::PCIE_AER_NONFATAL),
    ("fatal", "aer_dev_fatal", metrics::PCIE_AER_FATAL),
];

const ROOT_FILES: [(&str, &Metric); 3] = [
    ("aer_rootport_total_err_cor", metrics::PCIE_ROOT_CORRECTABLE),
    ("aer_rootport_total_err_nonfatal", metrics::PCIE_ROOT_NONFATAL),
    ("aer_rootport_total_err_fatal", metrics::PCIE_ROOT_FATAL),
];

/// The probe.
#[derive(Debug)]
pub struct Pcie {
    node: Node,
    /// The names in the directory of devices when stock was last taken.
    names: Vec<String>,
    devices: BTreeMap<PciAddress, Device>,
    /// Devices that are no longer on the bus, to be told gone with the next Frame.
    leaving: Vec<Entity>,
    stock_at: Option<u64>,
    checked_at: Option<u64>,
}

#[derive(Debug)]
struct Device {
    entity: Entity,
    directory: Directory,
    facts: Facts,
    place: Place,
    told: EntityInfo,
    /// Whether it has the files of a link, so that they need not be looked for every second.
    has_link: bool,
    has_aer: bool,
    /// In D3: reading its link or configuration would wake it up.
    asleep: bool,
    /// Kinds of errors that have been seen to be counted.
    counted: HashSet<MetricName>,
}

/// What is read of a device now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tier {
    Links,
    Check,
    Stock,
}

impl Pcie {
    /// Reads this node.
    pub fn new(node: &Node) -> Self {
        Self {
            node: node.clone(),
            names: Vec::new(),
            devices: BTreeMap::new(),
            leaving: Vec::new(),
            stock_at: None,
            checked_at: None,
        }
    }
}

impl Polled for Pcie {
    fn period(&self) -> Duration {
        self.node.interval
    }

    fn read(&mut self, draft: &mut Draft) {
        draft.gone.append(&mut self.leaving);
        let names = match Directory::open(&self.node, DEVICES).and_then(|directory| directory.names()) {
            Ok(names) => names,
            Err(error) => {
                let state = tree::state_without_source(&error);
                let probe = Entity::Probe(draft.probe.clone());
                let _missing = tree::told::<()>(Err(error), DEVICES, &probe, draft);
                return tree::sign(draft, state);
            }
        };
        let now = tree::instant(draft);
        let tier = if names != self.names || tree::due(self.stock_at, now, STOCK_EVERY_NS) {
            self.take_stock(&names, draft);
            self.names = names;
            (self.stock_at, self.checked_at) = (Some(now), Some(now));
            Tier::Stock
        } else if tree::due(self.checked_at, now, CHECK_EVERY_NS) {
            self.checked_at = Some(now);
            Tier::Check
        } else {
            Tier::Links
        };
        for device in self.devices.values_mut().filter(|device| device.place.watched || tier == Tier::Stock) {
            device.read(tier, draft);
        }
        tree::sign(draft, "ok");
    }
}

impl Pcie {
    fn take_stock(&mut self, names: &[String], draft: &mut Draft) {
        let addresses = names.iter().filter_map(|name| Some((parse::address(name)?, name))).take(MOST_DEVICES);
        let found: Vec<(Directory, Facts)> = addresses
            .filter_map(|(address, name)| {
                let directory = Directory::open(&self.node, format!("{DEVICES}/{name}")).ok()?;
                let facts = Facts::read(address, &directory)?;
                Some((directory, facts))
            })
            .collect();
        let facts: Vec<Facts> = found.iter().map(|(_, facts)| facts.clone()).collect();
        let mut places = arrange(&facts);
        let mut before = std::mem::take(&mut self.devices);
        for (directory, facts) in found {
            let place = places.remove(&facts.address).unwrap_or_default();
            let info = facts.info(&place);
            let known = before.remove(&facts.address);
            if known.as_ref().is_none_or(|known| known.told != info) {
                draft.entities.push(info.clone());
            }
            let device = Device {
                entity: Entity::Pci(facts.address),
                has_link: directory.has("current_link_speed"),
                has_aer: directory.has("aer_dev_correctable"),
                directory,
                place,
                told: info,
                asleep: false,
                counted: known.map(|known| known.counted).unwrap_or_default(),
                facts,
            };
            self.devices.insert(device.facts.address, device);
        }
        for device in before.into_values() {
            device.tell_lost(draft);
            self.leaving.push(device.entity);
        }
    }
}

impl Device {
    fn read(&mut self, tier: Tier, draft: &mut Draft) {
        if tier >= Tier::Check {
            self.check(draft);
        }
        if tier == Tier::Stock {
            self.tell_facts(draft);
        }
        self.read_link(tier, draft);
        self.read_aer(tier, draft);
        if self.facts.root_port {
            for (file, metric) in ROOT_FILES {
                let count = self.file(file, draft).map(|text| text.trim().parse::<u64>().ok());
                self.put(metric, count, draft);
            }
        }
    }

    fn check(&mut self, draft: &mut Draft) {
        let power = self.file("power_state", draft).map(|text| Some(text.trim().to_owned()));
        self.asleep = power.as_ref().is_ok_and(|power| power.as_deref().is_some_and(|state| state.starts_with("D3")));
        self.put(metrics::PCIE_POWER_STATE, power, draft);
        draft.read(&self.entity, metrics::PCIE_DRIVER, self.driver());
        if !self.asleep {
            let header = tree::told(self.directory.bytes("config", 64), "config", &self.entity, draft);
            self.put(metrics::PCIE_CONFIG_GONE, header.map(|header| parse::config_gone(&header)), draft);
        }
    }

    /// The link of the bound driver; a copied tree without links has its name in `uevent`.
    fn driver(&self) -> String {
        let by_uevent = || {
            let uevent = self.directory.text("uevent").ok()?;
            parse::uevent(&uevent, "DRIVER").map(str::to_owned)
        };
        self.directory.link_name("driver").ok().or_else(by_uevent).unwrap_or_default()
    }

    fn tell_facts(&self, draft: &mut Draft) {
        let facts = &self.facts;
        let or_unsupported = |value: Option<Value>| value.map_or(Reading::Unsupported, Reading::Good);
        draft.read(&self.entity, metrics::PCIE_NAME, naming::full_name(facts.vendor, facts.device));
        draft.read(&self.entity, metrics::PCIE_CLASS, facts.class);
        draft.read(&self.entity, metrics::PCIE_ID, format!("{:04x}:{:04x}", facts.vendor, facts.device));
        draft.read(&self.entity, metrics::PCIE_SPEED_MAX, or_unsupported(facts.speed_max.map(Value::Number)));
        draft.read(&self.entity, metrics::PCIE_WIDTH_MAX, or_unsupported(facts.width_max.map(Value::Count)));
        draft.read(&self.entity, metrics::PCIE_SLOT_SPEED, or_unsupported(self.place.slot_speed.map(Value::Number)));
        draft.read(&self.entity, metrics::PCIE_SLOT_WIDTH, or_unsupported(self.place.slot_width.map(Value::Count)));
    }

    fn read_link(&self, tier: Tier, draft: &mut Draft) {
        if self.asleep || !(self.has_link || tier == Tier::Stock) {
            return;
        }
        let speed = self.file("current_link_speed", draft).map(|text| parse::speed(&text));
        let width = self.file("current_link_width", draft).map(|text| {
            // 0 lanes: the link is down; but where the most is not known either, there is no link to be down.
            parse::width(&text).filter(|lanes| *lanes > 0 || self.facts.width_max.is_some()).map(count_as_f64)
        });
        self.put(metrics::PCIE_SPEED, speed, draft);
        self.put(metrics::PCIE_WIDTH, width, draft);
    }

    fn read_aer(&mut self, tier: Tier, draft: &mut Draft) {
        if !(self.has_aer || tier == Tier::Stock) {
            return;
        }
        for (severity, file, metric) in AER_FILES {
            let errors = self.file(file, draft).map(|text| parse::aer(&text));
            for (kind, count) in errors.iter().flatten().flat_map(|errors| &errors.kinds) {
                let name = MetricName::raw(format!("pcie.aer.{severity}.{kind}"));
                if *count > 0 {
                    self.counted.insert(name.clone());
                }
                if self.counted.contains(&name) {
                    draft.read(&self.entity, name, *count);
                }
            }
            self.put(metric, errors.map(|errors| errors.map(|errors| errors.total)), draft);
        }
    }

    /// A device that is no longer on the bus says so once, before it is told gone. Virtual functions come and go.
    fn tell_lost(&self, draft: &mut Draft) {
        if self.facts.virtual_function {
            return;
        }
        draft.read(&self.entity, metrics::PCIE_CONFIG_GONE, true);
        if self.has_link {
            draft.read(&self.entity, metrics::PCIE_SPEED, Reading::Lost);
            draft.read(&self.entity, metrics::PCIE_WIDTH, Reading::Lost);
        }
    }

    fn file(&self, name: &str, draft: &mut Draft) -> Result<String, Reading> {
        tree::told(self.directory.text(name), name, &self.entity, draft)
    }

    fn put<V: Into<Value>>(&self, metric: &'static Metric, found: Result<Option<V>, Reading>, draft: &mut Draft) {
        let reading = match found {
            Ok(value) => value.map_or(Reading::Unsupported, |value| Reading::Good(value.into())),
            Err(missing) => missing,
        };
        draft.read(&self.entity, metric, reading);
    }
}

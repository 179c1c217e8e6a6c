//! The metric catalogue: each metric once, with its name, unit, kind, entity kind, meaning, wrap width, recording
//! quantum and OpenMetrics name. The rule language, the exporters, the deck's labels and the manual all read this table.
//!
//! Sources of the facts are named in the table's sections ([`table`]). A [`MetricName`] that the table does not know
//! (a newer writer's, or a driver's own counter) is shown by name, never an error; names below a *family* (`rdma.hw.*`)
//! inherit its kind and quantum.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

mod table;
pub use table::*;

/// The kinds of entity, as rules and tables name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each is documented at `Entity`")]
pub enum EntityKind {
    Node,
    Numa,
    Pci,
    Gpu,
    Mig,
    NvLink,
    NvSwitch,
    RdmaPort,
    Interface,
    Mount,
    Process,
    Container,
    Job,
    Probe,
}

impl EntityKind {
    /// Every kind with the word that rules use for it.
    pub const WORDS: &[(Self, &str)] = &[
        (Self::Node, "node"),
        (Self::Numa, "numa"),
        (Self::Pci, "pci"),
        (Self::Gpu, "gpu"),
        (Self::Mig, "mig"),
        (Self::NvLink, "nvlink"),
        (Self::NvSwitch, "nvswitch"),
        (Self::RdmaPort, "port"),
        (Self::Interface, "netif"),
        (Self::Mount, "mount"),
        (Self::Process, "process"),
        (Self::Container, "container"),
        (Self::Job, "job"),
        (Self::Probe, "probe"),
    ];

    /// The word that rules use for it.
    pub fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(kind, _)| *kind == self).map_or("?", |(_, word)| word)
    }

    /// The kind that a word names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
    }
}

/// Every metric, in the order of the table; without the families.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    SECTIONS.iter().flat_map(|section| section.iter().copied())
}

/// What sort of quantity a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down; a number.
    Gauge,
    /// Only goes up, until it wraps or resets; a whole number. `wrap` is its width in bits where it is below 64.
    Counter {
        /// Width in bits at which it wraps.
        wrap: Option<u8>,
    },
    /// One of a few named states, or yes and no.
    State,
    /// Facts that rarely change: names, versions, limits.
    Info,
}

/// The unit of a metric's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it; the symbol is beside each")]
pub enum Unit {
    None,
    Percent,
    Bytes,
    BytesPerSecond,
    Watts,
    Joules,
    Millijoules,
    Celsius,
    Megahertz,
    Nanoseconds,
    Microseconds,
    Milliseconds,
    Seconds,
    GigabitsPerSecond,
    GigatransfersPerSecond,
    Lanes,
}

impl Unit {
    /// The symbol behind a number on a screen.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Percent => "%",
            Self::Bytes => "B",
            Self::BytesPerSecond => "B/s",
            Self::Watts => "W",
            Self::Joules => "J",
            Self::Millijoules => "mJ",
            Self::Celsius => "°C",
            Self::Megahertz => "MHz",
            Self::Nanoseconds => "ns",
            Self::Microseconds => "µs",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::GigabitsPerSecond => "Gb/s",
            Self::GigatransfersPerSecond => "GT/s",
            Self::Lanes => "lanes",
        }
    }
}

/// One line of the catalogue.
#[derive(Debug, PartialEq)]
pub struct Metric {
    /// The name that rules, recordings and exports use.
    pub name: &'static str,
    /// Which kind of entity has it.
    pub entity: EntityKind,
    /// What sort of quantity it is.
    pub kind: Kind,
    /// The unit of its values.
    pub unit: Unit,
    /// The step to which a gauge is rounded, and to which a counter's total is rounded down, before the recorder and the
    /// rules see it; 0 keeps it as read. What lies below is noise in a recording, at the price of its bits.
    pub quantum: f64,
    /// The label of a column on the screen.
    pub label: &'static str,
    /// One line for a person: what it means and where it comes from.
    pub meaning: &'static str,
    /// The name in an OpenMetrics exposition, without `_total`.
    pub openmetrics: &'static str,
}

impl Metric {
    /// The metric of this name, or the family that the name belongs to.
    pub fn find(name: &str) -> Option<&'static Self> {
        static INDEX: OnceLock<HashMap<&'static str, &'static Metric>> = OnceLock::new();
        let index = INDEX.get_or_init(|| all().map(|metric| (metric.name, metric)).collect());
        index.get(name).copied().or_else(|| table::FAMILIES.iter().copied().find(|family| family.covers(name)))
    }

    fn covers(&self, name: &str) -> bool {
        let behind = |(stem, end)| name.strip_prefix(stem).is_some_and(|rest: &str| rest.ends_with(end));
        self.name.split_once('*').is_some_and(behind)
    }

    /// The quantum as a whole number, by which counts are rounded; 1 keeps every count.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; the table's are small")]
    pub fn whole_quantum(&self) -> u64 {
        (self.quantum as u64).max(1)
    }

    /// The width in bits at which it wraps, if it is a counter that does.
    pub fn wrap(&self) -> Option<u8> {
        match self.kind {
            Kind::Counter { wrap } => wrap,
            _ => None,
        }
    }

    /// Whether it is a counter.
    pub fn is_counter(&self) -> bool {
        matches!(self.kind, Kind::Counter { .. })
    }
}

/// A metric's name, known to the catalogue or not.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MetricName(Cow<'static, str>);

impl MetricName {
    /// A name as a driver or a newer writer has it.
    pub fn raw(name: impl Into<String>) -> Self {
        let name = name.into();
        match Metric::find(&name).filter(|metric| metric.name == name) {
            Some(metric) => Self(Cow::Borrowed(metric.name)),
            None => Self(Cow::Owned(name)),
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its line in the catalogue, or its family's.
    pub fn metric(&self) -> Option<&'static Metric> {
        Metric::find(&self.0)
    }
}

impl From<&'static Metric> for MetricName {
    fn from(metric: &'static Metric) -> Self {
        Self(Cow::Borrowed(metric.name))
    }
}

impl From<&MetricName> for MetricName {
    fn from(name: &MetricName) -> Self {
        name.clone()
    }
}

impl fmt::Debug for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for MetricName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::text::clean(&self.0, 120))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_metric_stands_once_and_names_its_entity() {
        let mut names = HashSet::new();
        let mut exported = HashSet::new();
        for metric in all().chain(FAMILIES.iter().copied()) {
            assert!(names.insert(metric.name), "{} stands twice", metric.name);
            assert!(exported.insert(metric.openmetrics), "{} is exported twice", metric.openmetrics);
            assert!(metric.meaning.len() > 10, "{} has no meaning", metric.name);
            let stem = metric.name.split('.').next().unwrap();
            assert!(stem.bytes().all(|b| b.is_ascii_lowercase()), "{}", metric.name);
            assert!(metric.openmetrics.starts_with("gpudeck_"), "{}", metric.openmetrics);
        }
    }

    /// How much was moved, used or spent: what counts is how fast, and nobody asks for the last byte.
    const COARSE: &[&str] = &[
        "gpu.energy",
        "gpu.throttle_power_time",
        "gpu.throttle_thermal_time",
        "gpu.throttle_hw_thermal_time",
        "gpu.throttle_brake_time",
        "gpu.pcie_tx",
        "gpu.pcie_rx",
        "gpu.nvlink_tx",
        "gpu.nvlink_rx",
        "nvlink.tx",
        "nvlink.rx",
        "rdma.tx",
        "rdma.rx",
        "rdma.counter.*_packets",
        "rdma.counter.*_data",
        "fuse.cache_hit_bytes",
        "fuse.cache_miss_bytes",
        "host.tcp_segments",
    ];

    #[test]
    fn every_error_and_health_counter_keeps_every_count() {
        let coarse: Vec<_> = all()
            .chain(FAMILIES.iter().copied())
            .filter(|metric| metric.is_counter() && metric.whole_quantum() > 1)
            .map(|metric| metric.name)
            .collect();
        assert_eq!(coarse.len(), COARSE.len());
        assert!(coarse.iter().all(|name| COARSE.contains(name)), "{coarse:?}");
        for error in ["rdma.counter.port_rcv_errors", "rdma.counter.port_xmit_discards", "rdma.hw.out_of_sequence"] {
            assert_eq!(Metric::find(error).unwrap().whole_quantum(), 1, "{error}");
        }
        assert_eq!(Metric::find("rdma.counter.port_rcv_packets").unwrap().whole_quantum(), 256);
        assert_eq!(Metric::find("rdma.counter.port_xmit_data").unwrap().whole_quantum(), 1 << 18);
    }

    /// Rounding down then never leaves a counter's range, and a wrap stays a wrap.
    #[test]
    fn the_quantum_of_a_counter_is_whole_and_divides_the_range_that_it_wraps_at() {
        for metric in all().chain(FAMILIES.iter().copied()).filter(|metric| metric.is_counter()) {
            assert!(metric.quantum == 0.0 || metric.quantum.fract() == 0.0, "{}", metric.name);
            assert!(
                metric.wrap().is_none_or(|bits| (1u64 << bits).is_multiple_of(metric.whole_quantum())),
                "{}",
                metric.name
            );
        }
    }

    #[test]
    fn a_drivers_own_counter_inherits_its_family() {
        let name = MetricName::raw("rdma.hw.some_new_counter");
        assert!(name.metric().unwrap().is_counter());
        assert_eq!(MetricName::raw("gpu.invented").metric(), None);
    }
}

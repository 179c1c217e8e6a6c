//! What rules may say beyond the metric catalogue: the kinds of event with their fields, and the words and types of
//! named states.
//!
//! Event kinds and field names are those of `gpudeck decode` (kernel lines) and of `model::event` (gpudeck's own).

use model::{Kind, Metric, Unit, event};

use crate::lang::Type;

/// A kind of event that a rule can be `on`.
#[derive(Debug, PartialEq)]
pub struct EventKind {
    /// Its name.
    pub name: &'static str,
    /// The source that must answer before the absence of such events means anything.
    pub source: &'static str,
    /// Its fields with their types.
    pub fields: &'static [(&'static str, Type)],
}

use Type::{Bool, Num, Text};

const KERNEL: &str = "kernel_log";
pub(crate) const ENGINE: &str = "engine";

const fn kernel(name: &'static str, fields: &'static [(&'static str, Type)]) -> EventKind {
    EventKind { name, source: KERNEL, fields }
}

const fn own(name: &'static str, fields: &'static [(&'static str, Type)]) -> EventKind {
    EventKind { name, source: ENGINE, fields }
}

/// Every kind of event that rules know.
pub const EVENTS: &[EventKind] = &[
    kernel(
        "xid",
        &[
            ("code", Num),
            ("pci", Text),
            ("message", Text),
            ("pid", Num),
            ("name", Text),
            ("caused_by", Num),
            ("containment", Text),
            ("unit", Text),
            ("rst", Bool),
            ("drst", Bool),
            ("recovery_from", Num),
            ("recovery_to", Num),
            ("recovery_label", Text),
            ("gi", Text),
            ("ci", Text),
            ("link", Num),
            ("intr_info", Text),
            ("error_status", Text),
            ("severity", Text),
            ("xc", Num),
            ("gpc", Num),
            ("tpc", Num),
            ("sm", Num),
        ],
    ),
    kernel(
        "sxid",
        &[
            ("switch", Text),
            ("pci", Text),
            ("code", Num),
            ("record", Text),
            ("severity", Text),
            ("link", Num),
            ("message", Text),
            ("first", Bool),
            ("severity_num", Num),
            ("engine", Num),
            ("sub", Num),
        ],
    ),
    kernel(
        "aer",
        &[
            ("reporter", Text),
            ("pci", Text),
            ("multiple", Bool),
            ("severity", Text),
            ("source_id", Text),
            ("device", Text),
            ("status", Text),
            ("mask", Text),
            ("bit", Num),
            ("bit_name", Text),
            ("first", Bool),
            ("layer", Text),
            ("agent", Text),
            ("recovery", Text),
        ],
    ),
    kernel("dpc", &[("pci", Text)]),
    kernel("pci_hotplug", &[("pci", Text)]),
    kernel("nvrm_fallen_off", &[("pci", Text), ("continuation", Bool)]),
    kernel("nvrm_other", &[("pci", Text), ("message", Text)]),
    kernel("nvrm_nvlink", &[("pci", Text)]),
    kernel("nvrm_uuid", &[("pci", Text), ("uuid", Text)]),
    kernel(
        "amdgpu",
        &[
            ("pci", Text),
            ("event", Text),
            ("ring", Text),
            ("signaled", Num),
            ("emitted", Num),
            ("count", Num),
            ("block", Text),
        ],
    ),
    kernel(
        "nic",
        &[
            ("event", Text),
            ("pci", Text),
            ("watts", Num),
            ("syndrome", Text),
            ("interface", Text),
            ("module", Num),
            ("bond", Text),
        ],
    ),
    kernel("nic_other", &[("pci", Text)]),
    kernel("peermem", &[("invalid_context", Bool)]),
    kernel("fabric_manager", &[("event", Text), ("severity", Text), ("code", Num), ("pci", Text), ("port", Num)]),
    kernel("mce", &[("severity", Text)]),
    kernel("edac", &[("mc", Text), ("count", Num), ("type", Text), ("op", Text), ("dimm", Text)]),
    kernel("memory_failure", &[("pfn", Text), ("message", Text)]),
    kernel("oom_kill", &[("pid", Num), ("name", Text), ("constraint", Text), ("cgroup", Bool)]),
    kernel("oom_invoked", &[("name", Text)]),
    kernel("hung_task", &[("task", Text), ("pid", Num), ("seconds", Num)]),
    kernel("fuse_stack", &[]),
    kernel("soft_lockup", &[("cpu", Num), ("seconds", Num), ("task", Text)]),
    kernel("panic", &[("reason", Text)]),
    kernel("nfs", &[("server", Text), ("state", Text)]),
    kernel("storage", &[("device", Text)]),
    kernel("thermal", &[("cpu", Num), ("event", Text), ("zone", Text)]),
    kernel("nccl_segfault", &[]),
    kernel("segfault", &[]),
    kernel(event::KERNEL_GAP, &[("lost", Num)]),
    kernel(INJECTED, &[("kind", Text)]),
    own(event::PROBE_STARTED, &[("probe", Text)]),
    own(event::PROBE_STUCK, &[("probe", Text), ("call", Text), ("since_ns", Num), ("wchan", Text)]),
    own(event::PROBE_FREED, &[("probe", Text), ("call", Text), ("stuck_ns", Num)]),
    own(event::PROBE_CRASHED, &[("probe", Text), ("status", Text)]),
    own(event::GAP, &[("probe", Text), ("missing_ns", Num)]),
    own(event::CLOCK_STEP, &[("step_ns", Num)]),
];

impl EventKind {
    /// The type of a field. Beside its own, every kernel line has `text`: the line itself.
    pub fn field(&self, name: &str) -> Option<Type> {
        if name == "text" && self.source == KERNEL {
            return Some(Text);
        }
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }
}

/// What the evaluator makes of an event whose line user space wrote: its own kind is kept in the field `kind`.
pub const INJECTED: &str = "injected";

/// The event kind of this name.
pub fn event_kind(name: &str) -> Option<&'static EventKind> {
    EVENTS.iter().find(|kind| kind.name == name)
}

/// Named states that are yes or no.
const FLAGS: &[&str] = &[
    "gpu.ecc_mode",
    "gpu.retired_pending",
    "gpu.remap_pending",
    "gpu.remap_failed",
    "gpu.mig_mode",
    "gpu.mig_pending",
    "gpu.persistence",
    "pcie.config_gone",
    "process.numa_far",
];

/// States and facts without a unit that are numbers.
const NUMBERS: &[&str] = &[
    "gpu.pstate",
    "gpu.throttle",
    "gpu.recovery_action",
    "gpu.pcie_gen_max",
    "gpu.index",
    "gpu.minor",
    "host.cpus",
    "fuse.max_background",
    "nvlink.version",
];

/// The words of the states whose list is closed.
const WORDS: &[(&str, &[&str])] = &[
    ("gpu.state", &["ok", "lost", "stuck", "gone"]),
    ("driver.state", &["ok", "not_loaded", "no_library", "mismatch", "denied", "failed"]),
    ("nvlink.state", &["active", "inactive", "sleep"]),
    ("rdma.state", &["down", "init", "armed", "active"]),
    ("fuse.state", &["ok", "hung", "congested", "disconnected"]),
    ("probe.state", &["ok", "stuck", "crashed", "denied", "missing", "degraded"]),
    ("pcie.class", &["gpu", "accelerator", "infiniband", "ethernet", "nvme", "nvswitch", "bridge", "other"]),
    ("pcie.power_state", &["D0", "D1", "D2", "D3hot", "D3cold", "unknown"]),
];

/// The words that a state can take, where the list is closed.
pub fn words(metric: &str) -> Option<&'static [&'static str]> {
    WORDS.iter().find(|(name, _)| *name == metric).map(|(_, words)| *words)
}

/// The type of a metric's values in an expression.
pub fn type_of(metric: &Metric) -> Type {
    match metric.kind {
        _ if FLAGS.contains(&metric.name) => Bool,
        _ if NUMBERS.contains(&metric.name) => Num,
        Kind::Gauge | Kind::Counter { .. } => Num,
        Kind::State | Kind::Info if metric.unit != Unit::None => Num,
        Kind::State | Kind::Info => Text,
    }
}

/// The source that a metric's readings come from.
pub fn source_of(metric: &str) -> &'static str {
    match metric.split('.').next().unwrap_or("") {
        "gpu" | "driver" | "nvlink" | "mig" => "nvml",
        "pcie" => "pcie",
        "rdma" => "rdma",
        "fuse" => "fuse",
        "host" => "host",
        "process" => "process",
        _ => ENGINE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_in_these_lists_is_in_the_catalogue() {
        for name in FLAGS.iter().chain(NUMBERS).chain(WORDS.iter().map(|(name, _)| name)) {
            assert!(Metric::find(name).is_some_and(|metric| metric.name == *name), "{name}");
        }
    }
}

//! What is a name of somebody and what is not, as tables. What no table knows is taken for a name.

/// What a name names; the word is the prefix of its pseudonym.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A host or a domain.
    Host,
    /// A user.
    User,
    /// A command's name or line.
    Command,
    /// A container.
    Container,
    /// A pod.
    Pod,
    /// A scheduler's job.
    Job,
    /// Where something is mounted.
    Mount,
    /// A file or directory.
    Path,
    /// What is mounted: a device, a bucket, a server's export.
    Source,
    /// A control group.
    Cgroup,
    /// A serial number.
    Serial,
    /// An IPv4 or IPv6 address or a GID.
    Address,
    /// A hardware address.
    Mac,
    /// An InfiniBand GUID.
    Guid,
    /// An InfiniBand local identifier.
    Lid,
    /// A network interface or device whose name somebody chose.
    Interface,
    /// An address of a service.
    Url,
    /// A UUID; its pseudonym is a UUID too.
    Uuid,
    /// A long hexadecimal id.
    Id,
    /// A label that somebody chose.
    Label,
    /// Some other text.
    Text,
}

impl Kind {
    /// The prefix of its pseudonyms.
    pub fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::User => "user",
            Self::Command => "cmd",
            Self::Container => "container",
            Self::Pod => "pod",
            Self::Job => "job",
            Self::Mount => "mount",
            Self::Path => "path",
            Self::Source => "source",
            Self::Cgroup => "cgroup",
            Self::Serial => "serial",
            Self::Address => "ip",
            Self::Mac => "mac",
            Self::Guid => "guid",
            Self::Lid => "lid",
            Self::Interface => "netif",
            Self::Url => "url",
            Self::Uuid => "uuid",
            Self::Id => "id",
            Self::Label => "label",
            Self::Text => "text",
        }
    }
}

/// What becomes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// It says nothing about anybody.
    Keep,
    /// Names and addresses in it are replaced.
    Scrub,
    /// It is a name as a whole.
    Name(Kind),
    /// It is something a person wrote: only its length stays.
    Note,
}

use Treatment::{Keep, Name, Note, Scrub};

/// Text readings by metric: words of the driver, the kernel or gpudeck itself. Metrics that are not here are names.
const READINGS: &[(&str, Treatment)] = &[
    ("gpu.pstate", Keep),
    ("gpu.throttle", Keep),
    ("gpu.ecc_mode", Keep),
    ("gpu.recovery_action", Keep),
    ("gpu.mig_mode", Keep),
    ("gpu.mig_pending", Keep),
    ("gpu.compute_mode", Keep),
    ("gpu.persistence", Keep),
    ("gpu.state", Keep),
    ("gpu.name", Keep),
    ("gpu.serial", Name(Kind::Serial)),
    ("gpu.vbios", Keep),
    ("gpu.architecture", Keep),
    ("gpu.gsp_firmware", Keep),
    ("driver.version", Keep),
    ("driver.cuda_version", Keep),
    ("driver.state", Keep),
    ("nvlink.state", Keep),
    ("nvlink.version", Keep),
    ("mig.profile", Keep),
    ("pcie.name", Keep),
    ("pcie.class", Keep),
    ("pcie.id", Keep),
    ("pcie.driver", Keep),
    ("pcie.power_state", Keep),
    ("rdma.state", Keep),
    ("rdma.phys_state", Keep),
    ("rdma.link_layer", Keep),
    ("rdma.netdev", Name(Kind::Interface)),
    ("rdma.driver", Keep),
    ("rdma.firmware", Keep),
    // A file system's type and a kernel's release may carry the name of who built them.
    ("fuse.type", Scrub),
    ("fuse.source", Name(Kind::Source)),
    ("fuse.provider", Scrub),
    ("fuse.state", Keep),
    ("host.kernel", Scrub),
    ("host.name", Name(Kind::Host)),
    ("process.command", Name(Kind::Command)),
    ("process.user", Name(Kind::User)),
    ("process.container", Name(Kind::Container)),
    ("process.pod", Name(Kind::Pod)),
    ("process.job", Name(Kind::Job)),
    ("process.state", Keep),
    ("process.wchan", Keep),
    ("probe.state", Keep),
];

/// Text fields of events.
const FIELDS: &[(&str, Treatment)] = &[
    ("probe", Scrub),
    ("call", Scrub),
    ("wchan", Scrub),
    ("status", Scrub),
    ("why", Scrub),
    ("since", Keep),
    ("state", Scrub),
    ("outcome", Scrub),
    ("severity", Keep),
    ("last_words", Scrub),
    ("text", Note),
    ("host", Name(Kind::Host)),
    ("hostname", Name(Kind::Host)),
    ("node", Name(Kind::Host)),
    ("server", Name(Kind::Host)),
    ("user", Name(Kind::User)),
    ("by", Name(Kind::User)),
    ("command", Name(Kind::Command)),
    ("name", Name(Kind::Command)),
    ("task", Name(Kind::Command)),
    ("interface", Name(Kind::Interface)),
    ("bond", Name(Kind::Interface)),
    ("uuid", Name(Kind::Uuid)),
    ("cgroup", Name(Kind::Cgroup)),
    ("pod", Name(Kind::Pod)),
    ("container", Name(Kind::Container)),
    ("job", Name(Kind::Job)),
];

/// Facts of the header.
const FACTS: &[(&str, Treatment)] =
    &[("hostname", Name(Kind::Host)), ("kernel", Scrub), ("driver_version", Keep), ("cuda_version", Keep)];

/// What becomes of a metric's text.
pub(crate) fn reading(metric: &str) -> Treatment {
    look_up(READINGS, metric)
}

/// What becomes of a text in an event's field.
pub(crate) fn field(name: &str) -> Treatment {
    look_up(FIELDS, name)
}

/// What becomes of a fact of the header.
pub(crate) fn fact(name: &str) -> Treatment {
    look_up(FACTS, name)
}

fn look_up(table: &[(&str, Treatment)], name: &str) -> Treatment {
    table.iter().find(|(known, _)| *known == name).map_or(Name(Kind::Text), |(_, treatment)| *treatment)
}

/// Mount points that every system has.
const SYSTEM_MOUNTS: &[&str] = &[
    "/",
    "/boot",
    "/boot/efi",
    "/dev",
    "/dev/hugepages",
    "/dev/shm",
    "/home",
    "/mnt",
    "/opt",
    "/proc",
    "/run",
    "/srv",
    "/sys",
    "/sys/fs/cgroup",
    "/sys/fs/fuse/connections",
    "/tmp",
    "/usr",
    "/var",
];

/// Whether every system has this mount point.
pub(crate) fn is_system_mount(path: &str) -> bool {
    SYSTEM_MOUNTS.contains(&path)
}

/// Words that kernel lines, error messages and paths are made of. A name that is one of them is replaced where it stands
/// by itself, and not looked for in running text: it would tear the line apart and says nothing about anybody.
const WORDS: &[&str] = &[
    "access",
    "address",
    "amdgpu",
    "bash",
    "block",
    "blocked",
    "bucket",
    "buffer",
    "cache",
    "call",
    "channel",
    "client",
    "cluster",
    "code",
    "comm",
    "command",
    "config",
    "connection",
    "container",
    "context",
    "controller",
    "core",
    "cpus",
    "cpuset",
    "data",
    "dataset",
    "datasets",
    "default",
    "denied",
    "device",
    "disk",
    "docker",
    "domain",
    "down",
    "driver",
    "error",
    "errors",
    "event",
    "failed",
    "fatal",
    "file",
    "firmware",
    "from",
    "fuse",
    "fusermount",
    "home",
    "host",
    "image",
    "init",
    "interface",
    "invoked",
    "kernel",
    "killed",
    "kworker",
    "limit",
    "link",
    "local",
    "localhost",
    "machine",
    "memory",
    "message",
    "mlx5_core",
    "model",
    "models",
    "module",
    "mount",
    "name",
    "net",
    "network",
    "nfsd",
    "node",
    "none",
    "nvidia",
    "nvidia-smi",
    "nvlink",
    "nvme",
    "nvrm",
    "nvswitch",
    "out",
    "page",
    "path",
    "pcie",
    "pcieport",
    "permission",
    "pod",
    "port",
    "power",
    "process",
    "queue",
    "read",
    "recovery",
    "reset",
    "root",
    "run",
    "rxerr",
    "scratch",
    "server",
    "service",
    "shared",
    "slice",
    "slot",
    "slurm",
    "source",
    "speed",
    "state",
    "status",
    "storage",
    "swap",
    "switch",
    "system",
    "systemd",
    "task",
    "temp",
    "test",
    "text",
    "thread",
    "time",
    "timeout",
    "train",
    "training",
    "type",
    "unknown",
    "user",
    "users",
    "volume",
    "width",
    "worker",
    "write",
];

/// Whether it is a word that says nothing about anybody.
pub(crate) fn is_word(name: &str) -> bool {
    WORDS.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use model::catalogue::{self, Kind as MetricKind};

    use super::*;

    #[test]
    fn the_words_are_sorted() {
        assert!(WORDS.is_sorted());
    }

    #[test]
    fn every_metric_of_the_tables_is_in_the_catalogue_and_none_counts() {
        for (name, _) in READINGS {
            let metric = catalogue::all().find(|metric| metric.name == *name).unwrap();
            assert!(matches!(metric.kind, MetricKind::State | MetricKind::Info), "{name}");
        }
    }

    #[test]
    fn what_no_table_knows_is_a_name() {
        assert_eq!(reading("gpu.invented_later"), Name(Kind::Text));
        assert_eq!(field("invented_later"), Name(Kind::Text));
        assert_eq!(fact("rack"), Name(Kind::Text));
    }
}

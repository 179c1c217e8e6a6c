//! Which series the node has, in the order of the Frames that carry them, and how their values are written.

use model::catalogue as metrics;
use model::{Entity, EntityInfo, Kind, Metric, MetricName, PciAddress, Reading, Value};

use crate::Policy;

/// GPUs, and as many RDMA ports and processes.
pub(crate) const GPUS: usize = 8;
/// NVLinks of a GPU.
pub(crate) const LINKS: usize = 18;
/// Mounts served by FUSE.
pub(crate) const MOUNTS: usize = 3;
/// PCI functions whose AER counters are read.
const FUNCTIONS: usize = 16;

/// The scalars of a GPU, in their order.
pub(crate) const GPU_SCALARS: [Name; 34] = [
    Known(metrics::GPU_UTIL),
    Known(metrics::GPU_MEM_UTIL),
    Scaled(metrics::GPU_MEM_USED, 1 << 20, 1),
    Driver("gpu.mem_free", 1 << 20, 1),
    Scaled(metrics::GPU_MEM_RESERVED, 1 << 20, 1),
    Scaled(metrics::GPU_BAR1_USED, 1 << 20, 1),
    Scaled(metrics::GPU_POWER, 1, 1000),
    Known(metrics::GPU_ENERGY),
    Known(metrics::GPU_TEMP),
    Known(metrics::GPU_TEMP_MEMORY),
    Known(metrics::GPU_CLOCK_SM),
    Known(metrics::GPU_CLOCK_MEM),
    Driver("gpu.clock_video", 1, 1),
    Known(metrics::GPU_PSTATE),
    Known(metrics::GPU_THROTTLE),
    Known(metrics::GPU_THROTTLE_POWER_TIME),
    Known(metrics::GPU_THROTTLE_THERMAL_TIME),
    Driver("gpu.pcie_tx_throughput", 1, 1),
    Driver("gpu.pcie_rx_throughput", 1, 1),
    Known(metrics::GPU_PCIE_REPLAY),
    Known(metrics::GPU_ECC_CORRECTED),
    Known(metrics::GPU_ECC_UNCORRECTED),
    Known(metrics::GPU_REMAP_CORRECTED),
    Known(metrics::GPU_REMAP_UNCORRECTED),
    Known(metrics::GPU_REMAP_PENDING),
    Known(metrics::GPU_PCIE_GEN),
    Known(metrics::GPU_PCIE_WIDTH),
    Driver("gpu.gpm.sm_active", 1, 100),
    Driver("gpu.gpm.sm_occupancy", 1, 100),
    Driver("gpu.gpm.tensor_active", 1, 100),
    Driver("gpu.gpm.dram_active", 1, 100),
    Driver("gpu.gpm.fp16_active", 1, 100),
    Known(metrics::GPU_PROCESSES),
    Known(metrics::GPU_STATE),
];

/// The series of an RDMA port, in their order; counters by the kernel's names.
const PORT: [&str; 40] = [
    "rdma.state",
    "rdma.phys_state",
    "rdma.rate",
    "rdma.tx",
    "rdma.rx",
    "rdma.counter.port_xmit_data",
    "rdma.counter.port_rcv_data",
    "rdma.counter.port_xmit_packets",
    "rdma.counter.port_rcv_packets",
    "rdma.counter.unicast_xmit_packets",
    "rdma.counter.unicast_rcv_packets",
    "rdma.counter.port_xmit_wait",
    "rdma.hw.rx_write_requests",
    "rdma.hw.np_cnp_sent",
    "rdma.hw.np_ecn_marked_roce_packets",
    "rdma.hw.rp_cnp_handled",
    "rdma.counter.multicast_rcv_packets",
    "rdma.counter.multicast_xmit_packets",
    "rdma.counter.port_xmit_discards",
    "rdma.counter.port_rcv_errors",
    "rdma.counter.port_rcv_constraint_errors",
    "rdma.counter.port_xmit_constraint_errors",
    "rdma.counter.port_rcv_remote_physical_errors",
    "rdma.counter.port_rcv_switch_relay_errors",
    "rdma.counter.symbol_error",
    "rdma.counter.link_error_recovery",
    "rdma.counter.link_downed",
    "rdma.counter.local_link_integrity_errors",
    "rdma.counter.excessive_buffer_overrun_errors",
    "rdma.counter.VL15_dropped",
    "rdma.hw.rx_read_requests",
    "rdma.hw.rx_atomic_requests",
    "rdma.hw.rx_icrc_encapsulated",
    "rdma.hw.out_of_buffer",
    "rdma.hw.out_of_sequence",
    "rdma.hw.duplicate_request",
    "rdma.hw.rnr_nak_retry_err",
    "rdma.hw.packet_seq_err",
    "rdma.hw.local_ack_timeout_err",
    "rdma.hw.roce_adp_retrans",
];

const FUNCTION: [&str; 4] =
    ["pcie.aer_correctable", "pcie.aer_nonfatal", "pcie.aer_fatal", "pcie.aer.correctable.BadTLP"];

const MOUNT: [Name; 8] = [
    Known(metrics::FUSE_HITS),
    Known(metrics::FUSE_MISSES),
    Scaled(metrics::FUSE_HIT_BYTES, 4096, 1),
    Scaled(metrics::FUSE_MISS_BYTES, 4096, 1),
    Scaled(metrics::FUSE_CACHE_BYTES, 4096, 1),
    Known(metrics::FUSE_WAITING),
    Known(metrics::FUSE_ANSWER_TIME),
    Known(metrics::FUSE_REMOTE_ERRORS),
];

const HOST: [Name; 16] = [
    Scaled(metrics::HOST_CPU, 1, 10),
    Scaled(metrics::HOST_IOWAIT, 1, 10),
    Scaled(metrics::HOST_LOAD1, 1, 100),
    Scaled(metrics::HOST_MEM_AVAILABLE, 1024, 1),
    Scaled(metrics::HOST_MEM_USED, 1, 10),
    Known(metrics::HOST_SWAP_USED),
    Scaled(metrics::HOST_PSI_CPU, 1, 100),
    Scaled(metrics::HOST_PSI_MEMORY, 1, 100),
    Scaled(metrics::HOST_PSI_IO, 1, 100),
    Scaled(metrics::HOST_PSI_IO_FULL, 1, 100),
    Scaled(metrics::HOST_SHM_USED, 4096, 1),
    Known(metrics::HOST_TCP_SEGMENTS),
    Known(metrics::HOST_TCP_RETRANSMITS),
    Known(metrics::HOST_BLOCKED),
    Known(metrics::HOST_OOM_KILLS),
    Known(metrics::HOST_UPTIME),
];

const PROCESS: [Name; 4] = [
    Scaled(metrics::PROCESS_RSS, 4096, 1),
    Scaled(metrics::PROCESS_CPU, 1, 10),
    Scaled(metrics::PROCESS_GPU_MEM, 1 << 20, 1),
    Known(metrics::PROCESS_STATE),
];

pub(crate) use Name::{Driver, Known, Scaled};

/// A metric and its scale: a value is the raw number times the first and divided by the second.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name {
    /// In the catalogue, whole numbers.
    Known(&'static Metric),
    /// In the catalogue.
    Scaled(&'static Metric, i64, i64),
    /// A gauge that the catalogue does not have.
    Driver(&'static str, i64, i64),
}

/// How the raw whole numbers of a series become readings.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) entity: Entity,
    pub(crate) metric: MetricName,
    kind: Kind,
    times: i64,
    per: i64,
    /// The quantum in raw units; 1 keeps everything.
    pub(crate) step: i64,
    texts: &'static [&'static str],
}

impl Series {
    fn new(entity: &Entity, name: Name, policy: Policy) -> Self {
        let (metric, times, per) = match name {
            Known(metric) => (MetricName::from(metric), 1, 1),
            Scaled(metric, times, per) => (MetricName::from(metric), times, per),
            Driver(name, times, per) => (MetricName::raw(name), times, per),
        };
        let texts: &[&str] = match metric.as_str() {
            "gpu.state" => &["ok", "lost"],
            "rdma.state" => &["active", "down"],
            "rdma.phys_state" => &["link_up", "polling"],
            "process.state" => &["R", "S", "D"],
            _ => &[],
        };
        let step = match policy {
            Policy::Lossless => 1,
            Policy::Quantised => raw_step(quantum(&metric), times, per),
        };
        Self {
            entity: entity.clone(),
            kind: metric.metric().map_or(Kind::Gauge, |line| line.kind),
            metric,
            times,
            per,
            step,
            texts,
        }
    }

    /// What a probe reads when the raw number is this.
    pub(crate) fn reading(&self, raw: i64) -> Reading {
        if let Some(text) = usize::try_from(raw).ok().and_then(|place| self.texts.get(place)) {
            return Reading::Good(Value::from(*text));
        }
        Reading::Good(match self.kind {
            Kind::Counter { .. } | Kind::State => {
                let whole = raw.div_euclid(self.step) * self.step * self.times;
                Value::Count(u64::try_from(whole).unwrap_or(0))
            }
            Kind::Gauge | Kind::Info => {
                let rounded = if self.step > 1 { (raw + self.step / 2).div_euclid(self.step) * self.step } else { raw };
                Value::Number(number(rounded * self.times) / number(self.per))
            }
        })
    }
}

/// Below 2^53 everywhere, so exact.
#[allow(clippy::cast_precision_loss)]
fn number(raw: i64) -> f64 {
    raw as f64
}

#[allow(clippy::cast_possible_truncation, reason = "a few million at most")]
fn raw_step(quantum: f64, times: i64, per: i64) -> i64 {
    ((quantum * number(per) / number(times)).round() as i64).max(1)
}

/// The quantum of a metric in its unit: the catalogue's, else one as wide as nobody will miss; 0 for every error counter.
pub(crate) fn quantum(metric: &MetricName) -> f64 {
    let told = metric.metric().map_or(0.0, |line| line.quantum);
    if told > 0.0 {
        return told;
    }
    match metric.as_str() {
        "nvlink.tx" | "nvlink.rx" | "rdma.tx" | "rdma.rx" => 1_048_576.0,
        "rdma.counter.port_xmit_data" | "rdma.counter.port_rcv_data" => 262_144.0,
        "rdma.counter.port_xmit_packets"
        | "rdma.counter.port_rcv_packets"
        | "rdma.counter.unicast_xmit_packets"
        | "rdma.counter.unicast_rcv_packets" => 256.0,
        "gpu.pcie_tx_throughput" | "gpu.pcie_rx_throughput" => 64.0,
        "gpu.energy" => 1000.0,
        "gpu.power" => 0.1,
        "fuse.cache_hit_bytes" | "fuse.cache_miss_bytes" | "fuse.cache_bytes" => 65_536.0,
        name if name.starts_with("gpu.gpm.") => 0.1,
        _ => 0.0,
    }
}

/// One Frame of each tick: its probe and its series.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) probe: &'static str,
    pub(crate) first: usize,
    pub(crate) entities: Vec<EntityInfo>,
    pub(crate) series: Vec<Series>,
}

/// The Frames of a tick: one for each GPU, then `rdma`, `pcie`, `fuse`, `host`, `process`.
pub(crate) fn parts(policy: Policy) -> Vec<Part> {
    let mut parts: Vec<Part> = (0..GPUS).map(|gpu| gpu_part(gpu, policy)).collect();
    parts.push(Part::of("rdma", (0..GPUS).map(port), |_| PORT.map(named).to_vec(), policy));
    parts.push(Part::of("pcie", (0..FUNCTIONS).map(function), |_| FUNCTION.map(named).to_vec(), policy));
    parts.push(Part::of("fuse", (0..MOUNTS).map(mount), |_| MOUNT.to_vec(), policy));
    parts.push(Part::of("host", [EntityInfo::new(Entity::Node, "node-1")].into_iter(), |_| HOST.to_vec(), policy));
    parts.push(Part::of("process", (0..GPUS).map(process), |_| PROCESS.to_vec(), policy));
    let mut first = 0;
    for part in &mut parts {
        part.first = first;
        first += part.series.len();
    }
    parts
}

impl Part {
    fn of(
        probe: &'static str,
        entities: impl Iterator<Item = EntityInfo>,
        names: impl Fn(&Entity) -> Vec<Name>,
        policy: Policy,
    ) -> Self {
        let entities: Vec<EntityInfo> = entities.collect();
        let of = |info: &EntityInfo| -> Vec<Series> {
            names(&info.entity).into_iter().map(|name| Series::new(&info.entity, name, policy)).collect()
        };
        Self { probe, first: 0, series: entities.iter().flat_map(of).collect(), entities }
    }
}

fn named(name: &'static str) -> Name {
    Metric::find(name).filter(|metric| metric.name == name).map_or(Driver(name, 1, 1), Known)
}

fn gpu_part(gpu: usize, policy: Policy) -> Part {
    let card = Entity::gpu(uuid(gpu));
    let links =
        (0..LINKS).filter_map(|link| Some(Entity::NvLink(model::GpuKey::Uuid(uuid(gpu)), u32::try_from(link).ok()?)));
    let info = EntityInfo {
        pci: address(gpu),
        numa: Some(u32::from(gpu >= GPUS / 2)),
        ..EntityInfo::new(card.clone(), format!("GPU {gpu}"))
    };
    let under = links.map(|link| EntityInfo::new(link, "").under(card.clone()));
    let names = |entity: &Entity| match entity {
        Entity::Gpu(_) => GPU_SCALARS.to_vec(),
        _ => vec![Scaled(metrics::NVLINK_TX, 1024, 1), Scaled(metrics::NVLINK_RX, 1024, 1)],
    };
    Part::of("nvml", std::iter::once(info).chain(under), names, policy)
}

pub(crate) fn uuid(gpu: usize) -> String {
    format!(
        "GPU-{:08x}-5c1d-4e2b-9a70-{:012x}",
        0x1f3a_9c00 + gpu * 0x0101,
        0x00b1_44d0_7e10_u64 + u64::try_from(gpu).unwrap_or(0)
    )
}

/// The PCI address of a GPU (0 to 7) or of the network adapter beside it (8 to 15).
pub(crate) fn address(function: usize) -> Option<PciAddress> {
    const BUSES: [u8; 16] =
        [0x19, 0x3b, 0x4c, 0x5d, 0x9b, 0xbb, 0xcb, 0xdb, 0x1a, 0x3c, 0x4d, 0x5e, 0x9c, 0xbc, 0xcc, 0xdc];
    format!("0000:{:02x}:00.0", BUSES.get(function)?).parse().ok()
}

fn port(port: usize) -> EntityInfo {
    let name = format!("mlx5_{port}");
    let label = format!("{name}/1");
    EntityInfo { pci: address(GPUS + port), ..EntityInfo::new(Entity::RdmaPort(name, 1), label) }
}

fn function(function: usize) -> EntityInfo {
    let entity = address(function).map_or(Entity::Node, Entity::Pci);
    EntityInfo { pci: address(function), ..EntityInfo::new(entity, if function < GPUS { "GPU" } else { "ConnectX-7" }) }
}

fn mount(mount: usize) -> EntityInfo {
    let path = ["/data", "/models", "/scratch"].get(mount).copied().unwrap_or("/");
    EntityInfo::new(Entity::Mount(path.to_owned()), path)
}

fn process(rank: usize) -> EntityInfo {
    let rank = u32::try_from(rank).unwrap_or(0);
    let info = EntityInfo::new(Entity::Process(41_200 + rank, 480_000 + u64::from(rank) * 7), "python train.py");
    info.linked_to(vec![Entity::gpu(uuid(usize::try_from(rank).unwrap_or(0)))])
}

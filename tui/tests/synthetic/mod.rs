//! A made-up node with a past, and a runtime for the deck that answers its questions from it: for the snapshots and for
//! the gallery example. Every value is a formula of GPU and second, so that every run draws the same screens.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_wrap
)]
#![allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::string_slice, clippy::panic)]

use model::catalogue as metrics;
use model::frame::Draft;
use model::{
    Action, Dictionary, Entity, EntityInfo, Event, GpuKey, Incident, KernelRecord, NodeState, PciAddress, ProbeFault,
    Reading, Severity, Stamp, Timeline, Verdict,
};

mod deck;
mod troubles;

pub use deck::Deck;
pub use troubles::plan;
use troubles::{fallen, flap, hang, remap};

pub const S: u64 = 1_000_000_000;
/// Monotonic second at which the recording begins.
const BOOT: u64 = 10_000;
/// 2026-11-23T16:50:00Z.
const EPOCH: i64 = 1_795_452_600;

/// The instant so many seconds into the recording.
pub fn at(second: u64) -> Stamp {
    Stamp::new((BOOT + second) * S, (EPOCH + second as i64) * S as i64)
}

/// What is wrong on the node.
#[derive(Clone, Debug)]
pub struct Scene {
    pub gpus: usize,
    pub seconds: u64,
    /// Seconds from reading to reading.
    pub step: usize,
    /// GPU and second.
    pub lost: Option<(usize, u64)>,
    pub stuck: Option<(usize, u64)>,
    pub driver: bool,
    /// Nothing was recorded from here to here.
    pub gap: Option<(u64, u64)>,
    pub incidents: Vec<Incident>,
    pub blind: bool,
}

impl Default for Scene {
    fn default() -> Self {
        Self {
            gpus: 8,
            seconds: 600,
            step: 1,
            lost: None,
            stuck: None,
            driver: true,
            gap: None,
            incidents: Vec::new(),
            blind: false,
        }
    }
}

impl Scene {
    pub fn of(gpus: usize) -> Self {
        Self { gpus, ..Self::default() }
    }

    /// A GPU that fell off the bus, with its incident and a lesser one before.
    pub fn lost(gpus: usize) -> Self {
        let gpu = 3.min(gpus - 1);
        let incidents = vec![fallen(gpu, 470), flap(gpus), remap(0)];
        Self { lost: Some((gpu, 470)), incidents, gap: Some((200, 240)), ..Self::of(gpus) }
    }

    /// A driver call that does not return.
    pub fn stuck(gpus: usize) -> Self {
        let gpu = 2.min(gpus - 1);
        Self { stuck: Some((gpu, 467)), incidents: vec![hang(gpu, 475)], ..Self::of(gpus) }
    }

    /// No driver at all.
    pub fn no_driver() -> Self {
        Self { driver: false, blind: true, ..Self::of(0) }
    }
}

pub fn gpu(place: usize) -> Entity {
    Entity::gpu(format!("GPU-{place:02x}a61b03-52e1-4c5e-9a3d-0c1f2b6a77{place:02x}"))
}

fn pci(place: usize) -> PciAddress {
    format!("0000:{:02x}:00.0", 0x0a + place * 0x0f).parse().unwrap()
}

fn key(gpu: &Entity) -> GpuKey {
    match gpu {
        Entity::Gpu(key) => key.clone(),
        _ => unreachable!(),
    }
}

/// A number from 0 to 1 that looks like noise.
fn noise(a: usize, t: u64) -> f64 {
    let mut x = (a as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ t.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 31;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    (x >> 40) as f64 / (1u64 << 24) as f64
}

/// The load of a training job: warm-up, steps, a checkpoint every two minutes.
fn load(place: usize, t: u64) -> f64 {
    let checkpoint = if t % 120 > 108 { 0.25 } else { 1.0 };
    let ramp = (t as f64 / 40.0).min(1.0);
    (ramp * checkpoint * (0.93 + 0.06 * noise(place, t))).min(1.0)
}

fn nvml(scene: &Scene, t: u64) -> Draft {
    let mut draft = Draft::new("nvml", at(t));
    draft.took_us = 12_300;
    draft.read(&Entity::Node, metrics::DRIVER_STATE, if scene.driver { "ok" } else { "not_loaded" });
    if !scene.driver {
        draft.faults.push(ProbeFault {
            call: "nvmlInit_v2".into(),
            entity: None,
            why: "NVML_ERROR_DRIVER_NOT_LOADED: the kernel module nvidia is not loaded".into(),
            advice: Some("load it with `modprobe nvidia`, or look why it was not: `dmesg | grep NVRM`".into()),
        });
        return draft;
    }
    draft.read(&Entity::Node, metrics::DRIVER_VERSION, "570.148.08");
    draft.read(&Entity::Node, metrics::DRIVER_CUDA_VERSION, "12.8");
    for place in 0..scene.gpus {
        let gpu = gpu(place);
        if t == 0 {
            let label = format!("GPU {place}");
            draft.entities.push(EntityInfo::new(gpu.clone(), label).at(pci(place)).on_numa(Some((place / 4) as u32)));
        }
        one_gpu(&mut draft, scene, place, &gpu, t);
    }
    draft
}

fn one_gpu(draft: &mut Draft, scene: &Scene, place: usize, gpu: &Entity, t: u64) {
    let gib = |n: u64| n << 30;
    let busy = load(place, t);
    let lost = scene.lost.is_some_and(|(which, since)| which == place && t >= since);
    let stuck = scene.stuck.filter(|(which, since)| *which == place && t >= *since);
    draft.read(gpu, metrics::GPU_INDEX, place as u64);
    draft.read(gpu, metrics::GPU_NAME, "NVIDIA H100 80GB HBM3");
    draft.read(gpu, metrics::GPU_MEM_TOTAL, gib(80));
    draft.read(gpu, metrics::GPU_POWER_LIMIT, 700.0);
    draft.read(
        gpu,
        metrics::GPU_STATE,
        if lost {
            "lost"
        } else if stuck.is_some() {
            "stuck"
        } else {
            "ok"
        },
    );
    let hot = if place == 5 { 13.0 } else { 0.0 };
    let watts = 90.0 + 560.0 * busy;
    let values: Vec<(&'static model::Metric, Reading)> = vec![
        (metrics::GPU_UTIL, (busy * 100.0).round().into()),
        (metrics::GPU_MEM_UTIL, (busy * 61.0).round().into()),
        (metrics::GPU_MEM_USED, gib(61 + place as u64 % 3).into()),
        (metrics::GPU_POWER, watts.into()),
        (metrics::GPU_ENERGY, (t * 600_000 + 7).into()),
        (metrics::GPU_TEMP, (38.0 + 24.0 * busy + hot + noise(place, t / 7)).round().into()),
        (metrics::GPU_TEMP_MEMORY, (48.0 + 26.0 * busy + hot).round().into()),
        (metrics::GPU_TEMP_SLOWDOWN, 90.0.into()),
        (metrics::GPU_TEMP_SHUTDOWN, 95.0.into()),
        (metrics::GPU_CLOCK_SM, (1980.0 - 90.0 * busy).round().into()),
        (metrics::GPU_CLOCK_SM_MAX, 1980.0.into()),
        (metrics::GPU_CLOCK_MEM, 2619.0.into()),
        (metrics::GPU_PSTATE, 0u64.into()),
        (metrics::GPU_THROTTLE, (if busy > 0.96 { 4u64 } else { 0 }).into()),
        (metrics::GPU_FAN, Reading::Unsupported),
        (metrics::GPU_ECC_MODE, true.into()),
        (metrics::GPU_ECC_CORRECTED, (if place == 1 { 12 + t / 10 } else { 0 }).into()),
        (metrics::GPU_ECC_UNCORRECTED, 0u64.into()),
        (metrics::GPU_REMAP_CORRECTED, 0u64.into()),
        (metrics::GPU_REMAP_UNCORRECTED, u64::from(place == 0 && t > 310).into()),
        (metrics::GPU_REMAP_PENDING, (place == 0 && t > 310).into()),
        (metrics::GPU_REMAP_FAILED, false.into()),
        (metrics::GPU_PCIE_GEN, 5u64.into()),
        (metrics::GPU_PCIE_GEN_MAX, 5u64.into()),
        (metrics::GPU_PCIE_WIDTH, (if place == 6 { 8u64 } else { 16 }).into()),
        (metrics::GPU_PCIE_WIDTH_MAX, 16u64.into()),
        (metrics::GPU_PCIE_REPLAY, 0u64.into()),
        (metrics::GPU_PCIE_TX, (t * 1_400_000_000).into()),
        (metrics::GPU_PCIE_RX, (t * 900_000_000).into()),
        (metrics::GPU_NVLINK_TX, (t * (120_000_000_000 + place as u64 * 1_000_000_000)).into()),
        (metrics::GPU_NVLINK_RX, (t * 118_500_000_000).into()),
        (metrics::GPU_RECOVERY_ACTION, 0u64.into()),
        (metrics::GPU_PERSISTENCE, true.into()),
        (metrics::GPU_COMPUTE_MODE, "default".into()),
        (metrics::GPU_MIG_MODE, false.into()),
        (metrics::GPU_SERIAL, Reading::Denied),
        (metrics::GPU_PROCESSES, 1u64.into()),
    ];
    for (metric, reading) in values {
        let reading = match stuck {
            _ if lost => Reading::Lost,
            Some((_, since)) => Reading::Stuck((BOOT + since) * S, "nvmlDeviceGetTemperature".into()),
            None => reading,
        };
        draft.read(gpu, metric, reading);
    }
    for link in 0..18 {
        let entity = Entity::NvLink(key(gpu), link);
        let state = if lost {
            Reading::Lost
        } else if place == 4 && link == 7 {
            "inactive".into()
        } else {
            "active".into()
        };
        draft.read(&entity, metrics::NVLINK_STATE, state);
        draft.read(
            &entity,
            metrics::NVLINK_REPLAY,
            if lost { Reading::Lost } else { u64::from(place == 4 && link == 8).into() },
        );
    }
}

fn host(scene: &Scene, t: u64) -> Draft {
    let mut draft = Draft::new("host", at(t));
    draft.took_us = 900;
    let node = Entity::Node;
    draft.read(&node, metrics::HOST_NAME, "gpu-node-17");
    draft.read(&node, metrics::HOST_KERNEL, "6.8.0-58-generic");
    draft.read(&node, metrics::HOST_CPUS, 192u64);
    draft.read(&node, metrics::HOST_CPU, 18.0 + 9.0 * noise(99, t));
    draft.read(&node, metrics::HOST_IOWAIT, 0.4);
    draft.read(&node, metrics::HOST_LOAD1, 41.7);
    draft.read(&node, metrics::HOST_MEM_TOTAL, 2u64 << 40);
    draft.read(&node, metrics::HOST_MEM_USED, 37.2);
    draft.read(&node, metrics::HOST_SHM_TOTAL, 1u64 << 40);
    draft.read(&node, metrics::HOST_SHM_PERCENT, 11.5);
    draft.read(&node, metrics::HOST_PSI_CPU, 1.25);
    draft.read(&node, metrics::HOST_PSI_MEMORY, 0.0);
    draft.read(&node, metrics::HOST_PSI_IO, if t % 120 > 108 { 14.3 } else { 0.6 });
    draft.read(&node, metrics::HOST_TCP_RETRANSMITS, t * 3);
    draft.read(&node, metrics::HOST_BLOCKED, u64::from(scene.stuck.is_some_and(|(_, since)| t > since)));
    draft.read(&node, metrics::HOST_OOM_KILLS, 0u64);
    draft.read(&node, metrics::HOST_UPTIME, (5_716_800 + t) as f64);
    draft
}

fn around(scene: &Scene, t: u64) -> Vec<Draft> {
    let mut rdma = Draft::new("rdma", at(t));
    rdma.took_us = 2_100;
    for place in 0..scene.gpus.min(8) {
        let port = Entity::RdmaPort(format!("mlx5_{place}"), 1);
        if t == 0 {
            rdma.entities
                .push(EntityInfo::new(port.clone(), format!("mlx5_{place}/1")).on_numa(Some((place / 4) as u32)));
        }
        let down = place == 2 && (120..150).contains(&t);
        rdma.read(&port, metrics::RDMA_STATE, if down { "down" } else { "active" });
        rdma.read(&port, metrics::RDMA_PHYS_STATE, if down { "polling" } else { "link_up" });
        rdma.read(&port, metrics::RDMA_RATE, 400.0);
        rdma.read(&port, metrics::RDMA_LINK_LAYER, "InfiniBand");
        rdma.read(&port, metrics::RDMA_NETDEV, Reading::Unsupported);
        rdma.read(&port, metrics::RDMA_FIRMWARE, "28.43.2566");
        rdma.read(&port, metrics::RDMA_TX, t * (21_000_000_000 + place as u64 * 70_000_000));
        rdma.read(&port, metrics::RDMA_RX, t * 20_400_000_000);
        for (name, total) in [
            ("rdma.counter.link_downed", u64::from(place == 2)),
            ("rdma.counter.symbol_error", if place == 2 { 12 } else { 0 }),
            ("rdma.hw.out_of_sequence", if place == 2 { 40 + t * 2 } else { 0 }),
            ("rdma.hw.rx_read_requests", 120_000 + t * 900),
        ] {
            rdma.read(&port, model::MetricName::raw(name), total);
        }
    }
    let mut fuse = Draft::new("fuse", at(t));
    fuse.took_us = 1_400;
    for (path, source, kind, ratio) in
        [("/data", "JuiceFS:prod", "fuse.juicefs", 97.2), ("/models", "rclone:s3", "fuse.rclone", 38.0)]
    {
        let mount = Entity::Mount(path.into());
        if t == 0 {
            fuse.entities.push(EntityInfo::new(mount.clone(), path));
        }
        fuse.read(&mount, metrics::FUSE_TYPE, kind);
        fuse.read(&mount, metrics::FUSE_SOURCE, source);
        fuse.read(&mount, metrics::FUSE_PROVIDER, if path == "/data" { "juicefs" } else { "none" });
        fuse.read(&mount, metrics::FUSE_STATE, "ok");
        fuse.read(&mount, metrics::FUSE_WAITING, (noise(7, t) * 5.0).round());
        fuse.read(&mount, metrics::FUSE_MAX_BACKGROUND, 50u64);
        fuse.read(&mount, metrics::FUSE_ANSWER_TIME, 1_240.0);
        let ratio: Reading = if path == "/data" {
            (ratio - 30.0 * f64::from(u8::from(t % 120 > 108))).into()
        } else {
            Reading::Unsupported
        };
        fuse.read(&mount, metrics::FUSE_HIT_RATIO, ratio);
        fuse.read(&mount, metrics::FUSE_HIT_BYTES, t * 1_240_000_000);
        fuse.read(&mount, metrics::FUSE_MISS_BYTES, t * 34_000_000);
    }
    let mut process = Draft::new("process", at(t));
    process.took_us = 3_900;
    for place in 0..scene.gpus {
        let entity = Entity::Process(41_200 + place as u32, 7_000 + place as u64);
        if t == 0 {
            process.entities.push(EntityInfo::new(entity.clone(), "python train.py").linked_to(vec![gpu(place)]));
        }
        process.read(&entity, metrics::PROCESS_COMMAND, "python");
        process.read(&entity, metrics::PROCESS_USER, if place % 2 == 0 { "alice" } else { "bob\u{202e}" });
        process.read(&entity, metrics::PROCESS_GPU_MEM, (60u64 + place as u64 % 3) << 30);
        process.read(&entity, metrics::PROCESS_RSS, 13u64 << 30);
        process.read(&entity, metrics::PROCESS_CPU, 101.0);
        let hung = scene.stuck.is_some_and(|(which, since)| which == place && t >= since);
        process.read(&entity, metrics::PROCESS_STATE, if hung { "D" } else { "R" });
        if hung {
            process.read(&entity, metrics::PROCESS_WCHAN, "rpcRecvPoll");
        }
        process.read(&entity, metrics::PROCESS_JOB, "4711");
    }
    let mut pcie = Draft::new("pcie", at(t));
    pcie.took_us = 5_200;
    for place in 0..scene.gpus {
        let entity = Entity::Pci(pci(place));
        if t == 0 {
            pcie.entities.push(EntityInfo::new(entity.clone(), "").on_numa(Some((place / 4) as u32)));
        }
        pcie.read(&entity, metrics::PCIE_CLASS, "gpu");
        pcie.read(&entity, metrics::PCIE_NAME, "NVIDIA GH100 [H100 SXM5 80GB]");
        pcie.read(&entity, metrics::PCIE_DRIVER, "nvidia");
        pcie.read(&entity, metrics::PCIE_SPEED, 32.0);
        pcie.read(&entity, metrics::PCIE_WIDTH, if place == 6 { 8u64 } else { 16 });
        pcie.read(&entity, metrics::PCIE_SLOT_WIDTH, 16u64);
        pcie.read(&entity, metrics::PCIE_AER_CORRECTABLE, if place == 6 { 214u64 } else { 0 });
    }
    vec![rdma, fuse, process, pcie]
}

fn kernel_log(scene: &Scene, t: u64) -> Draft {
    let mut draft = Draft::new("kernel_log", at(t));
    draft.took_us = 80;
    let line = |text: &str, facility: u32| KernelRecord {
        text: text.as_bytes().to_vec(),
        sequence: Some(t),
        priority: Some(3),
        facility: Some(facility),
        dictionary: Vec::new(),
        line: None,
    };
    // Everything since the last reading.
    let due = |second: u64| second <= t && second + scene.step as u64 > t;
    if scene.lost.is_some_and(|(_, since)| due(since)) {
        let mut event = Event::new(at(t), "xid").about(gpu(3.min(scene.gpus - 1))).with("code", 79u32);
        event.record =
            Some(line("NVRM: Xid (PCI:0000:3a:00): 79, pid=41203, name=python, GPU has fallen off the bus.", 0));
        let title = Some("GPU has fallen off the bus".to_owned());
        event.verdict = Some(Verdict { level: Severity::Fatal, action: Action::DrainReset, title });
        draft.events.push(event);
    }
    if due(130) {
        let mut event = Event::new(at(t), "mlx5").about(Entity::RdmaPort("mlx5_2".into(), 1));
        event.record = Some(line("mlx5_core 0000:2a:00.0: Port module event: module 0, Cable unplugged", 0));
        event.verdict = Some(Verdict { level: Severity::Warning, action: Action::CheckLink, title: None });
        draft.events.push(event);
    }
    if due(350) {
        let mut event = Event::new(at(t), "kernel_line");
        event.record = Some(line("harmless \u{1b}[31mred\u{1b}[0m \u{202e}txt", 1));
        draft.events.push(event);
    }
    if due(400) {
        draft.events.push(Event::new(at(t), "mark").about(Entity::Node).with("text", "swapped the cable of mlx5_2"));
    }
    draft
}

/// The past of a scene.
#[derive(Clone)]
pub struct Past {
    pub timeline: Timeline,
    pub state: NodeState,
    pub end: Stamp,
}

pub fn past(scene: &Scene) -> Past {
    let mut timeline = Timeline::new(24 * 3600 * S, 8 * S, 10_000);
    let (mut state, mut dictionary) = (NodeState::default(), Dictionary::default());
    for t in (0..=scene.seconds).step_by(scene.step) {
        if scene.gap.is_some_and(|(from, to)| (from..to).contains(&t)) {
            continue;
        }
        let mut drafts = vec![nvml(scene, t), host(scene, t), kernel_log(scene, t)];
        drafts.extend(around(scene, t));
        for draft in drafts {
            let frame = draft.seal(&mut dictionary);
            timeline.apply(&frame, &dictionary);
            state.apply(&frame, &dictionary);
        }
    }
    Past { timeline, state, end: at(scene.seconds) }
}

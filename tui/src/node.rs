//! The node as the screens see it: GPUs in the order in which people number them, their health, their peers.

use std::collections::BTreeSet;

use model::catalogue as metrics;
use model::{Entity, EntityKind, GpuKey, Kind, Metric, NodeState, Reading, SeriesKey, Value};

use crate::cursor::SECOND;
use crate::model::Model;

/// A gauge that was not read for this long is old, whatever its probe said of it. The slowest tier reads once a minute.
const OLD: u64 = 90 * SECOND;

/// How a GPU is, as far as answering goes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Health {
    /// It answers.
    Answers,
    /// A call has not come back: since when on the axis, and which.
    Stuck(u64, String),
    /// Fallen off the bus; the instant at which that was last read.
    Lost,
    /// The driver does not know it any more.
    Gone,
    /// Known, and nothing was read of it.
    Silent,
}

/// One GPU.
#[derive(Clone, Debug)]
pub(crate) struct Gpu<'a> {
    /// Which.
    pub(crate) entity: Entity,
    /// The driver's number for it, else its place on the bus.
    pub(crate) index: String,
    /// How it is.
    pub(crate) health: Health,
    state: &'a NodeState,
}

impl Gpu<'_> {
    /// What one of its metrics last said.
    pub(crate) fn reading(&self, metric: &'static Metric) -> Option<Reading> {
        reading(self.state, &self.entity, metric)
    }

    /// The number, if it was read well.
    pub(crate) fn number(&self, metric: &'static Metric) -> Option<f64> {
        self.reading(metric)?.good()?.as_f64()
    }

    /// The product's name without the maker's.
    pub(crate) fn name(&self) -> String {
        let name =
            self.state.reading(&self.entity, metrics::GPU_NAME).and_then(Reading::value).and_then(Value::as_text);
        let name = name.map_or_else(String::new, |name| name.display(40));
        name.trim_start_matches("NVIDIA ").to_owned()
    }

    /// NVLinks that are up, and all of them.
    pub(crate) fn nvlinks(&self) -> (usize, usize) {
        let Entity::Gpu(key) = &self.entity else { return (0, 0) };
        nvlinks_of(self.state, key).iter().fold((0, 0), |(up, all), link| {
            match self.state.text(link, metrics::NVLINK_STATE) {
                Some("active" | "sleep") => (up + 1, all + 1),
                _ => (up, all + 1),
            }
        })
    }
}

/// The NVLinks of a GPU, in their order.
pub(crate) fn nvlinks_of(state: &NodeState, gpu: &GpuKey) -> Vec<Entity> {
    let of_gpu = |entity: &Entity| matches!(entity, Entity::NvLink(owner, _) if owner == gpu);
    // Both lists are sorted by kind first: known links and links with samples are usually the same.
    let found: BTreeSet<Entity> = state.entities().filter(|entity| of_gpu(entity)).cloned().collect();
    found.into_iter().collect()
}

/// What a series last said; an old gauge is stale even where its probe did not say so.
pub(crate) fn reading(state: &NodeState, entity: &Entity, metric: &'static Metric) -> Option<Reading> {
    let latest = state.latest(entity, metric)?;
    let age = state.at.axis_ns().saturating_sub(latest.at.axis_ns());
    match &latest.reading {
        Reading::Good(value) if age > OLD && matches!(metric.kind, Kind::Gauge) => {
            Some(Reading::Stale(value.clone(), age))
        }
        other => Some(other.clone()),
    }
}

/// The GPUs in bus order, each once under the name that its samples are kept by.
pub(crate) fn gpu_entities(state: &NodeState) -> Vec<Entity> {
    let mut gpus: Vec<Entity> = Vec::new();
    let known = state.inventory.gpus().into_iter().map(|info| info.entity.clone());
    for gpu in known.chain(state.of_kind(EntityKind::Gpu)) {
        let gpu = state.inventory.canonical(&gpu);
        if !gpus.contains(&gpu) {
            gpus.push(gpu);
        }
    }
    gpus
}

/// The GPUs with their health.
pub(crate) fn gpus(state: &NodeState) -> Vec<Gpu<'_>> {
    gpu_entities(state)
        .into_iter()
        .enumerate()
        .map(|(place, entity)| {
            let index = state.reading(&entity, metrics::GPU_INDEX).and_then(Reading::value).and_then(Value::as_count);
            let index = index.map_or_else(|| place.to_string(), |index| index.to_string());
            Gpu { health: health(state, &entity), index, entity, state }
        })
        .collect()
}

/// The GPU that the driver numbers so.
pub(crate) fn gpu_with_index(state: &NodeState, index: u32) -> Option<Entity> {
    let wanted = index.to_string();
    gpus(state).into_iter().find(|gpu| gpu.index == wanted).map(|gpu| gpu.entity)
}

fn health(state: &NodeState, gpu: &Entity) -> Health {
    let mut stuck: Option<(u64, &str)> = None;
    let (mut any, mut lost, mut answers) = (false, false, false);
    for (_, latest) in state.metrics(gpu) {
        any = true;
        match &latest.reading {
            Reading::Stuck(since, call) if stuck.is_none_or(|(earlier, _)| *since < earlier) => {
                stuck = Some((*since, call));
            }
            Reading::Lost => lost = true,
            Reading::Good(_) => answers = true,
            _ => {}
        }
    }
    match (state.text(gpu, metrics::GPU_STATE), stuck) {
        (Some("lost"), _) => Health::Lost,
        (Some("gone"), _) => Health::Gone,
        (_, Some((since, call))) => Health::Stuck(since, call.to_owned()),
        (Some("stuck"), None) => Health::Stuck(0, String::new()),
        (Some(_), None) => Health::Answers,
        (None, None) if lost => Health::Lost,
        (None, None) if any && answers => Health::Answers,
        (None, None) => Health::Silent,
    }
}

/// `stuck 2m13s in nvmlDeviceGetTemperature`.
pub(crate) fn stuck_words(model: &Model, since: u64, call: &str) -> String {
    let call = model::text::clean(call, 60);
    let place = if call.is_empty() { String::new() } else { format!(" in {call}") };
    match since {
        0 => format!("stuck{place}"),
        _ => format!("stuck {}{place}", model::time::human_duration(model.reference().saturating_sub(since))),
    }
}

/// How far a GPU's value must stand off from its peers' median to be odd: so much, and so large a share.
struct Oddness {
    metric: &'static Metric,
    most: f64,
    share: f64,
}

const ODDNESS: &[Oddness] = &[
    Oddness { metric: metrics::GPU_TEMP, most: 10.0, share: 0.12 },
    Oddness { metric: metrics::GPU_TEMP_MEMORY, most: 12.0, share: 0.12 },
    Oddness { metric: metrics::GPU_POWER, most: 120.0, share: 0.25 },
    Oddness { metric: metrics::GPU_UTIL, most: 35.0, share: 0.4 },
    Oddness { metric: metrics::GPU_CLOCK_SM, most: 200.0, share: 0.15 },
    Oddness { metric: metrics::GPU_PCIE_WIDTH, most: 0.5, share: 0.1 },
    Oddness { metric: metrics::GPU_PCIE_GEN, most: 0.5, share: 0.1 },
];

/// What the GPUs have in common: the median of each comparable metric.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peers {
    medians: Vec<(&'static str, f64)>,
}

impl Peers {
    /// The medians over GPUs that answer; fewer than three have no peers.
    pub(crate) fn of(gpus: &[Gpu<'_>]) -> Self {
        let medians = ODDNESS.iter().filter_map(|oddness| {
            let mut values: Vec<f64> = gpus.iter().filter_map(|gpu| gpu.number(oddness.metric)).collect();
            values.sort_by(f64::total_cmp);
            let middle = *values.get(values.len() / 2)?;
            (values.len() >= 3).then_some((oddness.metric.name, middle))
        });
        Self { medians: medians.collect() }
    }

    /// By how much a GPU stands off from its peers, if that is odd.
    pub(crate) fn odd(&self, gpu: &Gpu<'_>, metric: &'static Metric) -> Option<f64> {
        let oddness = ODDNESS.iter().find(|oddness| oddness.metric.name == metric.name)?;
        let (_, median) = self.medians.iter().find(|(name, _)| *name == metric.name)?;
        let off = gpu.number(metric)? - median;
        (off.abs() >= oddness.most && off.abs() >= oddness.share * median.abs()).then_some(off)
    }
}

/// The processes on a GPU, those with the most memory first; `None`: on any.
pub(crate) fn processes(state: &NodeState, gpu: Option<&Entity>) -> Vec<Entity> {
    let mut found = state.of_kind(EntityKind::Process);
    if let Some(gpu) = gpu {
        found.retain(|process| gpus_of(state, process).contains(gpu));
    }
    let used = |process: &Entity| state.number(process, metrics::PROCESS_GPU_MEM).unwrap_or(0.0);
    found.sort_by(|a, b| used(b).total_cmp(&used(a)).then_with(|| a.cmp(b)));
    found
}

/// The GPUs that a process is on.
pub(crate) fn gpus_of(state: &NodeState, process: &Entity) -> Vec<Entity> {
    let linked = state.inventory.get(process).map(|info| info.linked.clone()).unwrap_or_default();
    linked.iter().map(|gpu| state.inventory.canonical(gpu)).filter(|gpu| gpu.kind() == EntityKind::Gpu).collect()
}

/// The series of one metric of each entity.
pub(crate) fn series_of<'a>(
    entities: impl IntoIterator<Item = &'a Entity>,
    metrics: &[&'static Metric],
) -> Vec<SeriesKey> {
    let of_one = |entity: &Entity| -> Vec<SeriesKey> {
        metrics.iter().map(|metric| SeriesKey::new(entity.clone(), *metric)).collect()
    };
    entities.into_iter().flat_map(of_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{EntityInfo, Stamp, state::Latest};

    fn node(temps: &[f64]) -> NodeState {
        let mut state = NodeState::default();
        state.at = Stamp::new(500 * SECOND, 0);
        for (place, temp) in temps.iter().enumerate() {
            let gpu = Entity::gpu(format!("GPU-{place}"));
            state
                .inventory
                .learn(&EntityInfo::new(gpu.clone(), "").at(format!("0000:{place:02x}:00.0").parse().unwrap()));
            state.set(&gpu, &metrics::GPU_TEMP.into(), Latest { reading: (*temp).into(), at: state.at });
        }
        state
    }

    #[test]
    fn the_one_that_differs_from_its_peers_is_odd_and_two_have_no_peers() {
        let state = node(&[60.0, 61.0, 62.0, 75.0]);
        let gpus = gpus(&state);
        let odd: Vec<Option<f64>> = gpus.iter().map(|gpu| Peers::of(&gpus).odd(gpu, metrics::GPU_TEMP)).collect();
        assert_eq!(odd, [None, None, None, Some(13.0)]);
        assert_eq!(Peers::of(&gpus[2..]).odd(&gpus[3], metrics::GPU_TEMP), None);
    }

    #[test]
    fn a_gauge_nobody_read_for_minutes_is_stale() {
        let mut state = node(&[60.0]);
        let gpu = Entity::gpu("GPU-0");
        let old = Latest { reading: 60.0.into(), at: Stamp::new(100 * SECOND, 0) };
        state.set(&gpu, &metrics::GPU_TEMP.into(), old);
        assert!(
            matches!(reading(&state, &gpu, metrics::GPU_TEMP), Some(Reading::Stale(_, age)) if age == 400 * SECOND)
        );
    }

    #[test]
    fn a_stuck_call_outweighs_older_good_values_and_names_the_earliest() {
        let mut state = node(&[60.0]);
        let gpu = Entity::gpu("GPU-0");
        let at = state.at;
        for (metric, since) in [(metrics::GPU_POWER, 90), (metrics::GPU_UTIL, 80)] {
            state.set(&gpu, &metric.into(), Latest { reading: Reading::Stuck(since, format!("call{since}")), at });
        }
        assert_eq!(health(&state, &gpu), Health::Stuck(80, "call80".to_owned()));
        state.set(&gpu, &metrics::GPU_STATE.into(), Latest { reading: "lost".into(), at });
        assert_eq!(health(&state, &gpu), Health::Lost);
    }

    #[test]
    fn one_gpu_under_two_names_is_shown_once() {
        let mut state = node(&[60.0]);
        let by_bus = Entity::Gpu(GpuKey::Pci("0000:00:00.0".parse().unwrap()));
        state.inventory.learn(&EntityInfo::new(by_bus, ""));
        assert_eq!(gpu_entities(&state), [Entity::gpu("GPU-0")]);
    }
}

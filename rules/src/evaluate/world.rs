//! What is known of the node now, and the questions that expressions ask of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use model::{Entity, EntityKind, Event, Field, Inventory, Reading, SeriesId, Stamp};

use super::series::{STALE_AFTER, Series};
use crate::lang::eval::{Scope, Val, eval};
use crate::lang::expr::{Ask, Expr, MetricIx, Over, Owner};

/// The node as the Frames so far describe it.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) inventory: Inventory,
    /// Places of series; those of series that have ended are free for others.
    series: Vec<Option<Series>>,
    free: Vec<usize>,
    by_id: HashMap<SeriesId, usize>,
    /// What was declared of each entity, by the name under which it was.
    declared: HashMap<Entity, Vec<SeriesId>>,
    pub(super) by_entity: BTreeMap<Entity, BTreeMap<MetricIx, usize>>,
    pub(super) by_kind: BTreeMap<EntityKind, BTreeSet<Entity>>,
}

impl World {
    pub(super) fn find(&self, entity: &Entity, metric: MetricIx) -> Option<&Series> {
        self.by_entity.get(entity)?.get(&metric).and_then(|at| self.at(*at))
    }

    /// The series at a place.
    pub(super) fn at(&self, place: usize) -> Option<&Series> {
        self.series.get(place)?.as_ref()
    }

    /// Where the series of this id is.
    pub(super) fn place(&self, id: SeriesId) -> Option<usize> {
        self.by_id.get(&id).copied()
    }

    pub(super) fn at_mut(&mut self, place: usize) -> Option<&mut Series> {
        self.series.get_mut(place)?.as_mut()
    }

    /// From here on the id means this metric of the entity, which is declared under this name.
    pub(super) fn declare(
        &mut self,
        id: SeriesId,
        named: &Entity,
        metric: MetricIx,
        new: impl FnOnce(Entity) -> Series,
    ) {
        let entity = self.inventory.canonical(named);
        let known = self.by_entity.get(&entity).and_then(|metrics| metrics.get(&metric)).copied();
        let place = known.unwrap_or_else(|| {
            let series = Some(new(entity.clone()));
            match self.free.pop() {
                Some(place) => {
                    self.series[place] = series;
                    place
                }
                None => {
                    self.series.push(series);
                    self.series.len() - 1
                }
            }
        });
        self.show(&entity, metric, place);
        if self.place(id) == Some(place) {
            return;
        }
        self.end(id);
        self.by_id.insert(id, place);
        self.declared.entry(named.clone()).or_default().push(id);
        if let Some(series) = self.at_mut(place) {
            series.names += 1;
        }
    }

    /// The series at the place is found by its entity and metric.
    pub(super) fn show(&mut self, entity: &Entity, metric: MetricIx, place: usize) {
        self.by_kind.entry(entity.kind()).or_default().insert(entity.clone());
        self.by_entity.entry(entity.clone()).or_default().entry(metric).or_insert(place);
    }

    /// The id means nothing any more. A series without an id is over.
    pub(super) fn end(&mut self, id: SeriesId) {
        let Some(place) = self.by_id.remove(&id) else { return };
        let Some(series) = self.at_mut(place) else { return };
        series.names = series.names.saturating_sub(1);
        if series.names > 0 {
            return;
        }
        let (entity, metric) = (series.entity.clone(), series.metric);
        self.series[place] = None;
        self.free.push(place);
        if let Some(metrics) = self.by_entity.get_mut(&entity)
            && metrics.get(&metric) == Some(&place)
        {
            metrics.remove(&metric);
        }
    }

    /// Forgets an entity that is gone, and ends its series. One that was declared under another name of the entity is only
    /// no longer found.
    pub(super) fn forget(&mut self, entity: &Entity) {
        self.inventory.forget(entity);
        for id in self.declared.remove(entity).unwrap_or_default() {
            self.end(id);
        }
        self.by_entity.remove(entity);
        if let Some(entities) = self.by_kind.get_mut(&entity.kind()) {
            entities.remove(entity);
        }
    }

    /// Entities of the same kind; of an NVLink, those of the same GPU.
    fn siblings(&self, entity: &Entity) -> impl Iterator<Item = &Entity> {
        self.by_kind.get(&entity.kind()).into_iter().flatten().filter(move |other| {
            *other != entity
                && match (entity, other) {
                    (Entity::NvLink(gpu, _), Entity::NvLink(other, _)) => gpu == other,
                    _ => true,
                }
        })
    }

    /// The entity that an event is about, as a rule of this kind sees it; the node where nothing nearer is known.
    pub(super) fn target(&self, kind: EntityKind, event: &Event) -> Entity {
        let named = event.entity.as_ref().map(|entity| self.inventory.canonical(entity));
        if let Some(entity) = named.as_ref().filter(|entity| entity.kind() == kind) {
            return entity.clone();
        }
        let pci = event
            .field("pci")
            .and_then(Field::as_text)
            .and_then(|text| text.parse().ok())
            .or_else(|| named.as_ref().and_then(|entity| self.inventory.pci_of(entity)));
        match (kind, pci) {
            (EntityKind::Gpu, Some(pci)) => {
                self.inventory.canonical(&Entity::Gpu(model::GpuKey::Pci(pci.with_function(0))))
            }
            (EntityKind::NvSwitch, Some(pci)) => Entity::NvSwitch(pci),
            (EntityKind::Pci, Some(pci)) => Entity::Pci(pci),
            (EntityKind::Probe, _) => event
                .field("probe")
                .and_then(Field::as_text)
                .map_or(Entity::Node, |name| Entity::Probe(name.to_owned())),
            (EntityKind::Node, _) => Entity::Node,
            _ => named.unwrap_or(Entity::Node),
        }
    }
}

/// One entity at one moment, as an expression sees it.
pub(super) struct Here<'a> {
    pub(super) world: &'a World,
    pub(super) entity: &'a Entity,
    pub(super) window: u64,
    pub(super) now: u64,
    pub(super) event: Option<&'a Event>,
    pub(super) count: Option<u64>,
}

impl Here<'_> {
    pub(super) fn answer(&self, expr: &Expr) -> Option<bool> {
        match eval(expr, self) {
            Val::Bool(flag) => Some(flag),
            _ => None,
        }
    }

    fn at<'b>(&'b self, entity: &'b Entity) -> Here<'b> {
        Here { world: self.world, entity, window: self.window, now: self.now, event: None, count: None }
    }

    fn numbers(&self, metric: MetricIx) -> Vec<f64> {
        let values = self.world.siblings(self.entity).filter_map(|other| self.world.find(other, metric));
        values
            .filter_map(|series| match series.value(self.now) {
                Val::Num(number) => Some(number),
                _ => None,
            })
            .collect()
    }
}

impl Scope for Here<'_> {
    fn metric(&self, metric: MetricIx, owner: Owner) -> Val<'_> {
        let series = match (owner, self.entity) {
            (Owner::Own, entity) => self.world.find(entity, metric),
            (Owner::Node, _) => self.world.find(&Entity::Node, metric),
            (Owner::Gpu, Entity::NvLink(gpu, _)) => self.world.find(&Entity::Gpu(gpu.clone()), metric),
            (Owner::Gpu, _) => None,
        };
        series.map_or(Val::Unknown, |series| series.value(self.now))
    }

    fn ask(&self, ask: Ask, metric: MetricIx) -> bool {
        let Some(series) = self.world.find(self.entity, metric) else { return false };
        let current = series.current(self.now);
        match ask {
            Ask::Has => current.is_some_and(|reading| reading.good().is_some()),
            Ask::Stuck => matches!(current, Some(Reading::Stuck(..))),
            Ask::Lost => matches!(current, Some(Reading::Lost)),
            Ask::Absent => self.now.saturating_sub(series.at) > absent_after(self.window),
        }
    }

    fn over(&self, over: Over, metric: MetricIx) -> Val<'_> {
        match self.world.find(self.entity, metric) {
            Some(series) => series.over(over, self.window, self.now),
            None => Val::Unknown,
        }
    }

    /// Of at least two siblings: one other is no median.
    fn median(&self, metric: MetricIx) -> Val<'_> {
        let mut numbers = self.numbers(metric);
        if numbers.len() < 2 {
            return Val::Unknown;
        }
        numbers.sort_by(f64::total_cmp);
        let middle = numbers.len() / 2;
        let median =
            if numbers.len() % 2 == 1 { numbers[middle] } else { f64::midpoint(numbers[middle - 1], numbers[middle]) };
        Val::Num(median)
    }

    fn siblings(&self, condition: &Expr) -> Val<'_> {
        let answers: Vec<bool> =
            self.world.siblings(self.entity).filter_map(|other| self.at(other).answer(condition)).collect();
        if answers.is_empty() {
            return Val::Unknown;
        }
        let holding = answers.iter().filter(|holds| **holds).count();
        Val::Num(f64::from(u32::try_from(holding).unwrap_or(u32::MAX)))
    }

    fn field(&self, name: &str) -> Val<'_> {
        let Some(event) = self.event else { return Val::Unknown };
        if name == "text" {
            let text = event.record.as_ref().and_then(|record| std::str::from_utf8(&record.text).ok());
            return text.map_or(Val::Unknown, Val::Text);
        }
        match event.field(name) {
            Some(Field::Flag(flag)) => Val::Bool(*flag),
            // Codes, counts and pids are far below 2^53; a number that is not is compared as its neighbour.
            Some(Field::Int(int)) => i32::try_from(*int).map_or_else(|_| wide(*int), |int| Val::Num(f64::from(int))),
            Some(Field::Number(number)) => Val::Num(*number),
            Some(Field::Text(text)) => Val::Text(text.raw()),
            Some(Field::List(_) | Field::Null(())) | None => Val::Unknown,
        }
    }

    fn count(&self) -> Val<'_> {
        self.count.map_or(Val::Unknown, |count| Val::Num(model::reading::count_as_f64(count)))
    }
}

fn wide<'a>(int: i64) -> Val<'a> {
    let size = model::reading::count_as_f64(int.unsigned_abs());
    Val::Num(if int < 0 { -size } else { size })
}

/// After how long without a sample `absent()` holds.
pub(super) fn absent_after(window: u64) -> u64 {
    if window == 0 { STALE_AFTER } else { window }
}

/// The same instant, so much later on both clocks.
pub(super) fn later(stamp: Stamp, ns: u64) -> Stamp {
    Stamp {
        mono_ns: stamp.mono_ns.map(|mono| mono.saturating_add(ns)),
        real_ns: stamp.real_ns.map(|real| real.saturating_add(i64::try_from(ns).unwrap_or(i64::MAX))),
    }
}

#[cfg(test)]
mod tests {
    use model::{EntityInfo, GpuKey};

    use super::*;

    fn declare(world: &mut World, id: u32, entity: &Entity) {
        world.declare(SeriesId(id), entity, MetricIx(0), |entity| Series::new(entity, MetricIx(0), "process.cpu", &[]));
    }

    #[test]
    fn processes_that_come_and_go_leave_no_series_behind() {
        let mut world = World::default();
        for pid in 0..1_000 {
            let process = Entity::Process(pid, 1);
            // Two probes tell of it, and one ends before it.
            declare(&mut world, 2 * pid, &process);
            declare(&mut world, 2 * pid + 1, &process);
            assert!(world.find(&process, MetricIx(0)).is_some());
            world.forget(&process);
            assert!(world.find(&process, MetricIx(0)).is_none());
        }
        assert_eq!((world.series.len(), world.by_id.len(), world.declared.len(), world.by_entity.len()), (1, 0, 0, 0));
    }

    #[test]
    fn a_gpu_that_is_gone_under_one_name_goes_on_under_the_other() {
        let pci = "0000:4f:00.0".parse().unwrap_or_else(|_| unreachable!());
        let (kernels, drivers) = (Entity::Gpu(GpuKey::Pci(pci)), Entity::gpu("GPU-1"));
        let mut world = World::default();
        world.inventory.learn(&EntityInfo::new(drivers.clone(), "GPU 0").at(pci));
        declare(&mut world, 1, &kernels);
        declare(&mut world, 2, &drivers);
        world.forget(&kernels);
        assert!(world.find(&drivers, MetricIx(0)).is_some());
        assert_eq!((world.place(SeriesId(1)), world.place(SeriesId(2))), (None, Some(0)));
    }
}

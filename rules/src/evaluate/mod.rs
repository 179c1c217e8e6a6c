//! Frames in, findings and incidents out. Pure: time comes from Frames, nothing is read, nothing is random.
//!
//! An instant is judged when it is over, that is when a Frame of a later instant or [`Evaluator::advance`] comes: so
//! the order in which probes delivered within one instant does not matter. A metric rule is looked at again only when
//! one of its inputs changed or one of its timers ran out; an event rule when its event comes.
//!
//! ```text
//! Frame ─► World (series, inventory) ─► dirty (rule, entity) ─┐
//!       └► events ────────────────────────────────────────────┴► tracks ─► findings ─► incidents
//! ```

mod events;
mod held;
mod incident;
mod index;
mod relation;
mod series;
mod sources;
mod tracks;
mod world;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use model::{BootId, Coverage, Entity, EntityInfo, EntityKind, Event, Finding, Frame, Incident, Reading, Stamp};

use crate::rule::{RuleIx, Rulebook};
use held::Held;
use index::Index;
use series::Series;
use sources::Sources;
use tracks::silence_ends;
use world::World;

/// The most findings held; the oldest that are over leave first.
const MOST_FINDINGS: usize = 4_096;
/// The most (rule, entity) pairs followed.
const MOST_TRACKS: usize = 200_000;
/// The most times of one rule's events kept for counting.
const MOST_TIMES: usize = 1_024;
/// The most processes named as hit by one finding.
const MOST_HITS: usize = 64;

/// What a rule is doing about one entity.
#[derive(Clone, Debug, Default)]
struct Track {
    /// Since when the condition holds without having held long enough.
    pending: Option<Stamp>,
    /// Since when what proves the end holds.
    clearing: Option<Stamp>,
    /// Whether the condition held when last looked at.
    holds: bool,
    /// The finding that it led to, by number.
    finding: Option<u64>,
    /// A timer runs after which the occurrence is in the past.
    timed: bool,
    times: VecDeque<u64>,
}

type TrackKey = (RuleIx, Entity, String);

/// Applies a rulebook to Frames.
#[derive(Clone, Debug)]
pub struct Evaluator {
    book: Arc<Rulebook>,
    index: Arc<Index>,
    world: World,
    sources: Sources,
    boot: BootId,
    session: u32,
    /// The instant that is being collected.
    instant: Stamp,
    dirty: BTreeSet<(RuleIx, Entity)>,
    batches: Vec<(String, Vec<Event>)>,
    tracks: BTreeMap<TrackKey, Track>,
    timers: BTreeSet<(u64, TrackKey)>,
    /// Those that are watched for absence and have a timer.
    armed: BTreeSet<TrackKey>,
    held: BTreeMap<u64, Held>,
    next: u64,
    revision: u64,
}

impl Evaluator {
    /// An evaluator that has seen nothing yet.
    pub fn new(book: Arc<Rulebook>) -> Self {
        let index = Arc::new(Index::new(&book));
        Self {
            book,
            index,
            world: World::default(),
            sources: Sources::default(),
            boot: BootId::default(),
            session: 0,
            instant: Stamp::default(),
            dirty: BTreeSet::new(),
            batches: Vec::new(),
            tracks: BTreeMap::new(),
            timers: BTreeSet::new(),
            armed: BTreeSet::new(),
            held: BTreeMap::new(),
            next: 0,
            revision: 0,
        }
    }

    /// The rulebook that it applies.
    pub fn rulebook(&self) -> &Rulebook {
        &self.book
    }

    /// Takes in a Frame, with its kernel lines decoded, in the order in which the sequencer admitted it.
    pub fn frame(&mut self, frame: &Frame) {
        self.follow_boot(frame);
        if frame.at.axis_ns() > self.instant.axis_ns() || self.instant == Stamp::default() {
            self.settle();
            self.instant = frame.at;
        }
        self.sources.saw(frame);
        for info in &frame.entities {
            self.learn(info);
        }
        for entity in &frame.gone {
            self.gone(entity);
        }
        self.declare(frame);
        for (id, reading) in &frame.samples {
            self.sample(*id, frame.at, reading);
        }
        if !frame.events.is_empty() {
            let events = frame.events.iter().map(|event| {
                // A backlog without a wall clock is of another boot than the Frame that brings it (a captured tree).
                let foreign = event.backlog && event.at.real_ns.is_none();
                let at = if foreign { event.at } else { event.at.align(frame.at) };
                Event { at: if at == Stamp::default() { frame.at } else { at }, ..event.clone() }
            });
            self.batches.push((frame.probe.clone(), events.collect()));
        }
    }

    /// Lets time pass without a Frame: judges what was taken in, and the timers up to then. For the end of the input:
    /// while Frames come, the next one does it, and a call in between would make what is found depend on when it was
    /// made.
    pub fn advance(&mut self, to: Stamp) {
        self.settle();
        if to.axis_ns() > self.instant.axis_ns() {
            self.instant = to;
            self.settle();
        }
    }

    /// Everything found so far that is still held, oldest first.
    pub fn findings(&self) -> Vec<Finding> {
        self.held.values().map(|held| self.up_to_date(held).finding()).collect()
    }

    /// The findings as incidents: what still stands first, then the worst, then the oldest.
    pub fn incidents(&self) -> Vec<Incident> {
        let held: Vec<Held> = self.held.values().map(|held| self.up_to_date(held)).collect();
        incident::correlate(&self.book, &self.world, &held, self.now())
    }

    /// What could be judged and what not.
    pub fn coverage(&self) -> Coverage {
        self.sources.coverage(&self.book, &self.world, self.now())
    }

    /// A number that grows when findings begin, end or are seen again.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    fn now(&self) -> u64 {
        self.instant.axis_ns()
    }

    /// A state that holds was last seen when its inputs were last read.
    fn up_to_date(&self, held: &Held) -> Held {
        let mut held = held.clone();
        let rule = self.book.rule(held.rule);
        let key = (held.rule, held.entity.clone(), String::new());
        let holds = rule.on.is_none() && held.ended.is_none() && self.tracks.get(&key).is_some_and(|track| track.holds);
        if holds {
            let reads = rule.when.reads.iter().filter_map(|metric| self.world.find(&held.entity, *metric));
            if let Some(read) = reads.map(|series| series.at).max() {
                let back = self.now().saturating_sub(read);
                let last = Stamp {
                    mono_ns: self.instant.mono_ns.map(|mono| mono.saturating_sub(back)),
                    real_ns: self.instant.real_ns.map(|real| real.saturating_sub(i64::try_from(back).unwrap_or(0))),
                };
                if last.axis_ns() > held.last.axis_ns() {
                    held.last = last;
                }
            }
        }
        held
    }

    /// Another boot: what was found is over, and what was known is not.
    fn follow_boot(&mut self, frame: &Frame) {
        if frame.boot == self.boot || frame.boot.0.is_empty() {
            return;
        }
        if !self.boot.0.is_empty() {
            self.settle();
            for held in self.held.values_mut().filter(|held| held.ended.is_none()) {
                held.ended = Some(frame.at);
            }
            self.revision += 1;
            self.session += 1;
            self.world = World::default();
            self.tracks.clear();
            self.timers.clear();
            self.armed.clear();
            self.instant = Stamp::default();
        }
        self.boot = frame.boot.clone();
    }

    fn declare(&mut self, frame: &Frame) {
        for def in &frame.declares {
            let Some(metric) = self.index.by_name.get(def.key.metric.as_str()).copied() else {
                self.world.end(def.id);
                continue;
            };
            let windows = self.index.windows.get(&metric).map_or(&[][..], Vec::as_slice);
            let name = self.book.metrics.name(metric);
            self.world.declare(def.id, &def.key.entity, metric, |entity| Series::new(entity, metric, name, windows));
        }
    }

    fn learn(&mut self, info: &EntityInfo) {
        if self.world.inventory.get(&info.entity) != Some(info) {
            self.world.inventory.learn(info);
        }
    }

    fn gone(&mut self, entity: &Entity) {
        self.world.forget(entity);
        // A process that is gone takes its troubles along; a device that is gone does not.
        let fleeting = matches!(entity.kind(), EntityKind::Process | EntityKind::Container | EntityKind::Job);
        if fleeting {
            let now = self.instant;
            for held in self.held.values_mut().filter(|held| held.entity == *entity && held.ended.is_none()) {
                held.ended = Some(now);
                self.revision += 1;
            }
        }
        self.tracks.retain(|(_, of, _), track| of != entity || (track.finding.is_some() && !fleeting));
    }

    fn sample(&mut self, id: model::SeriesId, at: Stamp, reading: &Reading) {
        let Some(place) = self.world.place(id) else { return };
        let Some(series) = self.world.at_mut(place) else { return };
        let changed = series.push(at, reading);
        let metric = series.metric;
        let watchers = self.index.absences.get(&metric);
        if !changed && watchers.is_none() {
            return;
        }
        let entity = series.entity.clone();
        for ix in watchers.into_iter().flatten() {
            let key = (*ix, entity.clone(), String::new());
            if self.armed.len() < MOST_TRACKS && self.armed.insert(key.clone()) {
                self.timers.insert((silence_ends(self.book.rule(*ix), at.axis_ns()), key));
            }
        }
        if !changed {
            return;
        }
        // What is gone under one of its names may go on under another.
        self.world.show(&entity, metric, place);
        for ix in self.index.readers.get(&metric).into_iter().flatten() {
            let rule = self.book.rule(*ix);
            if rule.when.siblings {
                let family = self.world.by_kind.get(&entity.kind()).into_iter().flatten();
                self.dirty.extend(family.map(|member| (*ix, member.clone())));
            } else {
                self.dirty.insert((*ix, entity.clone()));
            }
        }
    }
}

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

mod held;
mod incident;
mod index;
mod relation;
mod series;
mod sources;
mod world;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use model::finding::Proof;
use model::{
    BootId, Coverage, Entity, EntityInfo, EntityKind, Event, Evidence, Field, Finding, Frame, Incident, Reading, Stamp,
};

use crate::rule::{Rule, RuleIx, Rulebook};
use crate::vocabulary::INJECTED;
use held::Held;
use index::Index;
use series::Series;
use sources::Sources;
use world::{Here, World, absent_after, later};

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
        self.declare(frame);
        for info in &frame.entities {
            self.learn(info);
        }
        for entity in &frame.gone {
            self.gone(entity);
        }
        for (id, reading) in &frame.samples {
            self.sample(*id, frame.at, reading);
        }
        if !frame.events.is_empty() {
            let events = frame.events.iter().map(|event| {
                let at = event.at.align(frame.at);
                Event { at: if at == Stamp::default() { frame.at } else { at }, ..event.clone() }
            });
            self.batches.push((frame.probe.clone(), events.collect()));
        }
    }

    /// Lets time pass without a Frame: judges what was taken in, and the timers up to then.
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
                self.world.by_id.remove(&def.id);
                continue;
            };
            let entity = self.world.inventory.canonical(&def.key.entity);
            let known = self.world.by_entity.get(&entity).and_then(|metrics| metrics.get(&metric)).copied();
            let at = known.unwrap_or_else(|| {
                let windows = self.index.windows.get(&metric).map_or(&[][..], Vec::as_slice);
                self.world.series.push(Series::new(entity.clone(), metric, self.book.metrics.name(metric), windows));
                self.world.series.len() - 1
            });
            self.world.by_kind.entry(entity.kind()).or_default().insert(entity.clone());
            self.world.by_entity.entry(entity).or_default().insert(metric, at);
            self.world.by_id.insert(def.id, at);
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
        let Some(series) = self.world.by_id.get(&id).and_then(|at| self.world.series.get_mut(*at)) else { return };
        let changed = series.push(at, reading);
        let (metric, entity) = (series.metric, series.entity.clone());
        if let Some(watchers) = self.index.absences.get(&metric) {
            for ix in watchers {
                let key = (*ix, entity.clone(), String::new());
                if self.armed.len() < MOST_TRACKS && self.armed.insert(key.clone()) {
                    self.timers.insert((silence_ends(self.book.rule(*ix), at.axis_ns()), key));
                }
            }
        }
        if !changed {
            return;
        }
        // An entity that came back under its old declaration is found again.
        if let Some(place) = self.world.by_id.get(&id).copied() {
            self.world.by_entity.entry(entity.clone()).or_default().entry(metric).or_insert(place);
            self.world.by_kind.entry(entity.kind()).or_default().insert(entity.clone());
        }
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

    /// Judges the instant that has been collected.
    fn settle(&mut self) {
        let mut batches = std::mem::take(&mut self.batches);
        batches.sort_by_cached_key(|(probe, events)| {
            let first = events.first();
            (probe.clone(), first.map(|event| event.at), first.map(|event| event.text().raw().to_owned()))
        });
        for event in batches.into_iter().flat_map(|(_, events)| events) {
            self.event(event);
        }
        let now = self.now();
        while let Some((deadline, _)) = self.timers.first()
            && *deadline <= now
        {
            let Some((_, (rule, entity, key))) = self.timers.pop_first() else { break };
            if key.is_empty() {
                self.dirty.insert((rule, entity.clone()));
                self.rearm(rule, &entity);
            }
            self.expire(rule, &entity, &key);
        }
        for (rule, entity) in std::mem::take(&mut self.dirty) {
            self.look(rule, &entity);
        }
    }

    /// Watches for absence again if samples came since the timer was set.
    fn rearm(&mut self, ix: RuleIx, entity: &Entity) {
        let key = (ix, entity.clone(), String::new());
        if !self.armed.remove(&key) {
            return;
        }
        let rule = self.book.rule(ix);
        let clear = rule.clear.iter().flat_map(|clear| &clear.expr.absences);
        let watched = rule.when.absences.iter().chain(clear).filter_map(|metric| self.world.find(entity, *metric));
        let next = watched.map(|series| silence_ends(rule, series.at)).filter(|next| *next > self.now()).min();
        if let Some(next) = next {
            self.armed.insert(key.clone());
            self.timers.insert((next, key));
        }
    }

    /// Looks at a metric rule, or at what proves the end of an event rule's finding.
    fn look(&mut self, ix: RuleIx, entity: &Entity) {
        let book = self.book.clone();
        let rule = book.rule(ix);
        if rule.on.is_some() {
            let keys: Vec<TrackKey> = self.tracks_of(ix, entity);
            for key in keys {
                self.try_clear(rule, &key);
            }
            return;
        }
        let key = (ix, entity.clone(), String::new());
        let answer = self.here(entity, rule).answer(&rule.when.expr);
        if !self.tracks.contains_key(&key) && (answer != Some(true) || self.tracks.len() >= MOST_TRACKS) {
            return;
        }
        let (now, instant) = (self.now(), self.instant);
        let track = self.tracks.entry(key.clone()).or_default();
        track.holds = answer == Some(true);
        let open = track.finding.and_then(|number| self.held.get(&number)).is_some_and(|held| held.ended.is_none());
        match answer {
            Some(true) if open => {
                track.clearing = None;
                if let Some(held) = track.finding.and_then(|number| self.held.get_mut(&number)) {
                    held.last = instant;
                }
                return;
            }
            Some(true) => {
                let since = *track.pending.get_or_insert(instant);
                let deadline = since.axis_ns().saturating_add(rule.hold_ns);
                if now >= deadline {
                    track.pending = None;
                    track.clearing = None;
                    let evidence = self.readings(rule, entity);
                    self.find(&key, since, None, evidence);
                } else {
                    self.timers.insert((deadline, key));
                }
                return;
            }
            // Unknown is not false: it takes back what was pending, and ends nothing.
            Some(false) | None => track.pending = None,
        }
        if open {
            self.try_clear(rule, &key);
        } else if track_is_idle(self.tracks.get(&key)) {
            self.tracks.remove(&key);
        }
    }

    fn tracks_of(&self, ix: RuleIx, entity: &Entity) -> Vec<TrackKey> {
        let from = (ix, entity.clone(), String::new());
        self.tracks
            .range(from..)
            .take_while(|(key, _)| key.0 == ix && key.1 == *entity)
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Ends an open finding when what proves the end has held for long enough.
    fn try_clear(&mut self, rule: &Rule, key: &TrackKey) {
        let Some(track) = self.tracks.get(key) else { return };
        let Some(number) = track.finding else { return };
        let Some(held) = self.held.get(&number).filter(|held| held.ended.is_none()) else { return };
        let proof = match &rule.clear {
            Some(clear) if clear.on.is_some() => return,
            Some(clear) => self.here(&key.1, rule).answer(&clear.expr.expr) == Some(true),
            None if rule.on.is_some() => return,
            None => self.here(&key.1, rule).answer(&rule.when.expr) == Some(false),
        };
        // A reading from before the event proves nothing about it.
        let proof = proof && (rule.on.is_none() || self.now() > held.last.axis_ns());
        let (now, at) = (self.now(), self.instant);
        let Some(track) = self.tracks.get_mut(key) else { return };
        if !proof {
            track.clearing = None;
            return;
        }
        let since = *track.clearing.get_or_insert(at);
        let deadline = since.axis_ns().saturating_add(rule.clear_ns);
        if now < deadline {
            self.timers.insert((deadline, key.clone()));
            return;
        }
        track.clearing = None;
        self.end(number, since);
    }

    fn end(&mut self, number: u64, at: Stamp) {
        if let Some(held) = self.held.get_mut(&number) {
            held.ended = Some(at);
            self.revision += 1;
        }
    }

    /// Occurrences of which nothing was seen for long enough are in the past.
    fn expire(&mut self, ix: RuleIx, entity: &Entity, key: &str) {
        let Some(after) = self.book.rule(ix).over_after_ns else { return };
        let key = (ix, entity.clone(), key.to_owned());
        let Some(number) = self.tracks.get(&key).and_then(|track| track.finding) else { return };
        let Some(held) = self.held.get(&number).filter(|held| held.ended.is_none()) else { return };
        let over = later(held.last, after);
        if over.axis_ns() <= self.now() {
            self.end(number, over);
            if let Some(track) = self.tracks.get_mut(&key) {
                track.timed = false;
            }
        } else {
            self.timers.insert((over.axis_ns(), key));
        }
    }

    fn event(&mut self, event: Event) {
        if event.kind == model::event::KERNEL_LINE {
            return;
        }
        let event = if event.injected() {
            // Shown, never acted on: no rule but those on injected lines sees it.
            let kind = event.kind.clone().into_owned();
            Event {
                kind: INJECTED.into(),
                fields: [("kind".into(), Field::from(kind))].into(),
                entity: None,
                verdict: None,
                ..event
            }
        } else {
            event
        };
        self.sources.happened(&event);
        if event.kind == "nvrm_uuid" {
            self.learn_uuid(&event);
        }
        let index = self.index.clone();
        let mut spoken = false;
        for ix in index.on.get(event.kind.as_ref()).into_iter().flatten() {
            if self.book.rule(*ix).fallback && spoken {
                break;
            }
            spoken |= self.match_event(*ix, &event);
        }
        for ix in index.ends.get(event.kind.as_ref()).into_iter().flatten() {
            self.end_by(*ix, &event);
        }
    }

    /// The driver's line that tells a GPU's UUID joins what the log says by address to what NVML says by UUID.
    fn learn_uuid(&mut self, event: &Event) {
        let text = |name| event.field(name).and_then(Field::as_text);
        let (Some(uuid), Some(Ok(pci))) = (text("uuid"), text("pci").map(str::parse::<model::PciAddress>)) else {
            return;
        };
        let gpu = Entity::gpu(uuid);
        if self.world.inventory.gpu_at(pci).is_none() && self.world.inventory.get(&gpu).is_none() {
            self.world.inventory.learn(&EntityInfo::new(gpu, "").at(pci));
        }
    }

    /// True if the rule's condition holds of the event, whether or not often enough.
    fn match_event(&mut self, ix: RuleIx, event: &Event) -> bool {
        let book = self.book.clone();
        let rule = book.rule(ix);
        let entity = self.world.target(rule.entity, event);
        let scope = Here {
            event: Some(event),
            count: None,
            now: event.at.axis_ns().max(self.now()),
            ..self.here(&entity, rule)
        };
        // With the count still open, what is not already false is one of the events to count.
        let first = scope.answer(&rule.when.expr);
        if first == Some(false) || (first.is_none() && !rule.when.counts) {
            return false;
        }
        let key = rule.key.as_ref().and_then(|name| event.field(name)).map(held::field_text).unwrap_or_default();
        let key = (ix, entity.clone(), key);
        if !self.tracks.contains_key(&key) && self.tracks.len() >= MOST_TRACKS {
            return true;
        }
        let mut enough = true;
        if rule.count > 1 || rule.when.counts {
            let at = event.at.axis_ns();
            let track = self.tracks.entry(key.clone()).or_default();
            track.times.push_back(at);
            while track.times.len() > MOST_TIMES
                || track.times.front().is_some_and(|time| *time < at.saturating_sub(rule.window_ns))
            {
                track.times.pop_front();
            }
            let count = u64::try_from(track.times.len()).unwrap_or(u64::MAX);
            let scope = Here { event: Some(event), count: Some(count), ..self.here(&entity, rule) };
            enough = scope.answer(&rule.when.expr) == Some(true) && count >= rule.count;
        }
        if enough {
            let evidence = Evidence { at: event.at, entity: None, what: Proof::Text { text: event.text() } };
            self.find(&key, event.at, Some(event), vec![evidence]);
        }
        true
    }

    fn end_by(&mut self, ix: RuleIx, event: &Event) {
        let book = self.book.clone();
        let rule = book.rule(ix);
        let Some(clear) = &rule.clear else { return };
        let entity = self.world.target(rule.entity, event);
        let scope = Here { event: Some(event), ..self.here(&entity, rule) };
        if scope.answer(&clear.expr.expr) != Some(true) {
            return;
        }
        for key in self.tracks_of(ix, &entity) {
            let number = self.tracks.get(&key).and_then(|track| track.finding);
            let open = number.and_then(|number| self.held.get(&number)).is_some_and(|held| held.ended.is_none());
            if let Some(number) = number.filter(|_| open) {
                self.end(number, event.at);
            }
        }
    }

    fn here<'a>(&'a self, entity: &'a Entity, rule: &Rule) -> Here<'a> {
        Here { world: &self.world, entity, window: rule.window_ns, now: self.now(), event: None, count: None }
    }

    /// The last readings of what the rule looks at.
    fn readings(&self, rule: &Rule, entity: &Entity) -> Vec<Evidence> {
        let series = rule.when.reads.iter().filter_map(|metric| self.world.find(entity, *metric));
        series
            .filter_map(|series| {
                let (at, _) = series.recent.back()?;
                let values = series.recent.iter().map(|(_, reading)| reading.clone()).collect();
                let metric = model::MetricName::raw(self.book.metrics.name(series.metric));
                Some(Evidence { at: *at, entity: None, what: Proof::Values { metric, values } })
            })
            .collect()
    }

    /// A rule holds: begins a finding, or adds to the one that it continues.
    fn find(&mut self, key: &TrackKey, started: Stamp, event: Option<&Event>, evidence: Vec<Evidence>) {
        let book = self.book.clone();
        let rule = book.rule(key.0);
        let at = if rule.on.is_none() { self.instant } else { started };
        let number = self
            .tracks
            .get(key)
            .and_then(|track| track.finding)
            .filter(|number| self.held.get(number).is_some_and(|held| continues(rule, held, at)));
        let number = number.unwrap_or_else(|| {
            let mut held = Held::new(key.0, rule, key.1.clone(), key.2.clone(), started, event);
            held.boot = self.boot.0.clone();
            held.session = self.session;
            self.next += 1;
            self.held.insert(self.next, held);
            self.next
        });
        let new = self.held.get(&number).is_some_and(|held| held.count == 0);
        let hits = if new { self.hits(&key.1) } else { BTreeSet::new() };
        let mut over = None;
        if let Some(held) = self.held.get_mut(&number) {
            held.ended = None;
            held.seen(at, evidence);
            held.hits.extend(hits);
            while held.hits.len() > MOST_HITS {
                held.hits.pop_last();
            }
            over = rule.over_after_ns.map(|after| later(held.last, after).axis_ns());
        }
        let track = self.tracks.entry(key.clone()).or_default();
        track.finding = Some(number);
        // One timer at a time: it is set anew when it runs out too early.
        if let Some(deadline) = over.filter(|_| !std::mem::replace(&mut track.timed, true)) {
            self.timers.insert((deadline, key.clone()));
        }
        self.revision += 1;
        self.make_room();
    }

    /// Processes on the entity at this moment, and the containers and jobs they belong to.
    fn hits(&self, entity: &Entity) -> BTreeSet<Entity> {
        let gpu = match entity {
            Entity::NvLink(gpu, _) => Entity::Gpu(gpu.clone()),
            Entity::Pci(pci) => self.world.inventory.gpu_at(*pci).cloned().unwrap_or_else(|| entity.clone()),
            other => other.clone(),
        };
        let processes = self.world.inventory.of_kind(EntityKind::Process).filter(|info| info.linked.contains(&gpu));
        processes
            .flat_map(|info| std::iter::once(info.entity.clone()).chain(info.parent.clone()))
            .take(MOST_HITS)
            .collect()
    }

    fn make_room(&mut self) {
        if self.held.len() <= MOST_FINDINGS {
            return;
        }
        let over = self.held.iter().find(|(_, held)| held.ended.is_some()).map(|(number, _)| *number);
        if let Some(number) = over.or_else(|| self.held.keys().next().copied()) {
            self.held.remove(&number);
        }
    }
}

/// When the silence since a sample will be an absence.
fn silence_ends(rule: &Rule, sampled: u64) -> u64 {
    sampled.saturating_add(absent_after(rule.window_ns)).saturating_add(1)
}

fn track_is_idle(track: Option<&Track>) -> bool {
    track.is_some_and(|track| track.pending.is_none() && track.clearing.is_none() && track.finding.is_none())
}

/// The same again: what still stands and can be seen to end, or what was last seen not long ago.
fn continues(rule: &Rule, held: &Held, at: Stamp) -> bool {
    let standing = held.ended.is_none() && (rule.clear.is_some() || rule.on.is_none());
    standing
        || at.axis_ns()
            <= held
                .ended
                .map_or_else(|| held.last.axis_ns(), Stamp::axis_ns)
                .max(held.last.axis_ns())
                .saturating_add(rule.fold_ns)
}

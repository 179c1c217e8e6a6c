//! What each rule is doing about each entity: pending, standing, clearing, over.

use std::collections::BTreeSet;

use model::finding::Proof;
use model::{Entity, EntityKind, Event, Evidence, Stamp};

use super::held::Held;
use super::series::Series;
use super::world::{Here, absent_after, later};
use super::{Evaluator, MOST_FINDINGS, MOST_HITS, MOST_TRACKS, Track, TrackKey};
use crate::rule::{Rule, RuleIx};

impl Evaluator {
    /// Judges the instant that has been collected.
    pub(super) fn settle(&mut self) {
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

    pub(super) fn tracks_of(&self, ix: RuleIx, entity: &Entity) -> Vec<TrackKey> {
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

    pub(super) fn end(&mut self, number: u64, at: Stamp) {
        if let Some(held) = self.held.get_mut(&number) {
            held.ended = Some(at);
            self.revision += 1;
        }
    }

    /// An occurrence that a later one does not continue was over when it could no longer be continued.
    fn close(&mut self, number: u64, rule: &Rule) {
        let last = self.held.get(&number).filter(|held| held.ended.is_none()).map(|held| held.last);
        if let Some(last) = last {
            self.end(number, later(last, rule.fold_ns));
        }
    }

    /// Occurrences of which nothing was seen for long enough are in the past. One whose time nobody told never is.
    fn expire(&mut self, ix: RuleIx, entity: &Entity, key: &str) {
        let Some(after) = self.book.rule(ix).over_after_ns else { return };
        let key = (ix, entity.clone(), key.to_owned());
        let Some(number) = self.tracks.get(&key).and_then(|track| track.finding) else { return };
        let Some(held) = self.held.get(&number).filter(|held| held.ended.is_none()) else { return };
        if held.last == Stamp::default() {
            return;
        }
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

    pub(super) fn here<'a>(&'a self, entity: &'a Entity, rule: &Rule) -> Here<'a> {
        Here { world: &self.world, entity, window: rule.window_ns, now: self.now(), event: None, count: None }
    }

    /// The last readings of what the rule looks at: of those that changed, if any did; what never held a value proves
    /// nothing beside what does.
    fn readings(&self, rule: &Rule, entity: &Entity) -> Vec<Evidence> {
        let series: Vec<_> = rule.when.reads.iter().filter_map(|metric| self.world.find(entity, *metric)).collect();
        let changed = |series: &&&Series| series.recent.len() > 1;
        let valued = |series: &&&Series| series.recent.iter().any(|(_, reading)| reading.value().is_some());
        let telling: Vec<&Series> = match series.iter().filter(changed).count() {
            0 => series.iter().filter(valued).copied().collect(),
            _ => series.iter().filter(changed).copied().collect(),
        };
        let shown = if telling.is_empty() { series } else { telling };
        shown
            .into_iter()
            .filter_map(|series| {
                let (at, _) = series.recent.back()?;
                let values = series.recent.iter().map(|(_, reading)| reading.clone()).collect();
                let metric = model::MetricName::raw(self.book.metrics.name(series.metric));
                Some(Evidence { at: *at, entity: None, what: Proof::Values { metric, values } })
            })
            .collect()
    }

    /// A rule holds: begins a finding, or adds to the one that it continues.
    pub(super) fn find(&mut self, key: &TrackKey, started: Stamp, event: Option<&Event>, evidence: Vec<Evidence>) {
        let book = self.book.clone();
        let rule = book.rule(key.0);
        let at = if rule.on.is_none() { self.instant } else { started };
        let number = self
            .tracks
            .get(key)
            .and_then(|track| track.finding)
            .filter(|number| self.held.get(number).is_some_and(|held| continues(rule, held, at)));
        let before = self.tracks.get(key).and_then(|track| track.finding).filter(|before| Some(*before) != number);
        if let Some(before) = before {
            self.close(before, rule);
        }
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
pub(super) fn silence_ends(rule: &Rule, sampled: u64) -> u64 {
    sampled.saturating_add(absent_after(rule.window_ns)).saturating_add(1)
}

fn track_is_idle(track: Option<&Track>) -> bool {
    track.is_some_and(|track| track.pending.is_none() && track.clearing.is_none() && track.finding.is_none())
}

/// The same again: what still stands and can be seen to end, or what was last seen not long ago.
fn continues(rule: &Rule, held: &Held, at: Stamp) -> bool {
    let standing = held.ended.is_none() && (rule.clear.is_some() || rule.on.is_none() || rule.over_after_ns.is_none());
    standing
        || at.axis_ns()
            <= held
                .ended
                .map_or_else(|| held.last.axis_ns(), Stamp::axis_ns)
                .max(held.last.axis_ns())
                .saturating_add(rule.fold_ns)
}

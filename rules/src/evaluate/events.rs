//! Events against the rules on them: what matches, what counts, what ends something.

use model::finding::Proof;
use model::{Entity, EntityInfo, EntityKind, Event, Evidence, Field};

use super::held::field_text;
use super::world::Here;
use super::{Evaluator, MOST_TIMES, MOST_TRACKS};
use crate::load::SUBJECT;
use crate::rule::{Rule, RuleIx};
use crate::vocabulary::INJECTED;

impl Evaluator {
    pub(super) fn event(&mut self, event: Event) {
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
        // Most rules on one kind of event look at the same kind of entity.
        let mut target: Option<(EntityKind, Entity)> = None;
        for ix in index.on.get(event.kind.as_ref()).into_iter().flatten() {
            if self.book.rule(*ix).fallback && spoken {
                break;
            }
            let kind = self.book.rule(*ix).entity;
            let (_, entity) = match target.take().filter(|(known, _)| *known == kind) {
                Some(found) => target.insert(found),
                None => target.insert((kind, self.world.target(kind, &event))),
            };
            let entity = entity.clone();
            spoken |= self.match_event(*ix, entity, &event);
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
    fn match_event(&mut self, ix: RuleIx, entity: Entity, event: &Event) -> bool {
        let book = self.book.clone();
        let rule = book.rule(ix);
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
        let key = (ix, entity.clone(), key_of(rule, event).unwrap_or_default());
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
        // Where the event says which of several it ends, it ends that one.
        let named = key_of(rule, event);
        let keys = self.tracks_of(ix, &entity).into_iter();
        for key in keys.filter(|key| named.as_ref().is_none_or(|named| *named == key.2)) {
            let number = self.tracks.get(&key).and_then(|track| track.finding);
            let open = number.and_then(|number| self.held.get(&number)).is_some_and(|held| held.ended.is_none());
            if let Some(number) = number.filter(|_| open) {
                self.end(number, event.at);
            }
        }
    }
}

/// What tells this event's finding from others of the rule on the same entity.
fn key_of(rule: &Rule, event: &Event) -> Option<String> {
    let name = rule.key.as_ref()?;
    if name == SUBJECT {
        return event.entity.as_ref().map(Entity::to_string);
    }
    event.field(name).map(field_text)
}

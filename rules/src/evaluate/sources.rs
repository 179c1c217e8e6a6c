//! Which sources answered and which did not: what the rules could not judge, and why. No answer is never "all is well".

use std::collections::{BTreeMap, BTreeSet};

use model::catalogue::{DRIVER_STATE, PROBE_STATE};
use model::{Coverage, CoverageGap, Entity, Event, Frame, ProbeFault, Reading, event};

use super::world::World;
use crate::lang::expr::MetricIx;
use crate::rule::{Rule, Rulebook};
use crate::vocabulary::{ENGINE, source_of};

/// Faults of one probe that are told apart.
const MOST_FAULTS: usize = 32;

/// What the probes did so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources {
    seen: BTreeSet<String>,
    faults: BTreeMap<String, Vec<ProbeFault>>,
    stuck: BTreeMap<String, String>,
    lost: BTreeMap<String, String>,
}

impl Sources {
    pub(super) fn saw(&mut self, frame: &Frame) {
        if !self.seen.contains(&frame.probe) {
            self.seen.insert(frame.probe.clone());
        }
        if frame.faults.is_empty() {
            self.faults.remove(&frame.probe);
        } else {
            let faults = frame.faults.iter().take(MOST_FAULTS).cloned().collect();
            self.faults.insert(frame.probe.clone(), faults);
        }
    }

    pub(super) fn happened(&mut self, event: &Event) {
        let field =
            |name: &str| event.field(name).and_then(model::Field::as_text).map(|text| model::text::clean(text, 80));
        let probe = field("probe").unwrap_or_default();
        match event.kind.as_ref() {
            event::PROBE_STUCK => {
                let call = field("call").unwrap_or_else(|| "?".to_owned());
                self.stuck.insert(probe, format!("stuck in {call}"));
            }
            event::PROBE_FREED | event::PROBE_STARTED => {
                self.stuck.remove(&probe);
            }
            event::GAP => {
                self.lost.insert(probe, "frames are missing in between".to_owned());
            }
            event::KERNEL_GAP => {
                self.lost
                    .insert("kernel_log".to_owned(), "records were overwritten before they could be read".to_owned());
            }
            _ => {}
        }
    }

    pub(super) fn coverage(&self, book: &Rulebook, world: &World, now: u64) -> Coverage {
        let mut needed: BTreeMap<&str, u32> = BTreeMap::new();
        for rule in &book.rules {
            for source in sources_of(book, rule) {
                *needed.entry(source).or_default() += 1;
            }
        }
        let mut gaps = Vec::new();
        let gap = |source: &str, entity: Option<Entity>, why: String, rules: u32| CoverageGap {
            source: source.to_owned(),
            entity,
            why,
            rules,
        };
        let rules = |source: &str| needed.get(source).copied().unwrap_or(0);
        let mut seen = Vec::new();
        let mut silent = BTreeSet::new();
        for source in needed.keys().copied().filter(|source| *source != ENGINE) {
            match self.answer(book, world, now, source) {
                Answer::Answered => seen.push(source.to_owned()),
                Answer::NothingThere => {}
                Answer::None(why) => {
                    silent.insert(source);
                    if !self.faults.contains_key(source) {
                        gaps.push(gap(source, None, why, rules(source)));
                    }
                }
            }
        }
        for (probe, why) in self.stuck.iter().chain(&self.lost) {
            gaps.push(gap(probe, None, why.clone(), rules(probe)));
        }
        for (probe, faults) in &self.faults {
            for (place, fault) in faults.iter().enumerate() {
                let why = format!("{}: {}", model::text::clean(&fault.call, 80), fault.why.display(160));
                // The first fault of a source that gives nothing is what blinds its rules.
                let blind = if place == 0 && silent.contains(probe.as_str()) { rules(probe) } else { 0 };
                gaps.push(gap(probe, fault.entity.clone(), why, blind));
            }
        }
        gaps.extend(unread(book, world, now).into_iter().filter(|gap| !silent.contains(gap.source.as_str())));
        gaps.sort();
        gaps.dedup();
        Coverage { seen, gaps }
    }

    /// Whether a source answers: by its probe's own word, and by whether anything was read from it.
    fn answer(&self, book: &Rulebook, world: &World, now: u64, source: &str) -> Answer {
        if !self.seen.contains(source) {
            return Answer::None("missing: no reading came from it".to_owned());
        }
        let word = |entity: &Entity, metric: &str| {
            let (ix, _) = book.metrics.iter().find(|(_, name)| *name == metric)?;
            Some(world.find(entity, ix)?.current(now)?.good()?.as_text()?.raw().to_owned())
        };
        let state = word(&Entity::Probe(source.to_owned()), PROBE_STATE.name);
        let driver = if source == "nvml" { word(&Entity::Node, DRIVER_STATE.name) } else { None };
        for told in state.into_iter().chain(driver) {
            if !matches!(told.as_str(), "ok" | "degraded" | "stuck") {
                let told = model::text::clean(&told, 40);
                return Answer::None(format!("{told}: it gives no readings"));
            }
        }
        if source == "kernel_log" || has_readings(book, world, now, source) {
            return Answer::Answered;
        }
        let tried =
            world.by_entity.values().flatten().any(|(metric, _)| source_of(book.metrics.name(*metric)) == source);
        if tried { Answer::None("nothing could be read from it".to_owned()) } else { Answer::NothingThere }
    }
}

/// What a source has to say for itself.
enum Answer {
    /// It can be judged by.
    Answered,
    /// The node has nothing of its kind: no mount, no RDMA port.
    NothingThere,
    /// It gives nothing, and why.
    None(String),
}

fn has_readings(book: &Rulebook, world: &World, now: u64, source: &str) -> bool {
    world.by_entity.values().flatten().any(|(metric, at)| {
        let name = book.metrics.name(*metric);
        let reading = || world.at(*at).and_then(|series| series.current(now));
        source_of(name) == source
            && name != DRIVER_STATE.name
            && reading().is_some_and(|reading| reading.value().is_some())
    })
}

fn sources_of<'a>(book: &'a Rulebook, rule: &'a Rule) -> BTreeSet<&'a str> {
    let metrics = rule.when.reads.iter().map(|metric| source_of(book.metrics.name(*metric)));
    metrics.chain(rule.on.map(|kind| kind.source)).collect()
}

/// Metrics that no entity has a good reading of, by source and reason.
fn unread(book: &Rulebook, world: &World, now: u64) -> Vec<CoverageGap> {
    let mut by_metric: BTreeMap<MetricIx, Vec<Option<&Reading>>> = BTreeMap::new();
    for metrics in world.by_entity.values() {
        for (metric, at) in metrics {
            let reading = world.at(*at).and_then(|series| series.current(now));
            by_metric.entry(*metric).or_default().push(reading);
        }
    }
    let mut grouped: BTreeMap<(&str, &str), Vec<MetricIx>> = BTreeMap::new();
    for (metric, readings) in by_metric {
        if readings.iter().any(|reading| reading.is_some_and(|reading| reading.value().is_some())) {
            continue;
        }
        let why = match readings.into_iter().flatten().next() {
            Some(Reading::Denied) => "denied: we may not read",
            Some(Reading::Unsupported) => "not supported by device or driver:",
            Some(Reading::Stuck(..)) => "stuck: the call does not return for",
            Some(Reading::Lost) => "lost: the device is gone; was",
            Some(_) | None => "silent: no sample for some time of",
        };
        grouped.entry((source_of(book.metrics.name(metric)), why)).or_default().push(metric);
    }
    grouped
        .into_iter()
        .map(|((source, why), metrics)| {
            let blind =
                book.rules.iter().filter(|rule| rule.when.reads.iter().any(|metric| metrics.contains(metric))).count();
            let names: Vec<&str> = metrics.iter().take(6).map(|metric| book.metrics.name(*metric)).collect();
            let more = if metrics.len() > 6 { format!(" and {} more", metrics.len() - 6) } else { String::new() };
            CoverageGap {
                source: source.to_owned(),
                entity: None,
                why: format!("{why} {}{more}", names.join(", ")),
                rules: u32::try_from(blind).unwrap_or(u32::MAX),
            }
        })
        .collect()
}

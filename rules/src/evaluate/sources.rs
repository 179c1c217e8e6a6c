//! Which sources answered and which did not: what the rules could not judge, and why. No answer is never "all is well".

use std::collections::{BTreeMap, BTreeSet};

use model::{Coverage, CoverageGap, Entity, Event, Frame, ProbeFault, Reading, event};

use super::world::World;
use crate::lang::expr::MetricIx;
use crate::rule::{Rule, Rulebook};
use crate::vocabulary::source_of;

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
        for (source, rules) in &needed {
            if !self.seen.contains(*source) && *source != "engine" {
                gaps.push(gap(source, None, "missing: no reading came from it".to_owned(), *rules));
            }
        }
        let rules = |source: &str| needed.get(source).copied().unwrap_or(0);
        for (probe, why) in self.stuck.iter().chain(&self.lost) {
            gaps.push(gap(probe, None, why.clone(), rules(probe)));
        }
        for (probe, faults) in &self.faults {
            for fault in faults {
                let why = format!("{}: {}", model::text::clean(&fault.call, 80), fault.why.display(160));
                gaps.push(gap(probe, fault.entity.clone(), why, 0));
            }
        }
        gaps.extend(unread(book, world, now));
        gaps.sort();
        gaps.dedup();
        Coverage { seen: self.seen.iter().cloned().collect(), gaps }
    }
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
            let reading = world.series.get(*at).and_then(|series| series.current(now));
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

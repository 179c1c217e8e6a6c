//! Which rules look at what: made once from a rulebook, so that a sample that no rule reads costs one look-up.

use std::collections::{BTreeMap, HashMap};

use crate::lang::expr::MetricIx;
use crate::rule::{RuleIx, Rulebook};

#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) by_name: HashMap<String, MetricIx>,
    /// Rules whose condition (or proof of an end) reads the metric.
    pub(super) readers: BTreeMap<MetricIx, Vec<RuleIx>>,
    /// The windows to keep of the metric, nanoseconds.
    pub(super) windows: BTreeMap<MetricIx, Vec<u64>>,
    /// Rules that watch the metric for absence.
    pub(super) absences: BTreeMap<MetricIx, Vec<RuleIx>>,
    /// Rules on a kind of event; those that speak only where no other does come last.
    pub(super) on: BTreeMap<&'static str, Vec<RuleIx>>,
    /// Rules that a kind of event may end.
    pub(super) ends: BTreeMap<&'static str, Vec<RuleIx>>,
}

impl Index {
    pub(super) fn new(book: &Rulebook) -> Self {
        let mut index =
            Self { by_name: book.metrics.iter().map(|(ix, name)| (name.to_owned(), ix)).collect(), ..Self::default() };
        for (ix, rule) in book.indexed() {
            let metric_clear = rule.clear.as_ref().filter(|clear| clear.on.is_none()).map(|clear| &clear.expr);
            // An event rule looks at readings only when its event comes.
            let watched = rule.on.is_none().then_some(&rule.when);
            for expr in watched.into_iter().chain(metric_clear) {
                for metric in &expr.reads {
                    add(index.readers.entry(*metric).or_default(), ix);
                }
                for metric in &expr.absences {
                    add(index.absences.entry(*metric).or_default(), ix);
                }
            }
            for metric in rule.when.windows.iter().chain(metric_clear.into_iter().flat_map(|expr| &expr.windows)) {
                add(index.windows.entry(*metric).or_default(), rule.window_ns);
            }
            if let Some(kind) = rule.on {
                add(index.on.entry(kind.name).or_default(), ix);
            }
            if let Some(kind) = rule.clear.as_ref().and_then(|clear| clear.on) {
                add(index.ends.entry(kind.name).or_default(), ix);
            }
        }
        for rules in index.on.values_mut() {
            rules.sort_by_key(|ix| (book.rule(*ix).fallback, *ix));
        }
        index
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

//! One pass over one GPU: calls, and readings with their quality, into a Draft.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use model::catalogue::GPU_STATE;
use model::reading::count_as_f64;
use model::time::NS_PER_S;
use model::{Draft, Entity, Kind, Metric, Reading, SeriesKey, Value};
use nvml_raw::{Device, DriverError, Field, FieldReply};
use nvml_wrapper::error::NvmlError;

use super::answer::{self, Meaning};
use super::watch::{Last, Subject, Watch, lock};

/// The most distinct faults that are told of one GPU.
const MOST_FAULTS: usize = 256;
/// A pass that took longer than this is stamped with its end, and what it read first is stale.
const LONG_NS: u64 = NS_PER_S;

/// Why a pass ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The GPU is gone.
    Lost,
    /// The driver is gone.
    Gone,
}

impl End {
    /// `gpu.state`.
    pub(super) fn state(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Gone => "gone",
        }
    }
}

/// Faults told before: each distinct one is told once.
#[derive(Debug, Default)]
pub(super) struct Faults {
    told: HashSet<String>,
    /// What is wrong with the GPU or the driver as a whole, whichever call came upon it.
    outage: Option<DriverError>,
}

impl Faults {
    /// Adds the fault to the Draft unless it was told before.
    pub(super) fn tell(&mut self, draft: &mut Draft, call: &str, entity: Option<Entity>, error: &DriverError) {
        let new = match answer::meaning(error) {
            Meaning::Lost | Meaning::Gone => self.outage.replace(error.clone()).is_none_or(|before| before != *error),
            Meaning::Absent | Meaning::Denied | Meaning::Failed => {
                self.told.len() < MOST_FAULTS && self.told.insert(distinct(call, error))
            }
        };
        if new {
            draft.faults.push(answer::fault(call, entity, error));
        }
    }

    /// GPU and driver answer: the next outage is a new one.
    fn answered(&mut self) {
        self.outage = None;
    }
}

/// What makes a fault one of its own: the call too, unless the whole GPU is meant.
fn distinct(call: &str, error: &DriverError) -> String {
    const RESET_REQUIRED: u32 = 16;
    match error.code() {
        Some(RESET_REQUIRED) => error.to_string(),
        _ => format!("{call} {error}"),
    }
}

/// One pass over one GPU.
pub(super) struct Tick<'a> {
    watch: &'a Watch,
    faults: &'a mut Faults,
    entity: Entity,
    fast: bool,
    /// What is read; entities and events may be added.
    pub(super) draft: Draft,
    /// When each sample was read.
    read_ns: Vec<u64>,
    failed: u64,
    end: Option<End>,
}

impl<'a> Tick<'a> {
    /// A pass that begins now.
    pub(super) fn begin(watch: &'a Watch, faults: &'a mut Faults, draft: Draft, fast: bool) -> Self {
        let entity = lock(&watch.subject).entity.clone();
        Self { watch, faults, entity, fast, draft, read_ns: Vec::new(), failed: 0, end: None }
    }

    /// The GPU.
    pub(super) fn gpu(&self) -> &Entity {
        &self.entity
    }

    /// Whether the pass ended early.
    pub(super) fn over(&self) -> bool {
        self.end.is_some()
    }

    /// Makes a driver call. `None` where the pass is over, or what was asked for is absent, denied or failed.
    pub(super) fn ask<T, E: Into<DriverError>>(
        &mut self,
        name: &'static str,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Option<T> {
        self.attempt(name, call)?.ok()
    }

    /// Reads fields in one call; a place is `None` where its field gave nothing, with what that means.
    pub(super) fn fields(&mut self, device: &Device, fields: &[Field]) -> Vec<Result<FieldReply, Meaning>> {
        const CALL: &str = "nvmlDeviceGetFieldValues";
        match self.attempt(CALL, || nvml_raw::field::read(device, fields)) {
            None => Vec::new(),
            Some(Err(meaning)) => fields.iter().map(|_| Err(meaning)).collect(),
            Some(Ok(replies)) => {
                replies.into_iter().map(|reply| reply.map_err(|error| self.note(CALL, &error))).collect()
            }
        }
    }

    /// Reads one series of the GPU by one call.
    pub(super) fn read<V: Into<Value>>(
        &mut self,
        metric: &'static Metric,
        name: &'static str,
        call: impl FnOnce() -> Result<V, NvmlError>,
    ) {
        if let Some(answer) = self.attempt(name, call) {
            self.take(&self.entity.clone(), metric, answer.map(Into::into));
        }
    }

    /// Reads one series of the GPU whose call answers with a whole number.
    pub(super) fn count(
        &mut self,
        metric: &'static Metric,
        name: &'static str,
        call: impl FnOnce() -> Result<u32, NvmlError>,
    ) {
        self.read(metric, name, || call().map(|count| whole(metric, u64::from(count))));
    }

    /// Makes a driver call. `None` where the pass is over.
    pub(super) fn attempt<T, E: Into<DriverError>>(
        &mut self,
        name: &'static str,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Option<Result<T, Meaning>> {
        if self.end.is_some() {
            return None;
        }
        let answer = self.watch.call(name, call).map_err(|error| self.note(name, &error));
        self.end.is_none().then_some(answer)
    }

    /// Adds what a call told, or why there is nothing to tell: what failed is the last value, by now stale.
    pub(super) fn take(&mut self, entity: &Entity, metric: &'static Metric, answer: Result<Value, Meaning>) {
        let reading = match answer {
            Ok(value) => Reading::Good(value),
            Err(Meaning::Absent) => Reading::Unsupported,
            Err(Meaning::Denied) => Reading::Denied,
            Err(Meaning::Failed) => match self.stale(entity, metric) {
                Some(stale) => stale,
                None => return,
            },
            Err(Meaning::Lost | Meaning::Gone) => return,
        };
        self.draft.read(entity, metric, reading);
        self.read_ns.push(self.watch.ended_ns());
    }

    /// Adds a value of the GPU itself.
    pub(super) fn put(&mut self, metric: &'static Metric, value: impl Into<Value>) {
        self.take(&self.entity.clone(), metric, Ok(value.into()));
    }

    /// Adds why there is no value of the GPU itself.
    pub(super) fn without(&mut self, metric: &'static Metric, meaning: Meaning) {
        self.take(&self.entity.clone(), metric, Err(meaning));
    }

    /// The Draft, and why the pass ended early if it did: then every series says so instead. A pass that did not end early
    /// has found GPU and driver well.
    pub(super) fn finish(mut self) -> (Draft, Option<End>) {
        if self.draft.burst && self.end.is_none() {
            self.faults.answered();
            return (self.draft, None);
        }
        self.draft.burst = false;
        self.watch.failed.store(self.failed, Ordering::Relaxed);
        let mut subject = lock(&self.watch.subject);
        if self.end == Some(End::Gone) {
            // That is told once, when the poller ends.
            self.draft.samples.clear();
            return (self.draft, self.end);
        }
        if let Some(end) = self.end {
            // Once for all series; the passes that follow repeat it for the fast ones.
            let all = subject.series.values().any(|last| !last.fast);
            self.draft.samples.clear();
            self.draft.read(&self.entity, GPU_STATE, end.state());
            subject.instead(all, &Reading::Lost, &mut self.draft);
            subject.series.retain(|_, last| last.fast);
            return (self.draft, self.end);
        }
        self.faults.answered();
        if self.fast {
            self.tell_ok(&mut subject);
        }
        for ((key, reading), read_ns) in self.draft.samples.iter().zip(&self.read_ns) {
            // `gpu.state` is told beside the others whenever they are replaced.
            if let (Reading::Good(value), true) = (reading, key.metric.as_str() != GPU_STATE.name) {
                let last = Last { fast: self.fast, value: value.clone(), read_ns: *read_ns };
                subject.series.insert(key.clone(), last);
            }
        }
        drop(subject);
        self.stamp_with_its_end();
        (self.draft, None)
    }

    /// A GPU of which nothing could be read is not said to be well now; when it last was.
    fn tell_ok(&mut self, subject: &mut Subject) {
        let now_ns = self.watch.ended_ns();
        let reading = match self.draft.samples.iter().any(|(_, reading)| reading.good().is_some()) {
            true => Reading::from("ok"),
            false => match subject.ok_ns {
                Some(ok_ns) => Reading::Stale("ok".into(), now_ns.saturating_sub(ok_ns)),
                None => return,
            },
        };
        if reading.good().is_some() {
            subject.ok_ns = Some(now_ns);
        }
        self.draft.read(&self.entity, GPU_STATE, reading);
        self.read_ns.push(now_ns);
    }

    /// A pass with a call that took seconds would come too late to be put in order by its beginning.
    fn stamp_with_its_end(&mut self) {
        let (began_ns, ended_ns) = (self.draft.at.mono_ns.unwrap_or(0), self.watch.ended_ns());
        let took_ns = ended_ns.saturating_sub(began_ns);
        if took_ns <= LONG_NS {
            return;
        }
        self.draft.at.mono_ns = Some(ended_ns);
        self.draft.at.real_ns = self.draft.at.real_ns.map(|real| real.saturating_add_unsigned(took_ns));
        for ((_, reading), read_ns) in self.draft.samples.iter_mut().zip(&self.read_ns) {
            let age_ns = ended_ns.saturating_sub(*read_ns);
            if let (Reading::Good(value), true) = (&reading, age_ns > LONG_NS) {
                *reading = Reading::Stale(value.clone(), age_ns);
            }
        }
    }

    fn note(&mut self, name: &'static str, error: &DriverError) -> Meaning {
        let meaning = answer::meaning(error);
        self.end = match meaning {
            Meaning::Lost => Some(End::Lost),
            Meaning::Gone => Some(End::Gone),
            Meaning::Absent | Meaning::Denied | Meaning::Failed => self.end,
        };
        if meaning != Meaning::Absent {
            self.failed += u64::from(meaning != Meaning::Denied);
            // Each fault is told once, so not in a Draft that most readers leave out.
            if !self.draft.burst || self.end.is_some() {
                self.faults.tell(&mut self.draft, &self.watch.title(name), Some(self.entity.clone()), error);
            }
        }
        meaning
    }

    fn stale(&self, entity: &Entity, metric: &'static Metric) -> Option<Reading> {
        let subject = lock(&self.watch.subject);
        let last = subject.series.get(&SeriesKey::new(entity.clone(), metric))?;
        Some(Reading::Stale(last.value.clone(), self.watch.ended_ns().saturating_sub(last.read_ns)))
    }
}

/// A whole number as the metric's kind wants it: gauges and facts are numbers, counters and states counts.
pub(super) fn whole(metric: &'static Metric, count: u64) -> Value {
    match metric.kind {
        Kind::Gauge | Kind::Info => Value::Number(count_as_f64(count)),
        Kind::Counter { .. } | Kind::State => Value::Count(count),
    }
}

//! Calls in flight, their deadlines, and the watchdog that tells of those that do not come back.
//!
//! A thread that calls the driver says so in its [`Watch`] before and after. The watchdog looks at every Watch five times
//! a second; it never calls the driver itself.

use std::collections::HashMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use model::catalogue::{DRIVER_STATE, GPU_STATE, PROBE_FAULTS, PROBE_SLOWEST, PROBE_STATE};
use model::reading::count_as_f64;
use model::time::NS_PER_S;
use model::{Draft, Entity, EntityInfo, Event, Kind, ProbeFault, Reading, SeriesKey, Value, event};
use nvml_raw::DriverError;

use crate::Outlet;

/// How long a call may take.
const DEADLINE_NS: u64 = 2 * NS_PER_S;
/// How long a GPU's first call, and opening the library, may take: the driver may initialise the GPUs, which scrubs their
/// memory for 1 to 3 s each.
const FIRST_DEADLINE_NS: u64 = 15 * NS_PER_S;
/// How often the watchdog looks.
const LOOK: Duration = Duration::from_millis(200);
/// How often a stuck call is told again, and the probe's own state told.
const REPEAT_NS: u64 = NS_PER_S;

/// Locks, whatever a thread that panicked left behind.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whose calls they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The supervisor's: stuck, the probe as a whole is.
    Supervisor,
    /// A GPU's poller: stuck, the GPU is.
    Gpu,
    /// A GPU's listener: stuck, an event says so.
    Listener,
}

/// What was last read of a series.
#[derive(Clone, Debug)]
pub(super) struct Last {
    /// It belongs to the fast tier.
    pub(super) fast: bool,
    /// The value.
    pub(super) value: Value,
    /// When, monotonic nanoseconds.
    pub(super) read_ns: u64,
}

/// Whom the calls are about, and the series that have had a value.
#[derive(Debug)]
pub(super) struct Subject {
    /// The GPU, or the probe as long as the GPU is not known.
    pub(super) entity: Entity,
    /// The GPU as it is presumed to be before the driver has told, until there is something to say of it.
    pub(super) presumed: Option<EntityInfo>,
    /// When it last answered well, monotonic nanoseconds.
    pub(super) ok_ns: Option<u64>,
    /// Its series.
    pub(super) series: HashMap<SeriesKey, Last>,
}

impl Subject {
    /// Adds this reading for its series: all, or those of the fast tier. What a GPU is (its name, its limits) stays
    /// known when it is gone: somebody has to find it in the rack.
    pub(super) fn instead(&self, all: bool, reading: &Reading, draft: &mut Draft) {
        let is_fact = |key: &SeriesKey| key.metric.metric().is_some_and(|metric| metric.kind == Kind::Info);
        let series = self.series.iter().filter(|(key, last)| (all || last.fast) && !is_fact(key));
        draft.samples.extend(series.map(|(key, _)| (key.clone(), reading.clone())));
    }
}

#[derive(Debug)]
struct Call {
    name: &'static str,
    since_ns: u64,
    until_ns: u64,
    told_ns: Option<u64>,
}

/// One thread's calls.
#[derive(Debug)]
pub(super) struct Watch {
    role: Role,
    index: Option<u32>,
    outlet: Outlet,
    thread: AtomicI32,
    call: Mutex<Option<Call>>,
    answered: AtomicBool,
    ended_ns: AtomicU64,
    slowest_ns: AtomicU64,
    /// Calls that failed in the last reading.
    pub(super) failed: AtomicU64,
    /// Whom the calls are about. Never held over a call.
    pub(super) subject: Mutex<Subject>,
}

impl Watch {
    /// Makes a driver call under the deadline: the first of this Watch may take longer.
    pub(super) fn call<T, E: Into<DriverError>>(
        &self,
        name: &'static str,
        call: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, DriverError> {
        let first = !self.answered.load(Ordering::Relaxed);
        let answer = self.within(if first { FIRST_DEADLINE_NS } else { DEADLINE_NS }, name, call);
        self.answered.store(true, Ordering::Relaxed);
        answer.map_err(Into::into)
    }

    /// Makes a driver call that may initialise or shut down everything.
    pub(super) fn long_call<T>(&self, name: &'static str, call: impl FnOnce() -> T) -> T {
        let answer = self.within(FIRST_DEADLINE_NS, name, call);
        self.answered.store(true, Ordering::Relaxed);
        answer
    }

    /// A call's name for a person: with the GPU's number where the GPU itself is not known.
    pub(super) fn title(&self, name: &'static str) -> String {
        match (self.index, &lock(&self.subject).entity) {
            (Some(index), Entity::Probe(_)) => format!("{name} of GPU {index}"),
            _ => name.to_owned(),
        }
    }

    /// When the last call came back, monotonic nanoseconds.
    pub(super) fn ended_ns(&self) -> u64 {
        self.ended_ns.load(Ordering::Relaxed)
    }

    fn within<T>(&self, deadline_ns: u64, name: &'static str, call: impl FnOnce() -> T) -> T {
        let since_ns = self.now_ns();
        if self.thread.load(Ordering::Relaxed) == 0 {
            self.thread.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Relaxed);
        }
        *lock(&self.call) = Some(Call { name, since_ns, until_ns: since_ns + deadline_ns, told_ns: None });
        let answer = call();
        let ended = lock(&self.call).take();
        let now_ns = self.now_ns();
        self.ended_ns.store(now_ns, Ordering::Relaxed);
        self.slowest_ns.fetch_max(now_ns.saturating_sub(since_ns), Ordering::Relaxed);
        if ended.is_some_and(|call| call.told_ns.is_some()) {
            self.tell_freed(name, now_ns.saturating_sub(since_ns));
        }
        answer
    }

    fn now_ns(&self) -> u64 {
        self.outlet.now().mono_ns.unwrap_or(0)
    }

    fn tell_freed(&self, name: &'static str, stuck_ns: u64) {
        let mut draft = self.outlet.draft();
        let event = Event::new(draft.at, event::PROBE_FREED).about(lock(&self.subject).entity.clone());
        draft.events.push(event.with("probe", "nvml").with("call", name).with("stuck_ns", as_int(stuck_ns)));
        self.outlet.send(draft);
    }

    /// Tells of the call in flight if it is past its deadline, at first and once a second. Whether it is.
    fn look(&self) -> bool {
        // Held while sending, so that nobody tells of the call's end before its being stuck is told: the call's own
        // thread waits here for a moment, after a call that took seconds.
        let mut call = lock(&self.call);
        let Some(call) = call.as_mut() else { return false };
        let draft = self.outlet.draft();
        let now_ns = draft.at.mono_ns.unwrap_or(0);
        if now_ns < call.until_ns {
            return false;
        }
        if call.told_ns.is_none_or(|told_ns| now_ns.saturating_sub(told_ns) >= REPEAT_NS) {
            self.tell_stuck(call, draft);
            call.told_ns = Some(now_ns);
        }
        true
    }

    fn tell_stuck(&self, call: &Call, mut draft: Draft) {
        let first = call.told_ns.is_none();
        let mut subject = lock(&self.subject);
        draft.entities.extend(subject.presumed.take());
        match (self.role, &subject.entity) {
            (Role::Gpu, Entity::Gpu(_)) => {
                let stuck = Reading::Stuck(call.since_ns, call.name.to_owned());
                draft.read(&subject.entity, GPU_STATE, "stuck");
                if subject.series.is_empty() {
                    super::fast::metrics().for_each(|metric| draft.read(&subject.entity, metric, stuck.clone()));
                }
                subject.instead(first, &stuck, &mut draft);
            }
            (Role::Supervisor | Role::Gpu, _) => {
                draft.read(&Entity::Probe("nvml".to_owned()), PROBE_STATE, "stuck");
            }
            (Role::Listener, _) => {}
        }
        if first {
            let mut event = Event::new(draft.at, event::PROBE_STUCK)
                .about(subject.entity.clone())
                .with("probe", "nvml")
                .with("call", call.name)
                .with("since_ns", as_int(call.since_ns));
            if let Some(index) = self.index {
                event = event.with("index", index);
            }
            if let Some(channel) = wait_channel(self.thread.load(Ordering::Relaxed)) {
                event = event.with("wchan", channel);
            }
            draft.events.push(event);
        }
        drop(subject);
        self.outlet.send(draft);
    }
}

/// Nanoseconds as an event's field has them: 292 years fit.
fn as_int(ns: u64) -> i64 {
    i64::try_from(ns).unwrap_or(i64::MAX)
}

/// The kernel function that one of our threads waits in, where the kernel tells (proc(5), `wchan`).
fn wait_channel(thread: i32) -> Option<String> {
    let channel = fs::read_to_string(format!("/proc/self/task/{thread}/wchan")).ok()?;
    let channel = channel.trim();
    (!channel.is_empty() && channel != "0").then(|| channel.chars().take(64).collect())
}

/// All the Watches of living threads.
#[derive(Debug, Default)]
pub(super) struct Watches {
    all: Mutex<Vec<Weak<Watch>>>,
}

impl Watches {
    /// A Watch for the calling thread's calls about this entity; `index` is the driver's number for the GPU, if it is one.
    pub(super) fn add(&self, role: Role, outlet: &Outlet, entity: Entity, index: Option<u32>) -> Arc<Watch> {
        let watch = Arc::new(Watch {
            role,
            index,
            outlet: outlet.clone(),
            thread: AtomicI32::new(0),
            call: Mutex::new(None),
            answered: AtomicBool::new(false),
            ended_ns: AtomicU64::new(0),
            slowest_ns: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            subject: Mutex::new(Subject { entity, presumed: None, ok_ns: None, series: HashMap::new() }),
        });
        lock(&self.all).push(Arc::downgrade(&watch));
        watch
    }

    fn alive(&self) -> Vec<Arc<Watch>> {
        let mut all = lock(&self.all);
        all.retain(|watch| watch.strong_count() > 0);
        all.iter().filter_map(Weak::upgrade).collect()
    }
}

/// `driver.state`, and what keeps the driver from answering: repeated as long as it does, since nothing else is told.
#[derive(Clone, Debug, Default)]
pub(super) struct DriverState {
    /// Empty before the first attempt to open the library.
    pub(super) state: &'static str,
    /// Why it does not answer.
    pub(super) fault: Option<ProbeFault>,
}

/// The watchdog: tells of calls that do not come back, and of the probe's own state, until asked to stop.
pub(super) fn patrol(watches: &Watches, board: &Mutex<DriverState>, outlet: &Outlet) {
    let mut told_ns = None;
    while !outlet.stopping() {
        let watches = watches.alive();
        let stuck: Vec<bool> = watches.iter().map(|watch| watch.look()).collect();
        let now_ns = outlet.now().mono_ns.unwrap_or(0);
        if told_ns.is_none_or(|told_ns| now_ns.saturating_sub(told_ns) >= REPEAT_NS) {
            let driver = lock(board).clone();
            if !driver.state.is_empty() {
                outlet.send(own_state(&watches, &stuck, driver, outlet));
                told_ns = Some(now_ns);
            }
        }
        thread::sleep(LOOK);
    }
}

fn own_state(watches: &[Arc<Watch>], stuck: &[bool], driver: DriverState, outlet: &Outlet) -> Draft {
    let probe = Entity::Probe("nvml".to_owned());
    let polling = || watches.iter().filter(|watch| watch.role != Role::Listener);
    let failed: u64 = polling().map(|watch| watch.failed.load(Ordering::Relaxed)).sum();
    let slowest_ns = polling().map(|watch| watch.slowest_ns.swap(0, Ordering::Relaxed)).max().unwrap_or(0);
    let nobody_knows_whom = |(watch, stuck): (&Arc<Watch>, &bool)| {
        *stuck && watch.role != Role::Listener && !matches!(lock(&watch.subject).entity, Entity::Gpu(_))
    };
    let state = match driver.state {
        _ if watches.iter().zip(stuck).any(nobody_knows_whom) => "stuck",
        "no_library" | "not_loaded" => "missing",
        "denied" => "denied",
        "ok" if failed == 0 && !stuck.contains(&true) => "ok",
        _ => "degraded",
    };
    let mut draft = outlet.draft();
    draft.faults.extend(driver.fault);
    draft.read(&Entity::Node, DRIVER_STATE, driver.state);
    draft.read(&probe, PROBE_STATE, state);
    draft.read(&probe, PROBE_FAULTS, count_as_f64(failed));
    draft.read(&probe, PROBE_SLOWEST, count_as_f64(slowest_ns / 1_000));
    draft
}

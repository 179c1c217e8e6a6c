//! The recorder's own judgement: an incident is a trigger, and later a bundle.
//!
//! ```text
//! Frames ──► judge (a thread of its own) ──► Alarm ──► the recorder keeps what is around it in full
//!                         └── quiet, or over for long enough ──► Case ──► bundle
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use ::rules::Rulebook;
use model::time::NS_PER_S;
use model::{Frame, Incident, Severity, Stamp};
use tokio::sync::mpsc;

use crate::incidents::Judge;
use crate::record::bundle::{self, Case};

/// How much of the time before an incident belongs to its bundle, nanoseconds.
const BEFORE_NS: u64 = 300 * NS_PER_S;

/// How long after the last sign of an incident its bundle is made: as long as a trigger keeps everything.
const QUIET_NS: u64 = 60 * NS_PER_S;

/// One that does not become quiet is bundled after so long.
const LONGEST_NS: u64 = 600 * NS_PER_S;

/// How many Frames may wait to be judged: some minutes of them. Judging takes a small part of the time in which they come.
const MOST_WAITING: usize = 8_192;

/// An incident that the recording must keep in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alarm {
    /// When it was seen.
    pub at: Stamp,
    /// What it is.
    pub why: String,
}

/// Judges what is recorded, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Watch {
    frames: SyncSender<Arc<Frame>>,
    alarms: mpsc::UnboundedReceiver<Alarm>,
    thread: JoinHandle<Vec<Case>>,
    left_out: u64,
}

impl Watch {
    /// Begins to judge; an incident of this severity or worse is an alarm, and any Xid of the driver's. `bundle` is handed
    /// the cases that are ready, on another thread.
    pub(crate) fn start(
        rulebook: Arc<Rulebook>,
        from: Severity,
        began: Stamp,
        bundle: impl FnMut(&Case) + Send + 'static,
    ) -> Self {
        let (frames, judged) = sync_channel(MOST_WAITING);
        let (raised, alarms) = mpsc::unbounded_channel();
        let watcher = Watcher::new(rulebook, from, began);
        let thread = thread::spawn(move || watcher.run(&judged, &raised, bundle));
        Self { frames, alarms, thread, left_out: 0 }
    }

    /// Takes in a Frame whose kernel lines are decoded. Never waits: a judge that has fallen behind misses it.
    pub(crate) fn take(&mut self, frame: &Arc<Frame>) {
        if frame.burst {
            return;
        }
        if let Err(TrySendError::Full(_)) = self.frames.try_send(Arc::clone(frame)) {
            if self.left_out == 0 {
                tracing::warn!("the judge has fallen behind: incidents may be missed; the recording is whole");
            }
            self.left_out += 1;
        }
    }

    /// The next alarm.
    pub(crate) async fn alarm(&mut self) -> Alarm {
        match self.alarms.recv().await {
            Some(alarm) => alarm,
            None => std::future::pending().await,
        }
    }

    /// Ends judging, and gives what has not been bundled yet. Waits for the judge.
    pub(crate) fn finish(self) -> Vec<Case> {
        drop(self.frames);
        self.thread.join().unwrap_or_default()
    }
}

/// One incident that was an alarm.
#[derive(Clone, Debug)]
struct Followed {
    case: Case,
    alarmed: u64,
    bundled: bool,
}

struct Watcher {
    judge: Judge,
    from: Severity,
    /// What was over before is not ours to record: the backlog of the kernel log tells of it.
    began: u64,
    now: u64,
    revision: u64,
    followed: BTreeMap<String, Followed>,
}

impl Watcher {
    fn new(rulebook: Arc<Rulebook>, from: Severity, began: Stamp) -> Self {
        let judge = Judge::new(rulebook, None);
        let revision = judge.revision();
        Self { judge, from, began: began.axis_ns(), now: began.axis_ns(), revision, followed: BTreeMap::new() }
    }

    fn run(
        mut self,
        frames: &Receiver<Arc<Frame>>,
        raised: &mpsc::UnboundedSender<Alarm>,
        mut bundle: impl FnMut(&Case) + Send + 'static,
    ) -> Vec<Case> {
        // Writing a bundle reads the recording: the judge does not wait for that.
        let (ready, cases) = std::sync::mpsc::channel::<Case>();
        let bundler = thread::spawn(move || cases.iter().for_each(|case| bundle(&case)));
        while let Ok(frame) = frames.recv() {
            for alarm in self.take(&frame) {
                // Who records ends only with us.
                let _ended = raised.send(alarm);
            }
            for case in self.due() {
                let _panicked = ready.send(case);
            }
        }
        drop(ready);
        let _panicked = bundler.join();
        let rest = self.followed.into_values().filter(|followed| !followed.bundled);
        rest.map(|followed| followed.case).collect()
    }

    /// The alarms that a Frame gives rise to.
    fn take(&mut self, frame: &Frame) -> Vec<Alarm> {
        self.judge.decoded(frame);
        self.now = self.now.max(frame.at.axis_ns());
        if self.judge.revision() == self.revision {
            return Vec::new();
        }
        self.revision = self.judge.revision();
        let judgement = self.judge.judgement();
        let mut alarms = Vec::new();
        for incident in &judgement.incidents {
            if let Some(followed) = self.followed.get_mut(&incident.id) {
                followed.case.last = incident.last;
            } else if self.is_alarming(incident) {
                let case = bundle::case(incident, &judgement.inventory, BEFORE_NS, QUIET_NS);
                alarms.push(Alarm { at: frame.at, why: case.why.clone() });
                self.followed.insert(incident.id.clone(), Followed { case, alarmed: self.now, bundled: false });
            }
        }
        alarms
    }

    fn is_alarming(&self, incident: &Incident) -> bool {
        let is_xid = incident.root.kind == "xid" || incident.symptoms.iter().any(|symptom| symptom.kind == "xid");
        (incident.severity >= self.from || is_xid) && incident.last.axis_ns() >= self.began
    }

    /// The cases whose time has come: quiet for a while, or going on for long enough.
    fn due(&mut self) -> Vec<Case> {
        let now = self.now;
        let mut due = Vec::new();
        for followed in self.followed.values_mut().filter(|followed| !followed.bundled) {
            let quiet_since = followed.case.last.axis_ns().max(followed.alarmed);
            let is_quiet = now.saturating_sub(quiet_since) > QUIET_NS;
            if is_quiet || now.saturating_sub(followed.alarmed) > LONGEST_NS {
                followed.bundled = true;
                due.push(followed.case.clone());
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ::decode::Decoder;
    use ::recorder::Recording;
    use model::Dictionary;

    use super::*;

    /// The Frames of a recorded incident, decoded, and the instant of the first.
    fn fixture(name: &str) -> (Stamp, Vec<Arc<Frame>>) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("replay-fixtures").join(name).join("recording.gdk");
        let recording = Recording::open(&path).expect("the fixture opens");
        let (mut decoder, mut dictionary) = (Decoder::new(), Dictionary::default());
        let mut frames = Vec::new();
        for frame in recording.frames().map_while(Result::ok) {
            dictionary.follow(&frame);
            if let Some(version) = engine::session::driver_version(&frame, &dictionary) {
                decoder.set_driver(version);
            }
            frames.push(engine::session::decoded(&Arc::new(frame), &mut decoder));
        }
        (frames.first().map(|frame| frame.at).unwrap_or_default(), frames)
    }

    fn quiet_after(last: Stamp, ns: u64) -> Frame {
        let at = Stamp { mono_ns: last.mono_ns.map(|mono| mono + ns), real_ns: None };
        model::Draft::new("host", at).seal(&mut Dictionary::default())
    }

    #[test]
    fn an_xid_is_one_alarm_and_one_bundle_once_it_is_quiet() {
        let (began, frames) = fixture("xid79-fell-off");
        let mut watcher = Watcher::new(Arc::new(Rulebook::builtin()), Severity::Critical, began);
        let (mut alarms, mut due) = (Vec::new(), Vec::new());
        for frame in &frames {
            alarms.extend(watcher.take(frame));
            due.extend(watcher.due());
        }
        let xid: Vec<&Alarm> = alarms.iter().filter(|alarm| alarm.why.contains("79")).collect();
        assert_eq!(xid.len(), 1, "{alarms:?}");
        assert!(due.is_empty(), "not while it may go on");
        let last = frames.last().map(|frame| frame.at).unwrap_or_default();
        watcher.take(&quiet_after(last, QUIET_NS + NS_PER_S));
        let due = watcher.due();
        assert!(due.iter().any(|case| case.name.contains("xid79")), "{due:?}");
        assert!(watcher.due().is_empty(), "once");
    }

    #[test]
    fn what_was_over_before_recording_began_is_no_alarm() {
        let (_, frames) = fixture("xid79-fell-off");
        let last = frames.last().map(|frame| frame.at).unwrap_or_default();
        let later = Stamp { mono_ns: last.mono_ns.map(|mono| mono + NS_PER_S), real_ns: None };
        let mut watcher = Watcher::new(Arc::new(Rulebook::builtin()), Severity::Info, later);
        let alarms: Vec<Alarm> = frames.iter().flat_map(|frame| watcher.take(frame)).collect();
        assert_eq!(alarms, []);
    }

    #[test]
    fn below_the_severity_asked_for_only_an_xid_is_an_alarm() {
        let (began, frames) = fixture("rdma-link-down");
        let mut watcher = Watcher::new(Arc::new(Rulebook::builtin()), Severity::Fatal, began);
        let alarms: Vec<Alarm> = frames.iter().flat_map(|frame| watcher.take(frame)).collect();
        assert_eq!(alarms, []);
    }
}

//! A running session: all workers, one stream of admitted Frames.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use decode::Decoder;
use model::event::MARK;
use model::{BootId, Dictionary, Draft, Entity, Event, Frame, catalogue};
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::clock;
use crate::sequencer::{Sequencer, StreamId};
use crate::supervisor::{self, Links, Report};

/// How a session is run.
#[derive(Clone, Debug)]
pub struct Config {
    /// The program that workers run: ourselves.
    pub program: PathBuf,
    /// What a worker is given behind `probe NAME`: root, library, interval.
    pub arguments: Vec<OsString>,
    /// Which probes.
    pub probes: Vec<String>,
    /// How long between two readings of fast sources: a worker may be silent for so long, and some.
    pub interval: Duration,
    /// How long between two readings of what is read faster than that, in Frames marked as [`Frame::burst`]; `None`: they
    /// are not read. Only a recording has a use for them.
    pub burst: Option<Duration>,
    /// Round nothing: every value and instant stays as it was read.
    pub lossless: bool,
    /// The boot that the Frames belong to.
    pub boot: BootId,
    /// The GPU driver's version, where the node tells it before the driver does: what an Xid in the backlog of the
    /// kernel log means depends on it.
    pub driver: Option<String>,
}

/// One admitted Frame: as it came, for the recorder, and with its kernel lines decoded, for rules and deck. A
/// [`burst`](Frame::burst) Frame is the recorder's alone.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Kernel lines raw.
    pub raw: Arc<Frame>,
    /// Kernel lines typed. The same Frame where there were none.
    pub decoded: Arc<Frame>,
}

/// A running session. Dropping it asks the workers to end; none is waited for.
#[derive(Debug)]
pub struct Session {
    frames: mpsc::Receiver<Admitted>,
    reports: mpsc::Sender<Report>,
    stop: watch::Sender<bool>,
}

impl Session {
    /// Starts the workers. Must be called inside a tokio runtime.
    pub fn start(config: &Config) -> Self {
        let (report_sender, reports) = mpsc::channel(256);
        let (stop, stopped) = watch::channel(false);
        let links = Links { reports: report_sender.clone(), stop: stopped };
        for (index, probe) in config.probes.iter().enumerate() {
            let index = u64::try_from(index).unwrap_or(0) + 1;
            tokio::spawn(supervisor::supervise(probe.clone(), index, config.clone(), links.clone()));
        }
        let (frame_sender, frames) = mpsc::channel(256);
        tokio::spawn(sequence(config.clone(), reports, frame_sender, links.stop));
        Self { frames, reports: report_sender, stop }
    }

    /// The next admitted Frame; `None` once the session has ended.
    pub async fn next(&mut self) -> Option<Admitted> {
        self.frames.recv().await
    }

    /// Writes an operator's note into the stream, at this instant. Never waits: who calls is who takes the Frames, and a
    /// full stream moves on only when they are taken.
    pub fn mark(&self, text: &str) {
        let mut draft = Draft::new("engine", clock::now());
        draft.events.push(Event::new(draft.at, MARK).about(Entity::Node).with("text", text));
        let reports = self.reports.clone();
        tokio::spawn(async move {
            let _ended = reports.send(Report::Draft(draft)).await;
        });
    }

    /// Asks the workers to end. What they have told until now still comes; then [`Session::next`] gives `None`.
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.stop();
    }
}

async fn sequence(
    config: Config,
    mut reports: mpsc::Receiver<Report>,
    frames: mpsc::Sender<Admitted>,
    mut stop: watch::Receiver<bool>,
) {
    let mut decoder = Decoder::new();
    if let Some(version) = &config.driver {
        decoder.set_driver(version);
    }
    let mut admission = Admission {
        sequencer: Sequencer::new(config.boot).lossless(config.lossless),
        own: Dictionary::default(),
        decoder,
    };
    let mut cost = Cost::default();
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let report = tokio::select! {
            report = reports.recv() => report,
            _ = second.tick() => Some(Report::Draft(cost.draft())),
            _ = stop.changed() => break,
        };
        let Some(report) = report else { return };
        if let Some(admitted) = admission.admit(report)
            && frames.send(admitted).await.is_err()
        {
            return;
        }
    }
    // What has been told is not lost because we end; supervisors that still wait to be heard are sent away.
    reports.close();
    while let Some(report) = reports.recv().await {
        if let Some(admitted) = admission.admit(report)
            && frames.send(admitted).await.is_err()
        {
            return;
        }
    }
}

/// From reports to admitted Frames.
struct Admission {
    sequencer: Sequencer,
    /// The series of what the engine itself has to say.
    own: Dictionary,
    decoder: Decoder,
}

impl Admission {
    fn admit(&mut self, report: Report) -> Option<Admitted> {
        let (stream, frame) = match report {
            Report::Frame(stream, frame) => (stream, frame),
            Report::Draft(draft) => (StreamId(0), draft.seal(&mut self.own)),
            Report::Ended(stream) => {
                self.sequencer.forget(stream);
                return None;
            }
        };
        let raw = Arc::new(self.sequencer.admit(stream, frame));
        if let Some(version) = driver_version(&raw, self.sequencer.dictionary()) {
            self.decoder.set_driver(version);
        }
        let decoded = decoded(&raw, &mut self.decoder);
        Some(Admitted { raw, decoded })
    }
}

/// The driver's version, if this Frame tells it: what an Xid means depends on it.
pub fn driver_version<'a>(frame: &'a Frame, dictionary: &Dictionary) -> Option<&'a str> {
    let told = |(id, reading): &'a model::frame::Sample| {
        let key = dictionary.key(*id).filter(|key| key.metric.as_str() == catalogue::DRIVER_VERSION.name);
        key.and(reading.good()?.as_text()).map(model::Untrusted::raw)
    };
    (frame.probe == "nvml").then(|| frame.samples.iter().find_map(told)).flatten()
}

/// The Frame with its kernel lines decoded: itself where it holds none.
pub fn decoded(raw: &Arc<Frame>, decoder: &mut Decoder) -> Arc<Frame> {
    if !raw.events.iter().any(|event| event.kind == model::event::KERNEL_LINE) {
        return Arc::clone(raw);
    }
    let mut frame = Frame::clone(raw);
    decoder.frame(&mut frame);
    Arc::new(frame)
}

/// What gpudeck itself costs, from `/proc/self` (proc(5)): processor time and resident memory of this
/// process; each worker's is its own probe's to tell.
#[derive(Debug, Default)]
struct Cost {
    before: Option<(u64, u64)>,
}

impl Cost {
    fn draft(&mut self) -> Draft {
        let mut draft = Draft::new("engine", clock::now());
        let entity = Entity::Probe("engine".to_owned());
        draft.read(&entity, catalogue::PROBE_STATE, "ok");
        if let Some(rss) = own_rss() {
            draft.read(&entity, catalogue::PROBE_RSS, rss);
        }
        let now = (draft.at.mono_ns.unwrap_or(0), own_cpu_ns());
        if let Some((then, used)) = self.before {
            let share = |part: u64, whole: u64| {
                model::reading::count_as_f64(part) * 100.0 / model::reading::count_as_f64(whole.max(1))
            };
            let percent = share(now.1.saturating_sub(used), now.0.saturating_sub(then));
            draft.read(&entity, catalogue::PROBE_CPU, percent);
        }
        self.before = Some(now);
        draft
    }
}

fn own_rss() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
}

fn own_cpu_ns() -> u64 {
    let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    u64::try_from(i128::from(used.tv_sec) * 1_000_000_000 + i128::from(used.tv_nsec)).unwrap_or(0)
}

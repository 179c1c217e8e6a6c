//! A worker of the `nvml` probe in a process of its own, as `gpudeck probe nvml` runs it, against the simulated driver.
//!
//! The test program runs itself again with the scenario in its environment, and the worker there writes its Frames to a
//! socket: the standard output of a test program is not its own.
#![allow(clippy::disallowed_methods)] // Starts this test program again; measures how long it waits.
#![allow(unreachable_pub)] // A module of a test program.

use std::io::Read;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use model::{Dictionary, Draft, Entity, Metric, Reading, Stamp, wire};
use probes::Node;
use tempfile::TempDir;

/// How long between two fast readings.
pub const INTERVAL: Duration = Duration::from_millis(250);
/// How long between two burst readings, where there are any.
pub const BURST: Duration = Duration::from_millis(50);
const BURSTS: &str = "GPUDECK_TEST_BURSTS";
const SOCKET: &str = "GPUDECK_TEST_SOCKET";
const LIBRARY: &str = "GPUDECK_TEST_LIBRARY";
const ROOT: &str = "GPUDECK_TEST_ROOT";

/// The simulated library, built beside this test program.
pub fn library() -> PathBuf {
    let program = std::env::current_exe().unwrap();
    let beside = program.parent().unwrap();
    let places = [beside.join("libnvml_sim.so"), beside.parent().unwrap().join("libnvml_sim.so")];
    places.into_iter().find(|place| place.exists()).expect("nvml-sim is a dev-dependency, so it is built")
}

/// Both clocks, as the engine's clock reads them.
pub fn clock() -> Stamp {
    let read = |id| {
        let time = rustix::time::clock_gettime(id);
        time.tv_sec * 1_000_000_000 + time.tv_nsec
    };
    let mono = u64::try_from(read(rustix::time::ClockId::Monotonic)).unwrap();
    Stamp::new(mono, read(rustix::time::ClockId::Realtime))
}

/// What the child does: the worker, over the socket. Not a child: nothing.
pub fn be_the_child() {
    let Some(socket) = std::env::var_os(SOCKET) else { return };
    let stream = UnixStream::connect(socket).unwrap();
    let root = std::env::var_os(ROOT).map_or_else(|| PathBuf::from("/"), PathBuf::from);
    let library = std::env::var_os(LIBRARY).map(PathBuf::from);
    let node = Node::at(root).with_nvml_lib(library).every(INTERVAL);
    let node = node.burst_every(std::env::var_os(BURSTS).map(|_| BURST));
    probes::worker::run("nvml", &node, clock, std::io::stdin(), stream).unwrap();
}

/// A running worker and what it has told so far.
pub struct Worker {
    child: Child,
    drafts: Receiver<Draft>,
    pub seen: Vec<Draft>,
    _folder: TempDir,
}

impl Worker {
    /// Plays a scenario.
    pub fn play(scenario: &str) -> Self {
        Self::start(scenario, Some(&library()), Path::new("/"))
    }

    /// Plays a scenario; what changes fast is read faster.
    pub fn play_with_bursts(scenario: &str) -> Self {
        Self::spawn(scenario, Some(&library()), Path::new("/"), true)
    }

    /// Plays a scenario with this library, on a node whose files lie below `root`.
    pub fn start(scenario: &str, library: Option<&Path>, root: &Path) -> Self {
        Self::spawn(scenario, library, root, false)
    }

    fn spawn(scenario: &str, library: Option<&Path>, root: &Path, bursts: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("scenario.toml");
        std::fs::write(&file, scenario).unwrap();
        let socket = folder.path().join("socket");
        let listener = UnixListener::bind(&socket).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "the_worker", "--ignored", "--test-threads=1"]);
        command.env(SOCKET, &socket).env(ROOT, root).env("GPUDECK_NVML_SIM", &file);
        if let Some(library) = library {
            command.env(LIBRARY, library);
        }
        if bursts {
            command.env(BURSTS, "1");
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let stream = listener.accept().unwrap().0;
        let (sender, drafts) = mpsc::channel();
        thread::spawn(move || {
            let mut dictionary = Dictionary::default();
            let mut stream = stream;
            while let Some(draft) = next(&mut stream, &mut dictionary) {
                if sender.send(draft).is_err() {
                    let _gone = stream.shutdown(Shutdown::Both);
                    return;
                }
            }
        });
        Self { child, drafts, seen: Vec::new(), _folder: folder }
    }

    /// Waits for a Draft like this; what came is in `seen`, the Draft itself last.
    pub fn until(&mut self, what: &str, mut like: impl FnMut(&Draft) -> bool) -> Draft {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(20) {
            match self.drafts.recv_timeout(Duration::from_secs(1)) {
                Ok(draft) => {
                    self.seen.push(draft);
                    let draft = self.seen.last().unwrap();
                    if like(draft) {
                        return draft.clone();
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("the worker ended before: {what}"),
            }
        }
        panic!("never came: {what}; of {} Drafts the last are {:#?}", self.seen.len(), self.seen.last());
    }

    /// Waits for a reading like this of one series.
    pub fn until_reading(&mut self, entity: &Entity, metric: &Metric, like: impl Fn(&Reading) -> bool) -> Draft {
        let what = format!("{} of {entity}", metric.name);
        self.until(&what, |draft| reading(draft, entity, metric).is_some_and(&like))
    }

    /// Waits for an event like this.
    pub fn until_event(&mut self, kind: &str) -> model::Event {
        let draft = self.until(kind, |draft| draft.events.iter().any(|event| event.kind == kind));
        draft.events.into_iter().find(|event| event.kind == kind).unwrap()
    }

    /// Takes in what comes for so long.
    pub fn listen(&mut self, length: Duration) {
        let began = Instant::now();
        while let Some(left) = length.checked_sub(began.elapsed()) {
            match self.drafts.recv_timeout(left) {
                Ok(draft) => self.seen.push(draft),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("the worker ended"),
            }
        }
    }

    /// The GPU of this number.
    pub fn gpu(&mut self, index: u32) -> Entity {
        let label = format!("GPU {index}");
        let named = |draft: &Draft| draft.entities.iter().any(|info| info.label.raw() == label);
        let known = self.seen.iter().find(|draft| named(draft)).cloned();
        let draft = known.unwrap_or_else(|| self.until(&label, named));
        draft.entities.iter().find(|info| info.label.raw() == label).unwrap().entity.clone()
    }

    /// The last reading of a series so far.
    pub fn last(&self, entity: &Entity, metric: &Metric) -> Option<Reading> {
        self.seen.iter().rev().find_map(|draft| reading(draft, entity, metric)).cloned()
    }

    /// The last good number of a series so far.
    pub fn number(&self, entity: &Entity, metric: &Metric) -> f64 {
        let last = self.last(entity, metric);
        let value = last.as_ref().and_then(Reading::good).and_then(model::Value::as_f64);
        value.unwrap_or_else(|| panic!("{} of {entity} is {last:?}", metric.name))
    }

    /// Waits for the process to end by itself.
    pub fn ended(&mut self) -> ExitStatus {
        while self.drafts.recv_timeout(Duration::from_secs(20)).is_ok() {}
        self.child.wait().unwrap()
    }

    /// Closes the worker's input and waits for its end.
    pub fn close(mut self) -> ExitStatus {
        drop(self.child.stdin.take());
        self.ended()
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // Our own child, on a simulated driver: killing it hurts nobody.
        let _ended_already = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The reading of a series in a Draft.
pub fn reading<'a>(draft: &'a Draft, entity: &Entity, metric: &Metric) -> Option<&'a Reading> {
    let is = |key: &model::SeriesKey| key.entity == *entity && key.metric.as_str() == metric.name;
    draft.samples.iter().find(|(key, _)| is(key)).map(|(_, reading)| reading)
}

/// Whether it is this text.
pub fn is_text(text: &str) -> impl Fn(&Reading) -> bool {
    move |reading| reading.good().and_then(|value| value.as_text()).is_some_and(|found| found.raw() == text)
}

fn next(stream: &mut impl Read, dictionary: &mut Dictionary) -> Option<Draft> {
    let mut prefix = [0; 4];
    stream.read_exact(&mut prefix).ok()?;
    let mut body = vec![0; wire::length(prefix).unwrap()];
    stream.read_exact(&mut body).ok()?;
    let frame = wire::unpack(&body).unwrap();
    for def in &frame.declares {
        assert!(dictionary.declare(def));
    }
    Some(frame.named(dictionary))
}

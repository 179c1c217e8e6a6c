//! Recording a running node: whoever samples hands a Frame over and goes on; a thread journals it, another one seals
//! blocks behind it.
//!
//! ```text
//! append ──► queue ──► writer thread ──► journal (each Frame, at once)
//!                           └──► block ──► sealer thread ──► section of the segment, synced; its journal goes
//! ```
//!
//! A disk that takes nothing never stops it: the Frames that no journal took are in the open block, which is sealed as soon
//! as the disk takes something again. What had to be dropped is told by an event in the recording.

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;

use model::time::NS_PER_S;
use model::{Frame, Stamp};

use crate::disk::{Disk, Local};
use crate::header::Header;
use crate::open::EXTENSION;
use crate::retention::Retention;
use crate::segment::Segment;
use crate::sync::Sync;
use crate::writer::{CreateError, Health, Unfinished};

mod burst;
mod journaling;
mod sealer;
mod store;
mod writer;

use writer::WriterThread;

/// Burst Frames are kept for so long before and after a trigger.
pub const AROUND_NS: u64 = 60 * NS_PER_S;
/// At most so many windows around triggers are kept within an hour.
pub const MOST_BURSTS: usize = 20;
/// The kind of the event that a trigger leaves in the recording.
pub const TRIGGER: &str = "trigger";

/// How a recording is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// How often the journal is made safe against a power cut.
    pub sync: Sync,
    /// A block spans at most so long.
    pub block_ns: u64,
    /// A segment of a directory is closed at this size.
    pub segment_bytes: u64,
    /// A segment of a directory is closed at this age.
    pub segment_ns: u64,
    /// So many Frames may wait for the writer thread.
    pub queue: usize,
    /// The bounds of what is kept.
    pub retention: Retention,
    /// Where it lies.
    pub disk: Arc<dyn Disk>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            sync: Sync::default(),
            block_ns: 300 * NS_PER_S,
            segment_bytes: 64 << 20,
            segment_ns: 3600 * NS_PER_S,
            queue: 4096,
            retention: Retention::default(),
            disk: Arc::new(Local),
        }
    }
}

#[derive(Debug)]
enum Item {
    Frame(Arc<Frame>),
    Rotate,
    Trigger { at: Stamp, why: String, who: String },
    Pin(String),
    Flush(mpsc::Sender<()>),
}

/// Frames that were dropped and not yet accounted for in the recording.
#[derive(Debug)]
struct Gap {
    first: Stamp,
    last: Stamp,
    frames: u64,
    why: String,
}

#[derive(Debug, Default)]
struct Queue {
    items: VecDeque<Item>,
    frames: usize,
    gap: Option<Gap>,
    stop: bool,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
    health: Mutex<Health>,
    /// The latest instant on the time axis.
    now: AtomicU64,
    /// Where the open window around a trigger begins; `u64::MAX`: none is open.
    window: AtomicU64,
    /// Segments that are not closed.
    live: Mutex<Vec<PathBuf>>,
    /// What the directory holds, as far as it is known without looking.
    used: Mutex<Option<store::Used>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    fn lost(&self, first: Stamp, last: Stamp, frames: u64, why: &str) {
        held(&self.health).lost += frames;
        let mut queue = held(&self.queue);
        match &mut queue.gap {
            Some(gap) => (gap.last, gap.frames) = (last, gap.frames + frames),
            None => queue.gap = Some(Gap { first, last, frames, why: why.to_owned() }),
        }
    }
}

/// Records a running node.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    most: usize,
    path: PathBuf,
    writer: Option<JoinHandle<()>>,
    _lock: Option<File>,
}

impl Recorder {
    /// Begins a recording: a path that ends in `.gdk` is one file, anything else a directory of segments, which is created
    /// (mode 0750) if it is missing.
    ///
    /// # Errors
    /// The file exists, another recorder writes there, or the system refuses.
    pub fn start(out: &Path, header: &Header, options: Options) -> Result<Self, CreateError> {
        let failed = |source: io::Error| CreateError::new(out, source);
        let single = out.extension().is_some_and(|extension| extension == EXTENSION) && !out.is_dir();
        let mut lock = None;
        let mut ordinal = 0;
        if !single {
            options.disk.create_dir(out).map_err(failed)?;
            let directory = File::open(out).map_err(failed)?;
            match directory.try_lock() {
                // A file system without locks: the segments still never overwrite each other.
                Ok(()) | Err(TryLockError::Error(_)) => {}
                Err(TryLockError::WouldBlock) => return Err(CreateError::Busy { path: out.to_owned() }),
            }
            lock = Some(directory);
            let listed = options.disk.list(out).map_err(failed)?;
            let segments = listed.iter().filter(|file| file.path.extension().is_some_and(|found| found == EXTENSION));
            let last = segments.filter_map(|file| Some(Segment::open(&file.path, false).ok()?.header.ordinal)).max();
            ordinal = last.unwrap_or(0);
        }
        let shared = Arc::new(Shared { window: AtomicU64::new(u64::MAX), ..Shared::default() });
        let header = Header { sync: options.sync.to_string(), ordinal, ..header.clone() };
        let most = options.queue;
        let mut writer = WriterThread::new(out, single, header, options, Arc::clone(&shared)).map_err(failed)?;
        writer.begin_segment(writer.header.created).map_err(failed)?;
        let thread = std::thread::Builder::new().name("gpudeck-writer".to_owned()).spawn(move || writer.run());
        Ok(Self { shared, most, path: out.to_owned(), writer: Some(thread.map_err(failed)?), _lock: lock })
    }

    fn hand(&self, item: Item) {
        held(&self.shared.queue).items.push_back(item);
        self.shared.wake.notify_one();
    }

    /// Hands a Frame over. Never waits for the disk; false: too many wait, and it is dropped and counted.
    pub fn append(&self, frame: Arc<Frame>) -> bool {
        let mut queue = held(&self.shared.queue);
        if queue.frames < self.most {
            queue.frames += 1;
            queue.items.push_back(Item::Frame(frame));
            drop(queue);
            self.shared.wake.notify_one();
            return true;
        }
        drop(queue);
        self.shared.lost(frame.at, frame.at, 1, "the disk did not keep up");
        false
    }

    /// Begins another segment (of a directory), or another block (of a file).
    pub fn rotate(&self) {
        self.hand(Item::Rotate);
    }

    /// Keeps what is read faster within a minute of this instant.
    pub fn trigger(&self, at: Stamp, why: &str, who: &str) {
        self.hand(Item::Trigger { at, why: why.to_owned(), who: who.to_owned() });
    }

    /// Keeps the current segment longer than others: an incident lies in it.
    pub fn pin(&self, why: &str) {
        self.hand(Item::Pin(why.to_owned()));
    }

    /// Waits until everything handed over so far was offered to the disk.
    pub fn flush(&self) {
        let (done, wait) = mpsc::channel();
        self.hand(Item::Flush(done));
        // A writer thread that died tells nothing; `finish` says so.
        let _over = wait.recv();
    }

    /// How it goes.
    pub fn health(&self) -> Health {
        held(&self.shared.health).clone()
    }

    /// Seals everything and closes the segment: no journal remains. Blocks until the disk has answered.
    ///
    /// # Errors
    /// The disk takes nothing: what is missing.
    pub fn finish(mut self) -> Result<Health, Unfinished> {
        held(&self.shared.queue).stop = true;
        self.shared.wake.notify_one();
        let died = self.writer.take().is_some_and(|thread| thread.join().is_err());
        let health = self.health();
        match health.stalled.clone().or_else(|| died.then(|| "the writer thread died".to_owned())) {
            Some(why) => Err(Unfinished { path: self.path.clone(), why, lost: health.lost + health.waiting }),
            None => Ok(health),
        }
    }
}

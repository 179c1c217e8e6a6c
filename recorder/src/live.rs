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

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use model::time::NS_PER_S;
use model::{BootId, Dictionary, Draft, Event, Frame, Inventory, Reading, SeriesDef, SeriesId, Stamp, event};

use crate::block::Builder;
use crate::disk::{Disk, Local};
use crate::format::section::{BLOCK, BURST};
use crate::header::Header;
use crate::journal_file::JournalFile;
use crate::numbering::Numbering;
use crate::open::EXTENSION;
use crate::retention::{Kept, Retention, plan};
use crate::sections::{Directory, Entry, JournalHeader};
use crate::segment::Segment;
use crate::segment_file::{Encoded, SegmentFile, beside};
use crate::segments::basic_time;
use crate::sync::Sync;
use crate::writer::{CreateError, Health, RECORDER, Unfinished};

/// Burst Frames are kept for so long before and after a trigger.
pub const AROUND_NS: u64 = 60 * NS_PER_S;
/// At most so many windows around triggers are kept within an hour.
pub const MOST_BURSTS: usize = 20;
/// The kind of the event that a trigger leaves in the recording.
pub const TRIGGER: &str = "trigger";
const MOST_PENDING_BYTES: usize = 32 << 20;
const MOST_BLOCK_SAMPLES: u64 = 1 << 19;

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

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "few exist at a time")]
enum Job {
    Section {
        segment: Arc<Mutex<SegmentFile>>,
        builder: Builder,
        defs: Vec<SeriesDef>,
        tally: Directory,
        entry: Entry,
        journals: Vec<PathBuf>,
    },
    Close(Arc<Mutex<SegmentFile>>),
}

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "few exist at a time")]
enum Pending {
    Section { segment: Arc<Mutex<SegmentFile>>, encoded: Encoded, tally: Directory, journals: Vec<PathBuf> },
    Close(Arc<Mutex<SegmentFile>>),
}

/// Where the recording lies and what may lie there.
#[derive(Clone, Debug)]
struct Store {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    single: bool,
    retention: Retention,
    shared: Arc<Shared>,
}

impl Store {
    /// Makes room for more bytes, by deleting segments if need be.
    fn room(&self, bytes: u64) -> io::Result<()> {
        let space = self.disk.space(&self.directory).ok();
        let live = held(&self.shared.live).clone();
        let mut groups: HashMap<PathBuf, (Kept, Vec<PathBuf>, std::time::SystemTime)> = HashMap::new();
        let listed = self.disk.list(&self.directory)?;
        let now = listed.iter().map(|file| file.modified).max();
        for file in listed {
            let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(end) = name.find(".gdk").map(|at| at + 4) else { continue };
            let segment = self.directory.join(name.get(..end).unwrap_or_default());
            if self.single && !live.contains(&segment) {
                continue;
            }
            let is_live = live.contains(&segment);
            let group = groups.entry(segment).or_insert_with(|| (Kept::default(), Vec::new(), file.modified));
            group.0.bytes += file.bytes;
            group.0.live = is_live;
            group.0.pinned |= name.ends_with(".pin");
            group.2 = group.2.max(file.modified);
            group.1.push(file.path);
        }
        let mut groups: Vec<_> = groups.into_iter().collect();
        let used: u64 = groups.iter().map(|(_, group)| group.0.bytes).sum();
        let over = self.retention.max_bytes.is_some_and(|most| used + bytes > most);
        let low = space.is_some_and(|space| self.retention.floor(space) + bytes > space.free);
        for (_, (kept, _, modified)) in &mut groups {
            let age = now.and_then(|now| now.duration_since(*modified).ok()).unwrap_or_default();
            kept.age_ns = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        }
        let most = self.retention.max_age_ns.unwrap_or(u64::MAX);
        if !over && !low && groups.iter().all(|(_, (kept, ..))| kept.live || kept.age_ns <= most) {
            return Ok(());
        }
        groups.sort_by_cached_key(|(path, _)| {
            (Segment::open(path, false).map_or(0, |segment| segment.header.ordinal), path.clone())
        });
        let kept: Vec<Kept> = groups.iter().map(|(_, group)| group.0).collect();
        let plan = plan(&kept, bytes, space, &self.retention);
        for (path, (_, files, _)) in plan.delete.iter().filter_map(|place| groups.get(*place)) {
            // The segment itself goes last: what lies beside it means nothing without it.
            for file in files.iter().filter(|file| *file != path).chain([path]) {
                match self.disk.remove(file) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
        if plan.short > 0 {
            let why = format!("{} bytes more than the recording may take would be needed", plan.short);
            return Err(io::Error::new(ErrorKind::StorageFull, why));
        }
        Ok(())
    }
}

struct SealerThread {
    store: Store,
    pending: VecDeque<Pending>,
    /// Journals whose Frames are in blocks, and until when they are kept.
    spent: Vec<(PathBuf, u64)>,
}

impl SealerThread {
    fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        loop {
            match jobs.recv_timeout(Duration::from_secs(1)) {
                Ok(job) => self.take(job),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
            let stalled = self.write().err();
            self.clear(false);
            let mut health = held(&self.store.shared.health);
            if let Some(error) = stalled {
                health.stalled.get_or_insert_with(|| error.to_string());
            }
        }
        let end = self.write();
        let frames = |pending: &Pending| match pending {
            Pending::Section { encoded, .. } => encoded.entry.frames,
            Pending::Close(_) => 0,
        };
        let mut health = held(&self.store.shared.health);
        health.waiting = self.pending.iter().map(frames).sum();
        health.stalled = end.as_ref().err().map(ToString::to_string);
        drop(health);
        if end.is_ok() {
            self.clear(true);
        }
    }

    fn take(&mut self, job: Job) {
        match job {
            Job::Section { segment, builder, defs, tally, entry, journals } => {
                let mut file = held(&segment);
                file.declare(defs);
                let encoded = file.encode(entry, builder);
                drop(file);
                self.pending.push_back(Pending::Section { segment, encoded, tally, journals });
            }
            Job::Close(segment) => self.pending.push_back(Pending::Close(segment)),
        }
        let bytes = |pending: &Pending| match pending {
            Pending::Section { encoded, .. } => encoded.bytes.len(),
            Pending::Close(_) => 0,
        };
        while self.pending.iter().map(bytes).sum::<usize>() > MOST_PENDING_BYTES {
            let oldest =
                self.pending.iter().position(|pending| bytes(pending) > 0).and_then(|at| self.pending.remove(at));
            if let Some(Pending::Section { encoded: Encoded { entry, .. }, .. }) = oldest {
                self.store.shared.lost(entry.first, entry.last, entry.frames, "the disk took nothing for too long");
            }
        }
    }

    fn write(&mut self) -> io::Result<()> {
        while let Some(first) = self.pending.front() {
            match first {
                Pending::Section { segment, encoded, tally, journals } => {
                    self.store.room(u64::try_from(encoded.bytes.len()).unwrap_or(u64::MAX))?;
                    let mut file = held(segment);
                    file.write(encoded)?;
                    file.sync()?;
                    add(&mut file.directory, tally);
                    let until = encoded.entry.last.axis_ns();
                    self.spent.extend(journals.iter().map(|path| (path.clone(), until)));
                    held(&self.store.shared.health).bytes = file.length;
                }
                Pending::Close(segment) => {
                    let mut file = held(segment);
                    file.directory.lost = held(&self.store.shared.health).lost;
                    file.close()?;
                    held(&self.store.shared.live).retain(|path| *path != file.path);
                }
            }
            self.pending.pop_front();
        }
        Ok(())
    }

    /// Deletes journals that nobody needs any more.
    fn clear(&mut self, all: bool) {
        let (now, window) =
            (self.store.shared.now.load(Ordering::Relaxed), self.store.shared.window.load(Ordering::Relaxed));
        let disk = &self.store.disk;
        self.spent.retain(|(path, until)| {
            let over = all || (now > until.saturating_add(AROUND_NS) && *until < window);
            !over || disk.remove(path).is_err_and(|error| error.kind() != ErrorKind::NotFound)
        });
    }
}

fn add(directory: &mut Directory, more: &Directory) {
    if directory.frames == 0 {
        directory.first = more.first;
    }
    if more.frames > 0 {
        directory.last = more.last;
    }
    directory.frames += more.frames;
    directory.samples += more.samples;
    directory.events += more.events;
    for (probe, count) in &more.frames_by_probe {
        *directory.frames_by_probe.entry(probe.clone()).or_default() += count;
    }
    for (kind, count) in &more.events_by_kind {
        *directory.events_by_kind.entry(kind.clone()).or_default() += count;
    }
}

fn count(tally: &mut Directory, frame: &Frame) {
    if tally.frames == 0 {
        tally.first = frame.at;
    }
    tally.last = frame.at;
    tally.frames += 1;
    tally.samples += u64::try_from(frame.samples.len()).unwrap_or(u64::MAX);
    tally.events += u64::try_from(frame.events.len()).unwrap_or(u64::MAX);
    *tally.frames_by_probe.entry(frame.probe.clone()).or_default() += 1;
    for event in &frame.events {
        *tally.events_by_kind.entry(event.kind.to_string()).or_default() += 1;
    }
}

type Source = Arc<(String, BootId, Stamp)>;

struct WriterThread {
    store: Store,
    out: PathBuf,
    header: Header,
    options: Options,
    jobs: Option<mpsc::SyncSender<Job>>,
    sealer: Option<JoinHandle<()>>,
    numbering: Numbering,
    inventory: Inventory,
    latest: HashMap<SeriesId, (Source, Reading)>,
    segment: Option<Arc<Mutex<SegmentFile>>>,
    began: Stamp,
    journal: Option<JournalFile>,
    syncer: Option<crate::sync::Syncer>,
    journals: Vec<PathBuf>,
    number: u32,
    declared: HashSet<SeriesId>,
    builder: Builder,
    entry: Entry,
    tally: Directory,
    boot: BootId,
    last_seq: u64,
    /// Frames of the last minute that were read faster.
    ring: VecDeque<Frame>,
    window: Option<(u64, Vec<Frame>)>,
    bursts: VecDeque<u64>,
    /// Frames of the open block that no journal took.
    unprotected: u64,
}

impl WriterThread {
    fn new(out: &Path, single: bool, header: Header, options: Options, shared: Arc<Shared>) -> io::Result<Self> {
        let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let directory = if single { parent.to_owned() } else { out.to_owned() };
        let (disk, retention) = (Arc::clone(&options.disk), options.retention);
        let store = Store { disk, directory, single, retention, shared };
        let (jobs, receiver) = mpsc::sync_channel(16);
        let sealer = SealerThread { store: store.clone(), pending: VecDeque::new(), spent: Vec::new() };
        let sealer =
            std::thread::Builder::new().name("gpudeck-sealer".to_owned()).spawn(move || sealer.run(&receiver))?;
        Ok(Self {
            store,
            out: out.to_owned(),
            boot: header.boot.clone(),
            began: header.created,
            header,
            options,
            jobs: Some(jobs),
            sealer: Some(sealer),
            numbering: Numbering::default(),
            inventory: Inventory::default(),
            latest: HashMap::new(),
            segment: None,
            journal: None,
            syncer: None,
            journals: Vec::new(),
            number: 0,
            declared: HashSet::new(),
            builder: Builder::default(),
            entry: Entry::default(),
            tally: Directory::default(),
            last_seq: 0,
            ring: VecDeque::new(),
            window: None,
            bursts: VecDeque::new(),
            unprotected: 0,
        })
    }

    fn run(mut self) {
        loop {
            let mut queue = held(&self.store.shared.queue);
            if queue.items.is_empty() && !queue.stop {
                queue = self.store.shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            let (items, gap, stop) = (std::mem::take(&mut queue.items), queue.gap.take(), queue.stop);
            queue.frames = 0;
            drop(queue);
            let mut batch = Vec::new();
            let mut flushed = Vec::new();
            for item in items {
                match item {
                    Item::Frame(frame) => self.take(&frame, &mut batch),
                    Item::Rotate => {
                        self.journal_all(&mut batch);
                        self.cut(true);
                    }
                    Item::Trigger { at, why, who } => self.triggered(at, &why, &who, &mut batch),
                    Item::Pin(why) => self.pin(&why),
                    Item::Flush(done) => flushed.push(done),
                }
            }
            if let Some(gap) = gap {
                let missing = gap.last.axis_ns().saturating_sub(gap.first.axis_ns());
                let event = Event::new(gap.first, event::GAP)
                    .with("probe", RECORDER)
                    .with("missing_ns", i64::try_from(missing).unwrap_or(i64::MAX))
                    .with("frames", i64::try_from(gap.frames).unwrap_or(i64::MAX))
                    .with("why", gap.why.as_str());
                self.say(gap.last, event, &mut batch);
            }
            self.journal_all(&mut batch);
            drop(flushed);
            if stop {
                break;
            }
        }
        self.close_window();
        self.seal();
        if let (Some(jobs), Some(segment)) = (self.jobs.take(), self.segment.take()) {
            // A sealer that died is told by the join below.
            drop(jobs.send(Job::Close(segment)));
        }
        self.syncer = None;
        if self.sealer.take().is_some_and(|sealer| sealer.join().is_err()) {
            held(&self.store.shared.health).stalled = Some("the sealer thread died".to_owned());
        }
    }

    /// An event of the recorder's own.
    fn say(&mut self, at: Stamp, event: Event, batch: &mut Vec<Frame>) {
        let mut draft = Draft::new(RECORDER, at);
        draft.boot = self.boot.clone();
        draft.events.push(event);
        let mut frame = draft.seal(&mut Dictionary::default());
        // It stands behind the Frame before it and is told apart from what follows by that.
        frame.seq = self.last_seq;
        self.keep(frame, batch);
    }

    fn take(&mut self, frame: &Frame, batch: &mut Vec<Frame>) {
        let at = frame.at.axis_ns();
        self.store.shared.now.fetch_max(at, Ordering::Relaxed);
        let boot = frame.boot != self.boot;
        let aged = at.saturating_sub(self.entry.first.axis_ns()) >= self.options.block_ns;
        let full = self.builder.is_full() || self.builder.samples() >= MOST_BLOCK_SAMPLES;
        let length = self.segment.as_ref().map_or(0, |segment| held(segment).length);
        let journal = self.journal.as_ref().map_or(0, |journal| journal.length);
        let most = self.options.retention.max_bytes.map_or(u64::MAX, |most| most / 8).min(self.options.segment_bytes);
        let old = at.saturating_sub(self.began.axis_ns()) >= self.options.segment_ns;
        let begun = self.builder.frames() > 0 && frame.seq != self.last_seq;
        let big = length >= most || journal >= most;
        if begun && (aged || boot || full || old || big) {
            self.journal_all(batch);
            self.cut(old || length >= most || (big && self.options.retention.max_bytes.is_some()));
        }
        if self.window.as_ref().is_some_and(|(until, _)| at > *until) {
            self.close_window();
        }
        self.boot.clone_from(&frame.boot);
        for info in &frame.entities {
            self.inventory.learn(info);
        }
        for entity in &frame.gone {
            self.inventory.forget(entity);
            for id in self.numbering.dictionary().ids_of(entity) {
                self.latest.remove(id);
            }
        }
        let explicit = frame.declares.clone();
        let (mut own, undeclared) = self.numbering.translate(frame.clone());
        held(&self.store.shared.health).undeclared += undeclared;
        let id =
            |def: &SeriesDef| Some(SeriesDef { id: self.numbering.dictionary().id(&def.key)?, key: def.key.clone() });
        own.declares = explicit.iter().filter_map(id).collect();
        if !own.burst {
            let source: Source = Arc::new((own.probe.clone(), own.boot.clone(), own.at));
            for (id, reading) in &own.samples {
                self.latest.insert(*id, (Arc::clone(&source), reading.clone()));
            }
        }
        self.last_seq = frame.seq;
        self.keep(own, batch);
    }

    fn keep(&mut self, frame: Frame, batch: &mut Vec<Frame>) {
        if frame.burst {
            if let Some((_, kept)) = &mut self.window {
                kept.push(frame.clone());
            }
            let from = frame.at.axis_ns().saturating_sub(AROUND_NS);
            while self.ring.front().is_some_and(|first| first.at.axis_ns() < from) {
                self.ring.pop_front();
            }
            self.ring.push_back(frame.clone());
        } else {
            self.builder.push(&frame);
            self.entry.count(&frame);
            count(&mut self.tally, &frame);
        }
        batch.push(frame);
    }

    fn triggered(&mut self, at: Stamp, why: &str, who: &str, batch: &mut Vec<Frame>) {
        let axis = at.axis_ns();
        self.bursts.retain(|began| axis.saturating_sub(*began) < 3600 * NS_PER_S);
        let event = Event::new(at, TRIGGER).with("why", why).with("who", who);
        match &mut self.window {
            Some((until, _)) => {
                *until = (*until).max(axis.saturating_add(AROUND_NS));
                return;
            }
            None if self.bursts.len() < MOST_BURSTS => {
                let from = axis.saturating_sub(AROUND_NS);
                self.bursts.push_back(axis);
                let kept = self.ring.iter().filter(|frame| frame.at.axis_ns() >= from).cloned().collect();
                self.store.shared.window.store(from, Ordering::Relaxed);
                self.window = Some((axis.saturating_add(AROUND_NS), kept));
            }
            None => return,
        }
        self.say(at, event, batch);
    }

    fn close_window(&mut self) {
        self.store.shared.window.store(u64::MAX, Ordering::Relaxed);
        let Some((_, frames)) = self.window.take().filter(|(_, frames)| !frames.is_empty()) else { return };
        let (mut builder, mut entry) = (Builder::default(), Entry { kind: BURST, ..Entry::default() });
        for frame in &frames {
            builder.push(frame);
            entry.count(frame);
        }
        // A window that follows must not keep these once more.
        self.ring.clear();
        self.hand(builder, entry, Directory::default(), Vec::new());
    }

    fn hand(&mut self, builder: Builder, entry: Entry, tally: Directory, journals: Vec<PathBuf>) {
        let Some(segment) = self.segment.clone() else { return };
        let defs = self.numbering.dictionary().defs();
        if let Some(jobs) = &self.jobs {
            // A sealer that died is told at the end.
            drop(jobs.send(Job::Section { segment, builder, defs, tally, entry, journals }));
        }
    }

    /// Seals the open block.
    fn seal(&mut self) {
        self.syncer = None;
        if let Some(mut journal) = self.journal.take() {
            // Without its end it reads as one whose recorder was killed.
            drop(journal.end());
        }
        self.unprotected = 0;
        let (builder, tally) = (std::mem::take(&mut self.builder), std::mem::take(&mut self.tally));
        let entry = Entry { kind: BLOCK, ..std::mem::take(&mut self.entry) };
        let journals = std::mem::take(&mut self.journals);
        self.hand(builder, entry, tally, journals);
    }

    /// Seals the open block; and the segment, if asked and it is not alone.
    fn cut(&mut self, rotate: bool) {
        self.seal();
        if rotate && !self.store.single {
            let at = Stamp { mono_ns: Some(self.store.shared.now.load(Ordering::Relaxed)), ..self.tally.last };
            let before = self.segment.clone();
            match self.begin_segment(if self.began.real_ns.is_some() { self.latest_stamp().unwrap_or(at) } else { at })
            {
                Ok(()) => {
                    if let (Some(jobs), Some(before)) = (&self.jobs, before) {
                        drop(jobs.send(Job::Close(before)));
                    }
                }
                Err(error) => self.stalled(&error),
            }
        }
    }

    fn latest_stamp(&self) -> Option<Stamp> {
        self.latest.values().map(|(source, _)| source.2).max_by_key(|at| at.axis_ns())
    }

    fn stalled(&self, error: &io::Error) {
        let mut health = held(&self.store.shared.health);
        if health.stalled.is_none() {
            health.outages += 1;
        }
        health.stalled = Some(error.to_string());
        health.waiting = self.unprotected;
    }

    fn begin_segment(&mut self, at: Stamp) -> io::Result<()> {
        let ordinal = if self.store.single { 0 } else { self.header.ordinal + 1 };
        let header = Header { ordinal, created: at, boot: self.boot.clone(), ..self.header.clone() };
        let name = |number: u32| match number {
            1 => format!("seg-{}.{EXTENSION}", basic_time(at)),
            _ => format!("seg-{}-{number:03}.{EXTENSION}", basic_time(at)),
        };
        let mut number = 1;
        let mut file = loop {
            let path = if self.store.single { self.out.clone() } else { self.out.join(name(number)) };
            match SegmentFile::create(&self.store.disk, &path, &header) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists && !self.store.single && number < 1000 => {
                    number += 1;
                }
                done => break done?,
            }
        };
        held(&self.store.shared.live).push(file.path.clone());
        if self.segment.is_some() {
            file.declare(self.numbering.dictionary().defs());
            let context = self.context(at);
            if let Err(error) = file.context(&context) {
                held(&self.store.shared.live).retain(|path| *path != file.path);
                drop(self.store.disk.remove(&file.path));
                return Err(error);
            }
        }
        drop(self.store.disk.sync_dir(&self.store.directory));
        (self.header, self.began, self.number) = (header, at, 0);
        self.segment = Some(Arc::new(Mutex::new(file)));
        Ok(())
    }

    /// What is in force: the inventory, and the last reading of every series under its own probe and instant.
    fn context(&self, at: Stamp) -> Vec<Frame> {
        let mut own = Draft::new(RECORDER, at);
        own.boot = self.boot.clone();
        own.entities = self.inventory.iter().cloned().collect();
        let mut frames = vec![own.seal(&mut Dictionary::default())];
        let mut read: HashMap<Source, Vec<model::frame::Sample>> = HashMap::new();
        let mut ids: Vec<_> = self.latest.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            if let Some((source, reading)) = self.latest.get(&id) {
                read.entry(Arc::clone(source)).or_default().push((id, reading.clone()));
            }
        }
        let mut read: Vec<_> = read.into_iter().collect();
        read.sort_by(|(one, _), (two, _)| (one.2.axis_ns(), &one.0).cmp(&(two.2.axis_ns(), &two.0)));
        for (source, samples) in read {
            let mut draft = Draft::new(source.0.clone(), source.2);
            draft.boot = source.1.clone();
            frames.push(Frame { samples, ..draft.seal(&mut Dictionary::default()) });
        }
        frames
    }

    /// Writes Frames into the journal, or keeps them in the open block only.
    fn journal_all(&mut self, batch: &mut Vec<Frame>) {
        let frames = std::mem::take(batch);
        if frames.is_empty() {
            return;
        }
        let count = u64::try_from(frames.len()).unwrap_or(u64::MAX);
        let event = frames.iter().any(|frame| !frame.events.is_empty());
        match self.journal_these(frames, event) {
            Ok(()) => {
                if self.unprotected > 0 {
                    // What no journal took while the disk took nothing is in the open block.
                    self.seal();
                }
                let mut health = held(&self.store.shared.health);
                health.frames += count;
                (health.stalled, health.waiting) = (None, 0);
                if let Some(syncer) = &self.syncer {
                    (health.syncs, health.sync_error) = syncer.report();
                }
            }
            Err(error) => {
                self.journal = None;
                self.unprotected += count;
                self.stalled(&error);
            }
        }
    }

    fn journal_these(&mut self, frames: Vec<Frame>, event: bool) -> io::Result<()> {
        let invalid = |error| io::Error::new(ErrorKind::InvalidInput, error);
        if self.segment.as_ref().is_some_and(|segment| !held(segment).is_named()) {
            // Somebody deleted the recording: what follows goes into another segment, in a directory made anew.
            self.store.disk.create_dir(&self.store.directory)?;
            self.journal = None;
            let at = frames.first().map_or(self.began, |frame| frame.at);
            self.begin_segment(at)?;
        }
        if self.journal.is_none() {
            self.begin_journal(&frames)?;
        }
        let mut wires = Vec::with_capacity(frames.len());
        for mut frame in frames {
            let used = frame.declares.iter().map(|def| def.id).chain(frame.samples.iter().map(|(id, _)| *id));
            let new: Vec<SeriesId> = used.filter(|id| self.declared.insert(*id)).collect();
            let key = |id: SeriesId| Some(SeriesDef { id, key: self.numbering.dictionary().key(id)?.clone() });
            frame.declares = new.into_iter().filter_map(key).collect();
            wires.push(frame.to_wire().map_err(invalid)?);
        }
        let bytes: usize = wires.iter().map(Vec::len).sum();
        self.store.room(u64::try_from(bytes).unwrap_or(u64::MAX))?;
        let Some(journal) = &mut self.journal else { return Ok(()) };
        journal.append(&wires)?;
        if let Some(syncer) = &self.syncer {
            syncer.wrote(event);
        }
        Ok(())
    }

    fn begin_journal(&mut self, frames: &[Frame]) -> io::Result<()> {
        let Some(segment) = self.segment.clone() else { return Err(io::Error::other("there is no segment")) };
        let file = held(&segment);
        let (path, id) = (file.path.clone(), file.id);
        drop(file);
        let at = frames.first().map_or(self.began, |frame| frame.at);
        let (number, boot) = (self.number, self.boot.clone());
        let header = JournalHeader { segment: id.to_string(), number, boot: boot.clone(), created: at };
        let mut draft = Draft::new(RECORDER, at);
        draft.boot = boot;
        draft.entities = self.inventory.iter().cloned().collect();
        let mut context = draft.seal(&mut Dictionary::default());
        context.declares = self.numbering.dictionary().defs();
        self.store.room(1 << 16)?;
        let journal =
            JournalFile::create(&self.store.disk, &beside(&path, &format!("j{number:06}")), &header, &[context])?;
        self.number += 1;
        self.declared = self.numbering.dictionary().defs().iter().map(|def| def.id).collect();
        let directory = File::open(&self.store.directory).ok();
        self.syncer = Some(crate::sync::Syncer::start(self.options.sync, Arc::clone(&journal.file), directory)?);
        self.journals.push(journal.path.clone());
        self.journal = Some(journal);
        Ok(())
    }

    fn pin(&self, why: &str) {
        let Some(segment) = &self.segment else { return };
        let path = beside(&held(segment).path, "pin");
        // One that is pinned already stays so.
        if let Ok(file) = self.store.disk.create(&path) {
            drop(file.put_at(why.as_bytes(), 0));
        }
    }
}

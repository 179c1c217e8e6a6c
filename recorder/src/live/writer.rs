//! The thread that writes: it takes Frames in their order, journals them and collects the open block.

use std::collections::{HashMap, HashSet};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use model::{BootId, Dictionary, Draft, Event, Frame, Inventory, Reading, SeriesDef, SeriesId, Stamp, event};

use super::burst::Around;
use super::sealer::{Job, SealerThread};
use super::store::Store;
use super::{Item, Options, Shared, held};
use crate::block::Builder;
use crate::disk::DiskFile;
use crate::format::section::BLOCK;
use crate::header::{Header, SegmentId};
use crate::journal_file::JournalFile;
use crate::numbering::Numbering;
use crate::open::EXTENSION;
use crate::sections::{Directory, Entry};
use crate::segment_file::SegmentFile;
use crate::segments::basic_time;
use crate::writer::RECORDER;

/// A block holds at most so many samples.
const MOST_BLOCK_SAMPLES: u64 = 1 << 19;

/// The segment being written. The sealer holds its lock while the disk syncs; what is asked of it for each Frame is
/// therefore kept beside.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) file: Arc<Mutex<SegmentFile>>,
    pub(super) path: PathBuf,
    pub(super) id: SegmentId,
    pub(super) on_disk: Arc<dyn DiskFile>,
    grown: Arc<AtomicU64>,
}

impl Open {
    fn new(file: SegmentFile) -> Self {
        let (path, id) = (file.path.clone(), file.id);
        let (on_disk, grown) = (Arc::clone(&file.file), Arc::clone(&file.grown));
        Self { file: Arc::new(Mutex::new(file)), path, id, on_disk, grown }
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

/// What a reading that is still in force was read by and when.
pub(super) type Source = Arc<(String, BootId, Stamp)>;

pub(super) struct WriterThread {
    pub(super) store: Store,
    pub(super) out: PathBuf,
    pub(super) header: Header,
    pub(super) options: Options,
    pub(super) jobs: Option<mpsc::SyncSender<Job>>,
    pub(super) sealer: Option<JoinHandle<()>>,
    pub(super) numbering: Numbering,
    pub(super) inventory: Inventory,
    pub(super) latest: HashMap<SeriesId, (Source, Reading)>,
    pub(super) segment: Option<Open>,
    pub(super) began: Stamp,
    pub(super) journal: Option<JournalFile>,
    pub(super) syncer: Option<crate::sync::Syncer>,
    pub(super) journals: Vec<PathBuf>,
    pub(super) number: u32,
    pub(super) declared: HashSet<SeriesId>,
    pub(super) builder: Builder,
    pub(super) entry: Entry,
    pub(super) tally: Directory,
    pub(super) boot: BootId,
    pub(super) last_seq: u64,
    pub(super) around: Around,
    /// Frames of the open block that no journal took.
    pub(super) unprotected: u64,
}

impl WriterThread {
    pub(super) fn new(
        out: &Path,
        single: bool,
        header: Header,
        options: Options,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let directory = if single { parent.to_owned() } else { out.to_owned() };
        let (disk, retention) = (Arc::clone(&options.disk), options.retention);
        let store = Store { disk, directory, single, retention, shared };
        let (jobs, receiver) = mpsc::sync_channel(16);
        let sealer = SealerThread::new(store.clone());
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
            around: Around::default(),
            unprotected: 0,
        })
    }

    pub(super) fn run(mut self) {
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
            drop(jobs.send(Job::Close(segment.file)));
        }
        self.syncer = None;
        if self.sealer.take().is_some_and(|sealer| sealer.join().is_err()) {
            held(&self.store.shared.health).stalled = Some("the sealer thread died".to_owned());
        }
    }

    /// An event of the recorder's own.
    pub(super) fn say(&mut self, at: Stamp, event: Event, batch: &mut Vec<Frame>) {
        let mut draft = Draft::new(RECORDER, at);
        draft.boot = self.boot.clone();
        draft.events.push(event);
        let mut frame = draft.seal(&mut Dictionary::default());
        // It stands behind the Frame before it and is told apart from what follows by that.
        frame.seq = self.last_seq;
        self.keep(frame, batch);
    }

    pub(super) fn take(&mut self, frame: &Frame, batch: &mut Vec<Frame>) {
        let at = frame.at.axis_ns();
        self.store.shared.now.fetch_max(at, Ordering::Relaxed);
        let boot = frame.boot != self.boot;
        let aged = at.saturating_sub(self.entry.first.axis_ns()) >= self.options.block_ns;
        let full = self.builder.is_full() || self.builder.samples() >= MOST_BLOCK_SAMPLES;
        let length = self.segment.as_ref().map_or(0, |segment| segment.grown.load(Ordering::Relaxed));
        let journal = self.journal.as_ref().map_or(0, JournalFile::grown);
        let most = self.options.retention.max_bytes.map_or(u64::MAX, |most| most / 8).min(self.options.segment_bytes);
        let old = at.saturating_sub(self.began.axis_ns()) >= self.options.segment_ns;
        let begun = self.builder.frames() > 0 && frame.seq != self.last_seq;
        let big = length >= most || journal >= most;
        if begun && (aged || boot || full || old || big) {
            self.journal_all(batch);
            self.cut(old || length >= most || (big && self.options.retention.max_bytes.is_some()));
        }
        if self.around.is_over(at) {
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

    pub(super) fn keep(&mut self, frame: Frame, batch: &mut Vec<Frame>) {
        if frame.burst {
            self.around.take(&frame);
        } else {
            self.builder.push(&frame);
            self.entry.count(&frame);
            count(&mut self.tally, &frame);
        }
        batch.push(frame);
    }

    pub(super) fn hand(&mut self, builder: Builder, entry: Entry, tally: Directory, journals: Vec<PathBuf>) {
        let Some(segment) = self.segment.as_ref().map(|open| Arc::clone(&open.file)) else { return };
        let defs = self.numbering.dictionary().defs();
        if let Some(jobs) = &self.jobs {
            // A sealer that died is told at the end.
            drop(jobs.send(Job::Section { segment, builder, defs, tally, entry, journals }));
        }
    }

    /// Seals the open block.
    pub(super) fn seal(&mut self) {
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
    pub(super) fn cut(&mut self, rotate: bool) {
        self.seal();
        if rotate && !self.store.single {
            let at = Stamp { mono_ns: Some(self.store.shared.now.load(Ordering::Relaxed)), ..self.tally.last };
            let before = self.segment.as_ref().map(|open| Arc::clone(&open.file));
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

    pub(super) fn latest_stamp(&self) -> Option<Stamp> {
        self.latest.values().map(|(source, _)| source.2).max_by_key(|at| at.axis_ns())
    }

    pub(super) fn stalled(&self, error: &io::Error) {
        let mut health = held(&self.store.shared.health);
        if health.stalled.is_none() {
            health.outages += 1;
        }
        health.stalled = Some(error.to_string());
        health.waiting = self.unprotected;
    }

    pub(super) fn begin_segment(&mut self, at: Stamp) -> io::Result<()> {
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
        self.segment = Some(Open::new(file));
        Ok(())
    }
}

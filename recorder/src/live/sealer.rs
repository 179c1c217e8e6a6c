//! The thread that seals: it encodes blocks, writes and syncs them, and only then lets their journals go.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use model::SeriesDef;

use super::store::Store;
use super::{AROUND_NS, held};
use crate::block::Builder;
use crate::sections::{Directory, Entry};
use crate::segment_file::{Encoded, SegmentFile};

/// So many bytes of sealed blocks wait in memory while the disk takes nothing.
const MOST_PENDING_BYTES: usize = 32 << 20;

#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "few exist at a time")]
pub(super) enum Job {
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

pub(super) struct SealerThread {
    store: Store,
    pending: VecDeque<Pending>,
    /// Journals whose Frames are in blocks, and until when they are kept.
    spent: Vec<(PathBuf, u64)>,
}

impl SealerThread {
    pub(super) fn new(store: Store) -> Self {
        Self { store, pending: VecDeque::new(), spent: Vec::new() }
    }

    pub(super) fn run(mut self, jobs: &mpsc::Receiver<Job>) {
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
                    file.write_and_sync(encoded)?;
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

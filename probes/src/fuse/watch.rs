//! All mounts of the node: which there are, who asks them, and when their answers are taken in.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use model::reading::count_as_f64;
use model::{Draft, Entity, EntityInfo, ProbeFault, catalogue as metrics};

use super::connection::Connection;
use super::mountinfo::{self, Kind, Mount};
use super::nanoseconds;
use super::prober::{Answer, Place, Prober};
use super::watched::Watched;
use crate::tree::{self, Directory};
use crate::{Node, Outlet};

/// The most threads that may be in calls at a time, those left behind included.
const MOST_PROBERS: usize = 16;
/// The most mounts told.
const MOST_MOUNTS: usize = 1_024;
/// The most bytes read of mountinfo.
const MOST_BYTES: u64 = 8 << 20;
/// All mounts of the node that the probe looks at.
pub(super) struct Watch {
    node: Node,
    outlet: Outlet,
    mounts: BTreeMap<Entity, Watched>,
    answers: Receiver<Answer>,
    answer: Sender<Answer>,
    /// Held by every prober's thread: its count tells how many are alive.
    alive: Arc<()>,
}

impl Watch {
    pub(super) fn new(node: &Node, outlet: &Outlet) -> Self {
        let (answer, answers) = mpsc::channel();
        let (node, outlet) = (node.clone(), outlet.clone());
        Self { node, outlet, mounts: BTreeMap::new(), answers, answer, alive: Arc::new(()) }
    }

    /// Begins a reading: which mounts there are, what the kernel tells of them; then asks every thread that is free.
    pub(super) fn survey(&mut self, draft: &mut Draft) {
        match self.read_mounts() {
            Ok(mounts) => self.reconcile(mounts, draft),
            Err(error) => draft.fault("read mountinfo", None, error.to_string()),
        }
        let now = draft.at.mono_ns.unwrap_or(0);
        for (entity, watched) in self.mounts.iter_mut().filter(|(_, watched)| watched.kind == Kind::Fuse) {
            // Before asking, so that our own request is not among those that wait.
            let connection = Connection::read(&self.node, watched.mount.connection(), entity, draft);
            watched.fresh = false;
            watched.notice_standstill(&connection, now);
            watched.connection = Some(connection);
            if let Some(prober) = &watched.prober {
                prober.ask();
            }
        }
        self.start_probers(draft);
    }

    /// Takes in answers until all have come or `most` has passed.
    pub(super) fn settle(&mut self, most: Duration) {
        let until = self.now().saturating_add(nanoseconds(most));
        let waits = |watched: &Watched| watched.prober.is_some() && watched.stuck.is_none() && !watched.fresh;
        while self.mounts.values().any(waits) && self.now() < until {
            self.collect(Duration::from_nanos(until.saturating_sub(self.now())));
        }
    }

    /// Waits for an answer, no longer than `most`, and takes in all that are there.
    pub(super) fn collect(&mut self, most: Duration) {
        let first = match self.answers.recv_timeout(most) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return,
        };
        for answer in std::iter::once(first).chain(self.answers.try_iter()) {
            // An answer for a mount that is gone, or was mounted anew meanwhile, is of no use.
            if let Some(watched) = self.mounts.values_mut().find(|watched| watched.mount.id == answer.mount) {
                watched.take(answer);
            }
        }
    }

    /// Ends a reading: tells all mounts.
    pub(super) fn tell(&mut self, draft: &mut Draft) {
        let now = self.now();
        let mut slowest_ns = 0;
        for (entity, watched) in &mut self.mounts {
            watched.notice_calls(entity, now, true, draft);
            watched.tell_mount(entity, draft);
            watched.tell_daemon(entity, now, draft);
            slowest_ns = slowest_ns.max(watched.answer.as_ref().filter(|_| watched.fresh).map_or(0, |a| a.slowest_ns));
        }
        let state = if self.mounts.values().any(|watched| watched.stuck.is_some()) {
            "stuck"
        } else if draft.faults.is_empty() {
            "ok"
        } else {
            "degraded"
        };
        let probe = Entity::Probe("fuse".to_owned());
        draft.read(&probe, metrics::PROBE_STATE, state);
        draft.read(&probe, metrics::PROBE_FAULTS, count_as_f64(draft.faults.len() as u64));
        draft.read(&probe, metrics::PROBE_SLOWEST, count_as_f64(slowest_ns / 1_000));
    }

    /// Between two readings: what became stuck or free just now, if anything.
    pub(super) fn look(&mut self) -> Option<Draft> {
        let mut draft = self.outlet.draft();
        let now = self.now();
        for (entity, watched) in &mut self.mounts {
            let before = draft.events.len();
            watched.notice_calls(entity, now, false, &mut draft);
            if draft.events.len() > before {
                watched.tell_daemon(entity, now, &mut draft);
            }
        }
        (!draft.events.is_empty()).then_some(draft)
    }

    fn now(&self) -> u64 {
        self.outlet.now().mono_ns.unwrap_or(0)
    }

    fn read_mounts(&self) -> io::Result<Vec<Mount>> {
        // A node seen from a container has its mounts in the namespace of its first process.
        let files = match (self.node.is_here(), self.node.live()) {
            (true, _) => ["/proc/self/mountinfo", "/proc/1/mountinfo"],
            (false, true) => ["/proc/1/mountinfo", "/proc/self/mountinfo"],
            (false, false) => ["/proc/self/mountinfo", "/proc/1/mountinfo"],
        };
        let read = |file| tree::read(&self.node, file, MOST_BYTES);
        match read(files[0]).or_else(|_| read(files[1])) {
            Ok(text) => Ok(mountinfo::parse(&text)),
            // A captured tree without it has no mounts to tell of.
            Err(_) if !self.node.live() => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn reconcile(&mut self, mounts: Vec<Mount>, draft: &mut Draft) {
        let looked_at = mounts.into_iter().filter_map(|mount| Some((mount.kind()?, mount))).take(MOST_MOUNTS);
        let mut before = std::mem::take(&mut self.mounts);
        for (kind, mount) in looked_at {
            let entity = Entity::Mount(mount.point.to_string_lossy().into_owned());
            let watched = match before.remove(&entity) {
                Some(watched) if watched.mount == mount => watched,
                // Mounted anew: its thread, if stuck, is left behind.
                _ => Watched::new(mount, kind),
            };
            self.mounts.insert(entity, watched);
        }
        draft.gone.extend(before.into_keys());
        for (entity, watched) in self.mounts.iter_mut().filter(|(_, watched)| !watched.told) {
            let label = watched.mount.point.to_string_lossy().into_owned();
            draft.entities.push(EntityInfo::new(entity.clone(), label).under(Entity::Node));
            watched.told = true;
        }
    }

    fn start_probers(&mut self, draft: &mut Draft) {
        for (entity, watched) in &mut self.mounts {
            if watched.kind != Kind::Fuse || watched.prober.is_some() {
                continue;
            }
            let threads = Arc::strong_count(&self.alive) - 1;
            if threads >= MOST_PROBERS {
                draft.faults.push(ProbeFault {
                    call: "statfs".to_owned(),
                    entity: Some(entity.clone()),
                    why: format!("not asked: {threads} mounts are being asked already").into(),
                    advice: None,
                });
                continue;
            }
            let place = place(&self.node, &watched.mount);
            let (answer, alive) = (self.answer.clone(), Arc::clone(&self.alive));
            match Prober::start(watched.mount.id, place, &self.outlet, answer, alive) {
                Ok(prober) => {
                    prober.ask();
                    watched.prober = Some(prober);
                }
                Err(error) => draft.fault("start a thread", Some(entity.clone()), error.to_string()),
            }
        }
    }
}

/// Where the mount's files are. In a captured tree it is some directory, which a link must not lead out of the tree; on
/// a live node the path is not even looked at here, since that alone can hang.
fn place(node: &Node, mount: &Mount) -> Place {
    if node.live() {
        return Place::Mounted(node.path(&mount.point));
    }
    Place::Captured(Directory::open(node, &mount.point).ok().map(|directory| node.path(directory.place())))
}

//! One thread per mount for the calls that may never return: `statfs(2)` and reading the daemon's statistics.
//!
//! A thread that waits for a FUSE daemon which has taken its request cannot even be killed; only an answer, or an abort
//! of the connection, frees it. So nobody joins it: before each call it writes into a shared cell which call and since
//! when, and whoever watches reads the cell.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::juicefs::{self, CacheStats};
use crate::Outlet;

/// The most bytes read of a statistics file; a real one has 5 kB.
const MOST_BYTES: u64 = 1 << 20;
/// `f_type` of a FUSE file system (`linux/magic.h` FUSE_SUPER_MAGIC).
const FUSE_SUPER_MAGIC: u64 = 0x6573_5546;
/// A mount without statistics is asked for them again after this many rounds: for a daemon in front of an object store
/// a look-up of a file that is not there may be a remote request.
const LOOK_AGAIN: u32 = 300;

/// Where a mount's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On the mount itself, at this path.
    Mounted(PathBuf),
    /// In a directory of a captured tree, if it has one.
    Captured(Option<PathBuf>),
}

/// A call in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub name: &'static str,
    /// Monotonic nanoseconds at which it began.
    pub since_ns: u64,
}

/// What `statfs` said of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Space {
    /// The daemon answers.
    Answered,
    /// The daemon is gone, the mount is not (ENOTCONN).
    Disconnected,
    /// The path leads to another file system here: the mount is in a mount namespace that we do not see.
    Elsewhere,
    /// Another error, as the system words it.
    Failed(String),
    /// A captured tree has nobody to ask.
    NotAsked,
}

/// What was found of a mount's statistics.
#[derive(Clone, Debug, PartialEq)]
pub enum Cache {
    /// Totals.
    Found(CacheStats),
    /// It has no statistics file of a form we know.
    None,
    /// It has one, and we may not read it.
    Denied,
    /// Reading failed, as the system words it.
    Failed(String),
}

/// What one round of questions brought.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Which mount: the kernel's number.
    pub mount: u64,
    /// What `statfs` said.
    pub space: Space,
    /// The statistics.
    pub cache: Cache,
    /// Monotonic nanoseconds at the end of the round.
    pub at_ns: u64,
    /// How long the slowest call took, nanoseconds.
    pub slowest_ns: u64,
}

#[derive(Debug, Default)]
struct Cell {
    call: Option<Call>,
    task: Option<u32>,
}

/// The handle of a mount's thread. Dropping it ends the thread once it is back from its call.
#[derive(Debug)]
pub struct Prober {
    cell: Arc<Mutex<Cell>>,
    ask: SyncSender<()>,
}

impl Prober {
    /// Starts the thread for the mount of this number. `alive` is held by the thread for as long as it lives.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        mount: u64,
        place: Place,
        outlet: &Outlet,
        answers: Sender<Answer>,
        alive: Arc<()>,
    ) -> io::Result<Self> {
        let cell = Arc::new(Mutex::new(Cell::default()));
        let (ask, asked) = mpsc::sync_channel(1);
        let inside = Inside { mount, place, outlet: outlet.clone(), cell: Arc::clone(&cell), file: None, rounds: 0 };
        thread::Builder::new().name("fuse prober".to_owned()).spawn(move || {
            inside.serve(&asked, &answers);
            drop(alive);
        })?;
        Ok(Self { cell, ask })
    }

    /// Asks for a round. A thread that still has one before it is not asked twice.
    pub fn ask(&self) {
        // Full or gone: nothing to ask.
        self.ask.try_send(()).ok();
    }

    /// The call that it is in.
    pub fn call(&self) -> Option<Call> {
        locked(&self.cell).call
    }

    /// The kernel function that it waits in, as far as the kernel tells.
    pub fn waits_in(&self) -> Option<String> {
        let task = locked(&self.cell).task?;
        let name = std::fs::read_to_string(format!("/proc/self/task/{task}/wchan")).ok()?;
        let name = name.trim();
        (!name.is_empty() && name != "0").then(|| name.to_owned())
    }
}

/// The cell is only ever written whole, so a poisoned one still holds the truth.
fn locked(cell: &Mutex<Cell>) -> std::sync::MutexGuard<'_, Cell> {
    cell.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Inside {
    mount: u64,
    place: Place,
    outlet: Outlet,
    cell: Arc<Mutex<Cell>>,
    /// The statistics file that was found.
    file: Option<PathBuf>,
    /// Rounds since one was last looked for.
    rounds: u32,
}

impl Inside {
    fn serve(mut self, asked: &Receiver<()>, answers: &Sender<Answer>) {
        locked(&self.cell).task = u32::try_from(rustix::thread::gettid().as_raw_nonzero().get()).ok();
        while asked.recv().is_ok() {
            let mut slowest_ns = 0;
            let space = self.space(&mut slowest_ns);
            let cache = match space {
                Space::Answered | Space::NotAsked => self.cache(&mut slowest_ns),
                _ => Cache::None,
            };
            let at_ns = self.now();
            if answers.send(Answer { mount: self.mount, space, cache, at_ns, slowest_ns }).is_err() {
                return;
            }
        }
    }

    fn now(&self) -> u64 {
        self.outlet.now().mono_ns.unwrap_or(0)
    }

    /// Makes a call that may never return.
    fn dare<T>(&self, name: &'static str, slowest_ns: &mut u64, call: impl FnOnce() -> T) -> T {
        let since_ns = self.now();
        locked(&self.cell).call = Some(Call { name, since_ns });
        let came_back = call();
        locked(&self.cell).call = None;
        *slowest_ns = (*slowest_ns).max(self.now().saturating_sub(since_ns));
        came_back
    }

    fn space(&self, slowest_ns: &mut u64) -> Space {
        let Place::Mounted(path) = &self.place else { return Space::NotAsked };
        match self.dare("statfs", slowest_ns, || rustix::fs::statfs(path)) {
            Ok(stat) if u64::try_from(stat.f_type).is_ok_and(|magic| magic == FUSE_SUPER_MAGIC) => Space::Answered,
            // A daemon that does not know the request has answered it.
            Err(Errno::NOSYS) => Space::Answered,
            Ok(_) | Err(Errno::NOENT) => Space::Elsewhere,
            Err(Errno::NOTCONN) => Space::Disconnected,
            Err(error) => Space::Failed(io::Error::from(error).to_string()),
        }
    }

    fn cache(&mut self, slowest_ns: &mut u64) -> Cache {
        if let Some(file) = self.file.take() {
            let cache = self.statistics(&file, slowest_ns);
            if cache != Cache::None {
                self.file = Some(file);
            }
            return cache;
        }
        self.rounds = self.rounds.wrapping_add(1) % LOOK_AGAIN;
        if self.rounds != 1 {
            return Cache::None;
        }
        let (Place::Mounted(path) | Place::Captured(Some(path))) = &self.place else { return Cache::None };
        for file in juicefs::FILES.iter().map(|name| path.join(name)) {
            let cache = self.statistics(&file, slowest_ns);
            if cache != Cache::None {
                self.file = Some(file);
                return cache;
            }
        }
        Cache::None
    }

    fn statistics(&self, file: &Path, slowest_ns: &mut u64) -> Cache {
        let open = || {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
            let file = rustix::fs::open(file, flags, Mode::empty())?;
            let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
            Ok::<_, Errno>((kind == FileType::RegularFile).then_some(file))
        };
        let file = match self.dare("open .stats", slowest_ns, open) {
            Ok(Some(file)) => File::from(file),
            Ok(None) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Cache::None,
            Err(Errno::ACCESS | Errno::PERM) => return Cache::Denied,
            Err(error) => return Cache::Failed(io::Error::from(error).to_string()),
        };
        // Its size is 0 by the daemon's account: what it holds is what can be read.
        let mut text = Vec::new();
        match self.dare("read .stats", slowest_ns, || file.take(MOST_BYTES).read_to_end(&mut text)) {
            Ok(_) => juicefs::parse(&text).map_or(Cache::None, Cache::Found),
            Err(error) => Cache::Failed(error.to_string()),
        }
    }
}

//! Making a recording safe against a power cut, on a thread of its own: `fdatasync` can block for seconds on a busy
//! disk, and the sampling thread must not.
//!
//! A process that is killed loses nothing that `write(2)` took; this is for the power cut only.

use std::fmt;
use std::io;
use std::str::FromStr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::disk::DiskFile;

/// How often what was written is made safe against a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync {
    /// After every Frame.
    Tick,
    /// This often, and after every Frame that holds an event.
    Every(Duration),
    /// When the kernel does (about half a minute).
    Off,
}

impl Default for Sync {
    fn default() -> Self {
        Self::Every(Duration::from_secs(5))
    }
}

impl fmt::Display for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tick => f.write_str("tick"),
            Self::Off => f.write_str("off"),
            Self::Every(every) if every.subsec_nanos() == 0 => write!(f, "{}s", every.as_secs()),
            Self::Every(every) => write!(f, "{}ms", every.as_millis()),
        }
    }
}

/// Why a text is not a sync policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not a sync policy; expected tick, off, or a time such as 5s or 500ms")]
pub struct NotASync {
    /// The text as found.
    pub found: String,
}

impl FromStr for Sync {
    type Err = NotASync;

    fn from_str(text: &str) -> Result<Self, NotASync> {
        let every = || {
            let (digits, unit): (_, fn(u64) -> Duration) = match text.strip_suffix("ms") {
                Some(digits) => (digits, Duration::from_millis),
                None => (text.strip_suffix('s')?, Duration::from_secs),
            };
            digits.parse().ok().filter(|length| (1..=86_400_000).contains(length)).map(unit)
        };
        match text {
            "tick" => Ok(Self::Tick),
            "off" => Ok(Self::Off),
            _ => every().map(Self::Every).ok_or_else(|| NotASync { found: text.chars().take(40).collect() }),
        }
    }
}

#[derive(Debug, Default)]
struct Wanted {
    dirty: bool,
    now: bool,
    stop: bool,
    syncs: u64,
    error: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    wanted: Mutex<Wanted>,
    wake: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Wanted> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What must be safe, too, for the file to be of use: the names on the way to it, what it belongs to.
pub(crate) type Needed = Box<dyn FnMut() -> io::Result<()> + Send>;

/// The thread that syncs one file.
#[derive(Debug)]
pub(crate) struct Syncer {
    policy: Sync,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    /// Starts the thread for a file; what it needs is made safe once.
    pub(crate) fn start(policy: Sync, file: Arc<dyn DiskFile>, needed: Option<Needed>) -> io::Result<Self> {
        let shared = Arc::<Shared>::default();
        let thread = match policy {
            Sync::Off => None,
            Sync::Tick | Sync::Every(_) => {
                let shared = Arc::clone(&shared);
                let body = move || run(policy, &shared, &*file, needed);
                Some(std::thread::Builder::new().name("gpudeck-sync".to_owned()).spawn(body)?)
            }
        };
        Ok(Self { policy, shared, thread })
    }

    /// Something was written; `event`: it should be safe soon.
    pub(crate) fn wrote(&self, event: bool) {
        if self.policy == Sync::Off {
            return;
        }
        let mut wanted = self.shared.lock();
        wanted.dirty = true;
        if event || self.policy == Sync::Tick {
            wanted.now = true;
            self.shared.wake.notify_one();
        }
    }

    /// How often it has synced, and what went wrong the last time.
    pub(crate) fn report(&self) -> (u64, Option<String>) {
        let wanted = self.shared.lock();
        (wanted.syncs, wanted.error.clone())
    }

    /// Syncs once more and waits for it.
    pub(crate) fn finish(mut self) -> Option<String> {
        self.stop();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            return Some("the sync thread died".to_owned());
        }
        self.report().1
    }

    fn stop(&self) {
        self.shared.lock().stop = true;
        self.shared.wake.notify_one();
    }
}

impl Drop for Syncer {
    /// The thread syncs once more and ends by itself; nobody waits for it.
    fn drop(&mut self) {
        self.stop();
    }
}

fn run(policy: Sync, shared: &Shared, file: &dyn DiskFile, mut needed: Option<Needed>) {
    loop {
        let mut wanted = shared.lock();
        let pause = match policy {
            Sync::Every(every) => every,
            Sync::Tick | Sync::Off => Duration::from_secs(3600),
        };
        if !wanted.now && !wanted.stop {
            wanted = shared.wake.wait_timeout(wanted, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
        let (dirty, stop) = (wanted.dirty, wanted.stop);
        (wanted.dirty, wanted.now) = (false, false);
        drop(wanted);
        if dirty {
            // The name must be as safe as what it names: a file without a directory entry is gone after a power cut.
            let done = needed.as_mut().map_or(Ok(()), |needed| needed());
            if done.is_ok() {
                needed = None;
            }
            let done = file.sync().and(done);
            let mut wanted = shared.lock();
            wanted.syncs += 1;
            wanted.error = done.err().map(|error| error.to_string());
        }
        if stop {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_read_back_as_they_print() {
        for text in ["tick", "off", "5s", "500ms"] {
            assert_eq!(text.parse::<Sync>().unwrap().to_string(), text);
        }
        for text in ["", "s", "0s", "5", "-1s", "5m", "99999999999s"] {
            assert!(text.parse::<Sync>().is_err(), "{text}");
        }
        assert_eq!(Sync::default().to_string(), "5s");
    }

    #[test]
    fn every_tick_is_synced_before_the_end() {
        let syncer = Syncer::start(Sync::Tick, Arc::new(tempfile::tempfile().unwrap()), None).unwrap();
        syncer.wrote(false);
        let shared = Arc::clone(&syncer.shared);
        assert_eq!(syncer.finish(), None);
        assert!(shared.lock().syncs >= 1);
    }

    #[test]
    fn an_event_is_synced_without_waiting_for_the_interval() {
        let syncer =
            Syncer::start(Sync::Every(Duration::from_secs(3600)), Arc::new(tempfile::tempfile().unwrap()), None)
                .unwrap();
        syncer.wrote(true);
        while syncer.report().0 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

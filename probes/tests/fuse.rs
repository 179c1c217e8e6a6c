//! The FUSE probe on real mounts, served by a small daemon inside the test: a cache ratio that is known, and a daemon
//! that takes a request and never answers.
//!
//! Needs root, `/dev/fuse` and fusectl; says so and passes where one of them is missing.
#![allow(clippy::unwrap_used, clippy::panic)]
#![allow(unsafe_code)] // mount(2) and umount2(2) of fusectl and of what the daemon left behind

use std::ffi::{CString, OsStr};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    BackgroundSession, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyEntry, ReplyOpen, ReplyStatfs, Request, Session,
};
use model::{Draft, Entity, Event, Metric, Reading, Stamp, catalogue as metrics, event};
use probes::fuse::mountinfo;
use probes::{Node, Outlet};

const STATS: INodeNo = INodeNo(2);

/// What the test turns while the daemon runs.
#[derive(Default)]
struct Controls {
    stats: Mutex<String>,
    hangs: Mutex<bool>,
    changed: Condvar,
}

impl Controls {
    fn serve(&self, hit_bytes: u64, miss_bytes: u64) {
        *self.stats.lock().unwrap() = format!(
            "juicefs_blockcache_hits 7\njuicefs_blockcache_miss 3\njuicefs_blockcache_hit_bytes {hit_bytes}\n\
             juicefs_blockcache_miss_bytes {miss_bytes}\njuicefs_object_request_errors 5\njuicefs_uptime 12.5\n"
        );
    }

    fn hang(&self, hangs: bool) {
        *self.hangs.lock().unwrap() = hangs;
        self.changed.notify_all();
    }

    /// The daemon has read the request from the kernel and does not go on.
    fn wait(&self) {
        drop(self.changed.wait_while(self.hangs.lock().unwrap(), |hangs| *hangs).unwrap());
    }
}

struct Daemon(Arc<Controls>);

fn attributes(ino: INodeNo, kind: FileType, perm: u16) -> FileAttr {
    FileAttr {
        ino,
        // As JuiceFS has it: the size tells nothing of what can be read.
        size: 0,
        blocks: 0,
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind,
        perm,
        nlink: 1,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

impl Filesystem for Daemon {
    fn lookup(&self, _: &Request, _: INodeNo, name: &OsStr, reply: ReplyEntry) {
        if name == ".stats" && !self.0.stats.lock().unwrap().is_empty() {
            reply.entry(&Duration::ZERO, &attributes(STATS, FileType::RegularFile, 0o400), Generation(0));
        } else {
            reply.error(Errno::ENOENT);
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let (kind, perm) = if ino == STATS { (FileType::RegularFile, 0o400) } else { (FileType::Directory, 0o755) };
        reply.attr(&Duration::ZERO, &attributes(ino, kind, perm));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        self.0.wait();
        reply.statfs(100, 50, 50, 10, 10, 4096, 255, 4096);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let stats = self.0.stats.lock().unwrap();
        let from = usize::try_from(offset).unwrap().min(stats.len());
        let to = (from + usize::try_from(size).unwrap()).min(stats.len());
        reply.data(&stats.as_bytes()[from..to]);
    }
}

/// A mount that takes itself away, whatever state the test left it in.
struct Mounted {
    controls: Arc<Controls>,
    entity: Entity,
    connection: u64,
    session: Option<BackgroundSession>,
    directory: tempfile::TempDir,
}

impl Mounted {
    fn new() -> Self {
        let controls = Arc::new(Controls::default());
        let directory = tempfile::tempdir().unwrap();
        let session = Session::new(Daemon(Arc::clone(&controls)), directory.path(), &fuser::Config::default()).unwrap();
        let session = session.spawn().unwrap();
        let mounts = mountinfo::parse(&std::fs::read("/proc/self/mountinfo").unwrap());
        let mount = mounts.iter().find(|mount| mount.point == directory.path()).unwrap();
        Self {
            controls,
            entity: Entity::Mount(directory.path().to_str().unwrap().to_owned()),
            connection: mount.connection(),
            session: Some(session),
            directory,
        }
    }

    fn abort(&self) {
        // Already gone: nothing to abort.
        drop(std::fs::write(format!("/sys/fs/fuse/connections/{}/abort", self.connection), "1"));
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Aborting answers everybody who waits; nothing below can hang after it.
        self.abort();
        self.controls.hang(false);
        let path = CString::new(self.directory.path().as_os_str().as_bytes()).unwrap();
        // SAFETY: the path is a C string that lives through the call.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
        drop(self.session.take());
    }
}

/// The probe in a thread of its own, as a worker runs it.
struct Running {
    drafts: Receiver<Draft>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    began: u64,
}

fn clock() -> Stamp {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let ns = u64::try_from(time.tv_sec).unwrap() * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap();
    Stamp { mono_ns: Some(ns), real_ns: None }
}

fn now() -> u64 {
    clock().mono_ns.unwrap()
}

impl Running {
    fn on(node: Node) -> Self {
        let (sender, drafts) = mpsc::sync_channel(64);
        let stop = Arc::new(AtomicBool::new(false));
        let outlet = Outlet::new("fuse", sender, clock, Arc::clone(&stop));
        let thread = std::thread::spawn(move || probes::fuse::run(&node, &outlet));
        Self { drafts, stop, thread: Some(thread), began: now() }
    }

    /// The first Draft that the question finds an answer in, within ten seconds.
    fn find<T>(&self, what: &str, mut question: impl FnMut(&Draft) -> Option<T>) -> T {
        let until = now() + 10_000_000_000;
        while now() < until {
            match self.drafts.recv_timeout(Duration::from_millis(500)) {
                Ok(draft) => {
                    if let Some(answer) = question(&draft) {
                        return answer;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => panic!("the probe ended"),
            }
        }
        panic!("{what}: not within ten seconds");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while self.drafts.recv_timeout(Duration::from_secs(2)).is_ok() {}
        self.thread.take().unwrap().join().unwrap();
    }
}

fn reading<'a>(draft: &'a Draft, entity: &Entity, metric: &Metric) -> Option<&'a Reading> {
    let found = |(key, _): &&(model::SeriesKey, Reading)| key.entity == *entity && key.metric.as_str() == metric.name;
    draft.samples.iter().find(found).map(|(_, reading)| reading)
}

fn state(draft: &Draft, mount: &Mounted, word: &str) -> Option<()> {
    (reading(draft, &mount.entity, metrics::FUSE_STATE) == Some(&word.into())).then_some(())
}

fn happened<'a>(draft: &'a Draft, entity: &Entity, kind: &str) -> Option<&'a Event> {
    draft.events.iter().find(|event| event.kind == kind && event.entity.as_ref() == Some(entity))
}

/// Whether real mounts can be made here; mounts fusectl where nobody has.
fn can_mount() -> bool {
    if !rustix::process::geteuid().is_root() || !Path::new("/dev/fuse").exists() {
        let _nobody_reads = writeln!(std::io::stderr(), "skipped: needs root and /dev/fuse");
        return false;
    }
    let connections = Path::new("/sys/fs/fuse/connections");
    let mounts = mountinfo::parse(&std::fs::read("/proc/self/mountinfo").unwrap());
    if mounts.iter().any(|mount| mount.point == connections) {
        return true;
    }
    // SAFETY: all three are C strings, and fusectl takes no data.
    let made = unsafe {
        let (kind, point) = (c"fusectl".as_ptr(), c"/sys/fs/fuse/connections".as_ptr());
        libc::mount(c"none".as_ptr(), point, kind, 0, std::ptr::null())
    };
    if made != 0 {
        let _nobody_reads =
            writeln!(std::io::stderr(), "skipped: fusectl cannot be mounted: {}", std::io::Error::last_os_error());
    }
    made == 0
}

#[test]
fn a_cache_shows_the_share_of_bytes_of_the_last_interval() {
    if !can_mount() {
        return;
    }
    let (cached, plain) = (Mounted::new(), Mounted::new());
    cached.controls.serve(1_000, 1_000);
    let probe = Running::on(Node::at("/"));
    probe.find("first totals", |draft| {
        assert_eq!(reading(draft, &cached.entity, metrics::FUSE_HIT_RATIO), None, "there is no interval yet");
        assert!(draft.entities.iter().any(|info| info.entity == cached.entity));
        let misses = reading(draft, &cached.entity, metrics::FUSE_MISS_BYTES)?;
        assert_eq!(misses, &1_000u64.into());
        assert_eq!(reading(draft, &cached.entity, metrics::FUSE_REMOTE_ERRORS), Some(&5u64.into()));
        assert_eq!(reading(draft, &cached.entity, metrics::FUSE_PROVIDER), Some(&"juicefs".into()));
        assert_eq!(reading(draft, &cached.entity, metrics::FUSE_WAITING), Some(&0.0.into()));
        assert_eq!(reading(draft, &plain.entity, metrics::FUSE_PROVIDER), Some(&"none".into()));
        assert_eq!(reading(draft, &plain.entity, metrics::FUSE_HIT_RATIO), Some(&Reading::Unsupported));
        state(draft, &plain, "ok")
    });
    cached.controls.serve(1_300, 1_100);
    let ratio = |percent: f64| {
        probe.find("a ratio", |draft| {
            (reading(draft, &cached.entity, metrics::FUSE_HIT_RATIO) == Some(&percent.into())).then_some(())
        });
    };
    ratio(75.0);
    // The daemon started anew: what it counted since is the interval.
    cached.controls.serve(10, 90);
    ratio(10.0);
}

#[test]
fn a_daemon_that_does_not_answer_is_told_while_the_others_go_on() {
    if !can_mount() {
        return;
    }
    let (sick, well) = (Mounted::new(), Mounted::new());
    sick.controls.serve(0, 0);
    let probe = Running::on(Node::at("/"));
    probe.find("both mounts well", |draft| state(draft, &sick, "ok").and_then(|()| state(draft, &well, "ok")));

    sick.controls.hang(true);
    let hung_at = now();
    probe.find("the hang", |draft| {
        let event = happened(draft, &sick.entity, event::PROBE_STUCK)?;
        assert_eq!(event.field("call").unwrap().as_text(), Some("statfs"));
        assert!(u64::try_from(event.field("since_ns").unwrap().as_int().unwrap()).unwrap() >= probe.began);
        assert!(event.field("wchan").is_some(), "the kernel tells what it waits in");
        assert_eq!(state(draft, &sick, "hung"), Some(()));
        let ratio = reading(draft, &sick.entity, metrics::FUSE_HIT_BYTES);
        assert!(matches!(ratio, Some(Reading::Stuck(_, call)) if call == "statfs"), "{ratio:?}");
        Some(())
    });
    assert!(now() - hung_at < 4_000_000_000, "told after {} ns", now() - hung_at);

    let mut answered = 0;
    probe.find("the other mount going on", |draft| {
        assert_ne!(state(draft, &well, "hung"), Some(()));
        assert!(happened(draft, &well.entity, event::PROBE_STUCK).is_none());
        answered += usize::from(state(draft, &well, "ok").is_some());
        let waiting = reading(draft, &sick.entity, metrics::FUSE_WAITING).and_then(|waiting| waiting.good()?.as_f64());
        // Ours, and those of any other probe that runs here.
        (answered >= 2 && waiting >= Some(1.0)).then_some(())
    });

    sick.controls.hang(false);
    probe.find("the answer", |draft| {
        let event = happened(draft, &sick.entity, event::PROBE_FREED)?;
        assert!(event.field("stuck_ns").unwrap().as_int().unwrap() >= 2_000_000_000);
        Some(())
    });
    probe.find("the mount well again", |draft| state(draft, &sick, "ok"));

    sick.abort();
    probe.find("the broken connection", |draft| {
        state(draft, &sick, "disconnected")?;
        assert_eq!(reading(draft, &sick.entity, metrics::FUSE_HIT_RATIO), Some(&Reading::Lost));
        Some(())
    });
    let gone = sick.entity.clone();
    drop(sick);
    probe.find("the mount gone", |draft| draft.gone.contains(&gone).then_some(()));
}

#[test]
fn a_captured_tree_is_read_from_its_files_alone() {
    let tree = tempfile::tempdir().unwrap();
    let file = |path: &str, text: &str| {
        let path = tree.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    file(
        "proc/self/mountinfo",
        "42 27 0:39 / /data rw - fuse.juicefs JuiceFS:train rw\n43 27 0:40 / /home rw - nfs4 filer:/home rw\n",
    );
    file("sys/fs/fuse/connections/39/waiting", "3\n");
    file("sys/fs/fuse/connections/39/max_background", "12\n");
    file("data/.stats", "juicefs_blockcache_hit_bytes 30\njuicefs_blockcache_miss_bytes 10\n");
    let probe = Running::on(Node::at(tree.path()));
    let (data, home) = (Entity::Mount("/data".to_owned()), Entity::Mount("/home".to_owned()));
    probe.find("the statistics", |draft| {
        assert_eq!(reading(draft, &home, metrics::FUSE_TYPE), Some(&"nfs4".into()));
        assert_eq!(reading(draft, &home, metrics::FUSE_STATE), None);
        assert_eq!(reading(draft, &data, metrics::FUSE_WAITING), Some(&3.0.into()));
        assert_eq!(reading(draft, &data, metrics::FUSE_SOURCE), Some(&"JuiceFS:train".into()));
        let hits = reading(draft, &data, metrics::FUSE_HIT_BYTES)?;
        assert_eq!(hits, &30u64.into());
        assert_eq!(reading(draft, &data, metrics::FUSE_STATE), Some(&Reading::Unsupported), "nobody to ask");
        Some(())
    });
}

#[test]
fn a_node_with_very_many_mounts_costs_no_more_than_sixteen_threads() {
    let tree = tempfile::tempdir().unwrap();
    let lines: String = (0..20).map(|n| format!("{n} 1 0:{n} / /m/{n} rw - fuse.s3fs bucket rw\n")).collect();
    std::fs::create_dir_all(tree.path().join("proc/self")).unwrap();
    std::fs::write(tree.path().join("proc/self/mountinfo"), lines).unwrap();
    let probe = Running::on(Node::at(tree.path()));
    probe.find("the mounts that are not asked", |draft| {
        assert_eq!(draft.entities.len(), 20, "all are told");
        let not_asked = draft.faults.iter().filter(|fault| fault.why.raw().contains("not asked")).count();
        assert_eq!(not_asked, 4);
        Some(())
    });
}

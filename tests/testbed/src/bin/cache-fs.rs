//! A FUSE file system with a cache that keeps account: `cache-fs MOUNTPOINT`.
//!
//! `/data` is 64 MiB of remote bytes. A block read for the first time is a miss, later a hit; `/.stats` tells both, in
//! the form and under the names of JuiceFS' own file of that name (size 0, direct I/O, `name value` lines).

#![allow(clippy::expect_used, clippy::exit, reason = "a test program: it stops with a message")]

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt::Write;
use std::sync::Mutex;
use std::time::{Duration, UNIX_EPOCH};

use fuser::{
    Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner, MountOption,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEntry, ReplyOpen, ReplyStatfs, Request, SessionACL,
};

const STATS: INodeNo = INodeNo(2);
const DATA: INodeNo = INodeNo(3);
const DATA_BYTES: u64 = 64 << 20;
const BLOCK: u64 = 64 << 10;

#[derive(Default)]
struct Account {
    cached: BTreeSet<u64>,
    hits: u64,
    misses: u64,
    hit_bytes: u64,
    miss_bytes: u64,
}

struct CacheFs {
    account: Mutex<Account>,
    born: u64,
}

fn attributes(ino: INodeNo) -> Option<FileAttr> {
    let (kind, perm, size) = match ino {
        INodeNo::ROOT => (FileType::Directory, 0o755, 0),
        STATS => (FileType::RegularFile, 0o400, 0),
        DATA => (FileType::RegularFile, 0o444, DATA_BYTES),
        _ => return None,
    };
    Some(FileAttr {
        ino,
        size,
        blocks: size / 512,
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
        flags: 0,
        blksize: 4096,
    })
}

impl CacheFs {
    fn stats(&self) -> String {
        let account = self.account.lock().expect("no reader panics");
        let mut text = String::new();
        let uptime = (testbed::mono_ns() - self.born) / 1_000_000_000;
        for (name, value) in [
            ("juicefs_blockcache_blocks", u64::try_from(account.cached.len()).unwrap_or(0)),
            ("juicefs_blockcache_bytes", u64::try_from(account.cached.len()).unwrap_or(0) * BLOCK),
            ("juicefs_blockcache_evicts", 0),
            ("juicefs_blockcache_hits", account.hits),
            ("juicefs_blockcache_hit_bytes", account.hit_bytes),
            ("juicefs_blockcache_miss", account.misses),
            ("juicefs_blockcache_miss_bytes", account.miss_bytes),
            ("juicefs_object_request_errors", 0),
            ("juicefs_uptime", uptime),
        ] {
            let _infallible = writeln!(text, "{name} {value}");
        }
        text
    }

    fn count(&self, offset: u64, length: u64) {
        let mut account = self.account.lock().expect("no reader panics");
        if account.cached.insert(offset / BLOCK) {
            account.misses += 1;
            account.miss_bytes += length;
        } else {
            account.hits += 1;
            account.hit_bytes += length;
        }
    }
}

impl Filesystem for CacheFs {
    fn lookup(&self, _req: &Request, _parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let ino = match name.to_str() {
            Some(".stats") => STATS,
            Some("data") => DATA,
            _ => return reply.error(Errno::ENOENT),
        };
        match attributes(ino) {
            Some(found) => reply.entry(&Duration::ZERO, &found, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        match attributes(ino) {
            Some(found) => reply.attr(&Duration::ZERO, &found),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _req: &Request, _ino: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        if ino == DATA {
            let length = u64::from(size).min(DATA_BYTES.saturating_sub(offset));
            self.count(offset, length);
            return reply.data(&vec![0x5a; usize::try_from(length).unwrap_or(0)]);
        }
        let text = self.stats();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(text.len());
        let to = from.saturating_add(usize::try_from(size).unwrap_or(0)).min(text.len());
        reply.data(text.as_bytes().get(from..to).unwrap_or_default());
    }

    fn readdir(&self, _req: &Request, _ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let entries = [
            (INodeNo::ROOT, FileType::Directory, "."),
            (INodeNo::ROOT, FileType::Directory, ".."),
            (DATA, FileType::RegularFile, "data"),
        ];
        for (place, (ino, kind, name)) in entries.into_iter().enumerate() {
            let next = u64::try_from(place).unwrap_or(0) + 1;
            if next > offset && reply.add(ino, next, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        reply.statfs(DATA_BYTES / 4096, 0, 0, 2, 0, 4096, 255, 4096);
    }
}

fn main() {
    let Some(mountpoint) = std::env::args_os().nth(1) else {
        eprintln!("usage: cache-fs MOUNTPOINT");
        std::process::exit(64);
    };
    let mut config = Config::default();
    config.mount_options = vec![MountOption::RO, MountOption::FSName("cache-fs".to_owned())];
    config.acl = SessionACL::All;
    let files = CacheFs { account: Mutex::default(), born: testbed::mono_ns() };
    if let Err(error) = fuser::mount(files, &mountpoint, &config) {
        eprintln!("cache-fs: cannot mount {}: {error}", mountpoint.display());
        std::process::exit(74);
    }
}

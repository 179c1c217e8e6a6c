//! A power cut at any moment: a disk that logs what is asked of it, and every state that its medium may be in afterwards.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use recorder::Sync;
use recorder::disk::{Disk, DiskFile, Listed, Local, Space};
use recorder::live::{Options, Recorder};

use crate::common::{Dice, S, frames, header};
use crate::{check, options, originals, rounds, scratch};

#[derive(Clone, Debug)]
enum Op {
    Create(usize, String),
    Put(usize, Vec<u8>, u64),
    Cut(usize, u64),
    /// What was asked before this place in the log is on the medium.
    Sync(usize, usize),
    Remove(String),
    SyncNames(usize),
    Acknowledged(u64),
}

#[derive(Debug, Default)]
struct Log {
    ops: Vec<Op>,
    files: usize,
    names: BTreeMap<String, usize>,
    lengths: BTreeMap<usize, u64>,
}

#[derive(Clone, Debug, Default)]
struct Logging(Arc<Mutex<Log>>);

#[derive(Debug)]
struct Logged(Logging, usize);

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

impl Logging {
    /// A sync takes a while; what is asked meanwhile is not covered by it.
    fn sync(&self, op: impl Fn(usize) -> Op) {
        let begun = self.0.lock().unwrap().ops.len();
        std::thread::sleep(Duration::from_micros(u64::try_from(begun % 7).unwrap() * 60));
        self.0.lock().unwrap().ops.push(op(begun));
    }
}

impl DiskFile for Logged {
    fn put_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut log = self.0.0.lock().unwrap();
        log.ops.push(Op::Put(self.1, bytes.to_vec(), offset));
        let length = log.lengths.entry(self.1).or_default();
        *length = (*length).max(offset + bytes.len() as u64);
        Ok(())
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.0.0.lock().unwrap().ops.push(Op::Cut(self.1, length));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync(|begun| Op::Sync(self.1, begun));
        Ok(())
    }

    fn is_named(&self) -> io::Result<bool> {
        Ok(self.0.0.lock().unwrap().names.values().any(|file| *file == self.1))
    }
}

impl Disk for Logging {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let mut log = self.0.lock().unwrap();
        if log.names.contains_key(&name(path)) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = log.files;
        log.files += 1;
        log.names.insert(name(path), file);
        log.ops.push(Op::Create(file, name(path)));
        Ok(Arc::new(Logged(self.clone(), file)))
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut log = self.0.lock().unwrap();
        log.ops.push(Op::Remove(name(path)));
        log.names.remove(&name(path)).map(|_| ()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.sync(Op::SyncNames);
        Ok(())
    }

    fn space(&self, _: &Path) -> io::Result<Space> {
        Ok(Space { free: 1 << 40, total: 1 << 41 })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        let log = self.0.lock().unwrap();
        let listed = |(name, file): (&String, &usize)| Listed {
            path: PathBuf::from(path).join(name),
            bytes: log.lengths.get(file).copied().unwrap_or(0),
            modified: SystemTime::now(),
        };
        Ok(log.names.iter().map(listed).collect())
    }
}

fn put(bytes: &mut Vec<u8>, new: &[u8], offset: u64) {
    let (from, to) = (offset as usize, offset as usize + new.len());
    bytes.resize(bytes.len().max(to), 0);
    bytes[from..to].copy_from_slice(new);
}

/// One file as a power cut may leave it: what was synced, and of the rest nothing, a part in order, one write torn or
/// missing among those that arrived, or zeros where data was to come.
fn contents(ops: &[Op], file: usize, dice: &mut Dice) -> Vec<u8> {
    let synced =
        ops.iter().filter_map(|op| if let Op::Sync(of, begun) = op { (*of == file).then_some(*begun) } else { None });
    let safe = synced.max().unwrap_or(0);
    let own = |op: &&(usize, &Op)| matches!(op.1, Op::Put(of, ..) | Op::Cut(of, _) if *of == file);
    let all: Vec<(usize, &Op)> = ops.iter().enumerate().collect();
    let own: Vec<_> = all.iter().filter(own).collect();
    let unsafe_count = own.iter().filter(|(at, _)| *at >= safe).count();
    let kept = own.len() - unsafe_count + dice.roll(unsafe_count as u64 + 1) as usize;
    let how = dice.roll(5);
    let mut bytes = Vec::new();
    for (place, (at, op)) in own.iter().take(kept).enumerate() {
        let last_unsafe = place + 1 == kept && *at >= safe;
        match op {
            Op::Put(_, new, offset) if last_unsafe && how == 0 => {
                put(&mut bytes, &new[..dice.roll(new.len() as u64) as usize], *offset);
            }
            // The length is on the medium, the data is not.
            Op::Put(_, new, offset) if last_unsafe && how == 1 => put(&mut bytes, &vec![0; new.len()], *offset),
            // A page before it that did not arrive.
            Op::Put(_, new, offset) if *at >= safe && how == 2 && dice.roll(3) == 0 => {
                put(&mut bytes, &vec![0; new.len()], *offset);
            }
            Op::Put(_, new, offset) => put(&mut bytes, new, *offset),
            Op::Cut(_, length) => bytes.truncate(*length as usize),
            _ => {}
        }
    }
    bytes
}

/// The directory as a power cut after these operations may leave it.
fn state(ops: &[Op], dice: &mut Dice) -> BTreeMap<String, Vec<u8>> {
    let synced = ops.iter().filter_map(|op| if let Op::SyncNames(begun) = op { Some(*begun) } else { None });
    let safe = synced.max().unwrap_or(0);
    let mut names = BTreeMap::new();
    for (at, op) in ops.iter().enumerate() {
        match op {
            Op::Create(file, name) if at < safe || dice.roll(2) == 0 => drop(names.insert(name.clone(), *file)),
            Op::Remove(name) if at < safe || dice.roll(2) == 0 => drop(names.remove(name)),
            _ => {}
        }
    }
    names.into_iter().map(|(name, file)| (name, contents(ops, file, dice))).collect()
}

/// The Frames that were made safe: acknowledged, and the file that took them was synced afterwards.
fn promised(ops: &[Op]) -> Vec<u64> {
    let journals: BTreeMap<usize, &str> = ops
        .iter()
        .filter_map(|op| if let Op::Create(file, name) = op { Some((*file, name.as_str())) } else { None })
        .filter(|(_, name)| name.contains(".gdk.j"))
        .collect();
    // By file: up to where in the log it is safe; by Frame: the write into a journal that took it.
    let (mut safe, mut taken, mut promised) = (BTreeMap::new(), (0, 0), Vec::new());
    for (at, op) in ops.iter().enumerate() {
        match op {
            Op::Put(file, ..) if journals.contains_key(file) => taken = (*file, at),
            Op::Sync(file, begun) => {
                let until = safe.entry(*file).or_insert(0);
                *until = (*begun).max(*until);
            }
            Op::Acknowledged(seq) => promised.push((*seq, taken)),
            _ => {}
        }
    }
    promised.retain(|(_, (file, at))| safe.get(file).is_some_and(|until| until > at));
    promised.into_iter().map(|(seq, _)| seq).collect()
}

/// A recording on a logging disk: what was asked of it, an acknowledgement after each Frame, to the clean end.
fn recorded(count: u64, seed: u64, single: bool) -> (Vec<Op>, Vec<model::Frame>) {
    let directory = scratch();
    let disk = Logging::default();
    let options = Options { segment_ns: 30 * S, disk: Arc::new(disk.clone()), ..options(Sync::Tick) };
    let out = if single { directory.path().join("x.gdk") } else { directory.path().to_owned() };
    let recorder = Recorder::start(&out, &header(), options).unwrap();
    let frames = frames(count, seed);
    for frame in &frames {
        assert!(recorder.append(Arc::new(frame.clone())));
        recorder.flush();
        disk.0.lock().unwrap().ops.push(Op::Acknowledged(frame.seq));
        if frame.seq % 3 == 0 {
            // So that syncs end between Frames, too.
            std::thread::sleep(Duration::from_micros(600));
        }
    }
    recorder.finish().unwrap();
    let ops = std::mem::take(&mut disk.0.lock().unwrap().ops);
    (ops, frames)
}

#[test]
fn after_a_power_cut_every_frame_that_was_synced_is_there_and_none_is_wrong() {
    let mut dice = Dice(0xB10C);
    let (mut states, mut promises, mut unreadable) = (0, 0, 0);
    for (seed, single) in [(3, true), (4, false), (5, true), (6, false)] {
        let (ops, frames) = recorded(330, seed, single);
        let originals = originals(&frames);
        let removes = ops.iter().filter(|op| matches!(op, Op::Remove(name) if name.contains(".gdk.j"))).count();
        assert!(removes > 10, "journals are deleted while it records");
        for _ in 0..rounds(50, 2_500) {
            let until = dice.roll(ops.len() as u64 + 1) as usize;
            let directory = scratch();
            for (name, bytes) in state(&ops[..until], &mut dice) {
                std::fs::write(directory.path().join(name), bytes).unwrap();
            }
            let promised = promised(&ops[..until]);
            let path = if single { directory.path().join("x.gdk") } else { directory.path().to_owned() };
            let told = format!("cut after {until} of {} operations, one file: {single}", ops.len());
            match check(&path, &originals) {
                Ok((seqs, damage)) => {
                    let missing: Vec<_> = promised.iter().filter(|seq| seqs.binary_search(seq).is_err()).collect();
                    assert!(missing.is_empty(), "{told}: {missing:?} were synced and are gone; {damage:?}");
                }
                Err(error) => {
                    assert!(promised.is_empty(), "{told}: {} Frames were synced; {error}", promised.len());
                    unreadable += 1;
                }
            }
            states += 1;
            promises += promised.len();
        }
    }
    println!("{states} states, {promises} Frames promised in them; {unreadable} from before anything was safe");
}

/// The node's disk, of which each third sync of a segment or manifest fails.
#[derive(Debug, Default)]
struct Refusing(Arc<Mutex<u64>>);

#[derive(Debug)]
struct Refused(Arc<dyn DiskFile>, Option<Arc<Mutex<u64>>>);

impl DiskFile for Refused {
    fn put_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.put_at(bytes, offset)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.0.cut(length)
    }

    fn sync(&self) -> io::Result<()> {
        if let Some(count) = &self.1 {
            let mut count = count.lock().unwrap();
            *count += 1;
            if *count % 3 == 0 {
                return Err(io::Error::other("input/output error"));
            }
        }
        self.0.sync()
    }

    fn is_named(&self) -> io::Result<bool> {
        self.0.is_named()
    }
}

impl Disk for Refusing {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let counts = !name(path).contains(".gdk.j");
        Ok(Arc::new(Refused(Local.create(path)?, counts.then(|| Arc::clone(&self.0)))))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        Local.create_dir(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Local.remove(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        Local.sync_dir(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        Local.space(path)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        Local.list(path)
    }
}

#[test]
fn syncs_that_fail_lose_no_frame_and_tell_none_twice() {
    let directory = scratch();
    let options = Options { segment_ns: 30 * S, disk: Arc::new(Refusing::default()), ..options(Sync::Off) };
    let recorder = Recorder::start(directory.path(), &header(), options).unwrap();
    let frames = frames(330, 5);
    for frame in &frames {
        assert!(recorder.append(Arc::new(frame.clone())));
        recorder.flush();
    }
    // The last thing that it asks may be refused as well: then the journals are still there.
    let _told = recorder.finish();
    let (seqs, damage) = check(directory.path(), &originals(&frames)).unwrap();
    assert!(seqs.iter().copied().eq(1..=330), "{} of 330; {damage:?}", seqs.len());
}

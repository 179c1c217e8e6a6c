//! `/dev/kmsg` (`Documentation/ABI/testing/dev-kmsg`): one `read(2)` gives one record; EAGAIN at the end; EPIPE when
//! records were overwritten before they could be read, after which the next read gives the oldest there is.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::AsFd;
use std::path::Path;

use model::{Event, Stamp, event};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{FileType, Mode, OFlags};

use super::batch::Batch;
use crate::Outlet;

/// Longer than the longest record (the kernel's own limit is 8 KiB); a buffer too short gives EINVAL.
const MOST_BYTES: usize = 64 << 10;

/// A record that was read, with what was lost before it.
#[derive(Debug)]
pub struct Found {
    /// The raw event, stamped with the record's own monotonic time.
    pub event: Event,
    /// How many records are missing between the one read before and this one.
    pub lost: u64,
}

/// Records, one per read, of a source that behaves like the device.
#[derive(Debug)]
pub struct Records<R> {
    source: R,
    buffer: Box<[u8]>,
    expected: Option<u64>,
}

impl<R: Read> Records<R> {
    /// From where the source stands.
    pub fn new(source: R) -> Self {
        Self { source, buffer: vec![0; MOST_BYTES].into_boxed_slice(), expected: None }
    }

    /// The next record; `None` when there is none now.
    ///
    /// # Errors
    /// What the device answered, or [`ErrorKind::InvalidData`] for a record that cannot be read; the one after it can.
    pub fn next_record(&mut self) -> io::Result<Option<Found>> {
        let length = loop {
            match self.source.read(&mut self.buffer) {
                Ok(0) => return Ok(None),
                Ok(length) => break length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                // Overrun: the sequence number of the next record tells by how much.
                Err(error) if matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
                Err(error) => return Err(error),
            }
        };
        let bytes = self.buffer.get(..length).unwrap_or_default();
        let event = decode::parse_kmsg(bytes).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
        let sequence = event.record.as_ref().and_then(|record| record.sequence);
        let lost = sequence.zip(self.expected).map_or(0, |(found, expected)| found.saturating_sub(expected));
        self.expected = sequence.map(|sequence| sequence.saturating_add(1)).or(self.expected);
        Ok(Some(Found { event, lost }))
    }
}

/// Where the backlog ends: at the first record that somebody who began to listen at the start has heard.
///
/// The records' own times do not tell: the kernel stamps them by another clock than `CLOCK_MONOTONIC`, and the two
/// drift apart by seconds over months.
#[derive(Debug)]
pub struct Border<R> {
    listener: Option<Records<R>>,
    first_new: Option<u64>,
}

impl<R: Read> Border<R> {
    /// The listener stands at the end of the log.
    pub fn new(listener: R) -> Self {
        Self { listener: Some(Records::new(listener)), first_new: None }
    }

    /// The end of the log was reached: everything from here on is new.
    pub fn reach_end(&mut self) {
        self.listener = None;
    }

    /// Whether the record of this number, which has just been read, was there at the start.
    pub fn is_backlog(&mut self, sequence: Option<u64>) -> bool {
        let Some(listener) = &mut self.listener else { return false };
        if self.first_new.is_none() {
            let heard = listener.next_record().ok().flatten();
            self.first_new = heard.and_then(|found| found.event.record?.sequence);
        }
        match (self.first_new, sequence) {
            (Some(first_new), Some(sequence)) => sequence < first_new,
            _ => true,
        }
    }
}

/// The open device.
#[derive(Debug)]
pub struct Device {
    records: Records<File>,
    border: Border<File>,
}

impl Device {
    /// Opens it twice: from the oldest record, and from the end.
    ///
    /// # Errors
    /// The system's; [`ErrorKind::NotFound`] for something that is no character device.
    pub fn open(path: &Path) -> io::Result<Self> {
        let mut listener = open(path)?;
        listener.seek(SeekFrom::End(0))?;
        Ok(Self { records: Records::new(open(path)?), border: Border::new(listener) })
    }

    /// Hands every record on, and waits for more. False once nobody listens any more; true when the device failed and
    /// should be opened anew.
    pub fn follow(mut self, outlet: &Outlet, batch: &mut Batch<'_>) -> bool {
        loop {
            match self.records.next_record() {
                Ok(Some(found)) => {
                    if !self.hand_on(found, outlet.now(), batch) {
                        return false;
                    }
                }
                Ok(None) => {
                    self.border.reach_end();
                    if !batch.turn() {
                        return false;
                    }
                    self.wait(batch);
                }
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    batch.mention("read /dev/kmsg", &error.to_string())
                }
                Err(error) => {
                    batch.mention("read /dev/kmsg", &error.to_string());
                    return batch.idle_until(outlet.now().mono_ns.unwrap_or(0).saturating_add(super::TRY_AGAIN_NS));
                }
            }
        }
    }

    fn hand_on(&mut self, found: Found, now: Stamp, batch: &mut Batch<'_>) -> bool {
        let at = found.event.at.align(now);
        let backlog = self.border.is_backlog(found.event.record.as_ref().and_then(|record| record.sequence));
        if found.lost > 0 {
            batch.count_lost(found.lost);
            let lost = i64::try_from(found.lost).unwrap_or(i64::MAX);
            if !batch.push(Event { backlog, ..Event::new(at, event::KERNEL_GAP).with("lost", lost) }) {
                return false;
            }
        }
        batch.push(Event { at, backlog, ..found.event })
    }

    fn wait(&self, batch: &Batch<'_>) {
        let patience = batch.patience();
        let timeout = Timespec { tv_sec: 0, tv_nsec: i64::from(patience.subsec_nanos()) };
        let mut asked = [PollFd::from_borrowed_fd(self.records.source.as_fd(), PollFlags::IN)];
        // Woken by a record, the time, or a signal: in each case the loop looks again.
        rustix::event::poll(&mut asked, Some(&timeout)).ok();
    }
}

fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
    let file = rustix::fs::open(path, flags, Mode::empty())?;
    let kind = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode);
    if kind == FileType::CharacterDevice {
        Ok(File::from(file))
    } else {
        Err(io::Error::new(ErrorKind::NotFound, "not a character device"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Answers like the device, from a script.
    struct Script(VecDeque<io::Result<String>>);

    impl Script {
        fn of(answers: impl IntoIterator<Item = io::Result<String>>) -> Self {
            Self(answers.into_iter().collect())
        }
    }

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let record = self.0.pop_front().unwrap_or_else(|| Err(ErrorKind::WouldBlock.into()))?;
            buffer[..record.len()].copy_from_slice(record.as_bytes());
            Ok(record.len())
        }
    }

    fn record(sequence: u64) -> io::Result<String> {
        Ok(format!("11,{sequence},1198430709,-;line {sequence}\n SUBSYSTEM=pci\n DEVICE=+pci:0000:01:00.0\n"))
    }

    fn overrun() -> io::Result<String> {
        Err(io::Error::from_raw_os_error(libc::EPIPE))
    }

    fn sequence(found: &Found) -> u64 {
        found.event.record.as_ref().unwrap().sequence.unwrap()
    }

    #[test]
    fn an_overrun_is_counted_by_the_sequence_numbers() {
        let mut records = Records::new(Script::of([record(5), record(6), overrun(), record(106), record(107)]));
        let mut found = Vec::new();
        while let Some(next) = records.next_record().unwrap() {
            found.push((sequence(&next), next.lost));
        }
        assert_eq!(found, [(5, 0), (6, 0), (106, 99), (107, 0)]);
    }

    #[test]
    fn what_was_overwritten_before_the_start_is_no_loss() {
        let mut records = Records::new(Script::of([overrun(), record(4_000)]));
        assert_eq!(records.next_record().unwrap().unwrap().lost, 0);
    }

    #[test]
    fn a_record_comes_whole_with_its_dictionary() {
        let mut records = Records::new(Script::of([record(351)]));
        let event = records.next_record().unwrap().unwrap().event;
        assert_eq!((event.kind.as_ref(), event.at.mono_ns), (event::KERNEL_LINE, Some(1_198_430_709_000)));
        let raw = event.record.unwrap();
        assert_eq!((raw.text.as_slice(), raw.facility, raw.priority), (b"line 351".as_slice(), Some(1), Some(3)));
        assert_eq!(raw.dictionary.len(), 2);
    }

    #[test]
    fn a_record_that_cannot_be_read_does_not_stop_the_next() {
        let mut records = Records::new(Script::of([Ok("garbage".to_owned()), record(9)]));
        assert_eq!(records.next_record().unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(sequence(&records.next_record().unwrap().unwrap()), 9);
    }

    #[test]
    fn the_backlog_ends_where_a_listener_at_the_start_hears_the_first_record() {
        let mut border = Border::new(Script::of([Err(ErrorKind::WouldBlock.into()), record(12), record(13)]));
        assert!(border.is_backlog(Some(10)), "the listener has heard nothing");
        assert!(border.is_backlog(Some(11)), "it has heard 12");
        assert!(!border.is_backlog(Some(12)));
        assert!(!border.is_backlog(Some(13)));
        let mut quiet = Border::new(Script::of([]));
        assert!(quiet.is_backlog(Some(1)));
        quiet.reach_end();
        assert!(!quiet.is_backlog(Some(2)));
    }
}

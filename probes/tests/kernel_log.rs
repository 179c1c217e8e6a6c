//! The kernel log probe on the real `/dev/kmsg`, and on captured trees.
//!
//! The device is one for the whole machine: the tests know their own lines by a nonce and say nothing of the others.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use model::{Draft, Event, Metric, Provenance, Reading, Stamp, catalogue as metrics, event};
use probes::{Node, Outlet};

struct Running {
    drafts: Receiver<Draft>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn ns(clock: rustix::time::ClockId) -> i64 {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

fn clock() -> Stamp {
    let mono = u64::try_from(ns(rustix::time::ClockId::Monotonic)).unwrap();
    Stamp::new(mono, ns(rustix::time::ClockId::Realtime))
}

impl Running {
    fn on(root: &Path) -> Self {
        let (sender, drafts) = mpsc::sync_channel(64);
        let stop = Arc::new(AtomicBool::new(false));
        let outlet = Outlet::new("kernel_log", sender, clock, Arc::clone(&stop));
        let node = Node::at(root).every(Duration::from_millis(300));
        let thread = std::thread::spawn(move || probes::kernel_log::run(&node, &outlet));
        Self { drafts, stop, thread: Some(thread) }
    }

    /// The first Draft that the question finds an answer in, within ten seconds.
    fn find<T>(&self, what: &str, mut question: impl FnMut(&Draft) -> Option<T>) -> T {
        let until = ns(rustix::time::ClockId::Monotonic) + 10_000_000_000;
        while ns(rustix::time::ClockId::Monotonic) < until {
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

    fn line(&self, nonce: &str) -> Event {
        self.find(nonce, |draft| {
            let is_it = |event: &&Event| event.kind == event::KERNEL_LINE && event.text().raw().contains(nonce);
            draft.events.iter().find(is_it).cloned()
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while self.drafts.recv_timeout(Duration::from_secs(2)).is_ok() {}
        self.thread.take().unwrap().join().unwrap();
    }
}

fn state(draft: &Draft, metric: &Metric) -> Option<Reading> {
    draft.samples.iter().find(|(key, _)| key.metric.as_str() == metric.name).map(|(_, reading)| reading.clone())
}

/// One write is one record, and needs its newline to be seen. The device is opened anew for each: the kernel silently
/// drops lines of a writer that writes too many.
fn write_line(text: &str) {
    let mut device = std::fs::OpenOptions::new().write(true).open("/dev/kmsg").unwrap();
    device.write_all(format!("<3>{text}\n").as_bytes()).unwrap();
}

fn file(tree: &Path, path: &str, text: &str) {
    let path = tree.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

#[test]
fn a_line_written_to_the_real_device_comes_back_as_injected() {
    if !rustix::process::geteuid().is_root() || std::fs::File::open("/dev/kmsg").is_err() {
        let _nobody_reads = writeln!(std::io::stderr(), "skipped: needs root and /dev/kmsg");
        return;
    }
    let nonce = |what: &str| format!("gpudeck-test-{what}-{}", ns(rustix::time::ClockId::Realtime));
    let (before, after) = (nonce("before"), nonce("after"));
    write_line(&before);
    let probe = Running::on(Path::new("/"));
    let old = probe.line(&before);
    assert!(old.backlog, "it was there before the probe");
    probe.find("the sign of life", |draft| {
        assert_eq!(state(draft, metrics::PROBE_STATE)?, "ok".into());
        assert!(matches!(state(draft, metrics::PROBE_LOST_RECORDS), Some(Reading::Good(_))));
        Some(())
    });

    let written = clock();
    write_line(&format!("NVRM: Xid (PCI:0000:4f:00): 79, {after}\t\\ end"));
    let new = probe.line(&after);
    assert!(!new.backlog);
    assert!(new.injected(), "user space cannot write as the kernel");
    let record = new.record.as_ref().unwrap();
    assert_eq!((record.facility, record.priority, record.provenance()), (Some(1), Some(3), Provenance::Injected));
    assert!(record.sequence > old.record.unwrap().sequence);
    assert!(new.text().raw().ends_with("\\x09\\x5c end"), "escapes stay as the record has them: {:?}", new.text());
    let apart = new.at.real_ns.unwrap() - written.real_ns.unwrap();
    assert!(apart.abs() < 2_000_000_000, "stamped {apart} ns from when it was written");
}

#[test]
fn a_captured_tree_holds_the_kernels_own_lines_and_may_grow() {
    let tree = tempfile::tempdir().unwrap();
    file(tree.path(), "proc/stat", "cpu 1 2 3 4\nbtime 1795439000\n");
    let xid = "3,1203,1198430709,-;NVRM: Xid (PCI:0000:4f:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off \
               the bus.\n SUBSYSTEM=pci\n DEVICE=+pci:0000:4f:00.0\n6,1204,1198430800,-;after it\n";
    file(tree.path(), "dev/kmsg", xid);
    let probe = Running::on(tree.path());
    let fell_off = probe.line("fallen off");
    let record = fell_off.record.as_ref().unwrap();
    assert_eq!((record.provenance(), record.sequence, record.line), (Provenance::Kernel, Some(1203), Some(1)));
    assert_eq!(record.dictionary.len(), 2);
    assert_eq!(fell_off.at, Stamp::new(1_198_430_709_000, 1_795_440_198_430_709_000), "by the tree's own boot time");
    assert!(fell_off.backlog);

    let mut log = std::fs::OpenOptions::new().append(true).open(tree.path().join("dev/kmsg")).unwrap();
    log.write_all(b"3,1205,1199000000,-;appended later\n").unwrap();
    let later = probe.line("appended later");
    assert!(!later.backlog);
    assert_eq!(later.record.unwrap().line, Some(5));

    // Rotated: the name leads to another file.
    std::fs::rename(tree.path().join("dev/kmsg"), tree.path().join("dev/kmsg.1")).unwrap();
    file(tree.path(), "dev/kmsg", "3,1206,1200000000,-;in the new file\n");
    let rotated = probe.line("in the new file");
    assert_eq!((rotated.backlog, rotated.record.unwrap().line), (false, Some(1)));
}

#[test]
fn a_tree_with_a_plain_log_is_read_and_one_without_says_so() {
    let tree = tempfile::tempdir().unwrap();
    file(
        tree.path(),
        "var/log/messages",
        "Nov 23 16:34:00 gpu-7 app[1]: NVRM: Xid (PCI:0000:01:00): 48, made up\n\
         Nov 23 16:34:01 gpu-7 kernel: [  120.500000] NVRM: Xid (PCI:0000:4f:00): 79, real\n",
    );
    let probe = Running::on(tree.path());
    probe.find("the kernel's line and no other", |draft| {
        let lines: Vec<&Event> = draft.events.iter().filter(|event| event.kind == event::KERNEL_LINE).collect();
        assert!(lines.iter().all(|event| !event.text().raw().contains("made up")));
        let line = lines.first()?;
        assert_eq!(line.text().raw(), "NVRM: Xid (PCI:0000:4f:00): 79, real");
        assert_eq!((line.at.mono_ns, line.backlog), (Some(120_500_000_000), true));
        Some(())
    });

    let empty = tempfile::tempdir().unwrap();
    Running::on(empty.path()).find("the missing log", |draft| {
        assert_eq!(state(draft, metrics::PROBE_STATE)?, "missing".into());
        draft.faults.iter().find(|fault| fault.advice.as_ref().is_some_and(|advice| advice.contains("dev/kmsg")))?;
        Some(())
    });
}

//! The kernel log, record by record as the kernel has it. Nothing is interpreted here: `decode` turns the raw events
//! into typed ones, live and again at every replay.
//!
//! Sources in order: `/dev/kmsg` ([`device`]; `Documentation/ABI/testing/dev-kmsg`), then the log files that a syslog
//! daemon writes ([`tail`]). In a captured tree `dev/kmsg` is a plain file of records. The device is the only one that
//! tells who wrote a line and whether records were lost, so a log file on a running node is a degraded source.

pub mod batch;
pub mod device;
pub mod tail;

use std::io;

use model::{Draft, ProbeFault, Stamp};

use crate::tree::{self, Directory};
use crate::{Node, Outlet};
use batch::Batch;
use tail::{Form, Tail};

/// How long to wait before a source that could not be opened is tried again, nanoseconds.
const TRY_AGAIN_NS: u64 = 30_000_000_000;
/// Of a log file on a running node, the most bytes of history that are read.
const MOST_HISTORY: u64 = 4 << 20;
/// The most bytes read of a tree's `/proc/stat`.
const MOST_STAT: u64 = 1 << 20;

/// Log files that hold the kernel's lines, best first.
const LOG_FILES: &[(&str, Form)] =
    &[("/var/log/kern.log", Form::Text), ("/var/log/messages", Form::Mixed), ("/var/log/syslog", Form::Mixed)];
/// The log of the boot, as a distribution or a person saved it: of use in a captured tree only.
const SAVED: &str = "/var/log/dmesg";

/// Runs the probe until it is asked to stop.
pub fn run(node: &Node, outlet: &Outlet) {
    let mut batch = Batch::new(outlet, node.interval);
    while !outlet.stopping() {
        let opened = if node.live() { open_live(node, &mut batch) } else { open_captured(node, &mut batch) };
        let goes_on = match opened {
            Some(Source::Device(device)) => device.follow(outlet, &mut batch),
            Some(Source::File(mut tail)) => tail.follow(outlet, &mut batch),
            None => batch.idle_until(outlet.now().mono_ns.unwrap_or(0).saturating_add(TRY_AGAIN_NS)),
        };
        if !goes_on {
            return;
        }
    }
}

enum Source {
    Device(device::Device),
    File(Tail),
}

fn open_live(node: &Node, batch: &mut Batch<'_>) -> Option<Source> {
    let path = node.path("/dev/kmsg");
    let error = match device::Device::open(&path) {
        Ok(device) => {
            batch.say("ok", None);
            return Some(Source::Device(device));
        }
        Err(error) => error,
    };
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let advice = if denied {
        "run as root or with CAP_SYSLOG, or set kernel.dmesg_restrict=0"
    } else {
        "in a container, bind the host's /dev/kmsg; as long as it is missing, who wrote a line is not known"
    };
    let fault = ProbeFault {
        call: "open /dev/kmsg".to_owned(),
        entity: None,
        why: error.to_string().into(),
        advice: Some(advice.to_owned()),
    };
    for (file, form) in LOG_FILES {
        if let Ok(mut tail) = Tail::open(&node.path(file), *form, None) {
            batch.say("degraded", Some(fault));
            tail.skip_to_last(MOST_HISTORY);
            return Some(Source::File(tail));
        }
    }
    batch.say(if denied { "denied" } else { "missing" }, Some(fault));
    None
}

/// Of a captured tree only plain files are read: a device node in it would be this machine's.
fn open_captured(node: &Node, batch: &mut Batch<'_>) -> Option<Source> {
    let anchor = boot_time(node);
    let records = [("/dev/kmsg", Form::Records)];
    let texts = LOG_FILES.iter().copied().chain([(SAVED, Form::Text)]);
    for (file, form) in records.into_iter().chain(texts) {
        match open_inside(node, file, form, anchor) {
            Ok(tail) => {
                batch.say("ok", None);
                return Some(Source::File(tail));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                let mut draft = Draft::default();
                draft.fault(format!("open {file}"), None, error.to_string());
                batch.say("denied", draft.faults.pop());
                return None;
            }
        }
    }
    let fault = ProbeFault {
        call: "open dev/kmsg".to_owned(),
        entity: None,
        why: "the tree holds no kernel log".into(),
        advice: Some("put one there as dev/kmsg (records) or var/log/kern.log (text)".to_owned()),
    };
    batch.say("missing", Some(fault));
    None
}

/// The instant of boot by the tree's own account; the clocks of the machine that reads it say nothing about it.
fn boot_time(node: &Node) -> Option<Stamp> {
    let stat = tree::read(node, "/proc/stat", MOST_STAT).ok()?;
    let seconds = i64::try_from(crate::host::parse::total(&String::from_utf8_lossy(&stat), "btime")?).ok()?;
    Some(Stamp::new(0, seconds.checked_mul(1_000_000_000)?))
}

/// Opens a file of a captured tree, without leaving the tree by a link on the way.
fn open_inside(node: &Node, file: &str, form: Form, anchor: Option<Stamp>) -> io::Result<Tail> {
    let (directory, name) = file.rsplit_once('/').unwrap_or(("/", file));
    let directory = Directory::open(node, directory)?;
    Tail::open(&node.path(directory.place().join(name)), form, anchor)
}

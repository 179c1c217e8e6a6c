//! The worker process of one probe: Frames over a pipe, each with its length before it.
//!
//! The worker ends when its standard input closes or nobody reads its output any more: it lets calls in flight come
//! back and is never killed inside one. A probe that is stuck keeps its worker until the call returns; the engine does
//! not wait for it.

use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use model::{Dictionary, Draft, wire};

use crate::{Clock, Node, Outlet, Polled};

/// The probes by name, in the order in which they are started.
pub const NAMES: &[&str] = &["kernel_log", "nvml", "pcie", "rdma", "fuse", "host", "process"];

/// How often a thread that waits looks whether it should stop.
pub const STOP_POLL: Duration = Duration::from_millis(100);

/// There is no probe of this name.
#[derive(Debug, thiserror::Error)]
#[error("there is no probe `{found}`; the probes are {}", NAMES.join(", "))]
pub struct UnknownProbe {
    /// The name as given.
    pub found: String,
}

/// Runs the named probe until `input` closes or `output` breaks. Returns when the probe has let go of its source.
///
/// # Errors
/// [`UnknownProbe`].
pub fn run(
    name: &str,
    node: &Node,
    clock: Clock,
    input: impl Read + Send + 'static,
    output: impl Write,
) -> Result<(), UnknownProbe> {
    let unknown = || UnknownProbe { found: name.to_owned() };
    let probe = NAMES.iter().copied().find(|known| *known == name).ok_or_else(unknown)?;
    let stop = Arc::new(AtomicBool::new(false));
    let (sender, drafts) = mpsc::sync_channel(64);
    let outlet = Outlet::new(probe, sender, clock, Arc::clone(&stop));
    let stop_on_close = Arc::clone(&stop);
    thread::spawn(move || {
        wait_for_close(input);
        stop_on_close.store(true, Ordering::Relaxed);
    });
    let node = node.clone();
    let source = thread::spawn(move || drive(probe, &node, &outlet));
    // A broken pipe is how a worker learns that its engine is gone: no error to anybody.
    let _engine_gone = forward(&drafts, &stop, output);
    stop.store(true, Ordering::Relaxed);
    drop(drafts);
    // A probe that panicked has already said so on standard error; the engine sees the worker end.
    let _panicked = source.join();
    Ok(())
}

fn drive(probe: &str, node: &Node, outlet: &Outlet) {
    match probe {
        "kernel_log" => crate::kernel_log::run(node, outlet),
        "nvml" => crate::nvml::run(node, outlet),
        "fuse" => crate::fuse::run(node, outlet),
        "pcie" => poll(&mut crate::pcie::Pcie::new(node), outlet),
        "rdma" => poll(&mut crate::rdma::Rdma::new(node), outlet),
        "host" => poll(&mut crate::host::Host::new(node), outlet),
        _ => poll(&mut crate::process::Processes::new(node), outlet),
    }
}

/// Reads a polled probe once per period until it is asked to stop. A reading that took longer than the period skips the
/// ticks it missed rather than catching up.
pub fn poll(probe: &mut dyn Polled, outlet: &Outlet) {
    while !outlet.stopping() {
        let mut draft = outlet.draft();
        let began = draft.at.mono_ns.unwrap_or(0);
        probe.read(&mut draft);
        if !outlet.send(draft) {
            return;
        }
        rest_until(began, probe.period(), outlet);
    }
}

/// Sleeps until the next whole period after `began_ns`, waking up to look whether to stop.
pub fn rest_until(began_ns: u64, period: Duration, outlet: &Outlet) {
    let period_ns = u64::try_from(period.as_nanos()).unwrap_or(u64::MAX).max(1);
    let spent = outlet.now().mono_ns.unwrap_or(0).saturating_sub(began_ns);
    let next = began_ns.saturating_add((spent / period_ns + 1).saturating_mul(period_ns));
    while !outlet.stopping() {
        let left = next.saturating_sub(outlet.now().mono_ns.unwrap_or(u64::MAX));
        if left == 0 {
            return;
        }
        thread::sleep(Duration::from_nanos(left).min(STOP_POLL));
    }
}

fn wait_for_close(mut input: impl Read) {
    let mut bytes = [0; 64];
    loop {
        match input.read(&mut bytes) {
            Ok(0) => return,
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
            _ => {}
        }
    }
}

fn forward(drafts: &Receiver<Draft>, stop: &AtomicBool, mut output: impl Write) -> io::Result<()> {
    let mut dictionary = Dictionary::default();
    while !stop.load(Ordering::Relaxed) {
        match drafts.recv_timeout(STOP_POLL) {
            Ok(draft) => {
                let frame = draft.seal(&mut dictionary);
                match wire::pack(&frame) {
                    Ok(bytes) => {
                        output.write_all(&bytes)?;
                        output.flush()?;
                    }
                    Err(error) => tracing::error!(probe = frame.probe, %error, "a Frame was left out"),
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use model::catalogue::PROCESS_STATE;
    use model::{Entity, Frame, SeriesId, Stamp};

    use super::*;

    /// The Frames that a worker writes for these Drafts.
    fn forwarded(drafts: Vec<Draft>) -> Vec<Frame> {
        let (sender, receiver) = mpsc::sync_channel(drafts.len());
        drafts.into_iter().for_each(|draft| sender.send(draft).unwrap());
        drop(sender);
        let mut bytes = Vec::new();
        forward(&receiver, &AtomicBool::new(false), &mut bytes).unwrap();
        let (mut rest, mut frames) = (bytes.as_slice(), Vec::new());
        while let Some((prefix, behind)) = rest.split_first_chunk() {
            let (body, next) = behind.split_at(wire::length(*prefix).unwrap());
            frames.push(wire::unpack(body).unwrap());
            rest = next;
        }
        frames
    }

    #[test]
    fn a_process_that_is_gone_takes_its_series_along() {
        let process = Entity::Process(7, 1);
        let (mut there, mut gone) = (Draft::new("process", Stamp::new(1, 1)), Draft::new("process", Stamp::new(2, 2)));
        there.read(&process, PROCESS_STATE, "S");
        gone.gone.push(process);
        let frames = forwarded(vec![there.clone(), there.clone(), gone, there]);
        let told = |frame: &Frame| (frame.declares.len(), frame.samples.first().map(|(id, _)| *id));
        let [first, second] = [SeriesId(0), SeriesId(1)];
        let expected = [(1, Some(first)), (0, Some(first)), (0, None), (1, Some(second))];
        assert_eq!(frames.iter().map(told).collect::<Vec<_>>(), expected);
    }
}

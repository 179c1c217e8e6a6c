//! `gpudeck probe NAME`: the worker process of one probe.

#![allow(unsafe_code)] // signal(2): the standard library cannot ignore a signal.

use std::process::ExitCode;

use crate::cli::{NodeArgs, ProbeArgs};
use crate::exit::{Code, Failure};

/// Runs the probe until standard input closes.
pub(crate) fn run(args: &NodeArgs, probe: &ProbeArgs) -> Result<ExitCode, Failure> {
    outlive_signals();
    crate::output::log();
    let node = crate::node::named(args)?;
    probes::worker::run(&probe.name, &node, engine::clock::now, std::io::stdin(), std::io::stdout())
        .map_err(|error| Failure::new(Code::Usage, error))?;
    crate::output::done()
}

/// Whoever ends gpudeck by a signal often sends it to all of its processes (a terminal, systemd). Ended inside a driver
/// call, a worker can leave the driver wedged; it ends when its standard input closes, after the call has come back.
fn outlive_signals() {
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT] {
        // SAFETY: SIG_IGN is no function of ours, so nothing runs in a signal's context. It cannot fail for these.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

//! `gpudeck probe NAME`: the worker process of one probe.

use std::process::ExitCode;

use crate::cli::{NodeArgs, ProbeArgs};
use crate::exit::{Code, Failure};

/// Runs the probe until standard input closes.
pub(crate) fn run(args: &NodeArgs, probe: &ProbeArgs) -> Result<ExitCode, Failure> {
    let node = crate::node::named(args)?;
    probes::worker::run(&probe.name, &node, engine::clock::now, std::io::stdin(), std::io::stdout())
        .map_err(|error| Failure::new(Code::Usage, error))?;
    crate::output::done()
}

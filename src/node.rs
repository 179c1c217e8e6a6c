//! From the command line's words to a node that is read and a session that reads it.

use std::ffi::OsString;
use std::fs;
use std::time::Duration;

use engine::{Config, Session};
use model::BootId;
use probes::Node;

use crate::cli::{NodeArgs, RecordArgs};
use crate::exit::{Code, Failure};

/// How often what a recording keeps at a finer grain is read.
const BURST: Duration = Duration::from_millis(100);

/// The node that the command line names.
pub(crate) fn named(args: &NodeArgs) -> Result<Node, Failure> {
    if !args.root.is_dir() {
        return Err(Failure::new(
            Code::NoInput,
            format!(
                "--root {}: no such directory; give the directory that holds sys, proc and dev",
                args.root.display()
            ),
        ));
    }
    Ok(Node::at(&args.root).with_nvml_lib(args.nvml_lib.clone()).every(args.interval).burst_every(burst(args)))
}

/// The boot of the node; empty where its tree does not tell.
pub(crate) fn boot(node: &Node) -> BootId {
    let id = fs::read_to_string(node.path("/proc/sys/kernel/random/boot_id")).unwrap_or_default();
    BootId(id.trim().chars().take(64).collect())
}

/// The version of the GPU driver that the kernel has loaded, as its module tells it; asking the driver itself may hang.
pub(crate) fn driver_version(node: &Node) -> Option<String> {
    let told = fs::read_to_string(node.path("/sys/module/nvidia/version")).ok()?;
    let version: String = told.trim().chars().take(64).collect();
    (!version.is_empty()).then_some(version)
}

/// How a session on the node is run: workers are this same program.
pub(crate) fn config(args: &NodeArgs, node: &Node, without: &[String]) -> Result<Config, Failure> {
    for name in without {
        if !probes::worker::NAMES.contains(&name.as_str()) {
            let known = probes::worker::NAMES.join(", ");
            return Err(Failure::new(Code::Usage, format!("there is no probe `{name}`; the probes are {known}")));
        }
    }
    let program = std::env::current_exe().map_err(|error| Failure::io("cannot find our own program", &error))?;
    let mut arguments: Vec<OsString> = vec!["--root".into(), args.root.clone().into()];
    if let Some(library) = &args.nvml_lib {
        arguments.extend(["--nvml-lib".into(), library.clone().into()]);
    }
    arguments.extend(["--interval".into(), format!("{}ms", millis(args.interval)).into()]);
    let probes = probes::worker::NAMES.iter().map(|name| (*name).to_owned());
    let probes = probes.filter(|name| !without.contains(name)).collect();
    Ok(Config {
        program,
        arguments,
        probes,
        interval: args.interval,
        burst: None,
        lossless: false,
        boot: boot(node),
        driver: driver_version(node),
    })
}

/// What is read faster than the interval, where the command line names how fast; a worker reads so only when told.
fn burst(args: &NodeArgs) -> Option<Duration> {
    args.burst_interval.filter(|every| !every.is_zero())
}

/// A runtime for sessions: two threads are plenty for pipes.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start the runtime", &error))
}

/// Starts a session on the node.
pub(crate) fn session(args: &NodeArgs, node: &Node, without: &[String]) -> Result<Session, Failure> {
    Ok(Session::start(&config(args, node, without)?))
}

/// Starts a session on the node whose Frames are recorded: what is read fastest is read too.
pub(crate) fn recorded(args: &NodeArgs, node: &Node, record: &RecordArgs) -> Result<Session, Failure> {
    let burst = args.burst_interval.unwrap_or(BURST);
    let burst = Some(burst).filter(|every| !every.is_zero());
    let config = Config { burst, lossless: record.lossless, ..config(args, node, &record.without)? };
    Ok(Session::start(&config))
}

fn millis(interval: Duration) -> u128 {
    interval.as_millis().max(1)
}

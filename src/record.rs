//! `gpudeck record`: the headless black box.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ::recorder::{CreateError, Header, Health, Segments, Sync, Unfinished, Writer};
use model::Frame;
use probes::Node;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::cli::{NodeArgs, RecordArgs, SyncPolicy};
use crate::exit::{Code, Failure};
use crate::{node, output, past};

/// Records until the time is over, or SIGINT, SIGTERM or SIGHUP.
pub(crate) fn run(args: &NodeArgs, record: &RecordArgs) -> Result<ExitCode, Failure> {
    output::log();
    let here = node::named(args)?;
    let mut out = Out::create(&record.out, &header(args, &here), sync(record.sync))?;
    let runtime = node::runtime()?;
    let result = runtime.block_on(write(args, record, &here, &mut out));
    runtime.shutdown_background();
    result?;
    let health = out.finish().map_err(|unfinished| Failure::new(Code::Io, unfinished))?;
    output::complain(&format!("gpudeck: recorded {} Frames to {}", health.frames, record.out.display()));
    output::done()
}

/// Where the recording goes.
enum Out {
    File(Box<Writer>),
    Directory(Box<Segments>),
}

impl Out {
    /// A name that ends in `.gdk` is one file; anything else a directory of segments.
    fn create(path: &Path, header: &Header, sync: Sync) -> Result<Self, Failure> {
        let file = path.extension().is_some_and(|extension| extension == ::recorder::open::EXTENSION) && !path.is_dir();
        let created = if file {
            Writer::create(path, header, sync).map(|writer| Self::File(Box::new(writer)))
        } else {
            Segments::create(path, header, sync).map(|segments| Self::Directory(Box::new(segments)))
        };
        created.map_err(|error| {
            let code = match error {
                CreateError::Denied { .. } => Code::Permission,
                CreateError::NoDirectory { .. } => Code::NoInput,
                CreateError::Exists { .. } => Code::Usage,
                _ => Code::Io,
            };
            Failure::new(code, error)
        })
    }

    fn append(&mut self, frame: &Frame) {
        // What the disk did not take is told by `health`, and kept.
        let _told_by_health = match self {
            Self::File(writer) => writer.append(frame),
            Self::Directory(segments) => segments.append(frame),
        };
    }

    fn health(&self) -> Health {
        match self {
            Self::File(writer) => writer.health(),
            Self::Directory(segments) => segments.health(),
        }
    }

    fn finish(self) -> Result<Health, Unfinished> {
        match self {
            Self::File(writer) => writer.finish(),
            Self::Directory(segments) => segments.finish(),
        }
    }
}

async fn write(args: &NodeArgs, record: &RecordArgs, here: &Node, out: &mut Out) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::io("cannot listen for signals", &error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(cannot)?;
    let mut session = node::recorded(args, here, &record.without)?;
    let end = record.length.map(|length| Instant::now() + length);
    let mut told = None;
    loop {
        let over = async {
            match end {
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            admitted = session.next() => match admitted {
                Some(admitted) => out.append(&admitted.raw),
                None => break,
            },
            () = over => break,
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = hang_up.recv() => break,
        }
        // Trouble with the disk is told when it comes and when it goes; recording goes on.
        let stalled = out.health().stalled;
        if stalled != told {
            match &stalled {
                Some(why) => output::complain(&format!(
                    "gpudeck: {} takes nothing: {why}; the newest Frames are kept in memory",
                    record.out.display()
                )),
                None => output::complain("gpudeck: the recording goes on"),
            }
            told = stalled;
        }
    }
    // What was under way when the end came belongs to the recording.
    session.stop();
    while let Some(admitted) = session.next().await {
        out.append(&admitted.raw);
    }
    Ok(())
}

fn header(args: &NodeArgs, here: &Node) -> Header {
    let fact = |path: &str| {
        let text = std::fs::read_to_string(here.path(path)).unwrap_or_default();
        text.trim().chars().take(256).collect::<String>()
    };
    let interval = u64::try_from(args.interval.as_nanos()).unwrap_or(u64::MAX);
    let header = Header::new(node::boot(here), engine::clock::now(), interval)
        .host("hostname", fact("/proc/sys/kernel/hostname"))
        .host("kernel", fact("/proc/sys/kernel/osrelease"));
    match node::driver_version(here) {
        Some(version) => header.driver(past::DRIVER_VERSION, version),
        None => header,
    }
}

fn sync(policy: SyncPolicy) -> Sync {
    match policy {
        SyncPolicy::Tick => Sync::Tick,
        SyncPolicy::FiveSeconds => Sync::Every(Duration::from_secs(5)),
        SyncPolicy::Off => Sync::Off,
    }
}

//! `gpudeck record`: the headless black box.
//!
//! ```text
//! session ──Admitted──► Out (file or segments) ──► Listener: attached decks are told that it has grown
//!              ├──────► Watch: judges, raises alarms (triggers) and bundles incidents
//!              └──────► Vital ──► Manager: systemd's watchdog
//! ```

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use ::recorder::Header;
use probes::Node;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};

use crate::cli::{NodeArgs, RecordArgs};
use crate::exit::{Code, Failure};
use crate::record::bundle::Case;
use crate::record::listen::Listener;
use crate::record::notify::Manager;
use crate::record::out::Out;
use crate::record::vital::Vital;
use crate::record::watch::{Alarm, Watch};
use crate::{node, output, past, rulebook};

pub(crate) mod bundle;
mod listen;
mod notify;
mod out;
mod vital;
mod watch;

/// How long the last words of the probes are waited for: the recording is sealed within two seconds of SIGTERM.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Records until the time is over, or SIGINT or SIGTERM. A directory's SIGHUP begins another segment, a file's ends it.
pub(crate) fn run(args: &NodeArgs, record: &RecordArgs) -> Result<ExitCode, Failure> {
    output::log();
    let here = node::named(args)?;
    let rulebook = rulebook::load(record.rules.as_deref())?;
    let mut manager = Manager::from_environment();
    let mut out = Out::create(record, &header(args, &here))?;
    let directory = out.is_directory().then(|| record.out.clone());
    let bundles = directory.clone();
    let mut watch = Watch::start(rulebook, record.trigger_severity, engine::clock::now(), move |case| {
        bundled(bundles.as_deref(), case);
    });
    let runtime = node::runtime()?;
    let result = runtime.block_on(write(args, record, &here, &mut out, &mut watch, &mut manager));
    runtime.shutdown_background();
    result?;
    manager.stopping("sealing the recording");
    let health = out.finish().map_err(|unfinished| Failure::new(Code::Io, unfinished))?;
    output::complain(&format!("gpudeck: recorded {} Frames to {}", health.frames, record.out.display()));
    // The recording is safe by now; what was not quiet yet is bundled as far as it went.
    watch.finish().iter().for_each(|case| bundled(directory.as_deref(), case));
    output::done()
}

/// Bundles a case, and says so.
fn bundled(directory: Option<&Path>, case: &Case) {
    let Some(directory) = directory else { return };
    match bundle::write(directory, case) {
        Ok(path) => output::complain(&format!("gpudeck: {}: bundled in {}", case.why, path.display())),
        Err(why) => output::complain(&format!("gpudeck: {}: no bundle could be made of it: {why}", case.why)),
    }
}

/// The signals that are for the recorder.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
    trigger: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        let on = |kind| signal(kind).map_err(|error| Failure::io("cannot listen for signals", &error));
        Ok(Self {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            hang_up: on(SignalKind::hangup())?,
            trigger: on(SignalKind::user_defined1())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.interrupt.recv() => Told::End,
            _ = self.terminate.recv() => Told::End,
            _ = self.hang_up.recv() => Told::Rotate,
            _ = self.trigger.recv() => Told::Trigger,
        }
    }
}

/// What a signal asks for.
enum Told {
    End,
    Rotate,
    Trigger,
}

async fn write(
    args: &NodeArgs,
    record: &RecordArgs,
    here: &Node,
    out: &mut Out,
    watch: &mut Watch,
    manager: &mut Manager,
) -> Result<(), Failure> {
    let mut signals = Signals::listen()?;
    let mut listener = record.socket.as_deref().map(|path| listen_at(path, record, here)).transpose()?;
    let mut session = node::recorded(args, here, record)?;
    let end = record.length.map(|length| Instant::now() + length);
    let mut vital = vital(args, record);
    let mut beat = interval(manager.beat());
    beat.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut told = None;
    manager.ready(&format!("recording to {}", record.out.display()));
    loop {
        let over = async {
            match end {
                Some(end) => sleep_until(end).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            admitted = session.next() => {
                let Some(admitted) = admitted else { break };
                out.append(&admitted.raw);
                vital.take(&admitted.raw, now());
                watch.take(&admitted.decoded);
                if let Some(listener) = &listener {
                    listener.grown();
                }
            }
            () = over => break,
            asked = signals.next() => match asked {
                Told::End => break,
                Told::Rotate if !out.is_directory() => break,
                Told::Rotate => out.rotate(engine::clock::now()),
                Told::Trigger => {
                    session.mark("SIGUSR1");
                    out.trigger(engine::clock::now(), "SIGUSR1");
                }
            },
            text = marked(&mut listener) => {
                session.mark(&text);
                out.trigger(engine::clock::now(), "mark");
            }
            Alarm { at, why } = watch.alarm() => out.trigger(at, &why),
            _ = beat.tick() => {
                let status = status(record, out, &vital, listener.as_ref());
                manager.alive(vital.is_well(now()), &status);
            }
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
    let rest = async {
        while let Some(admitted) = session.next().await {
            out.append(&admitted.raw);
            watch.take(&admitted.decoded);
        }
    };
    // Whoever cannot say the last of it within this time must not keep the recording from being sealed.
    let _cut_short = timeout(LAST_WORDS, rest).await;
    Ok(())
}

fn listen_at(path: &Path, record: &RecordArgs, here: &Node) -> Result<Listener, Failure> {
    let offer = listen::offer(&record.out, &node::boot(here).0)
        .map_err(|error| Failure::io(format!("cannot open {}", record.out.display()), &error))?;
    Listener::bind(path, offer)
}

async fn marked(listener: &mut Option<Listener>) -> String {
    match listener {
        Some(listener) => listener.mark().await,
        None => std::future::pending().await,
    }
}

fn vital(args: &NodeArgs, record: &RecordArgs) -> Vital {
    let probes = probes::worker::NAMES.iter().map(|name| (*name).to_owned());
    let probes = probes.filter(|name| !record.without.contains(name));
    Vital::new(probes, now(), u64::try_from(args.interval.as_nanos()).unwrap_or(u64::MAX))
}

/// The recorder in a line, for `systemctl status`.
fn status(record: &RecordArgs, out: &Out, vital: &Vital, listener: Option<&Listener>) -> String {
    let health = out.health();
    let mut words = vec![match &health.stalled {
        Some(why) => format!("{} takes nothing: {why}", record.out.display()),
        None => format!("recording to {}", record.out.display()),
    }];
    words.extend((health.lost > 0).then(|| format!("{} Frames lost", health.lost)));
    words.extend(vital.troubled());
    let attached = listener.map_or(0, Listener::clients);
    words.extend((attached > 0).then(|| format!("{attached} attached")));
    words.join("; ")
}

fn now() -> u64 {
    engine::clock::now().mono_ns.unwrap_or(0)
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

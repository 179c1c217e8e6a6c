//! One worker process: started, listened to under a deadline, abandoned when silent, started again when dead.
//!
//! A worker is never killed, since a kill inside a driver call can wedge the driver. One that is silent past its
//! deadline is reported (since when, what the kernel says it waits on) and left alone; a new one takes its place, as
//! long as fewer than [`MOST_ABANDONED`] are stuck. A worker ends by itself when its standard input closes.

use std::process::Stdio;
use std::time::Duration;

use model::event::{PROBE_CRASHED, PROBE_STARTED, PROBE_STUCK};
use model::{Draft, Entity, Event, Field, Frame, Reading, Stamp, Untrusted, catalogue, wire};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::sequencer::StreamId;
use crate::{Config, clock, wait_channel};

/// The most workers of one probe that may be stuck at a time; with so many no further one is started.
pub(crate) const MOST_ABANDONED: usize = 2;

/// How long to wait before a dead or stuck worker is replaced: from the first to the last.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(30));

/// A worker that ran this long was healthy: the next replacement waits the shortest time again.
const HEALTHY: Duration = Duration::from_secs(60);

/// The longest silence of each probe that is not a hang, where sources are read once a second or faster. All but the slow
/// ones give a Frame at each interval; see [`patience_with`] for longer ones.
const DEADLINES: &[(&str, Duration)] = &[("pcie", Duration::from_secs(20)), ("process", Duration::from_secs(20))];
const DEADLINE: Duration = Duration::from_secs(5);

/// The longest line of a worker's complaints that is taken in one piece, and how many of its lines go to the log.
const MOST_LINE: u64 = 64 << 10;
const MOST_LINES: u32 = 1_000;

/// A worker may need longer for its first Frame: a driver that nobody used takes seconds per GPU to wake.
const FIRST_DEADLINE: Duration = Duration::from_secs(30);

/// What supervisors send to the sequencer.
#[derive(Debug)]
pub(crate) enum Report {
    /// A Frame of a worker's stream.
    Frame(StreamId, Frame),
    /// Something the supervisor itself has to say.
    Draft(Draft),
    /// A worker's stream has ended.
    Ended(StreamId),
}

/// Where reports go, where stream numbers come from, and when to stop.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    pub(crate) reports: mpsc::Sender<Report>,
    pub(crate) stop: watch::Receiver<bool>,
}

struct Worker {
    child: Child,
    // Held so that the worker lives; closing it asks the worker to end.
    _stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    last_words: tokio::task::JoinHandle<String>,
    pid: u32,
    stream: StreamId,
    born: Instant,
}

enum End {
    Stopped,
    Died(String),
    Silent(Duration),
}

/// Keeps one probe's worker running until told to stop.
pub(crate) async fn supervise(probe: String, index: u64, config: Config, mut links: Links) {
    let mut abandoned: Vec<Child> = Vec::new();
    let mut back_off = BACK_OFF.0;
    let mut generation = 0u64;
    loop {
        abandoned.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        if abandoned.len() < MOST_ABANDONED {
            generation += 1;
            let stream = StreamId(index << 32 | generation);
            match start(&probe, stream, &config) {
                Ok(mut worker) => {
                    let end = listen(&probe, &mut worker, patience_with(&probe, config.interval), &mut links).await;
                    let _closed = links.reports.send(Report::Ended(worker.stream)).await;
                    if worker.born.elapsed() > HEALTHY {
                        back_off = BACK_OFF.0;
                    }
                    match end {
                        End::Stopped => return,
                        End::Died(how) => report_crash(&probe, &links, worker, how).await,
                        End::Silent(silence) => {
                            report_silence(&probe, &links, &worker, silence).await;
                            abandoned.push(worker.child);
                        }
                    }
                }
                Err(error) => {
                    report_missing(&probe, &links, &error).await;
                }
            }
        }
        tokio::select! {
            () = sleep(back_off) => back_off = (back_off * 2).min(BACK_OFF.1),
            _ = links.stop.changed() => return,
        }
    }
}

fn start(probe: &str, stream: StreamId, config: &Config) -> std::io::Result<Worker> {
    #[allow(clippy::disallowed_methods, reason = "workers are the engine's to start: our own program, no shell")]
    let mut command = Command::new(&config.program);
    command.arg("probe").arg(probe).args(&config.arguments);
    if let Some(burst) = config.burst.filter(|_| probe == "nvml") {
        command.arg("--burst-interval").arg(format!("{}ms", burst.as_millis().max(1)));
    }
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own: Ctrl-C and the end of a terminal are for us, not for a worker inside a driver call.
        .process_group(0)
        .spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let stdout = stdout.ok_or_else(|| std::io::Error::other("the worker has no standard output"))?;
    let pid = child.id().unwrap_or(0);
    let last_words = tokio::spawn(read_last_words(probe.to_owned(), stderr));
    Ok(Worker { child, _stdin: stdin, stdout, last_words, pid, stream, born: Instant::now() })
}

/// Passes the worker's complaints on to the log and keeps the last of them. Reads until the worker closes its end, however
/// much it says and in whatever encoding: a worker must never fail for want of somebody who listens.
async fn read_last_words(probe: String, stderr: Option<impl AsyncRead + Unpin>) -> String {
    let mut last = String::new();
    let Some(stderr) = stderr else { return last };
    let (mut stderr, mut line, mut told) = (BufReader::new(stderr), Vec::new(), 0u32);
    loop {
        line.clear();
        // A line without an end is told in pieces.
        match (&mut stderr).take(MOST_LINE).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return last,
            Ok(_) => {}
        }
        let words = model::text::clean(String::from_utf8_lossy(&line).trim_end(), 300);
        if told < MOST_LINES {
            told += 1;
            tracing::warn!(probe, line = words, "worker");
        }
        if !words.is_empty() {
            last = words;
        }
    }
}

/// How long a worker may be silent: one that reads its source less often may be silent for longer.
fn patience_with(probe: &str, interval: Duration) -> Duration {
    let deadline = DEADLINES.iter().find(|(slow, _)| *slow == probe).map_or(DEADLINE, |(_, deadline)| *deadline);
    deadline.saturating_add(interval.saturating_sub(Duration::from_secs(1)))
}

async fn listen(probe: &str, worker: &mut Worker, deadline: Duration, links: &mut Links) -> End {
    let mut patience = FIRST_DEADLINE.max(deadline);
    let mut heard = false;
    loop {
        let frame = tokio::select! {
            read = timeout(patience, read_frame(&mut worker.stdout)) => read,
            _ = links.stop.changed() => return End::Stopped,
        };
        match frame {
            Err(_) => return End::Silent(patience),
            Ok(Err(how)) => return End::Died(how),
            Ok(Ok(frame)) => {
                patience = deadline;
                // A worker is well once it has told something, not once it has been started.
                if !std::mem::replace(&mut heard, true) {
                    report_started(probe, links, frame.at).await;
                }
                if links.reports.send(Report::Frame(worker.stream, frame)).await.is_err() {
                    return End::Stopped;
                }
            }
        }
    }
}

async fn read_frame(stdout: &mut ChildStdout) -> Result<Frame, String> {
    let mut prefix = [0; 4];
    stdout.read_exact(&mut prefix).await.map_err(|_| "its output ended".to_owned())?;
    let length = wire::length(prefix).map_err(|error| error.to_string())?;
    let mut body = vec![0; length];
    stdout.read_exact(&mut body).await.map_err(|_| "its output ended inside a Frame".to_owned())?;
    wire::unpack(&body).map_err(|error| error.to_string())
}

async fn report_crash(probe: &str, links: &Links, mut worker: Worker, how: String) {
    let status = match timeout(Duration::from_secs(1), worker.child.wait()).await {
        Ok(Ok(status)) => status.to_string(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("still running, but {how}"),
    };
    let words = timeout(Duration::from_millis(200), worker.last_words).await;
    let words = words.ok().and_then(Result::ok).unwrap_or_default();
    let mut draft = state(probe, "crashed");
    draft.fault("worker", Some(Entity::Probe(probe.to_owned())), Untrusted::new(format!("{status}. {words}")));
    draft.events.push(
        Event::new(draft.at, PROBE_CRASHED)
            .about(Entity::Probe(probe.to_owned()))
            .with("probe", probe)
            .with("status", status)
            .with("last_words", words),
    );
    let _closed = links.reports.send(Report::Draft(draft)).await;
}

async fn report_silence(probe: &str, links: &Links, worker: &Worker, silence: Duration) {
    let mut draft = state(probe, "stuck");
    let silent_ns = u64::try_from(silence.as_nanos()).unwrap_or(u64::MAX);
    let since = draft.at.mono_ns.unwrap_or(0).saturating_sub(silent_ns);
    let waits_in = wait_channel::of_process(worker.pid).unwrap_or_else(|| "unknown".to_owned());
    draft.read(
        &Entity::Probe(probe.to_owned()),
        catalogue::PROBE_TOOK,
        Reading::Stuck(since, format!("worker {} ({waits_in})", worker.pid)),
    );
    draft.events.push(
        Event::new(draft.at, PROBE_STUCK)
            .about(Entity::Probe(probe.to_owned()))
            .with("probe", probe)
            .with("call", "worker")
            .with("pid", worker.pid)
            .with("since_ns", Field::Int(i64::try_from(since).unwrap_or(i64::MAX)))
            .with("wchan", waits_in),
    );
    let _closed = links.reports.send(Report::Draft(draft)).await;
}

/// Said at the instant of the worker's first Frame and before it, so that what that one says of the probe stands.
async fn report_started(probe: &str, links: &Links, at: Stamp) {
    let mut draft = Draft { at, ..state(probe, "ok") };
    draft.events.push(Event::new(at, PROBE_STARTED).about(Entity::Probe(probe.to_owned())).with("probe", probe));
    let _closed = links.reports.send(Report::Draft(draft)).await;
}

async fn report_missing(probe: &str, links: &Links, error: &std::io::Error) {
    let mut draft = state(probe, "missing");
    draft.fault("start worker", Some(Entity::Probe(probe.to_owned())), error.to_string());
    let _closed = links.reports.send(Report::Draft(draft)).await;
}

fn state(probe: &str, word: &str) -> Draft {
    let mut draft = Draft::new("engine", clock::now());
    draft.read(&Entity::Probe(probe.to_owned()), catalogue::PROBE_STATE, word);
    draft
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_that_is_read_seldom_may_be_silent_for_longer() {
        let seconds = Duration::from_secs;
        assert_eq!(patience_with("host", seconds(1)), seconds(5));
        assert_eq!(patience_with("host", Duration::from_millis(100)), seconds(5));
        assert!(patience_with("host", seconds(10)) > seconds(10), "a worker that keeps its interval is not stuck");
        assert!(patience_with("pcie", seconds(60)) > seconds(60));
    }

    #[tokio::test]
    async fn last_words_survive_other_encodings_and_floods() {
        let mut said = vec![b'x'; 3 << 20];
        said.extend_from_slice(b"\n\xff\xfe broken\n");
        for _ in 0..2_000 {
            said.extend_from_slice(b"again\n");
        }
        said.extend_from_slice(b"the \x1b[31mend\n\n");
        let words = read_last_words("nvml".to_owned(), Some(said.as_slice())).await;
        assert_eq!(words, "the \u{241b}[31mend");
    }
}

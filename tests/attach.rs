//! Decks and commands attached to a running recorder.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use testbed::{Deck, Run, Screen, Sysroot, wait_until};

const EIGHT: &str = "[gpus]\ncount = 8\nmodel = \"H100 SXM5 80GB\"\nload = \"training\"\n";
const SOON: Duration = Duration::from_secs(15);

/// A recorder of a simulated node with its socket.
struct Recorder {
    run: Option<Run>,
    node: Sysroot,
    directory: TempDir,
}

impl Recorder {
    fn start(host: &str) -> Self {
        let (node, directory) = (Sysroot::hgx(host), tempfile::tempdir().unwrap());
        let mut recorder = Self { run: None, node, directory };
        recorder.run = Some(recorder.again());
        recorder
    }

    fn again(&self) -> Run {
        let deck =
            Deck::new(["record", "--min-free", "0", "--out"]).arg(self.recording()).arg("--socket").arg(self.socket());
        let run = deck.root(self.node.root()).driver(EIGHT).start();
        assert!(wait_until(SOON, || self.socket().exists()), "it listens");
        run
    }

    fn recording(&self) -> PathBuf {
        self.directory.path().join("recording")
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("run/deck.sock")
    }

    /// A deck that is attached to it.
    fn deck(&self) -> Screen {
        let state = self.directory.path().join("state");
        let deck = Deck::new(["--socket"]).arg(self.socket()).env("XDG_STATE_HOME", &state.display().to_string());
        Screen::open(deck, 140, 40)
    }

    fn mark(&self, text: &str) -> std::process::Output {
        Deck::new(["mark", text, "--socket"]).arg(self.socket()).output()
    }

    fn stop(&mut self) -> std::process::Output {
        let run = self.run.take().unwrap();
        run.signal(Signal::TERM);
        run.finish(SOON)
    }
}

fn exported(path: &Path) -> Vec<Value> {
    let output = Deck::new(["export", "--to", "jsonl"]).arg(path).output();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The longest time between two readings of any GPU's power, nanoseconds.
fn longest_pause(lines: &[Value]) -> u64 {
    let mut by_gpu = std::collections::BTreeMap::<&str, Vec<u64>>::new();
    for line in lines.iter().filter(|line| line["metric"] == "gpu.power" && line["value"].is_number()) {
        by_gpu.entry(line["entity"].as_str().unwrap()).or_default().push(line["mono_ns"].as_u64().unwrap());
    }
    assert_eq!(by_gpu.len(), 8);
    by_gpu.values().flat_map(|times| times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]))).max().unwrap()
}

fn signal(pid: u32, signal: Signal) {
    kill_process(i32::try_from(pid).ok().and_then(Pid::from_raw).unwrap(), signal).unwrap();
}

#[test]
fn two_decks_and_a_diagnosis_attach_and_one_that_is_stopped_costs_no_tick() {
    // The full minute takes a flag; the shape of the test is the same.
    let stopped_for = if std::env::var_os("GPUDECK_TEST_LONG").is_some() { 60 } else { 6 };
    let mut recorder = Recorder::start("attached");
    let (first, second) = (recorder.deck(), recorder.deck());
    first.wait_for("attached to recorder", SOON);
    second.wait_for("attached to recorder", SOON);
    first.wait_for("LIVE", SOON);
    signal(second.pid(), Signal::STOP);
    let begun = std::time::Instant::now();
    let diagnosed = Deck::new(["diagnose", "--format", "json"]).arg(recorder.recording()).json();
    assert!(diagnosed["incidents"].is_array(), "{diagnosed}");
    std::thread::sleep(Duration::from_secs(stopped_for).saturating_sub(begun.elapsed()));
    first.wait_for("fresh", SOON);
    signal(second.pid(), Signal::CONT);
    second.wait_for("fresh", SOON);
    drop((first, second));
    let output = recorder.stop();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = exported(&recorder.recording());
    let pause = longest_pause(&lines);
    assert!(pause < 1_900_000_000, "a tick was lost: {} ms between two", pause / 1_000_000);
    assert!(!lines.iter().any(|line| line["event"] == "gap"), "no gap is told");
    assert!(!recorder.socket().exists(), "the socket goes with its recorder");
}

#[test]
fn a_deck_goes_on_when_its_recorder_is_started_again() {
    let mut recorder = Recorder::start("restarted");
    let deck = recorder.deck();
    deck.wait_for("fresh", SOON);
    assert!(recorder.stop().status.success());
    deck.wait_for(" old", SOON);
    let run = recorder.again();
    deck.wait_for("fresh", SOON);
    run.signal(Signal::TERM);
    run.finish(SOON);
}

#[test]
fn a_mark_is_in_the_recording_and_its_escape_codes_never_reach_a_terminal() {
    let mut recorder = Recorder::start("marked");
    let output = recorder.mark("swapped the \x1b[31mcable");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    recorder.run.as_ref().unwrap().signal(Signal::USR1);
    let mut deck = recorder.deck();
    deck.wait_for("fresh", SOON);
    deck.press("m");
    std::thread::sleep(Duration::from_millis(500));
    deck.press("from the deck\r");
    let has = |text: &str| {
        let lines = exported(&recorder.recording());
        lines.iter().any(|line| line["event"] == "mark" && line.to_string().contains(text))
    };
    for text in ["swapped the", "SIGUSR1", "from the deck"] {
        assert!(wait_until(SOON, || has(text)), "`{text}` is not in the recording");
    }
    drop(deck);
    let printed = Deck::new(["export", "--to", "jsonl"]).arg(recorder.recording()).output().stdout;
    assert!(!printed.contains(&0x1b));
    recorder.stop();
}

#[test]
fn a_deck_says_once_what_the_recorder_bundled_since_the_last_look() {
    let mut recorder = Recorder::start("news");
    let bundles = recorder.recording().join("incidents");
    std::fs::create_dir_all(&bundles).unwrap();
    for name in ["incident-2026-11-23T0214-gpu3-xid79.gdk", "incident-2026-11-23T0301-gpu1-xid48.gdk"] {
        std::fs::write(bundles.join(name), "").unwrap();
    }
    let deck = recorder.deck();
    deck.wait_for("2 incidents since you last looked", SOON);
    drop(deck);
    let deck = recorder.deck();
    deck.wait_for("fresh", SOON);
    assert!(!deck.text().contains("since you last looked"), "{}", deck.text());
    drop(deck);
    recorder.stop();
}

#[test]
fn without_a_recorder_a_mark_says_how_to_start_one() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("deck.sock");
    let output = Deck::new(["mark", "x", "--socket"]).arg(&socket).output();
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("gpudeck record --out"));
    for (text, code) in [(" ".to_owned(), 64), ("x".repeat(2_000), 64)] {
        assert_eq!(Deck::new(["mark", &text, "--socket"]).arg(&socket).output().status.code(), Some(code));
    }
}

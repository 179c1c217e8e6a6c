//! A session with workers that are shell scripts: what it does with their Frames, their silence and their end.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use engine::{Admitted, Config, Session};
use model::{BootId, Dictionary, Draft, Entity, catalogue, event, wire};
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(10);

/// A program that acts as the script says, whatever probe it is asked for. `$here` is the directory.
fn program(directory: &Path, script: &str) -> Config {
    let path = directory.join("worker");
    fs::write(&path, format!("#!/bin/sh\nhere={}\n{script}\n", directory.display())).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).unwrap();
    Config {
        program: path,
        arguments: Vec::new(),
        probes: vec!["host".to_owned()],
        interval: Duration::from_secs(1),
        burst: None,
        lossless: false,
        boot: BootId("boot".to_owned()),
        driver: None,
    }
}

/// So many Frames as a worker would pipe them.
fn frames(directory: &Path, count: u32) {
    let mut dictionary = Dictionary::default();
    let mut bytes = Vec::new();
    for number in 0..count {
        let mut draft = Draft::new("host", engine::clock::now());
        draft.read(&Entity::Node, catalogue::HOST_CPU, f64::from(number));
        bytes.extend(wire::pack(&draft.seal(&mut dictionary)).unwrap());
    }
    fs::write(directory.join("frames"), bytes).unwrap();
}

async fn all(session: &mut Session) -> Vec<Admitted> {
    let mut found = Vec::new();
    while let Some(admitted) = timeout(SOON, session.next()).await.expect("the session ends") {
        found.push(admitted);
    }
    found
}

async fn appears(path: &Path) -> String {
    for _ in 0..200 {
        if let Ok(text) = fs::read_to_string(path)
            && text.ends_with('\n')
        {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{} does not appear", path.display());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_workers_told_before_the_stop_still_comes_and_workers_end_by_themselves() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    // Fewer than the channels hold: nobody takes them before the stop.
    frames(here, 200);
    let script = r#"cat "$here/frames"; echo told > "$here/told"; cat > /dev/null; echo ended > "$here/ended""#;
    let mut session = Session::start(&program(here, script));
    appears(&here.join("told")).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    session.mark("the end");
    tokio::time::sleep(Duration::from_millis(100)).await;
    session.stop();
    let found = all(&mut session).await;
    assert_eq!(found.iter().filter(|admitted| admitted.raw.probe == "host").count(), 200);
    assert!(found.iter().flat_map(|admitted| &admitted.raw.events).any(|found| found.kind == event::MARK));
    assert!(found.windows(2).all(|pair| pair[0].raw.seq + 1 == pair[1].raw.seq));
    appears(&here.join("ended")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_never_waits_for_who_takes_the_frames() {
    let directory = tempfile::tempdir().unwrap();
    // More than all channels together hold.
    frames(directory.path(), 2_000);
    let mut session = Session::start(&program(directory.path(), r#"cat "$here/frames"; cat > /dev/null"#));
    tokio::time::sleep(Duration::from_secs(1)).await;
    session.mark("while the stream is full");
    let marked = async {
        loop {
            let admitted = session.next().await.expect("the session goes on");
            if admitted.raw.events.iter().any(|found| found.kind == event::MARK) {
                return;
            }
        }
    };
    timeout(SOON, marked).await.expect("the mark comes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_out_of_reach_of_the_terminals_signals() {
    let directory = tempfile::tempdir().unwrap();
    let script = r#"cut -d' ' -f5 /proc/self/stat > "$here/group"; cat > /dev/null"#;
    let _session = Session::start(&program(directory.path(), script));
    let group = appears(&directory.path().join("group")).await;
    let ours = fs::read_to_string("/proc/self/stat").unwrap();
    let ours = ours.rsplit_once(')').unwrap().1.split_whitespace().nth(2).unwrap().to_owned();
    assert_ne!(group.trim(), ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_dies_is_told_with_its_last_words_and_started_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut session = Session::start(&program(directory.path(), "echo 'no such \u{1b}[31mthing' >&2; exit 7"));
    let mut crashes = Vec::new();
    while crashes.len() < 2 {
        let admitted = timeout(SOON, session.next()).await.expect("a Frame").expect("the session goes on");
        crashes.extend(admitted.raw.events.iter().filter(|found| found.kind == event::PROBE_CRASHED).cloned());
    }
    let told = format!("{:?}", crashes[0]);
    assert!(told.contains("exit status: 7") && told.contains("no such ␛[31mthing"), "{told}");
}

/// What is said of the probe's state, in order.
fn states(found: &[Admitted]) -> Vec<String> {
    let mut dictionary = Dictionary::default();
    let mut states = Vec::new();
    for admitted in found {
        admitted.raw.declares.iter().for_each(|def| assert!(dictionary.declare(def)));
        let named = admitted.raw.named(&dictionary).samples.into_iter();
        let of_host = named.filter(|(key, _)| {
            key.entity == Entity::Probe("host".to_owned()) && key.metric.as_str() == catalogue::PROBE_STATE.name
        });
        states.extend(of_host.filter_map(|(_, reading)| Some(reading.good()?.as_text()?.raw().to_owned())));
    }
    states
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_well_once_it_has_told_something_not_once_it_was_started() {
    let directory = tempfile::tempdir().unwrap();
    let mut session = Session::start(&program(directory.path(), "exit 7"));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    session.stop();
    let told = states(&all(&mut session).await);
    assert!(told.len() >= 2 && told.iter().all(|word| word == "crashed"), "{told:?}");

    frames(directory.path(), 3);
    let mut session = Session::start(&program(directory.path(), r#"cat "$here/frames"; cat > /dev/null"#));
    tokio::time::sleep(Duration::from_millis(500)).await;
    session.stop();
    let found = all(&mut session).await;
    assert_eq!(states(&found), ["ok"]);
    let first = found.iter().position(|admitted| admitted.raw.probe == "host").unwrap();
    let started =
        found.iter().position(|admitted| admitted.raw.events.iter().any(|found| found.kind == event::PROBE_STARTED));
    assert_eq!(started, Some(first - 1));
    assert_eq!(found[first].raw.at, found[first - 1].raw.at);
}

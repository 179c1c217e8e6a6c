//! The recorder as it is used: killed, hung, written to by strangers.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use testbed::{Deck, Sysroot, is_root, mono_ns, wait_until};

const EIGHT: &str = "[gpus]\ncount = 8\nmodel = \"H100 SXM5 80GB\"\nload = \"training\"\n";

fn info(path: &Path) -> Value {
    Deck::new(["info", "--format", "json"]).arg(path).json()
}

fn exported(path: &Path) -> Vec<Value> {
    let output = Deck::new(["export", "--to", "jsonl"]).arg(path).output();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_recording_killed_at_any_moment_opens_and_lacks_at_most_the_last_second() {
    let node = Sysroot::hgx("killed");
    let directory = tempfile::tempdir().unwrap();
    for round in 0..3u64 {
        let out = directory.path().join(format!("{round}.gdk"));
        let run = Deck::new(["record", "--for", "20s", "--out"]).arg(&out).root(node.root()).driver(EIGHT).start();
        // Somewhere between three and six seconds, at another fraction of a tick each time.
        std::thread::sleep(Duration::from_millis(3_000 + mono_ns() % 3_000));
        let killed = mono_ns();
        run.signal(Signal::KILL);
        run.finish(Duration::from_secs(5));
        let lines = exported(&out);
        let last = |entity: &str| {
            let of = lines.iter().filter(|line| line["entity"].as_str().is_some_and(|name| name.starts_with(entity)));
            of.filter_map(|line| line["mono_ns"].as_u64()).max().unwrap_or(0)
        };
        // A tick is a second; what lies between the last one and the kill was never sampled. The rest is for reading it.
        let missing = killed.saturating_sub(last("gpu:"));
        assert!(missing < 1_300_000_000, "round {round}: the last {} ms are missing", missing / 1_000_000);
        let gpus: std::collections::BTreeSet<&str> =
            lines.iter().filter_map(|line| line["entity"].as_str()).filter(|name| name.starts_with("gpu:")).collect();
        assert_eq!(gpus.len(), 8);
        assert_eq!(info(&out)["closed"], false);
    }
}

/// The processes that a process started.
fn children(of: u32) -> Vec<rustix::process::Pid> {
    let listed = std::fs::read_dir(format!("/proc/{of}/task")).unwrap().flatten();
    let text = listed.map(|task| std::fs::read_to_string(task.path().join("children")).unwrap_or_default());
    let pids: Vec<i32> =
        text.flat_map(|line| line.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<_>>()).collect();
    pids.into_iter().filter_map(rustix::process::Pid::from_raw).collect()
}

#[test]
fn workers_outlive_every_polite_signal_and_end_with_their_recorder() {
    let node = Sysroot::hgx("signals");
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("signals.gdk");
    let run = Deck::new(["record", "--out"]).arg(&out).root(node.root()).driver(EIGHT).start();
    assert!(wait_until(Duration::from_secs(10), || children(run.pid()).len() >= 7));
    std::thread::sleep(Duration::from_secs(2));
    let workers = children(run.pid());
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        workers.iter().for_each(|worker| rustix::process::kill_process(*worker, signal).unwrap());
    }
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(children(run.pid()), workers, "the same ones");
    run.signal(Signal::INT);
    assert!(run.finish(Duration::from_secs(10)).status.success());
    let info = info(&out);
    assert_eq!(info["closed"], true);
    assert_eq!(info["events_by_kind"]["probe_crashed"], Value::Null, "{info}");
    let gone = |worker: &rustix::process::Pid| rustix::process::test_kill_process(*worker).is_err();
    assert!(wait_until(Duration::from_secs(10), || workers.iter().all(gone)), "workers end by themselves");
}

#[test]
fn a_long_interval_is_no_hang() {
    let node = Sysroot::hgx("slow");
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("slow.gdk");
    let run = Deck::new(["record", "--for", "16s", "--interval", "7s", "--out"]).arg(&out).root(node.root()).start();
    assert!(run.finish(Duration::from_secs(30)).status.success());
    let info = info(&out);
    assert_eq!(info["events_by_kind"]["probe_stuck"], Value::Null, "{info}");
    assert!(info["frames_by_probe"]["host"].as_u64().unwrap() >= 3, "{info}");
}

#[test]
fn a_line_that_user_space_wrote_is_recorded_as_injected_and_never_acted_on() {
    if !is_root() {
        let _nobody_reads = writeln!(std::io::stderr(), "skipped: writing to /dev/kmsg needs root");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("injected.gdk");
    let run = Deck::new(["record", "--for", "6s", "--out"]).arg(&out).driver(EIGHT).start();
    assert!(wait_until(Duration::from_secs(5), || out.exists()));
    std::thread::sleep(Duration::from_millis(2_500));
    // The process number makes the line ours: the log is the whole machine's.
    let nonce = std::process::id();
    let line = format!("<3>NVRM: Xid (PCI:0000:4f:00): 79, pid={nonce}, name=nonce, GPU has fallen off the bus.\n");
    OpenOptions::new().write(true).open("/dev/kmsg").unwrap().write_all(line.as_bytes()).unwrap();
    run.finish(Duration::from_secs(20));
    let ours =
        |line: &&Value| line["record"]["text"].as_str().is_some_and(|text| text.contains(&format!("pid={nonce}")));
    let lines = exported(&out);
    let recorded = lines.iter().find(ours).unwrap_or_else(|| panic!("the line is not in the recording"));
    assert_eq!(recorded["injected"], true, "{recorded}");
    let diagnosed = Deck::new(["diagnose", "--format", "json"]).arg(&out).json();
    for incident in diagnosed["incidents"].as_array().unwrap() {
        assert_ne!(incident["root"]["code"], 79, "an injected line was acted on: {incident}");
    }
}

const XID_79: &str = "NVRM: Xid (PCI:0000:61:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.";

fn is_a_sound_incident(diagnosed: &Value) {
    let incident = &diagnosed["incidents"][0];
    assert_eq!(incident["root"]["kind"], "xid", "{diagnosed:#}");
    assert_eq!(incident["root"]["code"], 79);
    assert_eq!(incident["root"]["pci"], "0000:61:00.0");
    assert_eq!(incident["severity"], "fatal");
    assert_eq!(incident["class"], "bus");
    let actions: Vec<&str> =
        incident["advice"].as_array().unwrap().iter().filter_map(|advice| advice["action"].as_str()).collect();
    assert_eq!(actions.first(), Some(&"reboot_node"), "{actions:?}");
    assert!(incident["evidence"].as_array().unwrap().iter().any(|evidence| evidence["text"] == XID_79));
}

#[test]
fn the_kernels_own_line_in_a_tree_is_an_incident() {
    let node = Sysroot::hgx("tree");
    node.kernel_says(3, XID_79);
    let checked = Deck::new(["check", "--format", "json"]).root(node.root()).driver(EIGHT).output();
    assert_eq!(checked.status.code(), Some(2), "{}", String::from_utf8_lossy(&checked.stdout));
    let json: Value = serde_json::from_slice(&checked.stdout).unwrap();
    assert_eq!(json["verdict"], "critical");
    is_a_sound_incident(&json);
}

#[test]
fn the_same_line_from_user_space_in_a_tree_is_none() {
    let node = Sysroot::hgx("tree");
    node.user_says(3, XID_79);
    let json = Deck::new(["check", "--format", "json"]).root(node.root()).driver(EIGHT).json();
    for incident in json["incidents"].as_array().unwrap() {
        assert_ne!(incident["root"]["code"], 79, "{incident}");
    }
}

#[test]
fn the_same_line_in_a_log_file_is_an_incident() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("dmesg.txt");
    std::fs::write(&log, format!("[ 6781.541779] {XID_79}\n")).unwrap();
    is_a_sound_incident(&Deck::new(["diagnose", "--format", "json"]).arg(&log).json());
    let from_stdin = Deck::new(["diagnose", "-", "--format", "json"]).input(&log).json();
    is_a_sound_incident(&from_stdin);
}

#[test]
fn a_driver_call_that_never_returns_is_an_incident_and_holds_nothing_up() {
    let node = Sysroot::hgx("hung");
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("hung.gdk");
    let scenario = format!("{EIGHT}\n[[fault]]\nat = 4.0\nfor = 40.0\ngpu = 3\nkind = \"hang\"\ncall = \"*\"\n");
    let run = Deck::new(["record", "--for", "14s", "--out"]).arg(&out).root(node.root()).driver(&scenario).start();
    run.finish(Duration::from_secs(25));
    let lines = exported(&out);
    let ticks = |gpu: &str| {
        let of = lines
            .iter()
            .filter(|line| line["entity"] == gpu && line["metric"] == "gpu.power" && line["value"].is_number());
        of.count()
    };
    let gpus: std::collections::BTreeSet<&str> =
        lines.iter().filter_map(|line| line["entity"].as_str()).filter(|name| name.starts_with("gpu:")).collect();
    let stuck: Vec<&&str> = gpus.iter().filter(|gpu| ticks(gpu) < 8).collect();
    assert_eq!(
        stuck.len(),
        1,
        "one is stuck, the others lose no tick: {:?}",
        gpus.iter().map(|g| ticks(g)).collect::<Vec<_>>()
    );
    let diagnosed = Deck::new(["diagnose", "--format", "json"]).arg(&out).json();
    let incident = &diagnosed["incidents"][0];
    assert_eq!(incident["root"]["entity"], **stuck[0], "{diagnosed:#}");
    assert!(incident["root"]["rule"].as_str().unwrap().contains("stuck"), "{incident:#}");
    let evidence = incident["evidence"].to_string();
    assert!(evidence.contains("nvmlDevice"), "which call: {evidence}");
}

#[test]
fn what_an_xid_of_the_backlog_means_is_decided_by_the_driver_that_is_loaded() {
    for (driver, means) in [("535.104.05", "fast-path"), ("570.124.06", "Optical flow")] {
        let node = Sysroot::hgx("versions");
        node.write("sys/module/nvidia/version", &format!("{driver}\n"));
        node.kernel_says(3, "NVRM: Xid (PCI:0000:61:00): 139, pid=1, name=x, some text");
        let directory = tempfile::tempdir().unwrap();
        let out = directory.path().join("versions.gdk");
        let run = Deck::new(["record", "--for", "3s", "--out"]).arg(&out).root(node.root()).start();
        run.finish(Duration::from_secs(15));
        assert_eq!(info(&out)["driver"]["driver_version"], driver);
        let diagnosed = Deck::new(["diagnose", "--format", "json"]).arg(&out).json();
        let titles = diagnosed["incidents"].to_string();
        assert!(titles.contains(means), "{driver}: {titles}");
    }
}

#[test]
fn decoding_a_pipe_answers_each_line_when_it_comes() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let (mut command, _) = Deck::new(["decode"]).parts();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    writeln!(input, "[    1.000000] {XID_79}").unwrap();
    let (answers, answered) = std::sync::mpsc::channel();
    let output = child.stdout.take().unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _test_is_over = answers.send(line);
        }
    });
    // The pipe is still open: the answer does not wait for its end.
    let first: Value = serde_json::from_str(&answered.recv_timeout(Duration::from_secs(10)).unwrap()).unwrap();
    assert_eq!((&first["code"], &first["line"]), (&79.into(), &1.into()));
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn decoded_text_shows_a_forged_line_as_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("kmsg");
    std::fs::write(&log, format!("3,1,1000000,-;{XID_79}\n11,2,2000000,-;{XID_79}\n")).unwrap();
    let output = Deck::new(["decode", "--format", "text"]).arg(&log).output();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("fatal") && lines[0].contains("reboot_node"), "{text}");
    assert!(lines[1].contains("injected") && !lines[1].contains("reboot_node"), "{text}");
}

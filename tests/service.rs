//! The recorder as a service: what systemd is told, its signals, and the incidents that it bundles by itself.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, clippy::indexing_slicing)]

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use testbed::{Deck, Sysroot, mono_ns, wait_until};

const EIGHT: &str = "[gpus]\ncount = 8\nmodel = \"H100 SXM5 80GB\"\nload = \"training\"\n";
const XID_79: &str = "NVRM: Xid (PCI:0000:61:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.";
const SOON: Duration = Duration::from_secs(15);

/// Everything that the manager has been told until now.
fn heard(socket: &UnixDatagram, so_far: &mut Vec<String>) {
    let mut bytes = [0; 4096];
    while let Ok(count) = socket.recv(&mut bytes) {
        so_far.extend(String::from_utf8_lossy(&bytes[..count]).lines().map(str::to_owned));
    }
}

fn gdk_files(directory: &Path) -> Vec<PathBuf> {
    let listed = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    listed.filter(|path| path.extension().is_some_and(|extension| extension == "gdk")).collect()
}

#[test]
fn the_manager_is_told_of_start_life_and_end_and_a_stuck_probe_does_not_starve_the_watchdog() {
    let (node, directory) = (Sysroot::hgx("service"), tempfile::tempdir().unwrap());
    let (out, address) = (directory.path().join("recording"), directory.path().join("notify"));
    let manager = UnixDatagram::bind(&address).unwrap();
    manager.set_nonblocking(true).unwrap();
    let scenario = format!("{EIGHT}\n[[fault]]\nat = 2.0\nfor = 60.0\ngpu = 3\nkind = \"hang\"\ncall = \"*\"\n");
    let deck = Deck::new(["record", "--min-free", "0", "--out"]).arg(&out).root(node.root()).driver(&scenario);
    let deck = deck.env("NOTIFY_SOCKET", &address.display().to_string()).env("WATCHDOG_USEC", "2000000");
    let run = deck.start();
    let mut told = Vec::new();
    let has = |line: &str, told: &mut Vec<String>| {
        wait_until(SOON, || {
            heard(&manager, told);
            told.iter().any(|told| told.starts_with(line))
        })
    };
    assert!(has("READY=1", &mut told), "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("STATUS=recording to")), "{told:?}");
    std::thread::sleep(Duration::from_secs(8));
    assert!(has("WATCHDOG=1", &mut told));
    let fed = told.iter().filter(|line| *line == "WATCHDOG=1").count();
    assert!(fed >= 5, "the watchdog was fed {fed} times in eight seconds");
    run.signal(Signal::TERM);
    let asked = mono_ns();
    let output = run.finish(SOON);
    let took = (mono_ns() - asked) / 1_000_000;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(took < 10_000, "it took {took} ms to end");
    assert!(has("STOPPING=1", &mut told), "{told:?}");
    let info = Deck::new(["info", "--format", "json"]).arg(&out).json();
    assert_eq!(info["closed"], true, "{info}");
}

#[test]
fn sighup_begins_another_segment_and_no_frame_is_lost_between_the_two() {
    let (node, directory) = (Sysroot::hgx("rotated"), tempfile::tempdir().unwrap());
    let out = directory.path().join("recording");
    let deck = Deck::new(["record", "--min-free", "0", "--out"]).arg(&out).root(node.root()).driver(EIGHT);
    let run = deck.start();
    assert!(wait_until(SOON, || gdk_files(&out).len() == 1));
    std::thread::sleep(Duration::from_secs(3));
    run.signal(Signal::HUP);
    assert!(wait_until(SOON, || gdk_files(&out).len() == 2), "two segments");
    std::thread::sleep(Duration::from_secs(2));
    run.signal(Signal::TERM);
    assert!(run.finish(SOON).status.success());
    let info = Deck::new(["info", "--format", "json"]).arg(&out).json();
    assert_eq!((&info["gaps"], &info["closed"]), (&0.into(), &true.into()), "{info}");
}

#[test]
fn an_xid_is_bundled_by_the_recorder_itself_and_the_bundle_says_what_it_was() {
    let (node, directory) = (Sysroot::hgx("bundled"), tempfile::tempdir().unwrap());
    let out = directory.path().join("recording");
    let deck = Deck::new(["record", "--min-free", "0", "--out"]).arg(&out).root(node.root()).driver(EIGHT);
    let run = deck.start();
    assert!(wait_until(SOON, || out.exists()));
    std::thread::sleep(Duration::from_secs(4));
    node.kernel_says(3, XID_79);
    std::thread::sleep(Duration::from_secs(4));
    // It is not quiet yet: what there is of it is bundled at the end, behind the seal.
    run.signal(Signal::TERM);
    let output = run.finish(Duration::from_secs(30));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let bundles = gdk_files(&out.join("incidents"));
    let xid = bundles.iter().find(|path| path.to_string_lossy().contains("xid79"));
    let xid = xid.unwrap_or_else(|| panic!("{bundles:?}\n{said}"));
    assert!(xid.file_name().unwrap().to_string_lossy().contains("gpu3"), "{}", xid.display());
    let diagnosed = Deck::new(["diagnose", "--format", "json"]).arg(xid).json();
    assert_eq!(diagnosed["incidents"][0]["root"]["code"], 79, "{diagnosed:#}");
    // What lies in a directory below is no part of the recording.
    let info = Deck::new(["info", "--format", "json"]).arg(&out).json();
    assert_eq!(info["segments"].as_array().unwrap().len(), 1, "{info}");
}

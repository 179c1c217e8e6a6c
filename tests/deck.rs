//! The deck in a real terminal.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::path::Path;
use std::time::Duration;

use testbed::{Deck, Screen, Sysroot, mono_ns, wait_until};

const SOON: Duration = Duration::from_secs(15);

fn eight(fault: &str) -> String {
    format!("[gpus]\ncount = 8\nmodel = \"H100 SXM5 80GB\"\nload = \"training\"\n{fault}")
}

fn leaves_at_once(screen: &mut Screen) {
    let pressed = mono_ns();
    screen.press("q");
    let status = screen.wait_for_end(Duration::from_secs(3));
    let took = (mono_ns() - pressed) / 1_000_000;
    assert!(status.success(), "{status:?}");
    assert!(took < 1_500, "`q` took {took} ms");
    assert!(
        wait_until(Duration::from_secs(1), || !screen.alternate() && !screen.cursor_hidden()),
        "the terminal is restored"
    );
}

/// Escape; a terminal sends Alt with a key as Escape and the key, so the next key must not follow at once.
fn back(screen: &mut Screen) {
    screen.press("\x1b");
    std::thread::sleep(Duration::from_millis(300));
}

#[test]
fn the_deck_shows_the_node_and_leaves_the_terminal_as_it_was() {
    let node = Sysroot::hgx("gpu-node-07");
    let mut screen = Screen::open(Deck::new::<[&str; 0], &str>([]).root(node.root()).driver(&eight("")), 120, 36);
    screen.wait_for("gpu-node-07", SOON);
    screen.wait_for("LIVE", SOON);
    screen.wait_for("/700 W", SOON);
    assert!(screen.alternate());
    screen.press("?");
    screen.wait_for("RDMA ports and their counters", SOON);
    back(&mut screen);
    leaves_at_once(&mut screen);
}

#[test]
fn a_stuck_driver_call_freezes_one_gpu_and_nothing_else() {
    let node = Sysroot::hgx("gpu-node-07");
    let scenario = eight("[[fault]]\nat = 5.0\nfor = 60.0\ngpu = 3\nkind = \"hang\"\ncall = \"*\"\n");
    let mut screen = Screen::open(Deck::new::<[&str; 0], &str>([]).root(node.root()).driver(&scenario), 160, 48);
    screen.wait_for("LIVE", SOON);
    // Which one, since when, in which call, and that it is an incident.
    screen.wait_for("stuck", Duration::from_secs(20));
    screen.wait_for("nvmlDevice", SOON);
    // The others go on: the screen keeps changing from second to second.
    let mut changes = 0;
    let mut before = screen.text();
    for _ in 0..12 {
        std::thread::sleep(Duration::from_millis(500));
        let now = screen.text();
        changes += u32::from(now != before);
        before = now;
    }
    assert!(changes >= 5, "the deck changed only {changes} times in 6 s:\n{before}");
    leaves_at_once(&mut screen);
}

#[test]
fn a_recording_is_shown_like_a_node_and_its_incident_is_one_key_away() {
    let recording = Path::new(env!("CARGO_MANIFEST_DIR")).join("replay-fixtures/xid79-fell-off/recording.gdk");
    let mut screen = Screen::open(Deck::new(["replay"]).arg(&recording), 120, 36);
    screen.wait_for("REPLAY", SOON);
    screen.wait_for("Xid 79", SOON);
    screen.press("i");
    // The verbatim line stands only on the incident's own screen.
    screen.wait_for("NVRM: Xid (PCI:0000:61:00): 79", SOON);
    back(&mut screen);
    leaves_at_once(&mut screen);
}

#[test]
fn a_terminal_of_any_size_is_used() {
    for (columns, rows) in [(80, 24), (60, 16), (40, 10), (200, 50)] {
        let mut screen = Screen::open(Deck::new(["demo"]), columns, rows);
        assert!(wait_until(SOON, || screen.alternate() && !screen.text().trim().is_empty()));
        leaves_at_once(&mut screen);
    }
}

#[test]
fn a_panic_restores_the_terminal_and_is_told() {
    let mut screen = Screen::open(Deck::new(["demo"]).env("GPUDECK_TEST_PANIC", "1"), 100, 30);
    let status = screen.wait_for_end(SOON);
    assert_eq!(status.exit_code(), 70);
    assert!(wait_until(Duration::from_secs(1), || !screen.alternate() && !screen.cursor_hidden()));
    screen.wait_for("GPUDECK_TEST_PANIC asks for a panic", Duration::from_secs(1));
}

#[test]
fn being_told_to_end_restores_the_terminal() {
    let node = Sysroot::hgx("gpu-node-07");
    let live = Screen::open(Deck::new::<[&str; 0], &str>([]).root(node.root()).driver(&eight("")), 100, 30);
    live.wait_for("LIVE", SOON);
    let replay = Screen::open(Deck::new(["demo"]), 100, 30);
    replay.wait_for("REPLAY", SOON);
    for (mut screen, signal) in [(live, rustix::process::Signal::TERM), (replay, rustix::process::Signal::INT)] {
        let pid = rustix::process::Pid::from_raw(i32::try_from(screen.pid()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
        let status = screen.wait_for_end(Duration::from_secs(3));
        assert!(status.success(), "{status:?}");
        assert!(wait_until(Duration::from_secs(1), || !screen.alternate() && !screen.cursor_hidden()));
    }
}

//! A real FUSE mount with a cache, and what happens when its daemon stops.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::time::Duration;

use serde_json::Value;
use testbed::{CacheFs, Deck, mono_ns};

#[test]
fn a_mount_shows_its_hit_ratio_and_a_stopped_daemon_is_an_incident_while_everything_else_goes_on() {
    let Some(files) = CacheFs::mount() else { return };
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("storage.gdk");
    // Byte counters are kept in steps otherwise.
    let run = Deck::new(["record", "--lossless", "--for", "26s", "--out"])
        .arg(&out)
        .driver("[gpus]\ncount = 2\nload = \"steady\"\n")
        .start();
    std::thread::sleep(Duration::from_secs(3));
    for _ in 0..4 {
        files.read(4 << 20);
        std::thread::sleep(Duration::from_secs(1));
    }
    std::thread::sleep(Duration::from_secs(2));
    files.stop();
    let stopped = mono_ns();
    std::thread::sleep(Duration::from_secs(14));
    files.go_on();
    run.finish(Duration::from_secs(30));

    let output = Deck::new(["export", "--to", "jsonl"]).arg(&out).output();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mount = format!("mount:{}", files.path().display());
    let of = |entity: &str, metric: &str| -> Vec<&Value> {
        lines.iter().filter(|line| line["entity"] == entity && line["metric"] == metric).collect()
    };
    // The first reading fills the cache, the later ones are served from it: the daemon's own account, byte for byte.
    let last = |metric: &str| of(&mount, metric).iter().filter_map(|line| line["value"].as_u64()).max().unwrap();
    assert_eq!(last("fuse.cache_hit_bytes") + last("fuse.cache_miss_bytes"), 4 * (4 << 20));
    let ratios: Vec<f64> =
        of(&mount, "fuse.cache_hit_ratio").iter().filter_map(|line| line["value"].as_f64()).collect();
    assert!(ratios.iter().any(|ratio| *ratio > 99.0), "{ratios:?}");

    let diagnosed = Deck::new(["diagnose", "--format", "json"]).arg(&out).json();
    let incidents = diagnosed["incidents"].as_array().unwrap();
    let hung = incidents.iter().find(|incident| incident["root"]["entity"] == mount.as_str());
    let hung = hung.unwrap_or_else(|| panic!("no incident of {mount}: {diagnosed:#}"));
    let after = hung["mono_ns"].as_u64().unwrap().saturating_sub(stopped);
    assert!(after < 15_000_000_000, "the incident came {} ms after the daemon stopped", after / 1_000_000);
    assert!(hung["mono_ns"].as_u64().unwrap() >= stopped, "{hung:#}");
    assert_eq!(hung["class"], "storage");
    assert_eq!(hung["advice"][0]["action"], "check_storage");

    // Everything else kept moving: the GPUs and the host were read each second while the daemon was stopped.
    let powers = lines.iter().filter(|line| line["metric"] == "gpu.power" && line["value"].is_number()).count();
    assert!(powers >= 2 * 20, "{powers} readings of two GPUs in 26 s");
    assert!(of("node", "host.cpu").len() >= 20);
}

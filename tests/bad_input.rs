//! Whatever gpudeck is given, it says in one message what happened and what to do, with a documented exit code.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use testbed::Deck;

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("replay-fixtures/xid79-fell-off/recording.gdk")
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = said(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is missing in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_torn_recording_is_used_up_to_the_tear_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let torn = directory.path().join("torn.gdk");
    let bytes = fs::read(fixture()).unwrap();
    fs::write(&torn, &bytes[..bytes.len() * 9 / 10]).unwrap();
    let output = Deck::new(["diagnose", "--format", "json"]).arg(&torn).output();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("byte"), "where it is torn: {}", said(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["incidents"][0]["root"]["code"], 79);
    // A script that reads only the JSON learns of it too.
    assert_eq!(json["coverage"]["gaps"][0]["source"], "recording");

    let whole = directory.path().join("whole.gdk");
    let output = Deck::new(["recover"]).arg(&torn).arg("--out").arg(&whole).output();
    assert!(output.status.success(), "{}", said(&output));
    let output = Deck::new(["diagnose", "--format", "json"]).arg(&whole).output();
    assert!(output.status.success() && said(&output).is_empty(), "{}", said(&output));
}

#[test]
fn what_is_not_a_recording_is_refused_with_what_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.gdk");
    fs::write(&empty, b"").unwrap();
    refused(&Deck::new(["info"]).arg(&empty).output(), 65, &["empty"]);

    let text = directory.path().join("notes.txt");
    fs::write(&text, "milk, bread\n").unwrap();
    refused(&Deck::new(["info"]).arg(&text).output(), 65, &["not a gpudeck recording"]);

    let binary = directory.path().join("photo.jpg");
    fs::write(&binary, [0xff, 0xd8, 0xff, 0xe0, 0, 16]).unwrap();
    refused(&Deck::new(["diagnose"]).arg(&binary).output(), 65, &["neither a gpudeck recording nor"]);

    let missing = directory.path().join("missing.gdk");
    refused(&Deck::new(["info"]).arg(&missing).output(), 66, &["missing.gdk"]);
}

#[test]
fn a_recording_of_a_newer_version_is_named_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let newer = directory.path().join("newer.gdk");
    let mut bytes = fs::read(fixture()).unwrap();
    // The first 36 bytes keep their shape in every version, checksum included (docs/format.md).
    bytes[8] = 9;
    let checksum = crc32c::crc32c(&bytes[..32]).to_le_bytes();
    bytes[32..36].copy_from_slice(&checksum);
    fs::write(&newer, bytes).unwrap();
    refused(&Deck::new(["info"]).arg(&newer).output(), 65, &["newer gpudeck", "version 9.0"]);
}

#[test]
fn a_typo_in_a_rule_is_explained_with_its_place_and_the_nearest_name() {
    let directory = tempfile::tempdir().unwrap();
    let rules = directory.path().join("mine.toml");
    fs::write(
        &rules,
        r#"
[[rule]]
id = "mine.hot"
title = "Hot"
meaning = "A GPU is hotter than I like."
severity = "warning"
class = "thermal"
entity = "gpu"
when = "gpu.tmep > 80"
clear = "gpu.temp < 75"
advice = [{ action = "check_cooling", why = "It is hot." }]
"#,
    )
    .unwrap();
    let output = Deck::new(["rules", "check"]).arg(&rules).output();
    refused(&output, 65, &["mine.toml:9:", "gpu.tmep", "did you mean `gpu.temp`"]);
    let output = Deck::new(["diagnose", "--rules"]).arg(directory.path()).arg(fixture()).output();
    refused(&output, 65, &["gpu.temp"]);
}

#[test]
fn a_deck_without_a_terminal_says_what_to_use_instead() {
    refused(&Deck::new::<[&str; 0], &str>([]).output(), 69, &["terminal", "gpudeck check"]);
    refused(&Deck::new(["replay"]).arg(fixture()).output(), 69, &["gpudeck diagnose"]);
}

#[test]
fn a_root_that_is_not_there_or_lacks_a_directory_is_told() {
    refused(&Deck::new(["check", "--root", "/no/such/tree"]).output(), 66, &["--root", "/no/such/tree"]);
    // An empty tree is readable and holds nothing: unknown, never ok.
    let tree = tempfile::tempdir().unwrap();
    let output = Deck::new(["check", "--format", "json"]).root(tree.path()).output();
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stdout));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["verdict"], "unknown");
    assert!(!json["coverage"]["gaps"].as_array().unwrap().is_empty());
}

#[test]
fn a_wrong_command_line_is_64_and_help_is_0() {
    refused(&Deck::new(["dignose"]).output(), 64, &["diagnose"]);
    refused(&Deck::new(["record"]).output(), 64, &["--out"]);
    refused(&Deck::new(["record", "--out", "x.gdk", "--for", "soon"]).output(), 64, &["20s"]);
    for command in [
        "demo", "record", "replay", "diagnose", "check", "decode", "export", "info", "recover", "rules", "drain",
        "undrain", "doctor",
    ] {
        let output = Deck::new([command, "--help"]).output();
        assert!(output.status.success());
        let help = String::from_utf8(output.stdout).unwrap();
        assert!(help.contains("Example"), "{command} --help has no example");
    }
}

#[test]
fn recording_over_somebody_elses_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let precious = directory.path().join("precious.gdk");
    fs::write(&precious, "precious").unwrap();
    let output = Deck::new(["record", "--for", "1s", "--out"]).arg(&precious).output();
    assert!(!output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("precious.gdk"), "{}", said(&output));
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
}

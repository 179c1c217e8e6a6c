//! `gpudeck trim`: a redacted piece names nobody and comes to the same incidents.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use testbed::Deck;

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("replay-fixtures");
    let paths = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path().join("recording.gdk"));
    paths.filter(|path| path.exists()).collect()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("replay-fixtures").join(name).join("recording.gdk")
}

/// The incidents without the names in them: rules, times, classes, counts, advice.
fn gist(recording: &Path) -> Value {
    let told = Deck::new(["diagnose", "--format", "json"]).arg(recording).json();
    let incident = |incident: &Value| {
        let symptoms: Vec<Value> = incident["symptoms"]
            .as_array()
            .unwrap()
            .iter()
            .map(|symptom| {
                json!([symptom["rule"], symptom["count"], symptom["severity"], symptom["pci"], symptom["at"]])
            })
            .collect();
        let root = &incident["root"];
        json!({
            "root": [root["rule"], root["kind"], root["code"], root["pci"], root["event"], root["confidence"]],
            "class": incident["class"], "severity": incident["severity"], "at": incident["at"],
            "first_seen": incident["first_seen"], "last_seen": incident["last_seen"],
            "advice": incident["advice"].as_array().unwrap().iter().map(|advice| advice["action"].clone()).collect::<Vec<_>>(),
            "symptoms": symptoms,
        })
    };
    let incidents: Vec<Value> = told["incidents"].as_array().unwrap().iter().map(incident).collect();
    json!({ "incidents": incidents, "coverage": told["coverage"]["seen"] })
}

fn export(recording: &Path) -> String {
    String::from_utf8(Deck::new(["export", "--to", "jsonl"]).arg(recording).output().stdout).unwrap()
}

#[test]
fn a_redacted_piece_comes_to_the_same_incidents_as_the_whole() {
    for recording in fixtures() {
        let directory = tempfile::tempdir().unwrap();
        let piece = directory.path().join("piece.gdk");
        let trimmed = Deck::new(["trim", "--redact", "--out"]).arg(&piece).arg(&recording).output();
        assert!(trimmed.status.success(), "{}", String::from_utf8_lossy(&trimmed.stderr));
        assert_eq!(gist(&piece), gist(&recording), "{}", recording.display());
        let told = export(&piece).to_lowercase();
        for secret in ["gpu-node-07", "maria", "python", "7716da39-cba2", "165052307448", "6f1c3f0e-5a58"] {
            assert!(!told.contains(secret), "{}: {secret}", recording.display());
        }
    }
}

#[test]
fn info_tells_what_a_piece_was_cut_from_and_how_it_was_redacted() {
    let directory = tempfile::tempdir().unwrap();
    let piece = directory.path().join("piece.gdk");
    let whole = fixture("xid79-fell-off");
    assert!(Deck::new(["trim", "--redact", "--out"]).arg(&piece).arg(&whole).output().status.success());
    let info = |path: &Path| Deck::new(["info", "--format", "json"]).arg(path).json();
    let (of_whole, of_piece) = (info(&whole), info(&piece));
    assert_eq!(of_piece["trimmed_from"], json!([of_whole["segments"][0]["id"]]));
    assert_eq!(of_piece["redaction"]["key"], "random, kept nowhere");
    assert_eq!((&of_whole["trimmed_from"], &of_whole["redaction"]), (&json!([]), &Value::Null));
    let text = String::from_utf8(Deck::new(["info"]).arg(&piece).output().stdout).unwrap();
    assert!(text.contains("\ntrimmed from ") && text.contains("\nredacted "), "{text}");
}

#[test]
fn pieces_cut_with_one_key_join_and_others_do_not() {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key");
    fs::write(&key, [7; 32]).unwrap();
    let host = |name: &str, of: &str, key: Option<&Path>| {
        let piece = directory.path().join(name);
        let mut deck = Deck::new(["trim", "--redact", "--out"]).arg(&piece).arg(fixture(of));
        if let Some(key) = key {
            deck = deck.arg("--key-file").arg(key);
        }
        assert!(deck.output().status.success());
        let first: Value = serde_json::from_str(export(&piece).lines().next().unwrap()).unwrap();
        first["recording"]["host"]["hostname"].as_str().unwrap().to_owned()
    };
    let one = host("1.gdk", "xid79-fell-off", Some(&key));
    assert_eq!(host("2.gdk", "rdma-link-down", Some(&key)), one);
    assert_ne!(host("3.gdk", "xid79-fell-off", None), one);
    assert!(one.starts_with("host-"), "{one}");
}

#[test]
fn wrong_times_windows_keys_and_names_say_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let (out, short) = (directory.path().join("out.gdk"), directory.path().join("short"));
    fs::write(&short, "x").unwrap();
    let short = short.to_str().unwrap();
    let recording = fixture("xid79-fell-off");
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--from", "yesterday"], 64, "RFC 3339"),
        (&["--from", "2030-01-01T00:00:00Z"], 64, "the recording goes from 2026-11-23T18:33:22"),
        (&["--from", "2026-11-23T18:34:00Z", "--to", "2026-11-23T18:33:00Z"], 64, "--from must come before --to"),
        (&["--redact", "--key-file", "/nowhere/key"], 66, "cannot read the key"),
        (&["--redact", "--key-file", short], 65, "at least 16 are needed"),
        (&["--keep-lines"], 64, "--redact"),
    ];
    for (arguments, code, says) in cases {
        let mut deck = Deck::new(["trim", "--out"]).arg(&out).arg(&recording);
        for argument in *arguments {
            deck = deck.arg(argument);
        }
        let ended = deck.output();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(*code), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
        assert!(!out.exists(), "{arguments:?}");
    }
    fs::write(&out, "mine").unwrap();
    let ended = Deck::new(["trim", "--out"]).arg(&out).arg(&recording).output();
    assert_eq!(ended.status.code(), Some(64));
    assert_eq!(fs::read(&out).unwrap(), b"mine");
}

#[test]
fn times_may_be_told_relative_to_the_other_end() {
    let directory = tempfile::tempdir().unwrap();
    let cases: &[&[&str]] =
        &[&["--from", "2026-11-23T18:33:30Z", "--to", "+10s"], &["--from", "-10s", "--to", "2026-11-23T18:33:40Z"]];
    let mut pieces = Vec::new();
    for (number, arguments) in cases.iter().enumerate() {
        let piece = directory.path().join(format!("{number}.gdk"));
        let mut deck = Deck::new(["trim", "--out"]).arg(&piece).arg(fixture("xid79-fell-off"));
        for argument in *arguments {
            deck = deck.arg(argument);
        }
        let ended = deck.output();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        pieces.push(export(&piece).lines().skip(1).map(str::to_owned).collect::<Vec<_>>());
    }
    assert_eq!(pieces[0], pieces[1]);
    assert!(pieces[0].len() > 100);
}

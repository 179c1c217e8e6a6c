//! Every recorded incident is diagnosed as its `truth.toml` says.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use testbed::Deck;

fn fixtures() -> BTreeMap<String, PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("replay-fixtures");
    let entries = fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let found = entries.filter(|path| path.join("truth.toml").exists());
    found.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path)).collect()
}

fn truth(path: &Path) -> toml::Table {
    fs::read_to_string(path.join("truth.toml")).unwrap().parse().unwrap()
}

fn serious(incident: &&Value) -> bool {
    incident["severity"] != "info"
}

#[test]
fn there_are_at_least_eight_incidents_and_a_healthy_node_each_below_a_megabyte() {
    let fixtures = fixtures();
    let silent = fixtures.values().filter(|path| truth(path).contains_key("silent")).count();
    assert!(fixtures.len() - silent >= 8 && silent >= 1, "{:?}", fixtures.keys());
    for (name, path) in &fixtures {
        let bytes = fs::metadata(path.join("recording.gdk")).unwrap().len();
        assert!(bytes < 1_000_000, "{name} has {bytes} bytes");
    }
}

#[test]
fn each_has_the_root_the_symptoms_and_the_advice_that_its_truth_names() {
    let mut wrong = Vec::new();
    for (name, path) in fixtures() {
        let truth = truth(&path);
        let diagnosed = Deck::new(["diagnose", "--format", "json"]).arg(path.join("recording.gdk")).json();
        let incidents: Vec<&Value> = diagnosed["incidents"].as_array().unwrap().iter().filter(serious).collect();
        if truth.contains_key("silent") {
            if !incidents.is_empty() {
                wrong.push(format!("{name}: should be silent, says {}", titles(&incidents)));
            }
            continue;
        }
        let Some(first) = incidents.first() else {
            wrong.push(format!("{name}: no incident"));
            continue;
        };
        for (key, expected) in truth["root"].as_table().unwrap() {
            let expected = serde_json::to_value(expected).unwrap();
            if first["root"][key] != expected {
                wrong.push(format!("{name}: root {key} is {}, truth is {expected}", first["root"][key]));
            }
        }
        if first["class"] != truth["class"].as_str().unwrap() {
            wrong.push(format!("{name}: class is {}, truth is {}", first["class"], truth["class"]));
        }
        if first["advice"][0]["action"] != truth["action"].as_str().unwrap() {
            wrong.push(format!("{name}: advice is {}, truth is {}", first["advice"][0]["action"], truth["action"]));
        }
        for symptom in truth.get("symptoms").and_then(toml::Value::as_array).into_iter().flatten() {
            let rule = symptom.as_str().unwrap();
            let found = first["symptoms"].as_array().unwrap().iter().any(|symptom| symptom["rule"] == rule);
            if !found {
                wrong.push(format!("{name}: symptom {rule} is not folded under the root: {}", first["symptoms"]));
            }
        }
        let others = incidents.len() - 1;
        let allowed = truth.get("others").and_then(toml::Value::as_integer).unwrap_or(0);
        if i64::try_from(others).unwrap() > allowed {
            wrong.push(format!("{name}: {others} more incidents than the one: {}", titles(&incidents)));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_same_recording_gives_the_same_bytes_each_time_in_any_time_zone() {
    for (name, path) in fixtures() {
        let run = |zone: &str| {
            let (mut command, _) = Deck::new(["diagnose", "--format", "json"]).arg(path.join("recording.gdk")).parts();
            command.env("TZ", zone).output().unwrap().stdout
        };
        assert_eq!(run("UTC"), run("Asia/Kathmandu"), "{name}");
    }
}

fn titles(incidents: &[&Value]) -> String {
    incidents
        .iter()
        .map(|incident| format!("{} ({})", incident["root"]["rule"], incident["root"]["title"]))
        .collect::<Vec<_>>()
        .join("; ")
}

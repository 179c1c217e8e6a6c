//! The rooms use each other only as the design allows (`docs/architecture.md`).

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const ROOMS: &[(&str, &str, &[&str])] = &[
    ("model", "model", &[]),
    ("decode", "decode", &["model"]),
    ("nvml-raw", "probes/nvml-raw", &[]),
    ("probes", "probes", &["model", "decode", "nvml-raw"]),
    ("engine", "engine", &["model", "decode"]),
    ("rules", "rules", &["model", "decode"]),
    ("recorder", "recorder", &["model"]),
    ("actions", "actions", &["model", "nvml-raw"]),
    ("tui", "tui", &["model"]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn dependencies(manifest: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(manifest).unwrap();
    let manifest: toml::Table = text.parse().unwrap();
    manifest
        .get("dependencies")
        .and_then(toml::Value::as_table)
        .map(|table| table.keys().cloned().collect())
        .unwrap_or_default()
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

#[test]
fn rooms_use_only_what_the_design_allows() {
    let names: BTreeSet<&str> = ROOMS.iter().map(|(name, ..)| *name).collect();
    for (name, folder, allowed) in ROOMS {
        let used = dependencies(&root().join(folder).join("Cargo.toml"));
        let rooms: BTreeSet<&str> = used.iter().map(String::as_str).filter(|used| names.contains(used)).collect();
        let allowed: BTreeSet<&str> = allowed.iter().copied().collect();
        assert!(rooms.is_subset(&allowed), "{name} uses {rooms:?}; it may use {allowed:?}");
    }
}

#[test]
fn the_vocabulary_and_the_rules_know_no_runtime_and_no_files() {
    for room in ["model", "decode", "rules", "tui"] {
        let used = dependencies(&root().join(room).join("Cargo.toml"));
        for banned in ["tokio", "rustix", "libc", "tracing"] {
            assert!(!used.contains(banned), "{room} uses {banned}");
        }
        for source in sources(&root().join(room).join("src")) {
            let text = fs::read_to_string(&source).unwrap();
            let uses = text.lines().filter(|line| line.contains("std::") || line.trim_start().starts_with("use std"));
            for line in uses {
                for banned in ["fs", "net", "process", "thread"] {
                    let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
                    let named = line.contains("std::") && words.into_iter().any(|word| word == banned);
                    assert!(!named, "{} uses std::{banned}: {line}", source.display());
                }
            }
        }
    }
}

#[test]
fn replay_cannot_reach_an_executor() {
    // The only door to a real scheduler is SlurmCli::on_this_node, and only the drain command and the live deck hold a
    // key to it.
    let holders: BTreeMap<String, bool> = sources(&root().join("src"))
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.file_name().unwrap().to_string_lossy().into_owned(), text.contains("actions::"))
        })
        .collect();
    let holders: Vec<&str> = holders.iter().filter(|(_, holds)| **holds).map(|(name, _)| name.as_str()).collect();
    assert_eq!(holders, ["drain.rs"], "actions are wired in one file");
    for file in ["replay.rs", "demo.rs", "diagnose.rs", "past.rs"] {
        let text = fs::read_to_string(root().join("src").join(file)).unwrap();
        assert!(!text.contains("drain::"), "{file} reaches drain");
    }
}

#[test]
fn files_fit_one_sitting() {
    // About four hundred lines; tests beside the code are not what tires a reader.
    let rooms = ROOMS.iter().map(|(_, folder, _)| root().join(folder).join("src"));
    for source in rooms.chain([root().join("src")]).flat_map(|folder| sources(&folder)) {
        let text = fs::read_to_string(&source).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default().lines().count();
        assert!(code <= 420, "{} has {code} lines of code; split it by idea", source.display());
    }
}

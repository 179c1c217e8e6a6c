//! Exports are read by other people's readers (`tests/peers/readers.py`), and by nobody else than their owner.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use testbed::{Deck, built};

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn recording() -> PathBuf {
    home().join("replay-fixtures/xid79-fell-off/recording.gdk")
}

fn export(recording: &Path, format: &str, out: &Path, more: &[&str]) -> Output {
    let deck = Deck::new(["export", "--to", format, "--out"]).arg(out).arg(recording);
    more.iter().fold(deck, Deck::arg).output()
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Every export of a recording, as `readers.py` looks for them.
fn export_all(recording: &Path, directory: &Path) {
    let exports: [(&str, &str, &[&str]); 5] = [
        ("csv", "run.csv", &[]),
        ("parquet", "run.parquet", &[]),
        ("mcap", "run.json.mcap", &[]),
        ("mcap", "run.msgpack.mcap", &["--encoding", "msgpack"]),
        ("openmetrics", "run.om", &[]),
    ];
    for (format, name, more) in exports {
        let output = export(recording, format, &directory.join(name), more);
        assert!(output.status.success(), "{format}: {}", told(&output));
    }
}

/// Runs a script with other people's readers; false where they cannot be had.
fn read_back(script: &str, arguments: &[&Path]) -> bool {
    let readers = built("gpudeck").with_file_name("readers");
    let output = Command::new(home().join("tests/peers/readers.sh"))
        .arg(readers)
        .arg(home().join("tests/peers").join(script))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.code() == Some(77) {
        let _nobody_reads = writeln!(std::io::stderr(), "{}", told(&output));
        return false;
    }
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("agreed: "), "{said}\n{}", told(&output));
    true
}

#[test]
fn duckdb_mcap_and_prometheus_read_the_same_numbers_as_the_table_has() {
    let directory = tempfile::tempdir().unwrap();
    export_all(&recording(), directory.path());
    read_back("readers.py", &[directory.path()]);
}

#[test]
fn an_export_is_its_owners_alone_and_never_takes_a_name_that_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let names = [
        ("jsonl", "x.jsonl", "x.jsonl"),
        ("csv", "x.csv", "x.events.csv"),
        ("mcap", "x.mcap", "x.mcap"),
        ("openmetrics", "x.om", "x.om"),
        ("parquet", "x.parquet", "x.parquet"),
    ];
    for (format, name, made) in names {
        let (out, made) = (directory.path().join(name), directory.path().join(made));
        assert!(export(&recording(), format, &out, &[]).status.success());
        assert_eq!(fs::metadata(&made).unwrap().permissions().mode() & 0o077, 0, "{}", made.display());
        let again = export(&recording(), format, &out, &[]);
        assert_eq!(again.status.code(), Some(64), "{format}");
        assert!(told(&again).contains("not overwritten") && made.exists(), "{}", told(&again));
        let link = directory.path().join(format!("link-{name}"));
        symlink(directory.path().join("elsewhere"), &link).unwrap();
        assert_eq!(export(&recording(), format, &link, &[]).status.code(), Some(64), "{format}");
        assert!(!directory.path().join("elsewhere").exists(), "{format} followed a link");
    }
}

#[test]
fn every_part_of_a_parquet_export_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("x.parquet");
    assert!(export(&recording(), "parquet", &out, &[]).status.success());
    let mut folders = vec![out];
    let mut parts = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::metadata(&path).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o077, 0, "{}", path.display());
            parts += usize::from(metadata.is_file());
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    assert_eq!(parts, 2, "samples and events of one day");
}

#[test]
fn damage_is_told_and_everything_else_is_exported() {
    let directory = tempfile::tempdir().unwrap();
    let mut bytes = fs::read(recording()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let damaged = directory.path().join("damaged.gdk");
    fs::write(&damaged, bytes).unwrap();
    for format in ["jsonl", "csv", "mcap", "openmetrics", "parquet"] {
        let out = directory.path().join(format!("x.{format}"));
        let output = export(&damaged, format, &out, &[]);
        assert!(output.status.success(), "{format}: {}", told(&output));
        assert!(told(&output).contains("damaged from byte"), "{format}: {}", told(&output));
    }
    let whole = export(&recording(), "csv", &directory.path().join("whole.csv"), &[]);
    assert!(whole.status.success());
    let lines = |name: &str| fs::read_to_string(directory.path().join(name)).unwrap().lines().count();
    assert!(lines("x.csv") > 1 && lines("x.csv") < lines("whole.csv"), "{} lines", lines("x.csv"));
}

#[test]
fn a_disk_that_is_full_leaves_no_half_export() {
    let directory = tempfile::tempdir().unwrap();
    for format in ["csv", "jsonl", "mcap", "openmetrics"] {
        let out = directory.path().join(format!("x.{format}"));
        // A file may not grow beyond 8 blocks of 1024 bytes: a disk that takes no more.
        let (deck, _) = Deck::new(["export", "--to", format, "--out"]).arg(&out).arg(recording()).parts();
        let mut shell = Command::new("bash");
        shell
            .args(["-c", r#"trap '' XFSZ; ulimit -f 8; exec "$0" "$@""#])
            .arg(deck.get_program())
            .args(deck.get_args());
        let output = shell.stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(74), "{format}: {}", told(&output));
        assert!(told(&output).contains("removed"), "{format}: {}", told(&output));
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
}

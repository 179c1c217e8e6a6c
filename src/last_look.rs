//! "2 incidents since you last looked": what the recorder has bundled since this user's last deck.
//!
//! When that was stands in `$XDG_STATE_HOME/gpudeck/last-look.json` (XDG Base Directory Specification), by recording.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::record::bundle;

/// Where the recorder's service records to.
pub(crate) const DEFAULT_RECORDING: &str = "/var/lib/gpudeck";

/// The most bytes of the file that are read, and the most recordings that are remembered.
const MOST_BYTES: u64 = 64 << 10;
const MOST_RECORDINGS: usize = 64;

/// What has been bundled since the last look at a recording, as a line; remembers that it was looked at now. `directory` is
/// where it can be read, `name` what it is called.
pub(crate) fn news(directory: &Path, name: &str) -> Option<String> {
    let state = state_file(std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME"))?;
    let real = engine::clock::now().real_ns.and_then(|ns| u64::try_from(ns).ok())?;
    since(directory, name, &state, real)
}

fn state_file(state_home: Option<std::ffi::OsString>, home: Option<std::ffi::OsString>) -> Option<PathBuf> {
    // Relative paths are to be ignored, says the specification.
    let absolute = |path: std::ffi::OsString| Some(PathBuf::from(path)).filter(|path| path.is_absolute());
    let base = state_home.and_then(absolute).or_else(|| Some(home.and_then(absolute)?.join(".local/state")))?;
    Some(base.join("gpudeck/last-look.json"))
}

fn since(directory: &Path, name: &str, state: &Path, now: u64) -> Option<String> {
    let mut looks = read(state);
    let last = looks.insert(name.to_owned(), now).unwrap_or(0);
    while looks.len() > MOST_RECORDINGS {
        let oldest = looks.iter().min_by_key(|(_, at)| **at).map(|(name, _)| name.clone())?;
        looks.remove(&oldest);
    }
    if let Err(error) = write(state, &looks) {
        tracing::debug!(%error, "the last look cannot be remembered");
    }
    let last: SystemTime = UNIX_EPOCH + Duration::from_nanos(last);
    let bundles = bundle::bundles(&directory.join(bundle::DIRECTORY));
    let fresh: Vec<&PathBuf> = bundles.iter().filter(|(.., at)| *at > last).map(|(path, ..)| path).collect();
    let newest = fresh.last()?.file_name()?.to_string_lossy().into_owned();
    let many = if fresh.len() == 1 { "1 incident".to_owned() } else { format!("{} incidents", fresh.len()) };
    let path = Path::new(name).join(bundle::DIRECTORY).join(newest);
    Some(format!("{many} since you last looked; the last: gpudeck replay {}", path.display()))
}

fn read(state: &Path) -> BTreeMap<String, u64> {
    let mut text = Vec::new();
    let read = fs::File::open(state).and_then(|file| file.take(MOST_BYTES).read_to_end(&mut text));
    // A file that is not there, or not ours, is as if nobody had looked yet.
    read.ok().and_then(|_| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

fn write(state: &Path, looks: &BTreeMap<String, u64>) -> io::Result<()> {
    let directory = state.parent().ok_or_else(|| io::Error::other("no directory"))?;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let fresh = state.with_extension(format!("{}.fresh", std::process::id()));
    let mut file = fs::File::options().write(true).create_new(true).mode(0o600).open(&fresh)?;
    let written = serde_json::to_vec(looks).map_err(io::Error::other).and_then(|text| file.write_all(&text));
    written.and_then(|()| fs::rename(&fresh, state)).inspect_err(|_| {
        let _gone = fs::remove_file(&fresh);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_bundled_since_the_last_look_is_told_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let (recording, state) = (directory.path().join("rec"), directory.path().join("state/look.json"));
        let bundles = recording.join(bundle::DIRECTORY);
        fs::create_dir_all(&bundles).expect("writable");
        let put = |name: &str, at: u64| {
            let file = fs::File::create(bundles.join(name)).expect("writable");
            file.set_modified(UNIX_EPOCH + Duration::from_secs(at)).expect("ours");
        };
        let at = |seconds: u64| since(&recording, "/var/lib/gpudeck", &state, seconds * 1_000_000_000);
        assert_eq!(at(5), None);
        put("incident-1.gdk", 10);
        put("incident-2.gdk", 11);
        let told = at(20).expect("news");
        assert!(told.starts_with("2 incidents since you last looked"), "{told}");
        assert!(told.ends_with("/var/lib/gpudeck/incidents/incident-2.gdk"), "{told}");
        assert_eq!(at(21), None);
        put("incident-3.gdk", 30);
        assert!(at(40).expect("news").starts_with("1 incident since"));
        fs::write(&state, "not JSON").expect("writable");
        assert!(at(50).expect("as if never looked").starts_with("3 incidents"));
    }

    #[test]
    fn the_state_directory_is_where_the_specification_puts_it() {
        let path = |state: Option<&str>, home: Option<&str>| state_file(state.map(Into::into), home.map(Into::into));
        assert_eq!(path(Some("/s"), Some("/h")), Some("/s/gpudeck/last-look.json".into()));
        assert_eq!(path(Some("relative"), Some("/h")), Some("/h/.local/state/gpudeck/last-look.json".into()));
        assert_eq!(path(None, None), None);
    }
}

//! Captured trees, unpacked for a test, and what a probe tells of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods, dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;

use model::{Draft, Entity, EntityInfo, Reading, Stamp};
use probes::Polled;

/// Unpacks a tree of `tests/data/sysfs` into a directory of its own.
pub(crate) fn unpack(name: &str) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    unpack_into(tree.path(), name);
    tree
}

/// Unpacks a tree over what is there.
pub(crate) fn unpack_into(root: &Path, name: &str) {
    let archive = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/sysfs").join(format!("{name}.tar.gz"));
    let status = Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(root).status().unwrap();
    assert!(status.success(), "tar cannot unpack {}", archive.display());
}

/// One reading of a probe at a second of the monotonic clock.
pub(crate) fn read(probe: &mut dyn Polled, name: &str, second: u64) -> Draft {
    let mut draft = Draft::new(name, Stamp { mono_ns: Some(second * 1_000_000_000), real_ns: None });
    probe.read(&mut draft);
    draft
}

/// What a Draft tells of one entity.
pub(crate) struct Told<'a>(&'a Draft, Entity);

/// Of the entity in TARGET syntax.
pub(crate) fn of<'a>(draft: &'a Draft, target: &str) -> Told<'a> {
    Told(draft, target.parse().unwrap())
}

impl Told<'_> {
    pub(crate) fn reading(&self, metric: &str) -> Option<Reading> {
        let mut found = self.0.samples.iter().filter(|(key, _)| key.entity == self.1 && key.metric.as_str() == metric);
        let reading = found.next().map(|(_, reading)| reading.clone());
        assert!(found.next().is_none(), "{metric} of {} is told twice", self.1);
        reading
    }

    pub(crate) fn number(&self, metric: &str) -> f64 {
        match self.reading(metric) {
            Some(Reading::Good(value)) => value.as_f64().unwrap(),
            other => panic!("{metric} of {}: {other:?}", self.1),
        }
    }

    pub(crate) fn text(&self, metric: &str) -> String {
        match self.reading(metric) {
            Some(Reading::Good(value)) => value.as_text().unwrap().raw().to_owned(),
            other => panic!("{metric} of {}: {other:?}", self.1),
        }
    }

    pub(crate) fn info(&self) -> EntityInfo {
        self.0.entities.iter().find(|info| info.entity == self.1).unwrap().clone()
    }

    /// The names that begin with `stem`.
    pub(crate) fn names(&self, stem: &str) -> Vec<String> {
        let mine = self.0.samples.iter().filter(|(key, _)| key.entity == self.1);
        mine.map(|(key, _)| key.metric.as_str().to_owned()).filter(|name| name.starts_with(stem)).collect()
    }
}

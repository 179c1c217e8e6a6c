//! Bundles: one small recording per incident, beside the segments in `incidents/`, which retention does not touch.
//!
//! They are bounded themselves: the oldest go when there are too many or too large ones. Only files that are named as
//! bundles are counted and removed.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use ::recorder::Recording;
use ::recorder::open::EXTENSION;
use model::time::NS_PER_S;
use model::{Incident, Inventory, Stamp};

/// Where bundles lie in a recording's directory; what is in a directory below is not read as part of the recording.
pub(crate) const DIRECTORY: &str = "incidents";

/// What a bundle's name begins with.
const PREFIX: &str = "incident-";

/// The most bundles.
const MOST: usize = 64;

/// The most bytes of all bundles together.
const MOST_BYTES: u64 = 512 << 20;

/// An incident that is bundled, or will be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Case {
    /// The bundle's name, without its extension.
    pub name: String,
    /// What it is, for a person.
    pub why: String,
    /// From when on.
    pub from: Stamp,
    /// The last sign of it.
    pub last: Stamp,
    /// How much behind the last sign belongs to it, nanoseconds.
    pub after_ns: u64,
}

/// What becomes the bundle of an incident.
pub(crate) fn case(incident: &Incident, inventory: &Inventory, before_ns: u64, after_ns: u64) -> Case {
    let label = inventory.label(&inventory.canonical(&incident.root.entity));
    let rule = || incident.root.rule.replace(['.', '_'], "-");
    let what = match (incident.root.kind.as_str(), incident.root.code) {
        (kind @ ("xid" | "sxid"), Some(code)) => format!("{kind}{code}"),
        _ => rule(),
    };
    Case {
        name: format!("{PREFIX}{}-{}-{}", minute(incident.started), word(&label), word(&what)),
        why: format!("{} {}: {}", incident.severity, label, model::text::clean(&incident.root.title, 120)),
        from: earlier(incident.started, before_ns),
        last: incident.last,
        after_ns,
    }
}

/// Cuts the bundle of a case out of the recording at a path, and lets go of the oldest ones that do not fit any more.
pub(crate) fn write(recording: &Path, case: &Case) -> Result<PathBuf, String> {
    let directory = recording.join(DIRECTORY);
    match fs::DirBuilder::new().mode(0o750).create(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error.to_string()),
        _ => {}
    }
    // What lies long before is not read: a month of recording takes a while.
    let recording = Recording::open(recording).map_err(|error| error.to_string())?.since(case.from);
    let to = later(case.last, case.after_ns);
    let mut told = String::new();
    for number in 1..100 {
        let name = if number == 1 { case.name.clone() } else { format!("{}-{number}", case.name) };
        let path = directory.join(format!("{name}.{EXTENSION}"));
        if path.symlink_metadata().is_ok() {
            continue;
        }
        match ::recorder::trim::bundle(&recording, case.from, to, &path) {
            Ok(_) => {
                keep_within(&directory, MOST, MOST_BYTES, &path);
                return Ok(path);
            }
            Err(error) => told = error.to_string(),
        }
        break;
    }
    Err(if told.is_empty() { "there are too many bundles of this name".to_owned() } else { told })
}

/// The bundles in a directory with their sizes, the oldest first.
pub(crate) fn bundles(directory: &Path) -> Vec<(PathBuf, u64, std::time::SystemTime)> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| is_bundle(&entry.file_name().to_string_lossy()))
        .filter_map(|entry| {
            // A link's own metadata: it is no file, and not counted.
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((entry.path(), metadata.len(), metadata.modified().ok()?))
        })
        .collect();
    found.sort_by(|one, other| (one.2, &one.0).cmp(&(other.2, &other.0)));
    found
}

fn is_bundle(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(&format!(".{EXTENSION}"))
}

/// Removes the oldest until what is left fits; never the one just written.
fn keep_within(directory: &Path, most: usize, most_bytes: u64, fresh: &Path) {
    let found = bundles(directory);
    let (mut count, mut bytes) = (found.len(), found.iter().map(|(_, bytes, _)| bytes).sum::<u64>());
    for (path, size, _) in found.iter().filter(|(path, ..)| path != fresh) {
        if count <= most && bytes <= most_bytes {
            return;
        }
        match fs::remove_file(path) {
            Ok(()) => (count, bytes) = (count - 1, bytes.saturating_sub(*size)),
            Err(error) => tracing::warn!(path = %path.display(), %error, "an old bundle cannot be removed"),
        }
    }
}

/// `2026-11-23T0214`; the seconds since boot where the wall clock is not known.
fn minute(at: Stamp) -> String {
    let real = at.real_ns.and_then(|ns| jiff::Timestamp::from_nanosecond(i128::from(ns)).ok());
    real.map_or_else(|| format!("boot+{}s", at.axis_ns() / NS_PER_S), |real| real.strftime("%Y-%m-%dT%H%M").to_string())
}

/// Letters, digits and dashes only: labels come from outside.
fn word(text: &str) -> String {
    let mut word = String::new();
    for letter in text.chars().take(200) {
        match letter.to_ascii_lowercase() {
            letter if letter.is_ascii_alphanumeric() => word.push(letter),
            ' ' => {}
            _ if word.ends_with('-') || word.is_empty() => {}
            _ => word.push('-'),
        }
        if word.len() >= 40 {
            break;
        }
    }
    let word = word.trim_end_matches('-');
    if word.is_empty() { "unnamed".to_owned() } else { word.to_owned() }
}

fn earlier(at: Stamp, ns: u64) -> Stamp {
    let real = i64::try_from(ns).unwrap_or(i64::MAX);
    Stamp {
        mono_ns: at.mono_ns.map(|mono| mono.saturating_sub(ns)),
        real_ns: at.real_ns.map(|at| at.saturating_sub(real)),
    }
}

fn later(at: Stamp, ns: u64) -> Stamp {
    let real = i64::try_from(ns).unwrap_or(i64::MAX);
    Stamp {
        mono_ns: at.mono_ns.map(|mono| mono.saturating_add(ns)),
        real_ns: at.real_ns.map(|at| at.saturating_add(real)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundles_name_holds_nothing_but_plain_words() {
        assert_eq!(word("GPU 3"), "gpu3");
        assert_eq!(word("mlx5_0/1"), "mlx5-0-1");
        assert_eq!(word("../../etc/\x1b[31m"), "etc-31m");
        assert_eq!(word("\u{202e}"), "unnamed");
        assert!(word(&"a".repeat(1_000)).len() <= 40);
        assert_eq!(minute(Stamp { mono_ns: None, real_ns: Some(1_795_400_040_000_000_000) }), "2026-11-23T0214");
    }

    #[test]
    fn a_bundle_is_cut_from_the_segments_in_which_it_lies() {
        use ::recorder::{Header, Segments, Sync};
        let directory = tempfile::tempdir().expect("a directory");
        let at = |second: u64| Stamp::new(second * NS_PER_S, i64::try_from(second * NS_PER_S).expect("small"));
        let header = Header { created: at(1_000), ..Header::default() };
        let mut segments = Segments::create(directory.path(), &header, Sync::Off).expect("writable");
        let mut dictionary = model::Dictionary::default();
        for second in [1_000, 2_000, 3_000] {
            if second > 1_000 {
                segments.rotate(at(second));
            }
            let frame = model::Draft::new("host", at(second)).seal(&mut dictionary);
            segments.append(&frame);
        }
        segments.finish().expect("the disk takes it");
        let left = |second| Recording::open(directory.path()).expect("it opens").since(at(second)).segments().len();
        assert_eq!([left(500), left(1_500), left(2_500), left(9_000)], [3, 3, 2, 1]);
        let case = Case {
            name: "incident-x".to_owned(),
            why: String::new(),
            from: at(2_500),
            last: at(2_990),
            after_ns: 60 * NS_PER_S,
        };
        let path = write(directory.path(), &case).expect("a bundle");
        let bundle = Recording::open(&path).expect("it opens");
        let told = bundle.frames().map_while(Result::ok).filter(|frame| frame.probe == "host" && frame.at == at(3_000));
        assert_eq!(told.count(), 1);
    }

    #[test]
    fn the_oldest_bundles_go_and_nothing_else_does() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        for (age, name) in ["notes.txt", "incident-a.gdk", "incident-b.gdk", "incident-c.gdk"].iter().enumerate() {
            fs::write(path(name), [0; 100]).expect("writable");
            let file = fs::File::options().write(true).open(path(name)).expect("there");
            let at = std::time::UNIX_EPOCH + std::time::Duration::from_secs(age as u64);
            file.set_modified(at).expect("ours");
        }
        keep_within(directory.path(), 2, 1_000, &path("incident-c.gdk"));
        assert!(!path("incident-a.gdk").exists());
        keep_within(directory.path(), 2, 50, &path("incident-c.gdk"));
        assert!(!path("incident-b.gdk").exists());
        assert!(path("incident-c.gdk").exists() && path("notes.txt").exists());
    }
}

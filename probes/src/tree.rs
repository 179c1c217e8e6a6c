//! Files of a node below its root, with symbolic links resolved *inside* the root.
//!
//! sysfs is a forest of links (`/sys/bus/pci/devices/ADDR` → `../../../devices/…`), and a captured tree or a mounted
//! host may hold links that point anywhere. Links are therefore followed here, component by component, with an absolute
//! target taken as below the root (symlink(7), path_resolution(7)); the kernel is never asked to follow one.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};

use model::reading::count_as_f64;
use model::{Draft, Entity, Reading, catalogue as metrics};

use crate::Node;

/// The most links on one way; what path_resolution(7) allows.
const MOST_LINKS: usize = 40;
/// The most bytes taken of one text file; a sysfs attribute has at most a page.
const MOST_TEXT: u64 = 64 << 10;
/// The most entries taken of one directory.
const MOST_ENTRIES: usize = 65_536;
/// The most faults that one Frame tells of.
const MOST_FAULTS: usize = 32;

/// A directory of the node whose path holds no links any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Directory {
    place: PathBuf,
    real: PathBuf,
}

impl Directory {
    /// Opens a directory, given as on the node (`/sys/class/infiniband`).
    pub(crate) fn open(node: &Node, absolute: impl AsRef<Path>) -> io::Result<Self> {
        let place = resolve(node, absolute.as_ref())?;
        let real = node.path(&place);
        let is_directory = fs::symlink_metadata(&real)?.is_dir();
        is_directory.then_some(Self { place, real }).ok_or_else(|| io::Error::from(io::ErrorKind::NotADirectory))
    }

    /// The directory of this name inside, or behind a link of this name.
    pub(crate) fn enter(&self, node: &Node, name: &str) -> io::Result<Self> {
        Self::open(node, self.place.join(name))
    }

    /// Where it is on the node, without links.
    pub(crate) fn place(&self) -> &Path {
        &self.place
    }

    /// The names inside, in order; names that are not UTF-8 are left out.
    pub(crate) fn names(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.real)?.take(MOST_ENTRIES);
        let mut names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort_unstable();
        Ok(names)
    }

    /// The text of a file right inside; what is not UTF-8 becomes U+FFFD.
    pub(crate) fn text(&self, name: &str) -> io::Result<String> {
        self.bytes(name, MOST_TEXT).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The first bytes of a file right inside. A link, a pipe or a device is not opened.
    pub(crate) fn bytes(&self, name: &str, most: u64) -> io::Result<Vec<u8>> {
        read_file(&self.real.join(plain(name)?), most)
    }

    /// Whether something of this name is right inside.
    pub(crate) fn has(&self, name: &str) -> bool {
        plain(name).is_ok_and(|name| fs::symlink_metadata(self.real.join(name)).is_ok())
    }

    /// The target of a link right inside, as it is written; it is not followed.
    pub(crate) fn link(&self, name: &str) -> io::Result<PathBuf> {
        fs::read_link(self.real.join(plain(name)?))
    }

    /// The last name of a link's target: `driver` → `nvidia`.
    pub(crate) fn link_name(&self, name: &str) -> io::Result<String> {
        let target = self.link(name)?;
        let last = target.file_name().map(|last| last.to_string_lossy().into_owned());
        last.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }
}

/// The bytes of a file of the node, given as on the node.
pub(crate) fn read(node: &Node, absolute: impl AsRef<Path>, most: u64) -> io::Result<Vec<u8>> {
    read_file(&node.path(resolve(node, absolute.as_ref())?), most)
}

/// One name and nothing more: a path would let the kernel follow links on its way.
fn plain(name: &str) -> io::Result<&str> {
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(_)), None) => Ok(name),
        _ => Err(io::Error::from(io::ErrorKind::InvalidInput)),
    }
}

fn read_file(real: &Path, most: u64) -> io::Result<Vec<u8>> {
    // O_NONBLOCK: opening a pipe without a writer would wait for one.
    let file = File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(real)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same place without links: absolute, as on the node.
fn resolve(node: &Node, absolute: &Path) -> io::Result<PathBuf> {
    let mut ahead: VecDeque<OsString> = VecDeque::new();
    prepend(&mut ahead, absolute);
    let mut place = PathBuf::from("/");
    let mut links = 0;
    while let Some(name) = ahead.pop_front() {
        if name == ".." {
            place.pop();
            continue;
        }
        let next = place.join(&name);
        match fs::read_link(node.path(&next)) {
            Ok(target) => {
                links += 1;
                if links > MOST_LINKS {
                    return Err(io::Error::from_raw_os_error(libc::ELOOP));
                }
                if target.is_absolute() {
                    place = PathBuf::from("/");
                }
                prepend(&mut ahead, &target);
            }
            // EINVAL: there, and not a link.
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => place = next,
            Err(error) => return Err(error),
        }
    }
    Ok(place)
}

fn prepend(ahead: &mut VecDeque<OsString>, path: &Path) {
    for component in path.components().rev() {
        match component {
            Component::Normal(name) => ahead.push_front(name.to_owned()),
            Component::ParentDir => ahead.push_front("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

/// The reading that stands for an error which is an answer in itself: the file is not there, the device does not have
/// it (a link is no file of the device), or it may not be read. `None` for an error that is not.
pub(crate) fn absent(error: &io::Error) -> Option<Reading> {
    match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::PermissionDenied, _) => Some(Reading::Denied),
        (io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::Unsupported, _)
        | (_, Some(libc::EINVAL | libc::ENODEV | libc::ENXIO | libc::ELOOP)) => Some(Reading::Unsupported),
        _ => None,
    }
}

/// What was read, or the reading that says why not; an error that is no answer is a fault as well.
pub(crate) fn told<T>(result: io::Result<T>, file: &str, entity: &Entity, draft: &mut Draft) -> Result<T, Reading> {
    result.map_err(|error| {
        absent(&error).unwrap_or_else(|| {
            if draft.faults.len() < MOST_FAULTS {
                draft.fault(format!("read {file}"), Some(entity.clone()), error.to_string());
            }
            Reading::Unsupported
        })
    })
}

/// The state for [`sign`] of a probe whose source could not be listed.
pub(crate) fn state_without_source(error: &io::Error) -> &'static str {
    match absent(error) {
        Some(Reading::Denied) => "denied",
        Some(_) => "missing",
        None => "degraded",
    }
}

/// Adds how the probe itself does: `ok` and `degraded` by whether the Draft has faults.
pub(crate) fn sign(draft: &mut Draft, state: &str) {
    let probe = Entity::Probe(draft.probe.clone());
    let state = if state == "ok" && !draft.faults.is_empty() { "degraded" } else { state };
    let faults = count_as_f64(draft.faults.len() as u64);
    draft.read(&probe, metrics::PROBE_STATE, state);
    draft.read(&probe, metrics::PROBE_FAULTS, faults);
}

/// Monotonic nanoseconds of a Draft, from which the tiers of a probe are counted.
pub(crate) fn instant(draft: &Draft) -> u64 {
    draft.at.mono_ns.unwrap_or(0)
}

/// Whether `period_ns` have passed since `last`, or there was none.
pub(crate) fn due(last: Option<u64>, now: u64, period_ns: u64) -> bool {
    last.is_none_or(|last| now.saturating_sub(last) >= period_ns)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::symlink;

    use super::*;

    fn tree() -> (tempfile::TempDir, Node) {
        let tree = tempfile::tempdir().unwrap();
        let outside = tree.path().join("outside");
        fs::create_dir_all(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        let root = tree.path().join("root");
        fs::create_dir_all(root.join("sys/devices/a")).unwrap();
        fs::create_dir_all(root.join("sys/bus")).unwrap();
        fs::write(root.join("sys/devices/a/class"), "0x030200\n").unwrap();
        let node = Node::at(&root);
        (tree, node)
    }

    #[test]
    fn relative_and_absolute_links_are_taken_inside_the_root() {
        let (_tree, node) = tree();
        symlink("../devices/a", node.path("/sys/bus/relative")).unwrap();
        symlink("/sys/devices/a", node.path("/sys/bus/absolute")).unwrap();
        for name in ["relative", "absolute"] {
            let found = Directory::open(&node, Path::new("/sys/bus").join(name)).unwrap();
            assert_eq!(found.place(), Path::new("/sys/devices/a"));
            assert_eq!(found.text("class").unwrap(), "0x030200\n");
        }
    }

    #[test]
    fn no_link_leads_out_of_the_root() {
        let (tree, node) = tree();
        symlink(tree.path().join("outside"), node.path("/sys/bus/absolute")).unwrap();
        symlink("../../../../../outside", node.path("/sys/bus/upwards")).unwrap();
        symlink(tree.path().join("outside/secret"), node.path("/sys/devices/a/file")).unwrap();
        Directory::open(&node, "/sys/bus/absolute").unwrap_err();
        Directory::open(&node, "/sys/bus/upwards").unwrap_err();
        let a = Directory::open(&node, "/sys/devices/a").unwrap();
        a.text("file").unwrap_err();
        a.text("../../../../outside/secret").unwrap_err();
        read(&node, "/sys/devices/a/file", 10).unwrap_err();
    }

    #[test]
    fn links_in_a_circle_and_pipes_end() {
        let (_tree, node) = tree();
        symlink("two", node.path("/sys/bus/one")).unwrap();
        symlink("one", node.path("/sys/bus/two")).unwrap();
        let error = Directory::open(&node, "/sys/bus/one").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ELOOP));
        rustix::fs::mkfifoat(rustix::fs::CWD, node.path("/sys/devices/a/pipe"), rustix::fs::Mode::RUSR).unwrap();
        Directory::open(&node, "/sys/devices/a").unwrap().text("pipe").unwrap_err();
    }
}

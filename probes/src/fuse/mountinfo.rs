//! `/proc/PID/mountinfo` (proc(5)): `36 35 0:39 / /data rw,nosuid shared:1 - fuse.juicefs JuiceFS:vol rw,user_id=0`.
//!
//! Read as bytes, since a mount point is any bytes; space, tab, newline and backslash stand as `\040 \011 \012 \134`. A
//! line that cannot be read is left out: one odd mount must not hide the others.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The kernel's number for the mount; a mount made anew at the same place has another.
    pub id: u64,
    /// Device number of the file system: major, minor.
    pub device: (u32, u32),
    /// Where it is mounted.
    pub point: PathBuf,
    /// File system type and subtype: `fuse.juicefs`.
    pub fs_type: String,
    /// What is mounted: `JuiceFS:vol`.
    pub source: String,
}

/// How a mount is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Served by a daemon over `/dev/fuse`.
    Fuse,
    /// A network file system of the kernel: listed.
    Network,
}

/// Types of network file systems that training data lies on.
const NETWORK: &[&str] = &[
    "nfs", "nfs4", "lustre", "ceph", "cifs", "smb3", "beegfs", "gpfs", "wekafs", "panfs", "pvfs2", "afs", "9p",
    "virtiofs",
];

/// FUSE file systems of the desktop, of containers and of packages: no data passes through them.
const UNINTERESTING: &[&str] =
    &["fuse.lxcfs", "fuse.gvfsd-fuse", "fuse.portal", "fuse.snapfuse", "fuse.vmware-vmblock"];

impl Mount {
    /// How it is looked at; `None` for the others.
    pub fn kind(&self) -> Option<Kind> {
        let fs_type = self.fs_type.as_str();
        if UNINTERESTING.contains(&fs_type) {
            None
        } else if fs_type == "fuse" || fs_type == "fuseblk" || fs_type.starts_with("fuse.") {
            Some(Kind::Fuse)
        } else {
            NETWORK.contains(&fs_type).then_some(Kind::Network)
        }
    }

    /// The name of its directory below `/sys/fs/fuse/connections`: the kernel's device number, which for a device
    /// without major number (all but `fuseblk`) is the minor (`fs/fuse/control.c`).
    pub fn connection(&self) -> u64 {
        (u64::from(self.device.0) << 20) | u64::from(self.device.1)
    }
}

/// Reads all lines. Where two mounts lie on top of each other, only the upper one can be reached: the later line.
pub fn parse(text: &[u8]) -> Vec<Mount> {
    let mut mounts: Vec<Mount> = Vec::new();
    for mount in text.split(|byte| *byte == b'\n').filter_map(parse_line) {
        mounts.retain(|below| below.point != mount.point);
        mounts.push(mount);
    }
    mounts
}

fn parse_line(line: &[u8]) -> Option<Mount> {
    // Single spaces: an empty source is an empty field.
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let device = fields.nth(1)?;
    let colon = device.iter().position(|byte| *byte == b':')?;
    let device = (number(device.get(..colon)?)?, number(device.get(colon + 1..)?)?);
    let point = unescape(fields.nth(1)?);
    // Optional fields end with a hyphen.
    fields.find(|field| *field == b"-")?;
    let text = |field: &[u8]| String::from_utf8_lossy(&unescape(field)).into_owned();
    let (fs_type, source) = (text(fields.next()?), text(fields.next()?));
    let point = PathBuf::from(OsString::from_vec(point));
    // The kernel writes whole paths; a captured file that does not could lead out of its tree.
    let plain = point.components().all(|part| !matches!(part, std::path::Component::ParentDir));
    (point.is_absolute() && plain).then_some(Mount { id, device, point, fs_type, source })
}

fn number<N: std::str::FromStr>(field: &[u8]) -> Option<N> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, behind)) = rest.split_first() {
        match octal(rest) {
            Some(byte) => {
                plain.push(byte);
                rest = rest.get(4..).unwrap_or_default();
            }
            None => {
                plain.push(*first);
                rest = behind;
            }
        }
    }
    plain
}

/// The byte that `\ooo` stands for.
fn octal(text: &[u8]) -> Option<u8> {
    let [b'\\', digits @ ..] = text.get(..4)? else { return None };
    digits.iter().try_fold(0u8, |byte, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit < 8)?;
        byte.checked_mul(8)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REAL: &[u8] = b"22 27 0:21 / /proc rw,relatime - proc proc rw\n\
        42 27 0:39 / /srv/a\\040b\\134c rw,nosuid,nodev,relatime shared:7 master:2 - fuse.juicefs JuiceFS:testfs rw,user_id=0\n\
        43 27 0:40 / /net/home rw - nfs4 filer:/home rw,vers=4.2\n\
        44 27 8:17 / /win rw - fuseblk /dev/sdb1 rw\n\
        45 27 0:41 / /empty rw - fuse  rw\n\
        46 27 0:42 / /run/user/0/gvfs rw - fuse.gvfsd-fuse gvfsd-fuse rw\n\
        47 27 0:43 / /sys/fs/fuse/connections rw - fusectl none rw\n\
        not a line\n";

    #[test]
    fn mounts_read_with_their_escapes_resolved() {
        let mounts = parse(REAL);
        assert_eq!(mounts.len(), 7);
        let juicefs = &mounts[1];
        assert_eq!(juicefs.point, PathBuf::from("/srv/a b\\c"));
        assert_eq!((juicefs.fs_type.as_str(), juicefs.source.as_str()), ("fuse.juicefs", "JuiceFS:testfs"));
        assert_eq!((juicefs.id, juicefs.connection()), (42, 39));
        assert_eq!(mounts[3].connection(), (8 << 20) | 17);
        assert_eq!(mounts[4].source, "");
    }

    #[test]
    fn only_data_mounts_are_looked_at() {
        let kinds: Vec<_> = parse(REAL).iter().map(Mount::kind).collect();
        let (fuse, network) = (Some(Kind::Fuse), Some(Kind::Network));
        assert_eq!(kinds, [None, fuse, network, fuse, fuse, None, None]);
    }

    #[test]
    fn of_two_mounts_at_one_place_the_upper_one_counts() {
        let mounts = parse(b"1 0 0:5 / /d rw - ext4 x rw\n2 1 0:6 / /d rw - fuse y rw\n");
        assert_eq!(mounts.iter().map(|mount| mount.id).collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_path_that_leads_upwards_is_left_out() {
        assert_eq!(parse(b"1 0 0:5 / /../etc rw - fuse x rw\n"), []);
    }

    proptest! {
        #[test]
        fn any_path_survives_the_kernels_escaping(name in prop::collection::vec(1u8..=255, 1..40)) {
            prop_assume!(!name.contains(&b'/') && name != b"..");
            let escaped: Vec<u8> = name.iter().flat_map(|byte| match byte {
                b' ' | b'\t' | b'\n' | b'\\' => format!("\\{byte:03o}").into_bytes(),
                plain => vec![*plain],
            }).collect();
            let line = [b"7 1 0:5 / /", escaped.as_slice(), b" rw - fuse x rw"].concat();
            let mounts = parse(&line);
            prop_assert_eq!(mounts.len(), 1);
            let want = [b"/".as_slice(), &name].concat();
            prop_assert_eq!(mounts[0].point.as_os_str().as_encoded_bytes(), want.as_slice());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&bytes);
        }
    }
}

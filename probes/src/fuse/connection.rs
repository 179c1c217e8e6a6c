//! fusectl: the kernel's own account of a FUSE connection, below `/sys/fs/fuse/connections/N`
//! (`Documentation/filesystems/fuse.rst`). Reading it never asks the daemon. The files belong to whoever mounted, so
//! others need root.

use std::io;

use model::{Draft, Entity, ProbeFault, Reading};

use crate::Node;
use crate::tree::Directory;

/// What the kernel tells of one connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Connection {
    /// Requests that wait for the daemon or are with it.
    pub waiting: Result<u64, Reading>,
    /// Background requests that may be with the daemon at a time.
    pub max_background: Result<u64, Reading>,
}

impl Connection {
    /// Reads the connection of this number. What cannot be read goes into the Draft's faults, once.
    pub fn read(node: &Node, connection: u64, mount: &Entity, draft: &mut Draft) -> Self {
        let number = |file: &str| {
            let directory = Directory::open(node, format!("/sys/fs/fuse/connections/{connection}"))?;
            let text = directory.text(file)?;
            text.trim().parse().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a number"))
        };
        let (waiting, max_background) = (number("waiting"), number("max_background"));
        if let Err(error) = &waiting {
            let advice = match error.kind() {
                io::ErrorKind::NotFound => {
                    Some("mount fusectl: mount -t fusectl none /sys/fs/fuse/connections".to_owned())
                }
                io::ErrorKind::PermissionDenied => {
                    Some("run as root: only it and whoever mounted may read a connection's files".to_owned())
                }
                _ => None,
            };
            let call = "read fusectl waiting".to_owned();
            draft.faults.push(ProbeFault { call, entity: Some(mount.clone()), why: error.to_string().into(), advice });
        }
        Self {
            waiting: waiting.map_err(|error| reading(&error)),
            max_background: max_background.map_err(|error| reading(&error)),
        }
    }

    /// Whether nearly all the requests that the kernel admits are outstanding.
    pub fn congested(&self) -> bool {
        match (&self.waiting, &self.max_background) {
            (Ok(waiting), Ok(most)) => *most > 0 && waiting.saturating_mul(10) >= most.saturating_mul(9),
            _ => false,
        }
    }
}

fn reading(error: &io::Error) -> Reading {
    if error.kind() == io::ErrorKind::PermissionDenied { Reading::Denied } else { Reading::Unsupported }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_without_fusectl_is_unsupported_and_says_what_to_do() {
        let mut draft = Draft::default();
        let tree = tempfile::tempdir().unwrap();
        let mount = Entity::Mount("/d".to_owned());
        let connection = Connection::read(&Node::at(tree.path()), 39, &mount, &mut draft);
        assert_eq!(connection.waiting, Err(Reading::Unsupported));
        assert!(draft.faults[0].advice.as_ref().unwrap().contains("mount -t fusectl"));
        assert!(!connection.congested());
    }

    #[test]
    fn a_connection_is_congested_from_nine_tenths_on() {
        let connection = |waiting| Connection { waiting: Ok(waiting), max_background: Ok(12) };
        assert!(!connection(10).congested());
        assert!(connection(11).congested());
    }
}

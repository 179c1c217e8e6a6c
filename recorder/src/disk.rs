//! The disk as the live recorder uses it: few operations behind one trait, so that tests can let each of them fail, and
//! can log writes and syncs to build every state that a power cut leaves.
//!
//! Files are created for their owner only and never through a link; nothing that exists is ever opened for writing.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustix::fs::OFlags;

use crate::segment::flags_of;

/// Bytes of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Free for us.
    pub free: u64,
    /// In all.
    pub total: u64,
}

/// A file of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where it lies.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// When it was last written.
    pub modified: SystemTime,
}

/// A file being written.
pub trait DiskFile: Debug + Send + Sync {
    /// Writes all of it at an offset.
    ///
    /// # Errors
    /// The system's; a part may have been written.
    fn put_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts it off.
    ///
    /// # Errors
    /// The system's.
    fn cut(&self, length: u64) -> io::Result<()>;
    /// Makes what was written safe against a power cut.
    ///
    /// # Errors
    /// The system's.
    fn sync(&self) -> io::Result<()>;
    /// Whether it still has a name.
    ///
    /// # Errors
    /// The system's.
    fn is_named(&self) -> io::Result<bool>;
}

/// Where recordings lie.
pub trait Disk: Debug + Send + Sync {
    /// A new file (0600), locked so that readers know it is being written.
    ///
    /// # Errors
    /// There is something of this name, or the system refuses.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>>;
    /// A new directory (0750); none if it is there.
    ///
    /// # Errors
    /// The system's.
    fn create_dir(&self, path: &Path) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes names safe against a power cut.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// The space of the file system below a directory.
    ///
    /// # Errors
    /// The system's.
    fn space(&self, path: &Path) -> io::Result<Space>;
    /// The files of a directory; links are not followed.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, path: &Path) -> io::Result<Vec<Listed>>;
}

/// The node's own file systems.
#[derive(Clone, Copy, Debug, Default)]
pub struct Local;

impl DiskFile for File {
    fn put_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn cut(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn is_named(&self) -> io::Result<bool> {
        Ok(self.metadata()?.nlink() > 0)
    }
}

impl Disk for Local {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let flags = flags_of(OFlags::NOFOLLOW);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).custom_flags(flags).open(path)?;
        // Readers hold the lock for an instant when they look. Without it everything else still works.
        let _held = (0..100).any(|_| file.try_lock().map_err(|_| std::thread::yield_now()).is_ok());
        Ok(Arc::new(file))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        match std::fs::DirBuilder::new().mode(0o750).create(path) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            done => done,
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let told = rustix::fs::statvfs(path)?;
        let bytes = |blocks: u64| blocks.saturating_mul(told.f_frsize);
        Ok(Space { free: bytes(told.f_bavail), total: bytes(told.f_blocks) })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Listed>> {
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path)? {
            let entry = entry?;
            // One that went away meanwhile is not there.
            let Ok(facts) = entry.metadata() else { continue };
            if facts.is_file() {
                files.push(Listed { path: entry.path(), bytes: facts.len(), modified: facts.modified()? });
            }
        }
        Ok(files)
    }
}

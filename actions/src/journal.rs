//! The journal: one JSON object a line, appended and synced to disk before and after every change. It proves what is
//! ours to undo, and shows what was begun and never seen to end.
//!
//! A journal that cannot be read to its last byte stops all acting: whoever does not know what it did must not go on.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use model::{Stamp, Untrusted};
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::{Deserialize, Serialize};

use crate::scheduler::NodeStatus;

/// Where the journal lies unless told otherwise.
pub const DEFAULT_PATH: &str = "/var/lib/gpudeck/journal.jsonl";

/// The longest journal that is read: some forty thousand actions.
const MOST_BYTES: u64 = 32 << 20;

/// Who acted, as far as the system tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The user id that acted.
    pub uid: u32,
    /// Who called sudo, where sudo was used. Told by the environment: a hint, no proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sudo_user: Option<Untrusted>,
}

impl Actor {
    /// Who runs this process.
    pub fn here() -> Self {
        let sudo_user = std::env::var_os("SUDO_USER").filter(|user| !user.is_empty());
        let shorten = |user: &OsStr| Untrusted::new(user.to_string_lossy().chars().take(64).collect::<String>());
        Self { uid: rustix::process::getuid().as_raw(), sudo_user: sudo_user.as_deref().map(shorten) }
    }
}

/// What is about to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The plan's id.
    pub id: String,
    /// `drain`, `undrain`.
    pub verb: String,
    /// The node.
    pub node: String,
    /// Through whom.
    pub via: String,
    /// The reason that is set or cleared.
    pub reason: String,
    /// The incident that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// The command as run.
    pub command: Vec<String>,
    /// What was there before.
    pub before: NodeStatus,
    /// Who acted.
    pub by: Actor,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Done, and seen to be so.
    Done,
    /// Not done, for certain.
    Refused,
    /// Not known.
    Unknown,
    /// Found later to be so; what had been unknown is known now.
    FoundDone,
    /// Found later not to be so.
    FoundNotDone,
}

/// What one line holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum What {
    /// Written before the act.
    Intent(Intent),
    /// Written after it.
    Result {
        /// The plan's id.
        id: String,
        /// How it ended.
        ending: Ending,
        /// Why, in words.
        why: String,
        /// What was read back.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<NodeStatus>,
    },
    /// A plan that was confirmed and not carried out.
    Refusal {
        /// The plan's id.
        id: String,
        /// `drain`, `undrain`.
        verb: String,
        /// Why not.
        why: String,
        /// Who asked.
        by: Actor,
    },
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// RFC 3339 UTC, for a person.
    pub at: Option<String>,
    /// When.
    pub stamp: Stamp,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// Why the journal cannot be used; nothing is done then.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be opened, read or written.
    #[error("the journal {} cannot be used: {why}; nothing is changed without it", .path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A line in it is not one of ours.
    #[error(
        "the journal {} is damaged in line {line} ({why}), so what gpudeck did before is not known and nothing is \
         changed; look at the file and at the nodes' reasons (sinfo -R), then move it away (mv) to begin a new one", .path.display()
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// Another gpudeck is acting now.
    #[error("another gpudeck is acting on this node now (it holds {}); wait for it to end", .path.display())]
    Busy {
        /// Which file.
        path: PathBuf,
    },
}

/// An open journal, wholly read.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    entries: Vec<Entry>,
}

/// Holds the journal against other processes until dropped.
#[derive(Debug)]
pub(crate) struct Held(File);

impl Drop for Held {
    fn drop(&mut self) {
        // A lock that cannot be given back goes with the file.
        rustix::fs::flock(&self.0, FlockOperation::Unlock).ok();
    }
}

impl Journal {
    /// Opens it, and makes it (mode 0600) and its folder (0700) where they are missing. Symbolic links are not
    /// followed, and a journal that others may write to is not believed.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let wrong = |why: String| JournalError::Io { path: path.to_owned(), why };
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(folder)
                .map_err(|error| wrong(format!("its folder cannot be made: {error}")))?;
        }
        let flags =
            OFlags::RDWR | OFlags::APPEND | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR).map_err(|error| match error {
            rustix::io::Errno::LOOP => wrong("it is a symbolic link".to_owned()),
            other => wrong(std::io::Error::from(other).to_string()),
        })?;
        let file = File::from(file);
        let found = file.metadata().map_err(|error| wrong(error.to_string()))?;
        if !found.is_file() {
            return Err(wrong("it is not a plain file".to_owned()));
        }
        let (owner, me) = (found.uid(), rustix::process::geteuid().as_raw());
        if owner != me && owner != 0 {
            return Err(wrong(format!("it belongs to user {owner}")));
        }
        if found.mode() & 0o022 != 0 {
            return Err(wrong("others may write to it; chmod 600 it once you have looked at it".to_owned()));
        }
        if found.len() == 0 {
            // Perhaps just made: its name must be on the disk before anything relies on its lines.
            let folder =
                path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| wrong(error.to_string()))?;
        }
        let mut journal = Self { path: path.to_owned(), file, entries: Vec::new() };
        journal.read()?;
        Ok(journal)
    }

    /// Everything in it, oldest first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The intents whose end is not known: begun without a result (gpudeck or the node stopped in between), or with the
    /// result that it is not known. Oldest first.
    pub fn unfinished(&self) -> Vec<&Intent> {
        let mut open: BTreeMap<&str, (usize, &Intent)> = BTreeMap::new();
        for (place, entry) in self.entries.iter().enumerate() {
            match &entry.what {
                What::Intent(intent) => drop(open.insert(&intent.id, (place, intent))),
                What::Result { ending: Ending::Unknown, .. } | What::Refusal { .. } => {}
                What::Result { id, .. } => drop(open.remove(id.as_str())),
            }
        }
        let mut open: Vec<_> = open.into_values().collect();
        open.sort_by_key(|(place, _)| *place);
        open.into_iter().map(|(_, intent)| intent).collect()
    }

    /// The last intent of that id, verb and node: whether it was us.
    pub fn intent(&self, id: &str, verb: &str, node: &str) -> Option<&Intent> {
        self.entries.iter().rev().find_map(|entry| match &entry.what {
            What::Intent(intent) if intent.id == id && intent.verb == verb && intent.node == node => Some(intent),
            _ => None,
        })
    }

    /// Takes the journal for this process and reads what others have written since.
    pub(crate) fn hold(&mut self) -> Result<Held, JournalError> {
        rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => JournalError::Busy { path: self.path.clone() },
            other => self.wrong(&std::io::Error::from(other)),
        })?;
        let held = self.file.try_clone().map(Held).map_err(|error| self.wrong(&error))?;
        self.read()?;
        Ok(held)
    }

    /// Writes one line and waits until the disk has it. A line that does not get there whole is taken back.
    pub(crate) fn append(&mut self, stamp: Stamp, what: What) -> Result<(), JournalError> {
        let entry = Entry { at: stamp.rfc3339(), stamp, what };
        let mut line = serde_json::to_vec(&entry).map_err(|error| self.wrong(&error))?;
        line.push(b'\n');
        let before = self.file.metadata().map_err(|error| self.wrong(&error))?.len();
        let written = self.file.write_all(&line).and_then(|()| self.file.sync_all());
        if let Err(error) = written {
            // Half a line would make the whole journal unreadable. Where even this fails, that is what it becomes.
            drop(self.file.set_len(before));
            return Err(self.wrong(&error));
        }
        self.entries.push(entry);
        Ok(())
    }

    fn read(&mut self) -> Result<(), JournalError> {
        let mut text = Vec::new();
        self.file.seek(SeekFrom::Start(0)).map_err(|error| self.wrong(&error))?;
        (&self.file).take(MOST_BYTES + 1).read_to_end(&mut text).map_err(|error| self.wrong(&error))?;
        if u64::try_from(text.len()).is_ok_and(|length| length > MOST_BYTES) {
            return Err(self.wrong(&"it is longer than 32 MiB; move it away to begin a new one"));
        }
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        let read = lines.iter().enumerate().map(|(number, line)| {
            let damaged = |why: String| JournalError::Damaged { path: self.path.clone(), line: number + 1, why };
            let whole = line.strip_suffix(b"\n").ok_or_else(|| damaged("it breaks off".to_owned()))?;
            serde_json::from_slice(whole).map_err(|error| damaged(error.to_string()))
        });
        self.entries = read.collect::<Result<_, _>>()?;
        Ok(())
    }

    fn wrong(&self, why: &impl ToString) -> JournalError {
        JournalError::Io { path: self.path.clone(), why: why.to_string() }
    }
}

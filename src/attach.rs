//! Attaching to a running recorder: what goes over its socket, and the client's end of it.
//!
//! ```text
//! recorder ──► {"version":1,"directory":…,"file":…,"boot":…,"pid":…}\n   with a descriptor of the directory (SCM_RIGHTS)
//!          ──► +  the recording has grown        ──► k  the mark was taken
//! client   ──► {"mark":"text"}\n
//! ```
//!
//! The client reads the recording itself, through the descriptor: there is one reader implementation, and a client that is
//! stopped costs the recorder nothing.

use std::io::{self, ErrorKind, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType};
use serde::{Deserialize, Serialize};

use crate::exit::{Code, Failure};

/// Where the recorder listens unless told otherwise, and where the deck looks for it.
pub(crate) const DEFAULT_SOCKET: &str = "/run/gpudeck/deck.sock";

/// The version of what goes over the socket.
pub(crate) const VERSION: u32 = 1;

/// The recording has grown.
pub(crate) const GROWN: u8 = b'+';

/// A mark is in the recording's stream.
pub(crate) const TAKEN: u8 = b'k';

/// The most bytes of a line on the socket, the hello and a mark alike.
pub(crate) const MOST_LINE: usize = 8 << 10;

/// The most bytes of a mark's text.
pub(crate) const MOST_MARK: usize = 1 << 10;

/// How long a recorder may take to say hello, or to take a mark.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the recorder says first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hello {
    /// [`VERSION`] of the recorder.
    pub version: u32,
    /// The recording's directory as the recorder knows it.
    pub directory: String,
    /// The recording's name in it, where it is one file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// The boot that is being recorded.
    #[serde(default)]
    pub boot: String,
    /// The recorder's process.
    pub pid: u32,
}

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    /// A note for the recording.
    pub mark: String,
}

/// Why there is no recorder to attach to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AttachError {
    /// Nobody listens.
    #[error(
        "no recorder listens at `{}`; start one with `gpudeck record --out DIR --socket {}`, or `systemctl start \
         gpudeck-record`",
        path.display(), path.display()
    )]
    NoRecorder {
        /// Where we looked.
        path: PathBuf,
    },
    /// We are not let in.
    #[error(
        "the recorder at `{}` does not let you in: use sudo, be the user that it runs as, or join the socket's group",
        path.display()
    )]
    Denied {
        /// Where we looked.
        path: PathBuf,
    },
    /// Somebody listens, and is no recorder that we understand.
    #[error("`{}` is not the socket of a recorder that this gpudeck understands: {why}", path.display())]
    NotOurs {
        /// Where we looked.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The system refused.
    #[error("cannot attach to the recorder at `{}`: {source}", path.display())]
    Failed {
        /// Where we looked.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Why there is no recorder, with the exit code that says so.
pub(crate) fn failure(error: &AttachError) -> Failure {
    let code = match error {
        AttachError::NoRecorder { .. } => Code::Unavailable,
        AttachError::Denied { .. } => Code::Permission,
        AttachError::NotOurs { .. } => Code::Data,
        AttachError::Failed { .. } => Code::Io,
    };
    Failure::new(code, error)
}

/// What was heard from the recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The recording has grown.
    Grown,
    /// Nothing within the time given.
    Nothing,
    /// The recorder has ended.
    HungUp,
}

/// A recorder, attached to.
#[derive(Debug)]
pub(crate) struct Attached {
    /// What it said first.
    pub hello: Hello,
    /// The recording's directory.
    directory: OwnedFd,
    stream: UnixStream,
}

/// Attaches to the recorder that listens at a path. Waits for [`PATIENCE`] at most.
pub(crate) fn connect(path: &Path) -> Result<Attached, AttachError> {
    let stream = open(path).map_err(|source| refused(path, source))?;
    let not_ours = |why: String| AttachError::NotOurs { path: path.to_owned(), why };
    let failed = |source: io::Error| match source.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => not_ours("it says nothing".to_owned()),
        _ => AttachError::Failed { path: path.to_owned(), source },
    };
    let (line, directory) = first_line(&stream).map_err(failed)?;
    // Whom the socket's owner does not want is hung up on without a word.
    if line.is_empty() {
        return Err(AttachError::Denied { path: path.to_owned() });
    }
    let hello: Hello = serde_json::from_slice(&line).map_err(|error| not_ours(error.to_string()))?;
    if hello.version != VERSION {
        let found = hello.version;
        return Err(not_ours(format!(
            "it speaks version {found}, we speak {VERSION}: use the same gpudeck on both sides"
        )));
    }
    let directory = directory.ok_or_else(|| not_ours("it handed over no directory".to_owned()))?;
    let is_directory = rustix::fs::fstat(&directory)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory);
    if !is_directory || hello.file.as_deref().is_some_and(|file| !is_plain_name(file)) {
        return Err(not_ours("what it handed over is no directory of a recording".to_owned()));
    }
    Ok(Attached { hello, directory, stream })
}

impl Attached {
    /// The recording, through the descriptor: valid while this value lives, whatever is renamed meanwhile.
    pub(crate) fn path(&self) -> PathBuf {
        let directory = PathBuf::from(format!("/proc/self/fd/{}", self.directory.as_raw_fd()));
        match &self.hello.file {
            Some(file) => directory.join(file),
            None => directory,
        }
    }

    /// Waits for growth, at most so long; what came meanwhile counts once.
    pub(crate) fn grown(&mut self, patience: Duration) -> Heard {
        match self.hear(patience) {
            Ok(bytes) if bytes.is_empty() => Heard::HungUp,
            Ok(_) => Heard::Grown,
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                Heard::Nothing
            }
            Err(_) => Heard::HungUp,
        }
    }

    /// Listens to another recorder that writes into the same directory; whether it does.
    pub(crate) fn goes_on_with(&mut self, other: Self) -> bool {
        let identity = |directory: &OwnedFd| rustix::fs::fstat(directory).map(|stat| (stat.st_dev, stat.st_ino)).ok();
        let is_same = identity(&self.directory) == identity(&other.directory) && self.hello.file == other.hello.file;
        if is_same {
            self.stream = other.stream;
        }
        is_same
    }

    /// The end through which marks are sent while another thread waits for growth.
    pub(crate) fn pen(&self) -> io::Result<Pen> {
        let stream = self.stream.try_clone()?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Pen(stream))
    }

    /// Sends a mark and waits until it is taken.
    pub(crate) fn mark(&mut self, text: &str) -> io::Result<()> {
        self.pen()?.mark(text)?;
        let end = engine::clock::now().axis_ns() + u64::try_from(PATIENCE.as_nanos()).unwrap_or(u64::MAX);
        loop {
            let heard = self.hear(PATIENCE)?;
            if heard.is_empty() {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the recorder hung up"));
            }
            if heard.contains(&TAKEN) {
                return Ok(());
            }
            if engine::clock::now().axis_ns() > end {
                return Err(io::Error::new(ErrorKind::TimedOut, "the recorder did not take it"));
            }
        }
    }

    fn hear(&mut self, patience: Duration) -> io::Result<Vec<u8>> {
        self.stream.set_read_timeout(Some(patience))?;
        let mut bytes = [0; 512];
        let count = self.stream.read(&mut bytes)?;
        Ok(bytes.iter().take(count).copied().collect())
    }
}

/// Sends marks.
#[derive(Debug)]
pub(crate) struct Pen(UnixStream);

impl Pen {
    /// Sends a mark; whether it was taken is not waited for.
    pub(crate) fn mark(&mut self, text: &str) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Wish { mark: text.to_owned() }).map_err(io::Error::other)?;
        line.push(b'\n');
        self.0.write_all(&line)
    }
}

/// Whether a name names something in its directory, and nothing else.
pub(crate) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\0'])
}

/// A connection; one whose queue is full is refused rather than waited for.
fn open(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &rustix::net::SocketAddrUnix::new(path)?)?;
    let stream = UnixStream::from(socket);
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

fn refused(path: &Path, source: io::Error) -> AttachError {
    let path = path.to_owned();
    match source.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => AttachError::NoRecorder { path },
        ErrorKind::PermissionDenied => AttachError::Denied { path },
        _ => AttachError::Failed { path, source },
    }
}

/// The first line and the descriptor that came with it. What came behind the line is growth: whoever attaches looks anyway.
fn first_line(stream: &UnixStream) -> io::Result<(Vec<u8>, Option<OwnedFd>)> {
    let (mut line, mut directory) = (Vec::new(), None);
    while line.len() < MOST_LINE {
        let mut bytes = [0; 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let parts = &mut [IoSliceMut::new(&mut bytes)];
        let received = rustix::net::recvmsg(stream, parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                directory = descriptors.into_iter().next().or(directory);
            }
        }
        let told = bytes.get(..received.bytes).unwrap_or_default();
        let end = told.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(told.get(..end.unwrap_or(told.len())).unwrap_or_default());
        if end.is_some() || told.is_empty() {
            break;
        }
    }
    Ok((line, directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_out_of_the_directory_is_refused() {
        assert!(is_plain_name("seg-1.gdk"));
        for name in ["", ".", "..", "../x", "/etc/passwd", "a/b", "a\0"] {
            assert!(!is_plain_name(name), "{name:?}");
        }
    }

    #[test]
    fn where_nobody_listens_the_message_says_how_to_start_a_recorder() {
        let directory = tempfile::tempdir().expect("a directory");
        let error = connect(&directory.path().join("deck.sock")).expect_err("nobody listens");
        assert!(matches!(error, AttachError::NoRecorder { .. }), "{error}");
        assert!(error.to_string().contains("gpudeck record"));
    }
}

//! The recorder's socket: decks and `gpudeck diagnose` attach here, marks come in here.
//!
//! Each client has a task of its own and is told of growth by at most one byte at a time, which is never waited for: a
//! client that is stopped holds nothing up and is let go when it hangs up.

use std::io::{self, ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::attach::{self, GROWN, Hello, MOST_LINE, MOST_MARK, TAKEN, Wish};
use crate::exit::{Code, Failure};

/// The most clients at a time.
const MOST_CLIENTS: usize = 64;

/// What clients are handed.
#[derive(Debug)]
pub(crate) struct Offer {
    /// What they are told.
    pub hello: Hello,
    /// The recording's directory, opened for reading.
    pub directory: OwnedFd,
}

/// The socket, and whoever is attached to it. The socket's file goes with it.
#[derive(Debug)]
pub(crate) struct Listener {
    path: PathBuf,
    /// Device and inode of the socket's file: another recorder's is not ours to remove.
    identity: Option<(u64, u64)>,
    growth: watch::Sender<u64>,
    marks: mpsc::Receiver<String>,
    clients: Arc<Semaphore>,
}

impl Listener {
    /// Listens at a path, whose directory is created (mode 0750) if it is missing. Must be called inside a tokio runtime.
    pub(crate) fn bind(path: &Path, offer: Offer) -> Result<Self, Failure> {
        let cannot = |error: io::Error| {
            let code = if error.kind() == ErrorKind::PermissionDenied { Code::Permission } else { Code::Io };
            Failure::new(code, format!("cannot listen at `{}`: {error}; choose another with --socket", path.display()))
        };
        let listener = listen(path).map_err(cannot)?;
        let file = std::fs::symlink_metadata(path).map_err(cannot)?;
        let (growth, growing) = watch::channel(0);
        let (taken, marks) = mpsc::channel(16);
        let clients = Arc::new(Semaphore::new(MOST_CLIENTS));
        let door = Door { offer: Arc::new(offer), group: file.gid(), growing, taken };
        tokio::spawn(door.open(listener, Arc::clone(&clients)));
        let identity = Some((file.dev(), file.ino()));
        Ok(Self { path: path.to_owned(), identity, growth, marks, clients })
    }

    /// Tells every client that there is more to read.
    pub(crate) fn grown(&self) {
        self.growth.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The next mark that a client sends.
    pub(crate) async fn mark(&mut self) -> String {
        match self.marks.recv().await {
            Some(text) => text,
            None => std::future::pending().await,
        }
    }

    /// How many clients are attached.
    pub(crate) fn clients(&self) -> usize {
        MOST_CLIENTS - self.clients.available_permits()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let found = std::fs::symlink_metadata(&self.path).ok().map(|file| (file.dev(), file.ino()));
        if found == self.identity {
            // One that is left behind is found to be dead by the next recorder.
            let _left = std::fs::remove_file(&self.path);
        }
    }
}

/// A listening socket with mode 0660, or less if the umask says so. A dead recorder's socket is replaced; a live one's
/// and anything that is no socket is not.
fn listen(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty() && !directory.exists())
    {
        std::fs::DirBuilder::new().mode(0o750).create(directory)?;
    }
    if let Ok(there) = std::fs::symlink_metadata(path) {
        if !there.file_type().is_socket() {
            return Err(io::Error::new(ErrorKind::AlreadyExists, "there is something else of this name"));
        }
        match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => std::fs::remove_file(path)?,
            Err(error) => return Err(error),
            Ok(_) => return Err(io::Error::new(ErrorKind::AddrInUse, "another recorder listens there")),
        }
    }
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    // unix(7): the file gets the mode that the socket has when it is bound, so it is never open wider.
    rustix::fs::fchmod(&socket, Mode::from_raw_mode(0o660))?;
    rustix::net::bind(&socket, &rustix::net::SocketAddrUnix::new(path)?)?;
    rustix::net::listen(&socket, 16)?;
    UnixListener::from_std(socket.into())
}

/// What every client's task needs.
#[derive(Clone, Debug)]
struct Door {
    offer: Arc<Offer>,
    group: u32,
    growing: watch::Receiver<u64>,
    taken: mpsc::Sender<String>,
}

impl Door {
    async fn open(self, listener: UnixListener, clients: Arc<Semaphore>) {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.taken.closed() => return,
            };
            match accepted {
                Ok((stream, _)) => {
                    // With too many, one more is hung up on at once.
                    let Ok(place) = Arc::clone(&clients).try_acquire_owned() else { continue };
                    let door = self.clone();
                    tokio::spawn(async move {
                        let _gone = door.serve(stream).await;
                        drop(place);
                    });
                }
                // Out of descriptors, as a rule: the recording matters more than who watches it.
                Err(error) => {
                    tracing::warn!(%error, "a client could not be taken in");
                    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        }
    }

    async fn serve(mut self, stream: UnixStream) -> io::Result<()> {
        let peer = stream.peer_cred()?;
        if !is_welcome(peer.uid(), peer.gid(), &groups_of(peer.pid()), self.group) {
            tracing::warn!(uid = peer.uid(), gid = peer.gid(), "a client was sent away");
            return Ok(());
        }
        greet(&stream, &self.offer)?;
        let mut line = Vec::new();
        let mut bytes = [0; 1024];
        loop {
            tokio::select! {
                grown = self.growing.changed() => {
                    if grown.is_err() {
                        return Ok(());
                    }
                    match stream.try_write(&[GROWN]) {
                        // A client that does not listen has bytes enough waiting to know.
                        Ok(_) => {}
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
                readable = stream.readable() => {
                    readable?;
                    match stream.try_read(&mut bytes) {
                        Ok(0) => return Ok(()),
                        Ok(count) => line.extend(bytes.iter().take(count)),
                        Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                        Err(error) => return Err(error),
                    }
                    self.take_wishes(&stream, &mut line).await?;
                }
            }
        }
    }

    async fn take_wishes(&self, stream: &UnixStream, line: &mut Vec<u8>) -> io::Result<()> {
        while let Some(end) = line.iter().position(|byte| *byte == b'\n') {
            let rest = line.split_off(end + 1);
            let wish = std::mem::replace(line, rest);
            let wish: Wish = serde_json::from_slice(&wish).map_err(io::Error::other)?;
            if wish.mark.trim().is_empty() || wish.mark.len() > MOST_MARK {
                return Err(io::Error::new(ErrorKind::InvalidInput, "a mark of no or too much text"));
            }
            if self.taken.send(wish.mark).await.is_err() {
                return Ok(());
            }
            match stream.try_write(&[TAKEN]) {
                Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error),
                _ => {}
            }
        }
        if line.len() > MOST_LINE {
            return Err(io::Error::new(ErrorKind::InvalidInput, "a line without an end"));
        }
        Ok(())
    }
}

/// The hello and, with its first byte, the descriptor. A fresh socket has room for it.
fn greet(stream: &UnixStream, offer: &Offer) -> io::Result<()> {
    let mut line = serde_json::to_vec(&offer.hello).map_err(io::Error::other)?;
    line.push(b'\n');
    let directory = [offer.directory.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&directory)) {
        return Err(io::Error::other("a descriptor does not fit its own space"));
    }
    let sent = rustix::net::sendmsg(stream, &[IoSlice::new(&line)], &mut control, SendFlags::NOSIGNAL)?;
    if sent < line.len() {
        return Err(io::Error::new(ErrorKind::WriteZero, "the hello did not fit"));
    }
    Ok(())
}

/// Root, our own user, and the members of the socket's group. The socket's mode lets in no other; this holds where
/// somebody has changed it.
fn is_welcome(uid: u32, gid: u32, groups: &[u32], group: u32) -> bool {
    uid == 0 || uid == rustix::process::geteuid().as_raw() || gid == group || groups.contains(&group)
}

/// The other groups of a process, as proc(5) tells them.
fn groups_of(pid: Option<i32>) -> Vec<u32> {
    let status = pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok()).unwrap_or_default();
    let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or_default();
    groups.split_whitespace().filter_map(|group| group.parse().ok()).collect()
}

/// What clients are handed for a recording at this path.
pub(crate) fn offer(out: &Path, boot: &str) -> io::Result<Offer> {
    let (directory, file) = if out.is_dir() {
        (out.to_owned(), None)
    } else {
        let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        (parent.to_owned(), out.file_name().map(|name| name.to_string_lossy().into_owned()))
    };
    let directory = std::fs::canonicalize(directory)?;
    let hello = Hello {
        version: attach::VERSION,
        directory: directory.display().to_string(),
        file,
        boot: boot.to_owned(),
        pid: std::process::id(),
    };
    Ok(Offer { hello, directory: std::fs::File::open(directory)?.into() })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::attach::Heard;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
    }

    #[test]
    fn a_client_is_handed_the_directory_and_told_of_growth_and_its_mark_is_taken() {
        let directory = tempfile::tempdir().expect("a directory");
        std::fs::write(directory.path().join("seg-1.gdk"), "x").expect("writable");
        let (runtime, path) = (runtime(), directory.path().join("run/deck.sock"));
        let mut listener = {
            let _inside = runtime.enter();
            Listener::bind(&path, offer(directory.path(), "boot").expect("readable")).expect("it listens")
        };
        let mode = std::fs::symlink_metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o007, 0, "nobody else may connect: {mode:o}");
        let mut client = attach::connect(&path).expect("it attaches");
        assert_eq!((client.hello.boot.as_str(), client.hello.pid), ("boot", std::process::id()));
        assert_eq!(std::fs::read(client.path().join("seg-1.gdk")).expect("readable"), b"x");
        assert_eq!(listener.clients(), 1);
        listener.grown();
        assert_eq!(client.grown(Duration::from_secs(10)), Heard::Grown);
        let marking = std::thread::spawn(move || (client.mark("a \x1b[31mnote").map_err(|e| e.to_string()), client));
        assert_eq!(runtime.block_on(listener.mark()), "a \x1b[31mnote");
        let (marked, mut client) = marking.join().expect("no panic");
        assert_eq!(marked, Ok(()));
        drop(listener);
        while client.grown(Duration::from_secs(10)) == Heard::Grown {}
        assert_eq!(client.grown(Duration::from_secs(10)), Heard::HungUp);
        assert!(!path.exists(), "the socket goes with its recorder");
    }

    #[test]
    fn a_client_that_never_reads_holds_nothing_up_and_is_let_go_when_it_hangs_up() {
        let directory = tempfile::tempdir().expect("a directory");
        let (runtime, path) = (runtime(), directory.path().join("deck.sock"));
        let _inside = runtime.enter();
        let listener = Listener::bind(&path, offer(directory.path(), "").expect("readable")).expect("it listens");
        let stopped = attach::connect(&path).expect("it attaches");
        for _ in 0..20_000 {
            listener.grown();
        }
        let mut reading = attach::connect(&path).expect("another attaches");
        listener.grown();
        assert_eq!(reading.grown(Duration::from_secs(10)), Heard::Grown);
        drop((stopped, reading));
        runtime.block_on(async {
            while listener.clients() > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        });
    }

    #[test]
    fn a_dead_recorders_socket_is_replaced_and_a_live_ones_is_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let (runtime, path) = (runtime(), directory.path().join("deck.sock"));
        drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
        let _inside = runtime.enter();
        let offered = || offer(directory.path(), "").expect("readable");
        let first = Listener::bind(&path, offered()).expect("the dead one is replaced");
        let refused = Listener::bind(&path, offered()).expect_err("the live one is not");
        assert!(refused.to_string().contains("another recorder"), "{refused}");
        drop(first);
        std::fs::write(&path, "a file").expect("writable");
        Listener::bind(&path, offered()).unwrap_err();
        assert_eq!(std::fs::read(&path).expect("still there"), b"a file");
    }

    #[test]
    fn only_root_our_user_and_the_sockets_group_are_welcome() {
        let own = rustix::process::geteuid().as_raw();
        let stranger = own.wrapping_add(4_711);
        assert!(is_welcome(0, 1, &[], 5) && is_welcome(own, 1, &[], 5));
        assert!(is_welcome(stranger, 5, &[], 5) && is_welcome(stranger, 1, &[2, 5], 5));
        assert!(!is_welcome(stranger, 1, &[2, 3], 5));
    }
}

//! Where a live deck's Frames come from: probes of its own, or a running recorder.
//!
//! A recorder's recording is read on a thread of its own, through the descriptor that the recorder handed over: a disk that
//! hangs does not hold up the deck. Should the recorder end and another take its place, the deck goes on with that one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use ::decode::Decoder;
use ::recorder::{Follow, OpenError};
use engine::Session;
use model::{Dictionary, Frame, Stamp};
use tokio::sync::mpsc;

use crate::attach::{self, AttachError, Attached, DEFAULT_SOCKET, Heard, Pen};
use crate::cli::{DeckArgs, NodeArgs};
use crate::exit::Failure;
use crate::{last_look, past};

/// How many Frames are read at once, and how many may wait for the deck.
const AT_ONCE: usize = 256;

/// How long to wait for news of growth before looking anyway.
const LOOK: Duration = Duration::from_millis(500);

/// How long to wait before a recorder that has hung up is looked for again.
const AGAIN: Duration = Duration::from_secs(1);

/// What comes from a source.
#[derive(Clone, Debug)]
pub(crate) enum News {
    /// A Frame, its kernel lines decoded.
    Frame(Arc<Frame>),
    /// Something worth a line.
    Told(String),
}

/// Where Frames come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// Our own workers.
    Probes(Session),
    /// A recorder's recording.
    Recorder(Followed),
}

impl Source {
    /// What comes next; `None` once nothing more comes.
    pub(crate) async fn next(&mut self) -> Option<News> {
        match self {
            Self::Probes(session) => session.next().await.map(|admitted| News::Frame(admitted.decoded)),
            Self::Recorder(followed) => followed.news.recv().await,
        }
    }

    /// Writes an operator's note; what is to be said of it, if it could not be taken.
    pub(crate) fn mark(&self, text: &str) -> Option<String> {
        match self {
            Self::Probes(session) => session.mark(text),
            Self::Recorder(followed) => return followed.mark(text),
        }
        None
    }
}

/// A recorder that was found, and its recording.
#[derive(Debug)]
pub(crate) struct Found {
    socket: PathBuf,
    attached: Attached,
    follow: Follow,
}

/// Looks for the recorder that the command line means. Without a name one that is not there or cannot be read is no
/// failure: what is in the way is told beside.
pub(crate) fn find(args: &NodeArgs, deck: &DeckArgs, since: Stamp) -> Result<(Option<Found>, Option<String>), Failure> {
    let is_this_node = args.root == Path::new("/") && args.nvml_lib.is_none();
    let (socket, is_named) = match &deck.socket {
        Some(socket) => (socket.clone(), true),
        None if deck.no_attach || !is_this_node => return Ok((None, None)),
        None => (PathBuf::from(DEFAULT_SOCKET), false),
    };
    let attached = match attach::connect(&socket) {
        Ok(attached) => attached,
        Err(error) if is_named => return Err(attach::failure(&error)),
        Err(AttachError::NoRecorder { .. }) => return Ok((None, None)),
        Err(error) => return Ok((None, Some(format!("own probes: {error}")))),
    };
    match Follow::open_since(&attached.path(), since) {
        Ok(follow) => Ok((Some(Found { socket, attached, follow }), None)),
        Err(error) if is_named => Err(past::refused(&error)),
        Err(OpenError::Denied { .. }) => {
            let why = "own probes: the running recorder's files are readable by its user only; use sudo to attach";
            Ok((None, Some(why.to_owned())))
        }
        Err(error) => Ok((None, Some(format!("own probes: the recorder's recording: {error}")))),
    }
}

impl Found {
    /// What the deck calls it.
    pub(crate) fn name(&self) -> String {
        format!("attached to recorder {}", self.attached.hello.pid)
    }

    /// What it has bundled since the last look.
    pub(crate) fn news(&self) -> Option<String> {
        let directory = self.attached.hello.file.is_none().then(|| self.attached.path())?;
        last_look::news(&directory, &self.attached.hello.directory)
    }

    /// Begins to read.
    pub(crate) fn follow(self) -> Followed {
        let (sender, news) = mpsc::channel(AT_ONCE);
        let pen = Arc::new(Mutex::new(self.attached.pen().ok()));
        let reader = Reader {
            socket: self.socket,
            attached: self.attached,
            follow: self.follow,
            decoder: Decoder::new(),
            dictionary: Dictionary::default(),
            pen: Arc::clone(&pen),
            news: sender,
        };
        thread::spawn(move || reader.run());
        Followed { news, pen }
    }
}

/// A recorder's recording while it grows.
#[derive(Debug)]
pub(crate) struct Followed {
    news: mpsc::Receiver<News>,
    /// Where marks go; absent while there is no recorder.
    pen: Arc<Mutex<Option<Pen>>>,
}

impl Followed {
    fn mark(&self, text: &str) -> Option<String> {
        let mut pen = self.pen.lock().unwrap_or_else(PoisonError::into_inner);
        match pen.as_mut().map(|pen| pen.mark(text)) {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(format!("the mark was not taken: {error}")),
            None => Some("the mark was not taken: the recorder has ended".to_owned()),
        }
    }
}

/// Reads the recording, on a thread of its own.
struct Reader {
    socket: PathBuf,
    attached: Attached,
    follow: Follow,
    decoder: Decoder,
    dictionary: Dictionary,
    pen: Arc<Mutex<Option<Pen>>>,
    news: mpsc::Sender<News>,
}

impl Reader {
    fn run(mut self) {
        if let Some(version) = self.follow.segment().header.driver.get(past::DRIVER_VERSION) {
            self.decoder.set_driver(version.raw());
        }
        let mut is_there = true;
        loop {
            let told = match self.follow.poll(AT_ONCE) {
                Ok(frames) if frames.is_empty() => self.wait(&mut is_there),
                Ok(frames) => frames.into_iter().try_for_each(|frame| self.tell(frame)),
                Err(damage) => self.say(format!("the recording: {damage}")),
            };
            // The deck has been left.
            if told.is_err() {
                return;
            }
        }
    }

    fn tell(&mut self, frame: Frame) -> Result<(), Gone> {
        if frame.burst {
            return Ok(());
        }
        self.dictionary.follow(&frame);
        if let Some(version) = engine::session::driver_version(&frame, &self.dictionary) {
            self.decoder.set_driver(version);
        }
        let frame = engine::session::decoded(&Arc::new(frame), &mut self.decoder);
        self.news.blocking_send(News::Frame(frame)).map_err(|_| Gone)
    }

    fn say(&self, line: String) -> Result<(), Gone> {
        self.news.blocking_send(News::Told(line)).map_err(|_| Gone)
    }

    /// Waits until it is worth looking again.
    fn wait(&mut self, is_there: &mut bool) -> Result<(), Gone> {
        if self.news.is_closed() {
            return Err(Gone);
        }
        if *is_there {
            if self.attached.grown(LOOK) == Heard::HungUp {
                *is_there = false;
                self.write_with(None);
                return self.say("the recorder has ended; what was recorded stays on the screen".to_owned());
            }
            return Ok(());
        }
        thread::sleep(AGAIN);
        match attach::connect(&self.socket) {
            Err(_) => Ok(()),
            Ok(other) => {
                let pen = other.pen().ok();
                if !self.attached.goes_on_with(other) {
                    thread::sleep(AGAIN);
                    return self.say("another recorder runs, into another directory: start the deck again".to_owned());
                }
                *is_there = true;
                self.write_with(pen);
                self.say("the recorder is back".to_owned())
            }
        }
    }

    fn write_with(&self, pen: Option<Pen>) {
        *self.pen.lock().unwrap_or_else(PoisonError::into_inner) = pen;
    }
}

/// Nobody reads what we read any more.
struct Gone;

//! The deck's runtime: keys in, pictures out. Nothing here waits for the node.
//!
//! The main thread owns the terminal and the [`tui::Model`]. It takes messages as they come, updates, and draws what has
//! come to be, at most [`FRAMES_PER_SECOND`] times a second and inside a synchronized update, so that a slow line (SSH,
//! tmux) sees whole pictures. Keys are read by a thread of their own; data comes from elsewhere through the [`Desk`].

use std::io::{self, IsTerminal, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::thread;
use std::time::Duration;

use crossterm::event::{self, Event, KeyEventKind};
use crossterm::terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate};
use crossterm::{execute, queue};
use ratatui::DefaultTerminal;
use tokio::signal::unix::{SignalKind, signal};
use tui::{Effect, Model, Msg};

use crate::exit::{Code, Failure};

/// The most pictures a second.
const FRAMES_PER_SECOND: u64 = 20;

/// How often the deck is told that time goes on.
const TICK: Duration = Duration::from_millis(250);

/// So many letters that nobody has taken yet mean that the deck has fallen behind.
const MOST_WAITING: usize = 64;

/// What reaches the main thread.
#[derive(Debug)]
pub(crate) enum Input {
    /// For the deck.
    Msg(Box<Msg>),
    /// A signal asks us to leave.
    Leave,
}

/// The main thread's letter box: who holds a clone can send to the deck.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    sender: Sender<Input>,
    waiting: Arc<AtomicUsize>,
}

/// The letter box's other end.
#[derive(Debug)]
pub(crate) struct Inbox {
    receiver: Receiver<Input>,
    waiting: Arc<AtomicUsize>,
}

impl Inbox {
    fn next(&self, patience: Duration) -> Result<Input, RecvTimeoutError> {
        self.receiver.recv_timeout(patience).inspect(|_| self.took())
    }

    fn next_now(&self) -> Result<Input, TryRecvError> {
        self.receiver.try_recv().inspect(|_| self.took())
    }

    fn took(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Desk {
    /// A letter box and its other end.
    pub(crate) fn open() -> (Self, Inbox) {
        let (sender, receiver) = mpsc::channel();
        let waiting = Arc::<AtomicUsize>::default();
        (Self { sender, waiting: Arc::clone(&waiting) }, Inbox { receiver, waiting })
    }

    /// Sends to the deck. False once it is gone.
    pub(crate) fn send(&self, msg: Msg) -> bool {
        self.put(Input::Msg(Box::new(msg)))
    }

    /// Whether the deck has fallen behind: a terminal that takes nothing (Ctrl-S, a line that stalls) holds it up. Who
    /// sends pictures of the node over and over waits until it has caught up, or they would fill the memory.
    pub(crate) fn is_behind(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > MOST_WAITING
    }

    fn put(&self, input: Input) -> bool {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.sender.send(input).is_ok()
    }

    /// Asks the deck to leave.
    pub(crate) fn leave(&self) {
        // A deck that is gone has already left.
        let _gone = self.put(Input::Leave);
    }
}

/// Whether there is somebody to look at a deck.
pub(crate) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Refuses kindly where there is no terminal.
pub(crate) fn required(instead: &str) -> Result<(), Failure> {
    if is_there() {
        return Ok(());
    }
    Err(Failure::new(Code::Unavailable, format!("the deck needs a terminal on standard input and output; {instead}")))
}

/// What this terminal can show: `NO_COLOR` and `TERM=dumb` are honoured.
pub(crate) fn colours() -> tui::Colours {
    let told = |name: &str| std::env::var(name).ok();
    let (no_color, colorterm, term) = (told("NO_COLOR"), told("COLORTERM"), told("TERM"));
    tui::Colours::from_environment(no_color.as_deref(), colorterm.as_deref(), term.as_deref())
}

/// Runs the deck until it quits; restores the terminal however it ends, after a panic too. `carry_out` is handed every
/// effect that is not the terminal's own and must not block.
pub(crate) fn drive(
    mut model: Model,
    desk: &Desk,
    inbox: &Inbox,
    mut carry_out: impl FnMut(Effect),
) -> Result<(), Failure> {
    let cannot = |error: io::Error| Failure::io("cannot use the terminal", &error);
    leave_on_signals(desk.clone()).map_err(cannot)?;
    let mut terminal = ratatui::try_init().map_err(cannot)?;
    leave_on_panic(desk.clone());
    read_keys(desk.clone());
    let ran = cycle(&mut terminal, &mut model, inbox, &mut carry_out);
    let restored = ratatui::try_restore();
    if PANICKED.load(Ordering::Relaxed) {
        return Err(Failure::new(
            Code::Software,
            "the deck ended because of a fault of its own, told above; please report it",
        ));
    }
    ran.and(restored).map_err(cannot)
}

static PANICKED: AtomicBool = AtomicBool::new(false);

/// ratatui restores the terminal before a panic is told, whichever thread it is in; a deck that goes on drawing over it
/// would bury the message.
fn leave_on_panic(desk: Desk) {
    let restore_and_tell = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        restore_and_tell(panic);
        PANICKED.store(true, Ordering::Relaxed);
        desk.leave();
    }));
    // How this is tested: debug builds panic when told to, in a thread as a data task would.
    if cfg!(debug_assertions) && std::env::var_os("GPUDECK_TEST_PANIC").is_some() {
        thread::spawn(|| {
            thread::sleep(Duration::from_secs(1));
            std::hint::black_box(None::<()>).expect("GPUDECK_TEST_PANIC asks for a panic");
        });
    }
}

fn cycle(
    terminal: &mut DefaultTerminal,
    model: &mut Model,
    inbox: &Inbox,
    carry_out: &mut impl FnMut(Effect),
) -> io::Result<()> {
    let size = terminal.size()?;
    let mut effects = tui::update(model, Msg::Resize(size.width, size.height));
    effects.extend(tui::update(model, Msg::Tick(engine::clock::now())));
    let mut ticked = mono();
    let mut drawn = 0;
    let mut changed = true;
    loop {
        for effect in effects.drain(..) {
            match effect {
                Effect::Quit => return Ok(()),
                Effect::Redraw => {
                    terminal.clear()?;
                    changed = true;
                }
                other => carry_out(other),
            }
        }
        let pause = nanos(Duration::from_secs(1)) / FRAMES_PER_SECOND;
        if changed && mono().saturating_sub(drawn) >= pause {
            draw(terminal, model)?;
            drawn = mono();
            changed = false;
        }
        let tick = ticked + nanos(TICK);
        let next = if changed { tick.min(drawn + pause) } else { tick }.saturating_sub(mono());
        match inbox.next(Duration::from_nanos(next.max(1_000_000))) {
            Ok(Input::Msg(msg)) => {
                effects.extend(tui::update(model, *msg));
                changed = true;
                // What has come meanwhile belongs into the same picture.
                while let Ok(input) = inbox.next_now() {
                    match input {
                        Input::Msg(msg) => effects.extend(tui::update(model, *msg)),
                        Input::Leave => return Ok(()),
                    }
                    if effects.len() > 64 {
                        break;
                    }
                }
            }
            Ok(Input::Leave) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if mono().saturating_sub(ticked) >= nanos(TICK) {
            ticked = mono();
            effects.extend(tui::update(model, Msg::Tick(engine::clock::now())));
            changed = true;
        }
    }
}

/// Signals that ask us to end leave the deck as `q` does: with the terminal restored.
fn leave_on_signals(desk: Desk) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let mut asked = {
        let _inside = runtime.enter();
        [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
            signal(SignalKind::quit())?,
        ]
    };
    thread::spawn(move || {
        let [interrupt, terminate, hang_up, quit] = &mut asked;
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hang_up.recv() => {}
                _ = quit.recv() => {}
            }
        });
        desk.leave();
    });
    Ok(())
}

fn draw(terminal: &mut DefaultTerminal, model: &Model) -> io::Result<()> {
    queue!(stdout(), BeginSynchronizedUpdate)?;
    terminal.draw(|frame| tui::view(model, frame))?;
    execute!(stdout(), EndSynchronizedUpdate)
}

fn read_keys(desk: Desk) {
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            let msg = match event {
                Event::Key(key) if key.kind != KeyEventKind::Release => Msg::Key(key),
                Event::Paste(text) => Msg::Paste(text),
                Event::Resize(width, height) => Msg::Resize(width, height),
                _ => continue,
            };
            if !desk.send(msg) {
                return;
            }
        }
        // The terminal is gone (the line dropped): so are we.
        desk.leave();
    });
}

fn mono() -> u64 {
    engine::clock::now().mono_ns.unwrap_or(0)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deck_that_takes_nothing_has_fallen_behind_until_it_has_caught_up() {
        let (desk, inbox) = Desk::open();
        for _ in 0..=MOST_WAITING {
            assert!(!desk.is_behind());
            assert!(desk.send(Msg::Resize(80, 24)));
        }
        assert!(desk.is_behind());
        while inbox.next_now().is_ok() {}
        assert!(!desk.is_behind());
    }
}

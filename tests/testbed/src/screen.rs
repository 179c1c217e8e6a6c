//! A real pseudo-terminal with `gpudeck` in it: keys in, the screen as a person sees it out.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use portable_pty::{Child, CommandBuilder, ExitStatus, MasterPty, PtySize, native_pty_system};
use tempfile::NamedTempFile;

use crate::program::Deck;
use crate::wait_until;

/// A terminal of a given size with the program running in it. Dropping it hangs up.
pub struct Screen {
    parser: Arc<Mutex<vt100::Parser>>,
    keys: Box<dyn Write + Send>,
    child: Box<dyn Child + Send + Sync>,
    _master: Box<dyn MasterPty + Send>,
    _scenario: Option<NamedTempFile>,
}

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Screen").field("text", &self.text()).finish_non_exhaustive()
    }
}

impl Screen {
    /// Starts the program in a terminal of so many columns and rows.
    pub fn open(deck: Deck, columns: u16, rows: u16) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        let pair = native_pty_system().openpty(size).expect("a pseudo-terminal");
        let (command, scenario) = deck.parts();
        let mut builder = CommandBuilder::new(command.get_program());
        builder.args(command.get_args());
        builder.cwd(std::env::current_dir().expect("a directory"));
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => builder.env(name, value),
                None => builder.env_remove(name),
            }
        }
        builder.env("TERM", "xterm-256color");
        let child = pair.slave.spawn_command(builder).expect("gpudeck starts");
        drop(pair.slave);
        let parser = Arc::new(Mutex::new(vt100::Parser::new(size_of(rows), size_of(columns), 0)));
        let mut output = pair.master.try_clone_reader().expect("readable");
        let screen = Arc::clone(&parser);
        thread::spawn(move || {
            let mut bytes = [0; 8192];
            while let Ok(read) = output.read(&mut bytes) {
                if read == 0 {
                    return;
                }
                screen.lock().expect("no reader panics").process(&bytes[..read]);
            }
        });
        let keys = pair.master.take_writer().expect("writable");
        Self { parser, keys, child, _master: pair.master, _scenario: scenario }
    }

    /// What stands on the screen.
    pub fn text(&self) -> String {
        self.parser.lock().expect("no reader panics").screen().contents()
    }

    /// Whether the program is on the alternate screen.
    pub fn alternate(&self) -> bool {
        self.parser.lock().expect("no reader panics").screen().alternate_screen()
    }

    /// Whether the cursor is hidden.
    pub fn cursor_hidden(&self) -> bool {
        self.parser.lock().expect("no reader panics").screen().hide_cursor()
    }

    /// Types.
    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("the terminal takes keys");
        self.keys.flush().expect("the terminal takes keys");
    }

    /// Waits until the screen shows something.
    pub fn wait_for(&self, what: &str, patience: Duration) {
        let shown = wait_until(patience, || self.text().contains(what));
        assert!(shown, "the screen never showed `{what}`:\n{}", self.text());
    }

    /// Waits until the program has ended.
    pub fn wait_for_end(&mut self, patience: Duration) -> ExitStatus {
        let mut status = None;
        let ended = wait_until(patience, || {
            status = self.child.try_wait().expect("our own child");
            status.is_some()
        });
        assert!(ended, "gpudeck is still running:\n{}", self.text());
        status.expect("it has ended")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.process_id().expect("it was started")
    }
}

fn size_of(cells: u16) -> std::num::NonZeroU16 {
    std::num::NonZeroU16::new(cells).expect("a terminal has rows and columns")
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
    }
}

//! The one table of commands: it drives dispatch, the footer, the help and the documented list of keys, and says why a
//! command cannot be given now.

use std::borrow::Cow;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use crate::cursor::{Motion, SPEEDS};
use crate::dialog::Focus;
use crate::layer::{Layer, Screen};
use crate::model::Model;

/// What an operator can tell the deck to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the table below says what each does")]
pub enum Command {
    Quit,
    QuitNow,
    Help,
    Back,
    Open,
    Up,
    Down,
    PageUp,
    PageDown,
    NextScreen,
    PreviousScreen,
    Overview,
    Incidents,
    Events,
    Rdma,
    Storage,
    Processes,
    Node,
    FocusGpu,
    StepBack,
    StepOn,
    TenBack,
    TenOn,
    MinuteBack,
    MinuteOn,
    PlayPause,
    Slower,
    Faster,
    NextIncident,
    PreviousIncident,
    ToEnd,
    ToStart,
    ZoomIn,
    ZoomOut,
    Explain,
    Filter,
    Drain,
    Mark,
    Redraw,
}

/// Under which heading the help lists a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Going through time.
    Time,
    /// Going to a screen.
    Screens,
    /// Inside a screen.
    Here,
    /// Everywhere.
    Always,
}

impl Group {
    /// The groups in the order of the help.
    pub const ALL: &[Self] = &[Self::Here, Self::Time, Self::Screens, Self::Always];

    /// The heading.
    pub fn title(self) -> &'static str {
        match self {
            Self::Time => "Time",
            Self::Screens => "Screens",
            Self::Here => "Here",
            Self::Always => "Always",
        }
    }
}

/// A key that gives a command.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Key {
    Char(char),
    Code(KeyCode),
    With(KeyModifiers, KeyCode),
    /// Any of `0` to `9`.
    Digit,
}

impl Key {
    fn is(self, event: KeyEvent) -> bool {
        let bare = event.modifiers.difference(KeyModifiers::SHIFT);
        match self {
            Self::Char(character) => event.code == KeyCode::Char(character) && bare.is_empty(),
            Self::Code(code) => event.code == code && event.modifiers.is_empty(),
            Self::With(modifiers, code) => event.code == code && event.modifiers.contains(modifiers),
            Self::Digit => matches!(event.code, KeyCode::Char('0'..='9')) && bare.is_empty(),
        }
    }
}

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Binding {
    pub(crate) command: Command,
    keys: &'static [Key],
    /// How the keys are written.
    pub(crate) shown: &'static str,
    /// The word in the footer; empty: not in the footer.
    pub(crate) short: &'static str,
    /// What it does.
    pub(crate) what: &'static str,
    pub(crate) group: Group,
}

/// Whether a command can be given now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Availability {
    /// It can.
    Now,
    /// It belongs here and cannot, because.
    Disabled(Cow<'static, str>),
    /// It has no meaning here.
    Elsewhere,
}

macro_rules! bindings {
    ($($command:ident [$($key:expr),+] $shown:literal $short:literal $group:ident $what:literal;)*) => {
        &[$(Binding { command: Command::$command, keys: &[$($key),+], shown: $shown, short: $short, what: $what, group: Group::$group }),*]
    };
}

use Key::{Char, Code, With};

/// Every command, in the order of the footer within each group.
pub(crate) const TABLE: &[Binding] = bindings! {
    QuitNow [With(KeyModifiers::CONTROL, KeyCode::Char('c'))] "Ctrl-C" "" Always "quit, whatever is open";
    Open [Code(KeyCode::Enter)] "Enter" "open" Here "open what is selected; press the button";
    Drain [Char('d')] "d" "drain" Here "plan a drain of the node that answers the selected incident";
    Filter [Char('/')] "/" "filter" Here "show only events that hold a text";
    Explain [Char('?')] "?" "explain" Here "what the selected metric means";
    Up [Code(KeyCode::Up), Char('k')] "↑ k" "" Here "line up";
    Down [Code(KeyCode::Down), Char('j')] "↓ j" "" Here "line down";
    PageUp [Code(KeyCode::PageUp)] "PgUp" "" Here "page up";
    PageDown [Code(KeyCode::PageDown)] "PgDn" "" Here "page down";
    Back [Code(KeyCode::Esc), Code(KeyCode::Backspace)] "Esc" "back" Here "go back";
    PlayPause [Char(' ')] "space" "pause/play" Time "pause, or play from here";
    StepBack [Code(KeyCode::Left)] "←" "" Time "1 s back";
    StepOn [Code(KeyCode::Right)] "→" "" Time "1 s on";
    TenBack [With(KeyModifiers::SHIFT, KeyCode::Left), Char('[')] "Shift-← [" "" Time "10 s back";
    TenOn [With(KeyModifiers::SHIFT, KeyCode::Right), Char(']')] "Shift-→ ]" "" Time "10 s on";
    MinuteBack [With(KeyModifiers::CONTROL, KeyCode::Left), Char('{')] "Ctrl-← {" "" Time "1 min back";
    MinuteOn [With(KeyModifiers::CONTROL, KeyCode::Right), Char('}')] "Ctrl-→ }" "" Time "1 min on";
    NextIncident [Char('n')] "n" "next incident" Time "to the next incident";
    PreviousIncident [Char('N')] "N" "" Time "to the incident before";
    ToEnd [Code(KeyCode::End), Char('L')] "End L" "live" Time "to the end: back to live";
    ToStart [Code(KeyCode::Home)] "Home" "" Time "to the beginning";
    ZoomIn [Char('+'), Char('=')] "+" "" Time "show less time, finer";
    ZoomOut [Char('-')] "-" "" Time "show more time";
    Slower [Char('<'), Char(',')] "<" "" Time "play slower";
    Faster [Char('>'), Char('.')] ">" "" Time "play faster";
    Incidents [Char('i')] "i" "incidents" Screens "the incidents, with evidence and advice";
    Overview [Char('g')] "g" "overview" Screens "all GPUs and what they depend on";
    FocusGpu [Key::Digit] "0-9" "GPU" Screens "the GPU with this index";
    Events [Char('e')] "e" "events" Screens "the events around the cursor";
    Rdma [Char('r')] "r" "rdma" Screens "RDMA ports and their counters";
    Storage [Char('s')] "s" "storage" Screens "mounts, caches and their daemons";
    Processes [Char('p')] "p" "procs" Screens "processes on the GPUs";
    Node [Char('o')] "o" "node" Screens "the node: host, driver, PCIe, probes, what cannot be judged";
    NextScreen [Code(KeyCode::Tab)] "Tab" "" Screens "next screen";
    PreviousScreen [With(KeyModifiers::SHIFT, KeyCode::BackTab), Code(KeyCode::BackTab)] "Shift-Tab" "" Screens "screen before";
    Mark [Char('m')] "m" "mark" Always "write a note into the recording";
    Help [Char('h'), Char('?'), Code(KeyCode::F(1))] "h ?" "help" Always "these keys";
    Redraw [With(KeyModifiers::CONTROL, KeyCode::Char('l'))] "Ctrl-L" "" Always "draw every cell anew";
    Quit [Char('q')] "q" "quit" Always "quit";
};

/// The command that a key gives now: the first in the table that has a meaning here.
pub(crate) fn of_key(model: &Model, key: KeyEvent) -> Option<(Command, Availability)> {
    TABLE
        .iter()
        .filter(|binding| binding.keys.iter().any(|bound| bound.is(key)))
        .map(|binding| (binding.command, availability(model, binding.command)))
        .find(|(_, available)| *available != Availability::Elsewhere)
}

/// Whether a command can be given now, and why not.
pub(crate) fn availability(model: &Model, command: Command) -> Availability {
    use Availability::{Disabled, Elsewhere, Now};
    let top = model.top();
    let because = |holds: bool, why: &'static str| if holds { Now } else { Disabled(Cow::Borrowed(why)) };
    // While text is typed, letters are text.
    let typing = match top {
        Layer::Mark(_) | Layer::Filter(_) => true,
        Layer::Confirm(confirm) => confirm.focus == Focus::Typing,
        _ => false,
    };
    match command {
        Command::QuitNow => Now,
        Command::Quit | Command::Redraw | Command::Help if typing => Elsewhere,
        Command::Quit | Command::Redraw => Now,
        Command::Help => {
            if matches!(top, Layer::Help(_)) {
                Elsewhere
            } else {
                Now
            }
        }
        Command::Back => {
            if model.stack.len() > 1 {
                Now
            } else {
                Elsewhere
            }
        }
        Command::Mark => match top {
            Layer::Mark(_) | Layer::Filter(_) | Layer::Confirm(_) => Elsewhere,
            _ if model.live() => Now,
            _ => Disabled("a recording is not changed".into()),
        },
        Command::Open => match top {
            Layer::Overview(_) => because(model.state.is_some(), "nothing has been read yet"),
            Layer::Events { .. } => because(!model.events.is_empty(), "there is no event here"),
            Layer::Processes(_) | Layer::Confirm(_) | Layer::Told { .. } | Layer::Explain(_) => Now,
            _ => Elsewhere,
        },
        Command::Drain => match top {
            Layer::Incidents(_) => drain(model),
            _ => Elsewhere,
        },
        Command::Filter => {
            if matches!(top, Layer::Events { .. }) {
                Now
            } else {
                Elsewhere
            }
        }
        Command::Explain => {
            if matches!(top, Layer::Gpu(..)) {
                Now
            } else {
                Elsewhere
            }
        }
        Command::Up | Command::Down | Command::PageUp | Command::PageDown => {
            if top.clone().list().is_some() {
                Now
            } else {
                Elsewhere
            }
        }
        // Everything else belongs to screens: a dialog is left first.
        _ if top.screen().is_none() => Elsewhere,
        Command::Overview => because(top.screen() != Some(Screen::Overview), "already here"),
        Command::Incidents => because(top.screen() != Some(Screen::Incidents), "already here"),
        Command::Events => because(top.screen() != Some(Screen::Events), "already here"),
        Command::Rdma => because(top.screen() != Some(Screen::Rdma), "already here"),
        Command::Storage => because(top.screen() != Some(Screen::Storage), "already here"),
        Command::Processes => because(top.screen() != Some(Screen::Processes), "already here"),
        Command::Node => because(top.screen() != Some(Screen::Node), "already here"),
        Command::Slower | Command::Faster => {
            let limit = if command == Command::Slower { 0 } else { SPEEDS.len() - 1 };
            because(model.cursor.speed != limit, "there is no other speed that way")
        }
        Command::ToEnd => because(!model.following(), "already at the end"),
        Command::NextIncident => because(neighbour(model, true).is_some(), "no incident begins after the cursor"),
        Command::PreviousIncident => because(neighbour(model, false).is_some(), "no incident begins before the cursor"),
        Command::StepOn | Command::TenOn | Command::MinuteOn => because(!model.following(), "already at the end"),
        _ => Now,
    }
}

fn drain(model: &Model) -> Availability {
    if let Some(why) = model.read_only() {
        return Availability::Disabled(why.to_owned().into());
    }
    if model.planning.is_some() {
        return Availability::Disabled("a plan is being made".into());
    }
    match crate::view::incident::selected(model) {
        None => Availability::Disabled("there is no incident".into()),
        Some(incident) if !incident.open() => Availability::Disabled("this incident is over".into()),
        Some(_) => Availability::Now,
    }
}

/// Where the next incident begins, or the one before.
pub(crate) fn neighbour(model: &Model, forward: bool) -> Option<u64> {
    let place = model.cursor.place();
    let starts = model.incidents.iter().map(|incident| incident.started.axis_ns());
    let end = model.cursor.end();
    if forward { starts.filter(|at| *at > place && *at <= end).min() } else { starts.filter(|at| *at < place).max() }
}

/// The word for pausing or playing, as the cursor moves now.
pub(crate) fn short_of(model: &Model, binding: &Binding) -> &'static str {
    match (binding.command, model.cursor.motion) {
        (Command::Open, _) if matches!(model.top(), Layer::Confirm(_)) => "press",
        (Command::Open, _) if model.top().screen().is_none() => "close",
        (Command::PlayPause, Motion::Resting) => "play",
        (Command::PlayPause, _) => "pause",
        (Command::ToEnd, _) if !model.live() => "end",
        _ => binding.short,
    }
}

/// Every key with its group and what it does, for a manual.
pub fn keys_for_docs() -> impl Iterator<Item = (Group, &'static str, &'static str)> {
    TABLE.iter().map(|binding| (binding.group, binding.shown, binding.what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_stands_once_and_says_what_it_does() {
        for (place, binding) in TABLE.iter().enumerate() {
            assert!(
                TABLE.iter().skip(place + 1).all(|other| other.command != binding.command),
                "{:?}",
                binding.command
            );
            assert!(!binding.what.is_empty() && !binding.shown.is_empty());
        }
    }

    #[test]
    fn the_manual_lists_every_key() {
        let manual = include_str!("../../docs/deck.md");
        for (_, shown, what) in keys_for_docs() {
            assert!(manual.contains(&format!("| `{shown}` | {what} |")), "docs/deck.md lacks `{shown}`: {what}");
        }
    }
}

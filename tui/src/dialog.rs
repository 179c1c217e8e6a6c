//! Dialogs that take typed text: the operator's note, the events' filter, the confirmation of a plan.
//!
//! While one of them has the keyboard, letters are text: `q` types a q, Ctrl-C still quits.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use model::{Plan, Stamp};

use crate::layer::List;

/// The longest text that a person may type.
pub(crate) const MOST_TYPED: usize = 400;

/// What has the keyboard in the confirmation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Focus {
    /// Leave it: where one begins.
    Cancel,
    /// The text to type.
    Typing,
    /// Carry it out.
    Act,
}

/// How far the confirmation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Being read and typed.
    Open,
    /// Handed over; the outcome is awaited.
    UnderWay,
}

/// A plan that waits for its confirmation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Confirm {
    /// The plan.
    pub(crate) plan: Plan,
    /// What was typed so far.
    pub(crate) typed: String,
    /// What has the keyboard.
    pub(crate) focus: Focus,
    /// How far it has come.
    pub(crate) stage: Stage,
    /// How far the plan's text is scrolled.
    pub(crate) list: List,
}

/// What a key did to a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// It was text, or an edit.
    Taken,
    /// Enter.
    Done,
    /// Escape.
    Left,
    /// Not for the text: dispatch it as a command.
    Other,
}

/// Takes a key into a line of text.
pub(crate) fn type_into(text: &mut String, key: KeyEvent) -> Typed {
    let control = key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT);
    match key.code {
        KeyCode::Enter => Typed::Done,
        KeyCode::Esc => Typed::Left,
        KeyCode::Backspace => {
            text.pop();
            Typed::Taken
        }
        KeyCode::Char('u') if control => {
            text.clear();
            Typed::Taken
        }
        KeyCode::Char(character) if !control => {
            add(text, character);
            Typed::Taken
        }
        _ => Typed::Other,
    }
}

/// Adds what was pasted, as far as it is text and fits.
pub(crate) fn paste_into(text: &mut String, pasted: &str) {
    for character in pasted.chars() {
        add(text, if character == '\n' || character == '\t' { ' ' } else { character });
    }
}

fn add(text: &mut String, character: char) {
    if !character.is_control() && text.chars().count() < MOST_TYPED {
        text.push(character);
    }
}

impl Confirm {
    /// A plan to be read; Cancel has the keyboard.
    pub(crate) fn new(plan: Plan) -> Self {
        Self { plan, typed: String::new(), focus: Focus::Cancel, stage: Stage::Open, list: List::default() }
    }

    /// Why the plan cannot be carried out now, if so.
    pub(crate) fn obstacle(&self, now: Stamp, read_only: Option<&str>) -> Option<String> {
        if self.stage == Stage::UnderWay {
            return Some("under way; the outcome is awaited".to_owned());
        }
        if let Some(why) = read_only {
            return Some(why.to_owned());
        }
        let obstacles = self.plan.obstacles().count();
        if obstacles > 0 {
            return Some(format!("not now: {obstacles} of what it needs is not given"));
        }
        let age = now.axis_ns().saturating_sub(self.plan.made.axis_ns()) / model::time::NS_PER_S;
        if age > self.plan.expires_after_s {
            return Some(format!("the plan is {age} s old; make it anew with Esc and d"));
        }
        (self.typed != self.plan.confirm)
            .then(|| format!("type {} to confirm", model::text::clean(&self.plan.confirm, 60)))
    }

    /// Whether this is the first letter of what is to be typed: somebody who does as the dialog says and types it need
    /// not move the keyboard there first.
    pub(crate) fn begins_with(&self, character: char) -> bool {
        let ready = self.focus != Focus::Typing && self.stage == Stage::Open && self.typed.is_empty();
        ready && self.plan.confirm.starts_with(character)
    }

    /// Moves the keyboard to the next part, or the one before.
    pub(crate) fn turn(&mut self, forward: bool) {
        self.focus = match (self.focus, forward) {
            (Focus::Cancel, true) | (Focus::Act, false) => Focus::Typing,
            (Focus::Typing, true) | (Focus::Cancel, false) => Focus::Act,
            (Focus::Act, true) | (Focus::Typing, false) => Focus::Cancel,
        };
    }
}

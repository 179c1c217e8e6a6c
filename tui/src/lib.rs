//! The deck, in Elm shape: a [`Model`], messages ([`Msg`]), a pure [`update`] that answers with [`Effect`]s, and a pure
//! [`view`]. No terminal, no thread, no clock and no history in here: whoever runs the deck turns keys, Frames and
//! answers into messages, and carries the effects out.
//!
//! Live is replay at the tail: there is one cursor on one time axis. While it follows the end, [`Msg::State`] moves the
//! screens; once the operator steps back, the deck asks for the past by [`Effect::Ask`] and gets it as [`Msg::Answer`].

mod command;
mod cursor;
mod dialog;
mod layer;
mod look;
mod message;
mod model;
mod node;
mod paint;
mod plot;
mod questions;
mod table;
mod update;
mod view;
mod words;

pub use command::{Command, Group, keys_for_docs};
pub use look::{Colours, Look, Tone};
pub use message::{Answer, Effect, Features, Mode, Msg, OutcomeKind, Question, SelfCost};
pub use model::Model;
pub use update::update;
pub use view::view;

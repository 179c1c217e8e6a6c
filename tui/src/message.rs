//! What goes into the deck and what comes out of it.

use std::sync::Arc;

use crossterm::event::KeyEvent;
use model::{Coverage, Event, Incident, NodeState, Plan, SeriesKey, Stamp, Strip, Window};

use crate::look::Colours;

/// Where the deck's Frames come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The node as it is now.
    Live {
        /// `this node`, or the recorder's socket.
        source: String,
    },
    /// A recording.
    Replay {
        /// The recording's name.
        title: String,
    },
}

/// What the terminal and the session allow, and where to begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// The colours that the terminal has.
    pub colours: Colours,
    /// Why nothing may be changed on the node in this session; `None` if plans may be carried out.
    pub read_only: Option<String>,
    /// Where a replay begins, on the time axis; `None`: at its first incident, else at its beginning.
    pub start: Option<u64>,
    /// A replay plays from the start, at this speed.
    pub speed: Option<u32>,
}

/// What gpudeck itself costs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SelfCost {
    /// CPU use in per cent of one CPU.
    pub cpu_percent: f64,
    /// Resident memory.
    pub rss_bytes: u64,
    /// What a day of recording would take at the present rate, while recording.
    pub bytes_per_day: Option<u64>,
    /// The slowest call of the last reading, and the microseconds it took.
    pub slowest: Option<(String, u64)>,
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeKind {
    /// Done, and read back.
    Done,
    /// Refused: nothing was changed.
    Refused,
    /// Nobody knows whether it happened.
    Unknown,
}

/// Everything that can happen to the deck.
#[derive(Clone, Debug)]
pub enum Msg {
    /// The node at the end of the recording; sent up to ten times a second.
    State {
        /// Its state.
        state: Arc<NodeState>,
        /// The newest instant there is.
        live_end: Stamp,
    },
    /// What the rules hold. In a replay: of the whole recording.
    Incidents {
        /// Ordered by importance.
        incidents: Arc<Vec<Incident>>,
        /// What could be judged and what not.
        coverage: Arc<Coverage>,
    },
    /// From when to when there is anything to show.
    Span {
        /// The first instant.
        first: Stamp,
        /// The last.
        last: Stamp,
    },
    /// The answer to a question.
    Answer(Answer),
    /// A key was pressed.
    Key(KeyEvent),
    /// Text was pasted.
    Paste(String),
    /// The terminal has this many columns and rows.
    Resize(u16, u16),
    /// Time goes on, four times a second.
    Tick(Stamp),
    /// What gpudeck costs.
    Cost(SelfCost),
    /// The plan that was asked for, or why there is none.
    Plan(Result<Box<Plan>, String>),
    /// How the action ended, in a line.
    Outcome(String, OutcomeKind),
    /// Something worth a line.
    Notice(String),
}

/// A question to the history.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// The node at an instant of the time axis.
    State {
        /// Which.
        at: u64,
    },
    /// Several series over a window.
    Strips {
        /// Comes back with the answer.
        id: u64,
        /// Which series.
        series: Vec<SeriesKey>,
        /// Over which time.
        window: Window,
        /// In how many buckets.
        buckets: usize,
    },
    /// The last events inside a window.
    Events {
        /// Over which time.
        window: Window,
        /// At most so many.
        most: usize,
    },
}

/// The answer to a [`Question`].
#[derive(Clone, Debug)]
pub enum Answer {
    /// To [`Question::State`].
    State(Arc<NodeState>),
    /// To [`Question::Strips`].
    Strips {
        /// Of which question.
        id: u64,
        /// One per series asked for, in that order.
        strips: Vec<Strip>,
    },
    /// To [`Question::Events`], oldest first.
    Events(Vec<Event>),
    /// The history cannot tell, and why.
    Failed(String),
}

/// What the deck wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Leave, at once.
    Quit,
    /// Ask the history.
    Ask(Question),
    /// Make a plan that answers this incident.
    MakePlan {
        /// The incident's id.
        incident: String,
    },
    /// Carry the plan out; the text that the operator typed goes along and is checked again.
    CarryOut(Box<Plan>, String),
    /// Write an operator's note into the recording.
    Mark(String),
    /// Draw every cell anew.
    Redraw,
}

//! What lies on the screen: a stack of screens with dialogs on top. The lowest is always the overview.

use model::{Entity, SeriesKey};

use crate::dialog::Confirm;
use crate::message::OutcomeKind;

/// Where a person is in a list, and how far the text beside it is scrolled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// The line in hand.
    pub(crate) selected: usize,
    /// Lines scrolled off above in the text beside the list.
    pub(crate) scroll: usize,
}

/// A screen or a dialog.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Layer {
    /// All GPUs and what they depend on.
    Overview(List),
    /// The incidents and the card of one.
    Incidents(List),
    /// Everything about one GPU.
    Gpu(Entity, List),
    /// The events around the cursor; once a line was chosen by hand the list no longer follows the cursor.
    Events {
        /// The line in hand.
        list: List,
        /// Only lines that hold this text.
        filter: String,
        /// Chosen by hand.
        held: bool,
    },
    /// RDMA ports and their counters.
    Rdma(List),
    /// Mounts and their caches.
    Storage(List),
    /// Processes on the GPUs.
    Processes(List),
    /// Node facts, topology, probes.
    Node(List),
    /// The keys.
    Help(List),
    /// What one metric means.
    Explain(SeriesKey),
    /// A plan, to be confirmed.
    Confirm(Box<Confirm>),
    /// A note for the recording, being typed.
    Mark(String),
    /// The filter of the events, being typed.
    Filter(String),
    /// Something that must be read: the outcome of an action, or why there is no plan.
    Told {
        /// Over it.
        title: String,
        /// The text.
        text: String,
        /// How it ended.
        kind: OutcomeKind,
    },
}

/// The screens without their content, for the tabs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Screen {
    Overview,
    Incidents,
    Gpu,
    Events,
    Rdma,
    Storage,
    Processes,
    Node,
}

impl Screen {
    /// The screens that Tab goes through.
    pub(crate) const TABS: &[Self] =
        &[Self::Overview, Self::Incidents, Self::Events, Self::Rdma, Self::Storage, Self::Processes, Self::Node];

    /// The screen as it is when newly opened.
    pub(crate) fn open(self) -> Layer {
        let list = List::default();
        match self {
            Self::Overview | Self::Gpu => Layer::Overview(list),
            Self::Incidents => Layer::Incidents(list),
            Self::Events => Layer::Events { list, filter: String::new(), held: false },
            Self::Rdma => Layer::Rdma(list),
            Self::Storage => Layer::Storage(list),
            Self::Processes => Layer::Processes(list),
            Self::Node => Layer::Node(list),
        }
    }
}

impl Layer {
    /// The screen that this is; `None` for a dialog.
    pub(crate) fn screen(&self) -> Option<Screen> {
        Some(match self {
            Self::Overview(_) => Screen::Overview,
            Self::Incidents(_) => Screen::Incidents,
            Self::Gpu(..) => Screen::Gpu,
            Self::Events { .. } => Screen::Events,
            Self::Rdma(_) => Screen::Rdma,
            Self::Storage(_) => Screen::Storage,
            Self::Processes(_) => Screen::Processes,
            Self::Node(_) => Screen::Node,
            Self::Help(_)
            | Self::Explain(_)
            | Self::Confirm(_)
            | Self::Mark(_)
            | Self::Filter(_)
            | Self::Told { .. } => {
                return None;
            }
        })
    }

    /// Its list, if it has one.
    pub(crate) fn list(&mut self) -> Option<&mut List> {
        match self {
            Self::Overview(list)
            | Self::Incidents(list)
            | Self::Gpu(_, list)
            | Self::Events { list, .. }
            | Self::Rdma(list)
            | Self::Storage(list)
            | Self::Processes(list)
            | Self::Node(list)
            | Self::Help(list) => Some(list),
            Self::Confirm(confirm) => Some(&mut confirm.list),
            Self::Explain(_) | Self::Mark(_) | Self::Filter(_) | Self::Told { .. } => None,
        }
    }
}

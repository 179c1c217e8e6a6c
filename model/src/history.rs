//! The questions that everybody asks of the past, answered by the live [`crate::Timeline`] and by the recorder's
//! reader alike. The deck never asks while drawing: it asks by an effect and gets the answer as a message.

use serde::Serialize;

use crate::event::Event;
use crate::reading::Quality;
use crate::series::SeriesKey;
use crate::state::NodeState;
use crate::time::{Stamp, Window};

/// What one series did in a short stretch of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Bucket {
    /// The least value (of a counter: the least rate per second).
    pub least: Option<f64>,
    /// The most.
    pub most: Option<f64>,
    /// The last.
    pub last: Option<f64>,
    /// The worst quality; `None`: nothing was recorded.
    pub worst: Option<Quality>,
}

/// One series over a window, in buckets of equal length.
#[derive(Clone, Debug, PartialEq)]
pub struct Strip {
    /// Which series.
    pub key: SeriesKey,
    /// Over which time.
    pub window: Window,
    /// Oldest first.
    pub buckets: Vec<Bucket>,
}

/// Why the past could not be told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The recording is damaged there.
    #[error("the recording is damaged from byte {offset}: {why}")]
    Damaged {
        /// Where.
        offset: u64,
        /// What was found and expected.
        why: String,
    },
    /// The file could not be read.
    #[error("cannot read {path}: {why}")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system said.
        why: String,
    },
}

/// A past that can be asked.
pub trait History {
    /// The first and the last instant, or `None` while there is nothing.
    ///
    /// # Errors
    /// Damage, or a file that cannot be read.
    fn span(&self) -> Result<Option<(Stamp, Stamp)>, HistoryError>;

    /// The state of the node at an instant of the time axis.
    ///
    /// # Errors
    /// Damage, or a file that cannot be read.
    fn state_at(&self, at: u64) -> Result<NodeState, HistoryError>;

    /// Several series over a window, each in so many buckets.
    ///
    /// # Errors
    /// Damage, or a file that cannot be read.
    fn strips(&self, series: &[SeriesKey], window: Window, buckets: usize) -> Result<Vec<Strip>, HistoryError>;

    /// The last `most` events inside a window, oldest first.
    ///
    /// # Errors
    /// Damage, or a file that cannot be read.
    fn events(&self, window: Window, most: usize) -> Result<Vec<Event>, HistoryError>;
}

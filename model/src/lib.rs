//! The vocabulary every room of gpudeck speaks: plain data and pure functions.
//!
//! Nothing here does I/O, reads a clock or logs. A [`Frame`] is one probe's samples and events at one instant; it is
//! what workers pipe, the recorder writes, rules eat and the deck draws. What the rules conclude from Frames is a
//! [`Finding`], correlated into an [`Incident`]; what a person may do about it is a [`Plan`].
//!
//! ```text
//! Draft ──(Dictionary interns series)──► Frame ──► NodeState (now), Timeline (the past), Finding, Incident ──► Plan
//! ```

pub mod address;
pub mod catalogue;
pub mod counter;
pub mod entity;
pub mod event;
pub mod finding;
pub mod frame;
pub mod history;
pub mod incident;
pub mod plan;
pub mod reading;
pub mod series;
pub mod state;
pub mod text;
pub mod time;
pub mod timeline;
pub mod verdict;
pub mod wire;

pub use address::PciAddress;
pub use catalogue::{EntityKind, Kind, Metric, MetricName, Unit};
pub use entity::{Entity, EntityInfo, GpuKey, Inventory};
pub use event::{Event, Field, Fields, KernelRecord, Provenance};
pub use finding::{Evidence, Finding};
pub use frame::{Draft, Frame, ProbeFault};
pub use history::{Bucket, History, HistoryError, Strip};
pub use incident::{Advice, Confidence, Coverage, CoverageGap, Incident, Root, Symptom};
pub use plan::{Holder, Plan, Precondition, Step};
pub use reading::{Quality, Reading, Value};
pub use series::{Dictionary, SeriesDef, SeriesId, SeriesKey};
pub use state::NodeState;
pub use text::Untrusted;
pub use time::{BootId, Stamp, Window};
pub use timeline::Timeline;
pub use verdict::{Action, Class, Severity, Verdict};
